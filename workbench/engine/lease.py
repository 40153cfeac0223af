"""The device lease: whoever computes holds it, so that training, merging and chat never compete for one device's memory.

It is one for all processes that work in a home.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from workbench.config.disk import write_json
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.reading import Damaged, Said, read_record
from workbench.config.text import Text
from workbench.engine.records import text_of

_LOOK = 0.2  # seconds between two tries
_FRESH = 5 * _LOOK  # seconds for which the mark of another process that waits is good
_HOLDER = TypeAdapter(Said)


class Lease:
    """One holder at a time, known by a name that people can read.

    Args:
        folder: where the processes of a home meet; None where there is but this one.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._between = FileLock(folder / "device.lock", thread_local=False) if folder is not None else None
        self._note = folder / "device.json" if folder is not None else None
        self._queue = folder / "device.waiting" if folder is not None else None
        self.holder: Text | None = None
        """Who holds it in this process."""

    @contextmanager
    def held_by(
        self,
        holder: Text,
        *,
        seconds: float | None = None,
        stop: threading.Event | None = None,
        waiting: Callable[[Text], None] = lambda holder: None,
    ) -> Iterator[None]:
        """Hold the device.

        Args:
            holder: what to tell others meanwhile ("training of pirate-voice").
            seconds: how long to wait for it at most; None waits as long as it takes, 0 not at all.
            stop: ends the waiting.
            waiting: told for whom it waits, whenever that is another one.

        Raises:
            WorkbenchError: it is taken and the time is over.
            StopRequested: `stop` was set while waiting.
        """
        until = None if seconds is None else time.monotonic() + seconds
        told: Text | None = None

        def wait() -> None:
            nonlocal told
            if stop is not None and stop.is_set():
                raise StopRequested
            other = self.holder or self._elsewhere()
            if until is not None and time.monotonic() >= until:
                raise _busy(other)
            if other is not None and (told is None or told.en != other.en):
                told = other
                waiting(other)

        while not self._lock.acquire(timeout=_LOOK if seconds != 0 else 0.0):
            wait()
        try:
            self._enter(wait)
            self.holder = holder
            self._write(holder)
            yield
        finally:
            self.holder = None
            if self._between is not None and self._between.is_locked:
                self._between.release()
            self._lock.release()

    def _enter(self, wait: Callable[[], None]) -> None:
        """Hold it against other processes as well; one that waited longer than this one comes first."""
        if self._between is None or not self._between_can_be_held():
            return
        self._let_others_in()
        while True:
            try:
                self._between.acquire(timeout=0)
                return
            except Timeout:
                wait()
                if self._queue is not None:
                    with suppress(OSError):
                        self._queue.write_text(str(os.getpid()))
                time.sleep(_LOOK)

    def _between_can_be_held(self) -> bool:
        """Whether processes can meet: a home that may only be looked at has no place for it."""
        folder = Path(self._between.lock_file).parent if self._between is not None else None
        return folder is not None and folder.is_dir() and os.access(folder, os.W_OK)

    def _let_others_in(self) -> None:
        """Give a process that waits time to take the device: its queue would else never be served beside a longer one."""
        with suppress(OSError, ValueError):
            if self._queue is not None and time.time() - self._queue.stat().st_mtime < _FRESH:
                other = int(self._queue.read_text()[:20])
                if other != os.getpid():
                    time.sleep(2 * _LOOK)

    def _write(self, holder: Text) -> None:
        if self._note is not None and self._note.parent.is_dir():
            with suppress(WorkbenchError, OSError):  # only to tell others
                write_json(self._note, holder.as_dict())

    def _elsewhere(self) -> Text | None:
        """Who holds it in another process, as far as that can be known."""
        if self._note is None:
            return None
        try:
            said = read_record(self._note, _HOLDER)
        except Damaged:
            return None
        return Text("{holder}, in another window or terminal", "另一个窗口或终端：{holder}").with_(holder=text_of(said))


def _busy(holder: Text | None) -> WorkbenchError:
    return WorkbenchError(
        Text("the device is busy: {holder}", "设备正忙：{holder}").with_(
            holder=holder or Text("other work", "其他任务")
        ),
        Text(
            "Wait until it is done, or press Stop and save on the Run page.", "请等它完成，或在“运行”页点“停止并保存”。"
        ),
        code="busy",
    )
