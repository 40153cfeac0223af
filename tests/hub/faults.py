"""What goes wrong between the Hub and who asks: declared by a test, for the requests that it means."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.hub.messages import Answer, Request, refusal


@dataclass
class Fault:
    """A fault of the requests whose path and method fit.

    Attributes:
        path: as in fnmatch, of the request's path without the query: "/api/models/ann/*", "*/model.safetensors" (where it
            is, and its bytes from wherever they come), "*ann/tiny*" (all of a repository).
        method: "GET", "HEAD", ...; "*" is each.
        times: for how many requests; None is each one.
        status: this answer instead of the right one, with `message`, `code` (the Hub's X-Error-Code) and `headers`.
        silent: the connection is taken and nothing is answered.
        slow: bytes a second of the answer.
        cut: the connection ends after this many bytes of the answer's body.
        reset: it ends hard, as when a router forgets it (the client sees a reset and not an end).
        hold: the answer stops after this many bytes until `release()`; `reached` is set when it has come there.
        take: only this many bytes of what is sent to the Hub are read; then the connection ends.
    """

    path: str = "*"
    method: str = "*"
    times: int | None = None
    status: int | None = None
    code: str = ""
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    slow: float | None = None
    cut: int | None = None
    reset: bool = False
    hold: int | None = None
    take: int | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    happened: int = 0

    def fits(self, method: str, path: str) -> bool:
        if method == "HEAD" and not (self.cut is self.hold is self.slow is None):
            return False  # there is no body that it could be about
        if method in ("GET", "HEAD") and self.take is not None:
            return False
        return self.method in ("*", method) and fnmatchcase(path, self.path)

    def release(self) -> None:
        """Let what is held go on, and what comes later pass."""
        self.released.set()

    def answer(self) -> Answer | None:
        """What is answered instead of the right thing."""
        return refusal(self.status, self.message, self.code, self.headers) if self.status else None


class Faults:
    """All that was declared; the one declared last counts first."""

    def __init__(self) -> None:
        self._all: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._all.insert(0, fault)
        return fault

    def lift(self, fault: Fault | None = None) -> None:
        """Take a fault away, or all of them; what they hold goes on."""
        with self._lock:
            gone = [each for each in self._all if fault is None or each is fault]
            self._all = [each for each in self._all if each not in gone]
        for each in gone:
            each.release()

    def of(self, request: Request) -> Fault | None:
        """The fault of a request, which counts as one of its times."""
        with self._lock:
            for fault in self._all:
                if fault.fits(request.method, request.path) and (fault.times is None or fault.happened < fault.times):
                    fault.happened += 1
                    return fault
        return None


def rate_limit(seconds: int) -> dict[str, Any]:
    """What a fault needs to be the Hub's 429: `hub.fault("/api/*", **rate_limit(30))`."""
    headers = {
        "Retry-After": str(seconds),
        "RateLimit": f'"api";r=0;t={seconds}',
        "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
    }
    return {"status": 429, "message": "We had to rate limit you. Log in to raise your limit.", "headers": headers}
