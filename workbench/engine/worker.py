"""One worker thread and its queue: runs wait here and are trained one after the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from workbench.engine.boundary import logger


class Worker:
    """Calls `work(run_id, stop)` for each run put in, on one thread of its own.

    `work` is the job boundary: it does not raise. Should it all the same, the thread goes on with the next run.
    """

    def __init__(self, work: Callable[[str, threading.Event], None]) -> None:
        self._work = work
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._stops: dict[str, threading.Event] = {}
        self._done: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.current: str | None = None

    def put(self, run_id: str) -> None:
        """Queue a run; one that is queued already stays where it is."""
        with self._lock:
            if run_id in self._done:
                return
            self._stops[run_id] = threading.Event()
            self._done[run_id] = threading.Event()
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="training", daemon=True)
                self._thread.start()
        self._queue.put(run_id)

    def stop(self, run_id: str) -> bool:
        """Ask a run to stop and save; False when it is neither waiting nor running."""
        with self._lock:
            stop = self._stops.get(run_id)
        if stop is None:
            return False
        stop.set()
        return True

    def wait(self, run_id: str, timeout: float | None = None) -> bool:
        """Wait until a run put in here is over; False when the time ran out."""
        with self._lock:
            done = self._done.get(run_id)
        return done is None or done.wait(timeout)

    @property
    def waiting(self) -> int:
        """How many runs have not begun."""
        return self._queue.qsize()

    def close(self, timeout: float) -> bool:
        """Stop what runs (it saves) and end the thread; False when it still saves after `timeout` seconds."""
        with self._lock:
            for stop in self._stops.values():
                stop.set()
            thread = self._thread
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def _loop(self) -> None:
        while (run_id := self._queue.get()) is not None:
            self.current = run_id
            try:
                self._work(run_id, self._stops[run_id])
            except Exception:
                logger.exception("the worker could not carry out %s", run_id)
            finally:
                self.current = None
                with self._lock:
                    self._stops.pop(run_id, None)
                    self._done.pop(run_id).set()
