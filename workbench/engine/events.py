"""What happens in a run, as typed events, and the append-only log that keeps them.

A run never depends on a reader: readers pass the last sequence number they have and get what came after it. One event is
one JSON line `{"seq", "time", "type", ...}`; a torn last line, left by a kill, is passed over by every reader, and a line that
is damaged is left out and counted.
"""

from __future__ import annotations

import bisect
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, TypeAdapter

from workbench.config.disk import disk_errors
from workbench.config.reading import LARGEST, Count, Damaged, Number, Said, parse_record, read_bytes
from workbench.config.text import Text

LOG_LIMIT = 1024**3  # bytes


@dataclass(frozen=True)
class Event:
    """Base of all events; `type` is the word in the log."""

    type: ClassVar[str]


@dataclass(frozen=True)
class StatusChanged(Event):
    """The run entered another state; `from_step` is set when it goes on from a checkpoint."""

    type: ClassVar[str] = "status"
    status: str
    from_step: Count | None = None


@dataclass(frozen=True)
class Stage(Event):
    """What the run is busy with before and after training (`loading`, `reading`, ...), with progress where it is known."""

    type: ClassVar[str] = "stage"
    stage: str
    text: Said
    done: Count | None = None
    total: Count | None = None


@dataclass(frozen=True)
class Metrics(Event):
    """Numbers of one step. `eval_loss` comes in an event of its own, without `loss`."""

    type: ClassVar[str] = "metrics"
    step: Count
    total_steps: Count
    epoch: Number | None = None
    loss: Number | None = None
    eval_loss: Number | None = None
    learning_rate: Number | None = None
    grad_norm: Number | None = None
    tokens_per_second: Number | None = None
    memory_bytes: Count | None = None
    seconds_left: Number | None = None
    more: Mapping[str, Number | None] | None = None


@dataclass(frozen=True)
class Findings(Event):
    """What an evaluation of a classification shows: of each label (line) how many rows got which label (column), and the rows
    that were wrong with the greatest certainty."""

    type: ClassVar[str] = "findings"
    step: Count
    labels: list[str]
    table: list[list[Count]]
    wrong: list[dict[str, Any]]


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint is whole on the disk."""

    type: ClassVar[str] = "checkpoint"
    step: Count


@dataclass(frozen=True)
class Sample(Event):
    """The model's answer to one of the person's own questions."""

    type: ClassVar[str] = "sample"
    step: Count
    question: str
    answer: str


@dataclass(frozen=True)
class Unanswered(Event):
    """The model could not answer one of the person's own questions, and why; the run goes on."""

    type: ClassVar[str] = "unanswered"
    step: Count
    question: str
    why: Said


@dataclass(frozen=True)
class ProblemFound(Event):
    """Something people should read; the run goes on unless its status says otherwise."""

    type: ClassVar[str] = "problem"
    message: Said
    hint: Said | None = None
    field: str | None = None


@dataclass(frozen=True)
class Verdict(Event):
    """What the curve and the answers of a run that is over show (`words` name it, the most serious first), and what to try."""

    type: ClassVar[str] = "verdict"
    words: Annotated[list[str], Field(min_length=1)]
    message: Said
    hint: Said


@dataclass(frozen=True)
class _Head:
    """What every line begins with."""

    seq: int
    time: Number
    type: str


_HEAD = TypeAdapter(_Head)
_SHAPES: dict[str, TypeAdapter[Any]] = {
    event.type: TypeAdapter(event)
    for event in (StatusChanged, Stage, Metrics, Findings, CheckpointSaved, Sample, Unanswered, ProblemFound, Verdict)
}


class EventLog:
    """The events of one run or job. Any thread may append and read.

    Only the process that owns the run appends. Every other one reads what came since it looked last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._read_to = 0  # bytes; the end of the last whole line
        self._size = -1  # of the file when it was looked at last
        self._lines = 0
        self._torn = False
        self._damage: Text | None = None

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
                    self._size = self._read_to = file.tell()
                self._torn = False
            self._lines += 1
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

    def damage(self) -> Text | None:
        """What of the file could not be read; the events are those that could."""
        with self._lock:
            self._loaded()
            return self._damage

    def _loaded(self) -> list[dict[str, Any]]:
        """The events, with those that another process has written meanwhile."""
        try:
            size = self.path.stat().st_size
        except OSError:
            size = 0 if self._size <= 0 and not os.path.lexists(self.path) else -2  # gone, or no file: `_read` says so
        if size != self._size:
            if size < self._read_to:  # another file: the run was made anew, or it was put back from a backup
                self._events, self._read_to, self._lines, self._torn, self._damage = [], 0, 0, False, None
            self._size = size
            self._read()
        return self._events

    def _cut_torn_tail(self) -> None:
        """Only who writes cuts: a reader may be looking at another process's line that is just being written."""
        with self.path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)

    def _read(self) -> None:
        """Read what is new. An event's number is its place among those that can be read, as a damaged one may tell any."""
        if not os.path.lexists(self.path):
            return
        try:
            raw = read_bytes(self.path, LOG_LIMIT, start=self._read_to)
        except Damaged as error:
            self._damage = error.message
            return
        whole = raw.rfind(b"\n") + 1
        self._torn = whole < len(raw)
        self._read_to += whole
        lines = [line for line in raw[:whole].split(b"\n") if line.strip()]
        self._lines += len(lines)
        for line in lines:
            event = _event(line)
            if event is not None:
                self._events.append({"seq": len(self._events) + 1, **event})
        if len(self._events) < self._lines:
            self._damage = Text(
                "{count} of {total} lines of {file} are damaged and are left out",
                "{file} 共 {total} 行，其中 {count} 行已损坏，未显示",
            ).with_(count=self._lines - len(self._events), total=self._lines, file=self.path.name)


def _event(line: bytes) -> dict[str, Any] | None:
    """One line as an event without its number, or None where it holds none; what a later version writes has a head only."""
    try:
        head = parse_record(line, _HEAD, "")
        shape = _SHAPES.get(head.type)
        fields = _plain(parse_record(line, shape, "")) if shape is not None else {}
    except Damaged:
        return None
    return {"time": head.time, "type": head.type, **fields}


def last_step(log: EventLog) -> tuple[int, int]:
    """The newest step of a run and its last one; (0, 0) before the first step."""
    event = log.last("metrics")
    return (event["step"], event["total_steps"]) if event else (0, 0)


def _plain(event: Event) -> dict[str, Any]:
    """The event's fields without those that are not set; a number that is no number becomes null."""
    values = asdict(event)
    return {key: _finite(value) for key, value in values.items() if value is not None}


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not abs(value) <= LARGEST:  # no number, too
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return value
