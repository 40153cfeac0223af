"""A run's events, condensed to what the page shows of them: curves, last numbers, first and latest answers.

All open pages share one `RunView` a run, which is fed only the events that came after its cursor, so a look costs what is
new and nothing else. A view can be thrown away at any time: fed with all events from the first one it is the same again.
Knows nothing about gradio, languages or HTML.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MAX_POINTS = 400
KEPT_PROBLEMS = 5
MOST_NUMBERS = 24  # of a method, each with that of the rows kept back


@dataclass
class _Bucket:
    first: float
    last: float
    mean: float
    count: int = 1

    def add(self, step: float, value: float) -> None:
        self.count += 1
        self.mean += (value - self.mean) / self.count
        self.last = step

    def join(self, other: _Bucket) -> _Bucket:
        count = self.count + other.count
        mean = (self.mean * self.count + other.mean * other.count) / count
        return _Bucket(self.first, other.last, mean, count)


class Curve:
    """A series that never holds more than `limit` points: when it is full, neighbours are averaged in pairs."""

    def __init__(self, limit: int = MAX_POINTS) -> None:
        self.limit = limit
        self._width = 1  # values that go into one bucket
        self._buckets: list[_Bucket] = []

    def __len__(self) -> int:
        return len(self._buckets)

    def add(self, step: float, value: float | None) -> None:
        """Append a value; one that is no finite number is left out."""
        if value is None or not math.isfinite(value):
            return
        if self._buckets and self._buckets[-1].count < self._width:
            self._buckets[-1].add(step, value)
            return
        if len(self._buckets) >= self.limit:
            pairs = zip(self._buckets[::2], self._buckets[1::2], strict=False)
            odd = self._buckets[-1:] if len(self._buckets) % 2 else []
            self._buckets = [left.join(right) for left, right in pairs] + odd
            self._width *= 2
            if self._buckets[-1].count < self._width:
                self._buckets[-1].add(step, value)
                return
        self._buckets.append(_Bucket(step, step, value))

    def cut_after(self, step: float) -> None:
        """Forget what lies after `step`: the run went back to a checkpoint and does these steps again."""
        while self._buckets and self._buckets[-1].first > step:
            self._buckets.pop()
        if self._buckets and self._buckets[-1].last > step:
            # A bucket that straddles the step keeps its mean; the steps done again start a bucket of their own.
            self._buckets[-1].last = step
            self._buckets[-1].count = self._width

    def recent(self, steps: int) -> float | None:
        """The mean over the last so many steps; None without any."""
        if not self._buckets:
            return None
        late = [bucket for bucket in self._buckets if bucket.last > self._buckets[-1].last - steps]
        return sum(bucket.mean * bucket.count for bucket in late) / sum(bucket.count for bucket in late)

    @property
    def latest(self) -> float | None:
        """The value of the last point."""
        return self._buckets[-1].mean if self._buckets else None

    def points(self) -> list[tuple[float, float]]:
        """(step, value) in order; a point stands at the last step that it covers."""
        return [(bucket.last, _short(bucket.mean)) for bucket in self._buckets]


@dataclass
class Answers:
    """What the model said to one question: the first answer and the latest, each with its step.

    An answer that could not be given is empty; `reasons` says why, in both languages, by its step.
    """

    question: str
    first: tuple[int, str]
    latest: tuple[int, str]
    reasons: dict[int, dict[str, str]] = field(default_factory=dict)


@dataclass
class RunView:
    """All that the page knows about one run. `feed` it events in order."""

    run_id: str = ""
    cursor: int = 0
    status: str = ""
    stage: dict[str, Any] | None = None
    last: dict[str, Any] = field(default_factory=dict)
    loss: Curve = field(default_factory=Curve)
    eval_loss: Curve = field(default_factory=Curve)
    best_eval: tuple[int, float] | None = None
    checkpoint: int | None = None
    answers: dict[str, Answers] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    verdict: dict[str, Any] | None = None
    """What the run shows, once it is over."""
    numbers: dict[str, Curve] = field(default_factory=dict)
    """A method's own, by their names in the log."""
    findings: dict[str, Any] | None = None
    """What the last evaluation found beside numbers."""

    def feed(self, events: Iterable[dict[str, Any]]) -> bool:
        """Take in new events; those already seen are passed over.

        Returns:
            Whether there was anything new.
        """
        new = False
        for event in events:
            seq = int(event.get("seq", 0))
            if seq <= self.cursor:
                continue
            self.cursor, new = seq, True
            take = getattr(self, "_on_" + str(event.get("type")), None)
            if take is not None:
                take(event)
        return new

    def _on_status(self, event: dict[str, Any]) -> None:
        self.status, self.stage = event["status"], None
        if self.status == "running":
            self.problems, self.verdict = [], None
            self._go_back_to(event.get("from_step") or 0)

    def _go_back_to(self, step: int) -> None:
        """The run goes on from `step` (0: from its beginning); what came after it is done again."""
        self.loss.cut_after(step)
        self.eval_loss.cut_after(step)
        for curve in self.numbers.values():
            curve.cut_after(step)
        if self.best_eval and self.best_eval[0] > step:
            points = [(int(at), value) for at, value in self.eval_loss.points()]
            self.best_eval = min(points, key=lambda point: point[1], default=None)
        if "step" in self.last:
            kept = self.last if step else {"total_steps": self.last.get("total_steps")}
            self.last = {key: value for key, value in kept.items() if key != "seconds_left"} | {"step": step}

    def _on_stage(self, event: dict[str, Any]) -> None:
        self.stage = event

    def _on_metrics(self, event: dict[str, Any]) -> None:
        step = int(event.get("step", 0))
        self.last.update((key, value) for key, value in event.items() if value is not None and key != "type")
        self.loss.add(step, event.get("loss"))
        checked = event.get("eval_loss")
        self.eval_loss.add(step, checked)
        for name, value in (event.get("more") or {}).items():
            if name in self.numbers or len(self.numbers) < MOST_NUMBERS:
                self.numbers.setdefault(name, Curve()).add(step, value)
        if checked is not None and (self.best_eval is None or checked < self.best_eval[1]):
            self.best_eval = (step, checked)
        if event.get("loss") is not None:
            self.stage = None

    def _on_findings(self, event: dict[str, Any]) -> None:
        self.findings = event

    def _on_checkpoint(self, event: dict[str, Any]) -> None:
        self.checkpoint = int(event["step"])

    def _on_sample(self, event: dict[str, Any]) -> None:
        question, said = str(event["question"]), (int(event["step"]), str(event.get("answer", "")))
        known = self.answers.get(question)
        if known is None or said[0] == 0:  # 0 again: the run began anew
            known = self.answers[question] = Answers(question, said, said)
        else:
            known.latest = said
        known.reasons.pop(said[0], None)
        if "why" in event:
            known.reasons[said[0]] = event["why"]

    _on_unanswered = _on_sample

    def _on_problem(self, event: dict[str, Any]) -> None:
        self.problems = [*self.problems, event][-KEPT_PROBLEMS:]

    def _on_verdict(self, event: dict[str, Any]) -> None:
        self.verdict = event


def _short(value: float) -> float:
    """Six digits are more than a screen shows, and a third of the bytes."""
    return float(f"{value:.6g}")
