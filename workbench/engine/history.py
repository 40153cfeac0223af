"""What a run's events tell of it, gathered for its verdict: its losses, the checks of the rows kept back, its answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """A run's numbers and answers, as its events tell them; what was done again after Resume counts once."""

    loss: list[tuple[int, float]] = field(default_factory=list)
    kept_back: list[tuple[int, float]] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, tuple[int, str]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    """Of the method, by its name in the log: the last of each."""
    step: int = 0
    total: int = 0

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]]) -> History:
        """Read the events of a run, in order."""
        history = cls()
        for event in events:
            if event["type"] == "status" and event["status"] == "running":
                history._back_to(event.get("from_step") or 0)
            elif event["type"] == "metrics":
                history.step, history.total = event["step"], event["total_steps"]
                for name, series in (("loss", history.loss), ("eval_loss", history.kept_back)):
                    if event.get(name) is not None:
                        series.append((event["step"], event[name]))
                history.numbers.update(event.get("more") or {})
            elif event["type"] == "sample":
                if event["step"] == 0:
                    history.before[event["question"]] = event["answer"]
                else:
                    history.after[event["question"]] = (event["step"], event["answer"])
        return history

    def _back_to(self, step: int) -> None:
        self.loss = [point for point in self.loss if point[0] <= step]
        self.kept_back = [point for point in self.kept_back if point[0] <= step]
        self.after = {question: said for question, said in self.after.items() if said[0] <= step}


def lowest(checks: Sequence[tuple[int, float]]) -> int:
    """The place of the lowest check; of several that are as low, the last: there it had not risen yet."""
    return min(range(len(checks)), key=lambda at: (checks[at][1], -at))
