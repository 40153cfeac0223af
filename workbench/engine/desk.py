"""The desk: where a chat asks the thread that trains for an answer.

The thread that trains owns the model. Others leave a request; it serves them between two steps, and a step costs nothing
when nobody asks.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from threading import Event
from typing import Any

Request = Callable[[Any, Any, "Event | None"], None]


class Desk:
    """Requests for the model that is training; each is called with (model, tokenizer, stop) on the training thread."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.run_id: str | None = None  # the run whose model can be asked, None when there is none

    def ask(self, request: Request) -> None:
        """Leave a request."""
        self._waiting.put(request)

    def serve(self, model: Any, tokenizer: Any, stop: Event | None = None) -> None:
        """Answer all who wait. Called by the training thread between two steps; a request reports its own errors.

        Args:
            model, tokenizer: what is training, or None when it is over.
            stop: the run's own; answers end when the run is asked to stop.
        """
        while not self._waiting.empty():
            self._waiting.get()(model, tokenizer, stop)
