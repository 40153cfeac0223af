"""What a page asks its server for: so that a test can wait until nothing is under way any more, not for a while."""

from __future__ import annotations

import time
from typing import Any

# The page's look at what moves comes each second, and what tells the server that the page is open stays unanswered.
_ENDLESS = ("/live?", "/heartbeat/")
# Gradio closes the stream of answers when the last one came, but not where that came before the question was taken note of,
# as on a slow machine: then it stays open.
_STREAM = "/queue/data"
_STREAM_SECONDS = 3.0  # without a request, after which such a stream counts as one that was left open
_PAGES: dict[Any, Traffic] = {}


class Traffic:
    """The requests of a page: which are unanswered, and when the last one began or ended."""

    def __init__(self, page: Any) -> None:
        self.unanswered: set[Any] = set()
        self.last = time.monotonic()
        page.on("request", self._begins)
        page.on("requestfinished", self._ends)
        page.on("requestfailed", self._ends)

    def _begins(self, request: Any) -> None:
        if not any(part in request.url for part in _ENDLESS):
            self.unanswered.add(request)
            self.last = time.monotonic()

    def _ends(self, request: Any) -> None:
        if request in self.unanswered:
            self.unanswered.remove(request)
            self.last = time.monotonic()


def watch(page: Any) -> None:
    """Begin to count a page's requests; before it is opened."""
    _PAGES[page] = Traffic(page)


def forget(page: Any) -> None:
    """Stop counting, when a page is closed."""
    _PAGES.pop(page, None)


def settled(page: Any, quiet: float = 0.4, held: int = 0, seconds: float = 60.0) -> None:
    """Wait until a page has got all that it asked for and asks for nothing more.

    Args:
        page: a page that `watch` knows.
        quiet: seconds without a request that count as nothing more. What the reader does sets off requests for 2.5 s, one
            a second, so that 1.5 are sure to be after them.
        held: how many requests the test itself holds back.
        seconds: after which this is an error.
    """
    traffic, deadline = _PAGES[page], time.monotonic() + seconds

    def busy() -> bool:
        streams = sum(_STREAM in request.url for request in traffic.unanswered)
        still = time.monotonic() - traffic.last
        return len(traffic.unanswered) - streams > held or still < (max(quiet, _STREAM_SECONDS) if streams else quiet)

    while busy():
        if time.monotonic() > deadline:
            raise AssertionError(f"the page is still busy: {[request.url for request in traffic.unanswered]}")
        page.wait_for_timeout(50)
