"""One worker thread and its queue: runs wait here and are trained one after the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.engine.boundary import ENDINGS, logger


@dataclass(eq=False)
class _Turn:
    """One time that a run is worked on; a run that is resumed gets another."""

    run_id: str
    stop: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    begun: bool = False
    cancelled: bool = False


class Worker:
    """Calls `work(run_id, stop)` for each run put in, on one thread of its own.

    `work` is the job boundary: it does not raise. Should it all the same, the thread goes on with the next run.
    """

    def __init__(self, work: Callable[[str, threading.Event], None]) -> None:
        self._work = work
        self._queue: queue.SimpleQueue[_Turn | None] = queue.SimpleQueue()
        self._turns: dict[str, _Turn] = {}  # the newest of each run that is not over
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.current: str | None = None

    def put(self, run_id: str) -> None:
        """Queue a run; one that waits already stays where it is.

        One whose turn is just ending gets another: it can be resumed as soon as its last state is written, and that is
        some time before its memory is given back.
        """
        with self._lock:
            known = self._turns.get(run_id)
            if known is not None and not known.begun:
                return
            turn = self._turns[run_id] = _Turn(run_id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="training", daemon=True)
                self._thread.start()
        self._queue.put(turn)

    def stop(self, run_id: str) -> bool:
        """Ask a run to stop and save; False when it is neither waiting nor running."""
        with self._lock:
            turn = self._turns.get(run_id)
        if turn is None:
            return False
        turn.stop.set()
        return True

    def cancel(self, run_id: str) -> bool:
        """Take a run that waits out of the queue; False when its turn has begun, or when it does not wait."""
        with self._lock:
            turn = self._turns.get(run_id)
            if turn is None or turn.begun:
                return False
            turn.cancelled = True
            del self._turns[run_id]
        turn.over.set()
        return True

    def wait(self, run_id: str, timeout: float | None = None) -> bool:
        """Wait until a run put in here is over; False when the time ran out."""
        with self._lock:
            turn = self._turns.get(run_id)
        return turn is None or turn.over.wait(timeout)

    @property
    def waiting(self) -> int:
        """How many runs have not begun."""
        with self._lock:
            return sum(not turn.begun for turn in self._turns.values())

    def close(self, timeout: float) -> bool:
        """Stop what runs (it saves) and end the thread; False when it still saves after `timeout` seconds."""
        with self._lock:
            for turn in self._turns.values():
                turn.stop.set()
            thread = self._thread
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def _loop(self) -> None:
        while (turn := self._queue.get()) is not None:
            with self._lock:
                if turn.cancelled:
                    continue
                turn.begun = True
            self.current = turn.run_id
            try:
                self._work(turn.run_id, turn.stop)
            except ENDINGS:
                logger.exception("the worker could not carry out %s", turn.run_id)
            finally:
                self.current = None
                with self._lock:
                    if self._turns.get(turn.run_id) is turn:
                        del self._turns[turn.run_id]
                turn.over.set()
