"""What asks this process to end: Ctrl-C, a service or container that is stopped, a terminal that is closed.

Each asks for the same: save and end. An exception, as Python raises it for Ctrl-C, is lost where it meets a finalizer, or
tears a line; so the signals are only noted (`heard`) wherever there is something to save.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

GIVEN_UP = 1  # exit code of a process that was told twice
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # Windows has no SIGHUP; closing a console there is SIGBREAK
_HANG_UP = getattr(signal, "SIGHUP", None)


@contextmanager
def heard() -> Iterator[Callable[[], bool]]:
    """Note what asks this process to end; gives what tells whether anything has.

    The second time ends the process at once: whatever trains is offered for Resume from its last checkpoint. A hang-up is
    never a second time, since a terminal that is closed sends several, and some services send one after their own signal.
    """
    asked: list[int] = []

    def hear(number: int, _: Any) -> None:  # takes no lock: it runs between any two instructions of the main thread
        if asked and number != _HANG_UP:
            os._exit(GIVEN_UP)
        asked.append(number)

    with _handled(hear, interrupts=True):
        yield lambda: bool(asked)


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Make the other signals what Ctrl-C is, a KeyboardInterrupt, where nothing is to be saved but much to tidy up."""
    with _handled(signal.default_int_handler, interrupts=False):
        yield


def leave(code: int) -> None:
    """End this process without waiting for threads that still compute what nobody waits for (an answer, an import)."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the terminal may be gone
            stream.flush()
    os._exit(code)


@contextmanager
def _handled(handler: Any, *, interrupts: bool) -> Iterator[None]:
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other one is asked
        for name in _NAMES if interrupts else _NAMES[1:]:
            number = getattr(signal, name, None)
            # Who starts a program with `nohup` wants it to go on when the terminal is closed.
            if number is not None and not (number == _HANG_UP and signal.getsignal(number) is signal.SIG_IGN):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier if earlier is not None else signal.SIG_DFL)
