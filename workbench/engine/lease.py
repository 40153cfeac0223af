"""The device lease: whoever computes holds it, so that training, merging and chat never compete for one device's memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.text import Text


class Lease:
    """One holder at a time, known by a name that people can read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.holder: Text | None = None

    @contextmanager
    def held_by(
        self, holder: Text, *, seconds: float | None = None, stop: threading.Event | None = None
    ) -> Iterator[None]:
        """Hold the device.

        Args:
            holder: what to tell others meanwhile ("training of pirate-voice").
            seconds: how long to wait for it at most; None waits as long as it takes, 0 not at all.
            stop: ends the waiting.

        Raises:
            WorkbenchError: it is taken and the time is over.
            StopRequested: `stop` was set while waiting.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while not self._lock.acquire(timeout=0.2 if seconds != 0 else 0.0):
            if stop is not None and stop.is_set():
                raise StopRequested
            if until is not None and time.monotonic() >= until:
                raise WorkbenchError(
                    Text("the device is busy: {holder}", "设备正忙：{holder}").with_(
                        holder=self.holder or Text("other work", "其他任务")
                    ),
                    Text(
                        "Wait until it is done, or press Stop and save on the Run page.",
                        "请等它完成，或在“运行”页点“停止并保存”。",
                    ),
                    code="busy",
                )
        self.holder = holder
        try:
            yield
        finally:
            self.holder = None
            self._lock.release()
