"""Doing something at a certain step of a training: on the training's own thread, so that no fast computer is past it.

`python -m tests.steps step 7 train first-run --home ...` is the command line, killed as a power cut would do it, and with
`SIGTERM 7` asked to end; `... app run.yaml -- --home ...` is the page, with that run started on it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.config.presets import load_preset
from workbench.config.run import RunConfig
from workbench.config.signals import leave
from workbench.engine.events import EventLog, Metrics
from workbench.engine.worker import Worker

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


def ask_at_step(patch: pytest.MonkeyPatch, step: int, number: int) -> None:
    """Send this process a signal at a step, and hold the training there until it was asked to stop."""
    made, turns = Worker.__init__, []

    def kept(worker: Worker, *given: Any) -> None:
        made(worker, *given)
        turns.append(worker._turns)

    def ask(run_id: str) -> None:
        os.kill(os.getpid(), number)
        wait_for(lambda: any(run_id in lane and lane[run_id].stop.is_set() for lane in turns), "the signal is heard")

    patch.setattr(Worker, "__init__", kept)
    at_step(patch, step, ask)


def _app(patch: pytest.MonkeyPatch, runs: list[str], *arguments: str) -> int:
    """The page, on which somebody starts runs as soon as it is open, or asks a model something that takes for ever."""
    import app
    from workbench.engine import Engine, chats

    def answer(*_: Any, say: Callable[[str], None], **__: Any) -> None:
        while True:
            say("and so on")
            time.sleep(0.01)

    def begin(engine: Engine) -> None:
        if not runs:
            answers = engine.chat("tiny", [{"role": "user", "content": "Tell me all."}])
            next(answers)
            print("an answer is being made", flush=True)
            threading.Thread(target=list, args=(answers,)).start()
        for run in runs:
            engine.submit(RunConfig.parse(load_preset(Path(run)).values))

    patch.setattr(chats, "_say", answer)
    patch.setattr(Engine, "warm_up", begin)
    patch.setattr(sys, "argv", ["app.py", *arguments])
    return app.main()


def _main(moment: str, step: str, *arguments: str) -> int:
    patch = pytest.MonkeyPatch()
    if moment.startswith("SIG"):
        ask_at_step(patch, int(step), getattr(signal, moment))
    elif moment == "step":
        at_step(patch, int(step), die)
    elif moment == "save":  # the files of a checkpoint are there, and not yet the mark that says that none is missing
        from workbench.engine import callback

        mark = callback.mark_whole
        patch.setattr(callback, "mark_whole", lambda folder, at: die() if at == int(step) else mark(folder, at))
    if arguments[0] == "app":
        end = arguments.index("--")
        leave(_app(patch, list(arguments[1:end]), *arguments[end + 1 :]))
    from workbench.__main__ import main

    return main(list(arguments))


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
