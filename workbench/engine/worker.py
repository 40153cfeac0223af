"""A lane of work: a queue and its threads. What is put in waits here, and is worked on in turn."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.engine.boundary import ENDINGS, logger


@dataclass(eq=False)
class _Turn:
    """One time that a job is worked on; one that is resumed gets another."""

    job_id: str
    stop: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    begun: bool = False
    cancelled: bool = False


class Worker:
    """Calls `work(id, stop)` for each job put in, on threads of its own.

    `work` is the job boundary: it does not raise. Should it all the same, the thread goes on with the next job.

    Args:
        threads: how many jobs are worked on at once.
        name: of the threads.
    """

    def __init__(self, work: Callable[[str, threading.Event], None], threads: int = 1, name: str = "training") -> None:
        self._work = work
        self._name = name
        self._count = threads
        self._queue: queue.SimpleQueue[_Turn | None] = queue.SimpleQueue()
        self._turns: dict[str, _Turn] = {}  # the newest of each job that is not over
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._running: list[str] = []

    def put(self, job_id: str) -> None:
        """Queue a job; one that waits already stays where it is.

        One whose turn is just ending gets another: it can be resumed as soon as its last state is written, and that is
        some time before its memory is given back.
        """
        with self._lock:
            known = self._turns.get(job_id)
            if known is not None and not known.begun:
                return
            turn = self._turns[job_id] = _Turn(job_id)
            if len(self._threads) < self._count:
                thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()
        self._queue.put(turn)

    def stop(self, job_id: str) -> bool:
        """Ask a job to stop and save; False when it is neither waiting nor running."""
        with self._lock:
            turn = self._turns.get(job_id)
        if turn is None:
            return False
        turn.stop.set()
        return True

    def cancel(self, job_id: str) -> bool:
        """Take a job that waits out of the queue; False when its turn has begun, or when it does not wait."""
        with self._lock:
            turn = self._turns.get(job_id)
            if turn is None or turn.begun:
                return False
            turn.cancelled = True
            del self._turns[job_id]
        turn.over.set()
        return True

    def wait(self, job_id: str, timeout: float | None = None) -> bool:
        """Wait until a job put in here is over; False when the time ran out."""
        with self._lock:
            turn = self._turns.get(job_id)
        return turn is None or turn.over.wait(timeout)

    @property
    def running(self) -> tuple[str, ...]:
        """What is being worked on, whatever has become of its record."""
        with self._lock:
            return tuple(self._running)

    def has(self, job_id: str) -> bool:
        """Whether it waits or is worked on here."""
        with self._lock:
            return job_id in self._turns

    def has_another(self, job_id: str) -> bool:
        """Whether it waits here for a turn, be it that one of its turns just ends."""
        with self._lock:
            turn = self._turns.get(job_id)
            return turn is not None and not turn.begun

    @property
    def waiting(self) -> int:
        """How many have not begun."""
        with self._lock:
            return sum(not turn.begun for turn in self._turns.values())

    def close(self, timeout: float) -> bool:
        """Stop what runs (it saves) and end the threads; False when one still saves after `timeout` seconds."""
        with self._lock:
            for turn in self._turns.values():
                turn.stop.set()
            threads = list(self._threads)
        until = time.monotonic() + timeout
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in threads)

    def _loop(self) -> None:
        while (turn := self._queue.get()) is not None:
            with self._lock:
                if turn.cancelled:
                    continue
                turn.begun = True
                self._running.append(turn.job_id)
            try:
                self._work(turn.job_id, turn.stop)
            except ENDINGS:
                logger.exception("the worker could not carry out %s", turn.job_id)
            finally:
                with self._lock:
                    self._running.remove(turn.job_id)
                    if self._turns.get(turn.job_id) is turn:
                        del self._turns[turn.job_id]
                turn.over.set()
