"""Doing something at a certain step of a training: on the training's own thread, so that no fast computer is past it.

`python -m tests.steps step 7 train first-run --home ...` is the command line, killed as a power cut would do it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from workbench.engine.events import EventLog, Metrics

PATIENCE = 120.0  # seconds until a test that waits for the other thread is called stuck


def at_step(patch: pytest.MonkeyPatch, step: int, do: Callable[[str], Any]) -> None:
    """Call `do(run_id)` once, on the training thread, when the first run to get there has written a step's numbers."""
    append, left = EventLog.append, [do]

    def watched(log: EventLog, event: Any) -> dict[str, Any]:
        line = append(log, event)
        if left and isinstance(event, Metrics) and event.loss is not None and event.step == step:
            left.pop()(log.path.parent.name)
        return line

    patch.setattr(EventLog, "append", watched)


class Hold:
    """Holds a training at a step until `release`; `reached` waits until it is held there."""

    def __init__(self, patch: pytest.MonkeyPatch, step: int) -> None:
        self._there, self._go = threading.Event(), threading.Event()
        at_step(patch, step, self._hold)

    def _hold(self, run_id: str) -> None:
        self._there.set()
        assert self._go.wait(PATIENCE), "nobody let the training go on"

    def reached(self) -> None:
        """Return when the training stands at the step."""
        assert self._there.wait(PATIENCE), "the training did not come to the step"

    def release(self) -> None:
        """Let it go on."""
        self._go.set()


def wait_for(happened: Callable[[], bool], what: str) -> None:
    """Return when it has happened."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"in vain was waited until {what}"
        time.sleep(0.05)


def die(*_: Any) -> None:
    """As a power cut would do it."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def _main(moment: str, step: str, *arguments: str) -> int:
    patch = pytest.MonkeyPatch()
    if moment == "step":
        at_step(patch, int(step), die)
    else:  # the files of a checkpoint are there, and not yet the mark that says that none is missing
        from workbench.engine import callback

        mark = callback.mark_whole
        patch.setattr(callback, "mark_whole", lambda folder, at: die() if at == int(step) else mark(folder, at))
    from workbench.__main__ import main

    return main(list(arguments))


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
