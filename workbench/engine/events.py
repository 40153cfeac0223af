"""What happens in a run, as typed events, and the append-only log that keeps them.

A run never depends on a reader: readers pass the last sequence number they have and get what came after it. One event is
one JSON line `{"seq", "time", "type", ...}`; a torn line, left by a kill, is passed over by every reader.
"""

from __future__ import annotations

import bisect
import json
import math
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from workbench.config.disk import disk_errors


@dataclass(frozen=True)
class Event:
    """Base of all events; `type` is the word in the log."""

    type: ClassVar[str]


@dataclass(frozen=True)
class StatusChanged(Event):
    """The run entered another state; `from_step` is set when it goes on from a checkpoint."""

    type: ClassVar[str] = "status"
    status: str
    from_step: int | None = None


@dataclass(frozen=True)
class Stage(Event):
    """What the run is busy with before and after training (`loading`, `reading`, ...), with progress where it is known."""

    type: ClassVar[str] = "stage"
    stage: str
    text: dict[str, str]
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class Metrics(Event):
    """Numbers of one step. `eval_loss` comes in an event of its own, without `loss`."""

    type: ClassVar[str] = "metrics"
    step: int
    total_steps: int
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    memory_bytes: int | None = None
    seconds_left: float | None = None
    more: dict[str, float] | None = None


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint is whole on the disk."""

    type: ClassVar[str] = "checkpoint"
    step: int


@dataclass(frozen=True)
class Sample(Event):
    """The model's answer to one of the person's own questions."""

    type: ClassVar[str] = "sample"
    step: int
    question: str
    answer: str


@dataclass(frozen=True)
class ProblemFound(Event):
    """Something people should read; the run goes on unless its status says otherwise."""

    type: ClassVar[str] = "problem"
    message: dict[str, str]
    hint: dict[str, str] | None = None
    field: str | None = None


class EventLog:
    """The events of one run. Any thread may append and read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] | None = None
        self._torn = False

    def append(self, event: Event) -> dict[str, Any]:
        """Give the event its number and time and write it as one line."""
        with self._lock:
            events = self._loaded()
            seq = events[-1]["seq"] + 1 if events else 1
            line = {"seq": seq, "time": round(time.time(), 3), "type": event.type, **_plain(event)}
            text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
            with disk_errors(self.path):
                if self._torn:
                    self._cut_torn_tail()
                self._torn = True  # until the line is written whole
                with self.path.open("ab") as file:
                    file.write(text.encode())
                self._torn = False
            events.append(line)
            return line

    def after(self, seq: int = 0) -> list[dict[str, Any]]:
        """The events with a number above `seq`, in order."""
        with self._lock:
            events = self._loaded()
            start = bisect.bisect_right(events, seq, key=lambda event: event["seq"])
            return events[start:]

    def last(self, kind: str) -> dict[str, Any] | None:
        """The newest event of a type."""
        with self._lock:
            return next((event for event in reversed(self._loaded()) if event["type"] == kind), None)

    def _loaded(self) -> list[dict[str, Any]]:
        if self._events is None:
            self._events = self._read()
        return self._events

    def _cut_torn_tail(self) -> None:
        """Only who writes cuts: a reader may be looking at another process's line that is just being written."""
        with self.path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)

    def _read(self) -> list[dict[str, Any]]:
        """Read the file. A line that is no event (torn by a kill or a full disk) is passed over."""
        events: list[dict[str, Any]] = []
        raw = self.path.read_bytes() if self.path.exists() else b""
        for line in raw.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and isinstance(event.get("seq"), int) and "type" in event:
                events.append(event)
        self._torn = bool(raw) and not raw.endswith(b"\n")
        return events


def last_step(log: EventLog) -> tuple[int, int]:
    """The newest step of a run and its last one; (0, 0) before the first step."""
    event = log.last("metrics")
    return (event["step"], event["total_steps"]) if event else (0, 0)


def _plain(event: Event) -> dict[str, Any]:
    """The event's fields without those that are not set; a number that is no number becomes null."""
    values = asdict(event)
    return {key: _finite(value) for key, value in values.items() if value is not None}


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return value
