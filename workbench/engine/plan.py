"""How long a run will be, computed from the config alone: steps, evaluations, checkpoints, and what they cost."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from workbench.config.run import RunConfig
from workbench.engine.fitting import MemoryFit

EVALUATION_ROWS = 200  # at most so many rows are kept back from the training data
LOGGED = 5000  # at most about so many lines of numbers a run


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
class Forecast:
    """What to expect before Start. `seconds` is None when nothing comparable ran on this computer yet."""

    rows: int
    evaluation_rows: int
    steps: int
    tokens: int
    seconds: float | None
    disk_bytes: int
    free_disk_bytes: int
    fit: MemoryFit  # of its memory
