"""How much may be sent: what a request says of its size is not believed, what arrives is counted.

`Quota` holds what all uploads of a day may take together, `Body` counts one request while it is read and ends it in the
middle when it is too much. What was counted for an upload that failed is given back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from starlette.formparsers import MultiPartException

from workbench.ui.asgi import Message, Receive

_HOUR, _HOURS = 3600.0, 24


class Quota:
    """The bytes that may be uploaded within a day, counted by the hour, so that many small uploads take no memory.

    Args:
        day_bytes: how many.
        clock: seconds that only grow.
    """

    def __init__(self, day_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.day_bytes = day_bytes
        self._clock = clock
        self._hours: dict[int, int] = {}
        self._lock = threading.Lock()

    def left(self) -> int:
        """How many bytes may still be uploaded now."""
        with self._lock:
            return self._left()

    def take(self, count: int) -> bool:
        """Count `count` bytes more; False, and nothing counted, where they are too many."""
        with self._lock:
            if count > self._left():
                return False
            hour = self._hour()
            self._hours[hour] = self._hours.get(hour, 0) + count
            return True

    def give_back(self, count: int) -> None:
        """Take back what was counted for an upload that failed, the newest hours first."""
        with self._lock:
            for hour in sorted(self._hours, reverse=True):
                back = min(count, self._hours[hour])
                self._hours[hour] -= back
                count -= back

    def _left(self) -> int:
        oldest = self._hour() - _HOURS
        self._hours = {hour: count for hour, count in self._hours.items() if hour >= oldest}
        return self.day_bytes - sum(self._hours.values())

    def _hour(self) -> int:
        return int(self._clock() / _HOUR)


class Interrupted(MultiPartException):
    """A body ends in the middle: it is too large, or who sent it has gone.

    Of this kind, because the reader of uploads then removes the files that it had begun.
    """


class Body:
    """What a request sends, in place of its `receive`.

    Args:
        receive: where it comes from.
        take: counts so many bytes more; False where they are too many.
        whole: whether half of it is of no use, so that reading ends when who sends it goes away.
    """

    def __init__(self, receive: Receive, take: Callable[[int], bool], whole: bool = False) -> None:
        self._receive, self._take, self._whole = receive, take, whole
        self.count = 0
        self.too_large = False
        self._complete = False

    async def __call__(self) -> Message:
        """The next message.

        Raises:
            Interrupted: nothing more is read.
        """
        message = await self._receive()
        if self._complete:
            return message
        if message["type"] == "http.disconnect":
            if self._whole:
                raise Interrupted("who sent it has gone")
            return message
        size = len(message.get("body", b""))
        if self.too_large or not self._take(size):
            self.too_large = True
            raise Interrupted("exceeded the maximum allowed size")
        self.count += size
        self._complete = not message.get("more_body", False)
        return message
