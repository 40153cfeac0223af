"""How long a run will be, computed from the config alone: steps, evaluations, checkpoints, and what they cost."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from workbench.config.reading import Count, Number
from workbench.config.run import RunConfig
from workbench.engine.fitting import MemoryFit

EVALUATION_ROWS = 200  # at most so many rows are kept back from the training data
LOGGED = 5000  # at most about so many lines of numbers a run

Seconds = Annotated[Number, Field(ge=0)]


@dataclass(frozen=True)
class StepPlan:
    """Steps of a run, and after how many of them it logs, evaluates and saves."""

    total: int
    log_every: int
    evaluate_every: int
    save_every: int


def plan_steps(config: RunConfig, rows: int) -> StepPlan:
    """The plan for `rows` rows that are learned (the ones kept for evaluation not counted)."""
    optimization = config.optimization
    steps = math.ceil(steps_per_epoch(config, rows) * optimization.epochs)
    return plan_of(config, optimization.max_steps or max(1, steps))


def steps_per_epoch(config: RunConfig, rows: int) -> int:
    """How many steps one reading of so many rows takes; the last batch and the last group of batches may be smaller."""
    optimization = config.optimization
    return max(1, math.ceil(math.ceil(rows / optimization.batch_size) / optimization.accumulation))


def plan_of(config: RunConfig, total: int) -> StepPlan:
    """The plan of a run of so many steps."""
    return StepPlan(
        total=total,
        log_every=max(1, total // LOGGED),
        evaluate_every=config.evaluation.every_steps or evaluate_every(total),
        save_every=config.checkpoints.every_steps or max(1, math.ceil(total / 5)),
    )


def kept_back(config: RunConfig, rows: int) -> list[int]:
    """The places of the rows that are kept back to check with, of so many; at least one row is left to learn.

    The same seed keeps the same rows back.
    """
    return sorted(random.Random(config.optimization.seed).sample(range(rows), kept_count(config, rows)))


def kept_count(config: RunConfig, rows: int) -> int:
    """How many of so many rows are kept back to check with."""
    share = config.data.eval_share
    return max(min(max(round(rows * share), bool(share)), EVALUATION_ROWS, rows - 1), 0)


def split_counts(config: RunConfig, usable: int) -> tuple[int, int]:
    """How many rows of a set with so many usable ones are learned, and how many of them are kept back."""
    rows = min(usable, config.data.max_rows or usable)
    kept = 0 if config.data.eval else kept_count(config, rows)
    return rows - kept, kept


def evaluate_every(total: int) -> int:
    """After how many steps a run of so many is checked, where its settings leave that open."""
    return max(1, math.ceil(total / 10))


@dataclass(frozen=True)
class Measured:
    """What trial steps took: seconds until the first one, seconds of each (the mean of `steps`), seconds of an answer to one of
    the run's questions (None where it asks none), bytes of memory at most."""

    seconds_to_begin: Seconds
    seconds_per_step: Seconds
    steps: Count
    memory_bytes: Count
    seconds_per_answer: Seconds | None = None

    def seconds(self, steps: float, answers: int) -> float:
        """Of a run of so many steps and answers."""
        return self.seconds_to_begin + self.seconds_per_step * steps + (self.seconds_per_answer or 0.0) * answers


def work_of_a_step(config: RunConfig) -> dict[str, Any]:
    """The settings that decide how long a step takes: what was measured holds for all runs that have the same."""
    values = config.values()
    return {
        **{name: values[name] for name in ("model", "method", "adapter", "precision")},
        "data": {name: values["data"][name] for name in ("train", "max_length", "learn", "max_rows")},
        "optimization": {name: values["optimization"][name] for name in ("batch_size", "accumulation", "optimizer")},
    }


Basis = Literal["measured", "runs", "guess"]


@dataclass(frozen=True)
class Forecast:
    """What to expect before Start.

    `basis` says where `seconds` come from: trial steps of such a run (`measured`), earlier runs that are like it, or a guess
    from the model's size.
    """

    rows: int
    evaluation_rows: int
    steps: int
    tokens: int
    seconds: float
    disk_bytes: int
    free_disk_bytes: int
    fit: MemoryFit  # of its memory
    basis: Basis = "guess"
    measured: Measured | None = None
