"""The course of a run: how far it has come, counted in rows, and where on its learning-rate schedule each step lies.

Steps change their size when a run goes on with another batch; rows don't. So what was learned is counted in rows of the
epoch, and from there the steps that are still to do. Steps that are done stay done: their number only grows. Pure
computation, without torch; kept as `course.json` in each checkpoint.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from workbench.config.disk import write_json
from workbench.config.reading import Count, Number, read_record

COURSE = "course.json"
TRAINER_STATE = "trainer_state.json"
STATE_LIMIT = 1024**3  # bytes: it keeps every number that was logged

Positive = Annotated[int, Field(ge=1, le=2**53)]


@dataclass(frozen=True)
class Pace:
    """What decides how many rows a step learns, and how long the run is."""

    batch_size: Positive
    accumulation: Positive
    epochs: Number
    max_steps: Count = 0
    """0: the epochs decide."""

    @property
    def per_step(self) -> int:
        """Rows that a step learns; the last one of an epoch may have fewer."""
        return self.batch_size * self.accumulation

    def steps(self, rows: int) -> int:
        """Steps for so many rows of one epoch: an epoch's last batch and its last group of batches may be smaller."""
        return math.ceil(rows / self.per_step)


@dataclass(frozen=True)
class Course:
    """Where a run is.

    Args:
        rows: rows of its training data.
        pace: since the last change.
        total: its last step.
        step: steps done.
        epoch: how often all rows have been learned.
        row: how many rows of the epoch going on have been learned, in that epoch's order.
        since: the step from which on the schedule is gone through as it is now.
        begun_at: where on the schedule that was.
        scale: how long the schedule is; `total` lies at its end. Differs from `total` once the run was changed.
        learned: whether any weight is another one than at the beginning.
    """

    rows: Positive
    pace: Pace
    total: Count
    step: Count = 0
    epoch: Count = 0
    row: Count = 0
    since: Count = 0
    begun_at: Annotated[Number, Field(ge=0)] = 0.0
    scale: Count = 0
    learned: bool = False

    @property
    def epochs_learned(self) -> float:
        """How often the rows have been learned so far: 1.5 when half of them have been learned twice."""
        return self.epoch + self.row / self.rows

    @property
    def finished(self) -> bool:
        """Whether its last step is done."""
        return self.step >= self.total

    def position(self, step: int) -> float:
        """Where on the schedule (0 to `scale`) a step lies; the step's own number in a run that was never changed."""
        done = max(step - self.since, 0)
        return self.begun_at + done * ((self.scale - self.begun_at) / max(self.total - self.since, 1))

    def at(self, step: int) -> Course:
        """The course after a step to come (or now)."""
        more, rest = step - self.step, self.rows - self.row
        first = self.pace.steps(rest)
        if more < first:
            return replace(self, step=step, row=self.row + more * self.pace.per_step)
        epochs, over = divmod(more - first, self.pace.steps(self.rows))
        return replace(self, step=step, epoch=self.epoch + 1 + epochs, row=over * self.pace.per_step)

    def changed(self, pace: Pace) -> Course:
        """The same course with another pace from here on.

        Every row of the epoch going on is learned once, and of later ones as `epochs` asks. The schedule goes on from
        where it is and ends with the last step; a run that had finished gets a schedule of its own for the rest.
        """
        if pace == self.pace:
            return self
        total = pace.max_steps or self.step + self._steps_left(pace)
        total = max(total, self.step)
        if (total, pace.batch_size, pace.accumulation) == (self.total, self.pace.batch_size, self.pace.accumulation):
            return replace(self, pace=pace)
        if total == self.step:  # nothing is left; should it go on later, then from where its schedule is now
            return replace(self, pace=pace, total=total)
        if self.finished:
            return replace(self, pace=pace, total=total, since=self.step, begun_at=0.0, scale=total - self.step)
        return replace(self, pace=pace, total=total, since=self.step, begun_at=self.position(self.step))

    def _steps_left(self, pace: Pace) -> int:
        """Steps until the rows have been learned `epochs` times: like transformers, a part of an epoch is whole steps."""
        whole, steps = math.floor(pace.epochs), pace.steps(self.rows)
        part = (math.ceil(pace.epochs * steps) - whole * steps) * pace.per_step
        if self.epoch >= whole:
            wanted = min(part, self.rows) if self.epoch == whole else 0
            return pace.steps(max(wanted - self.row, 0))
        full = (whole - self.epoch - 1) * steps
        return pace.steps(self.rows - self.row) + full + pace.steps(min(part, self.rows))


def write_course(course: Course, checkpoint: Path) -> None:
    """Keep it with a checkpoint."""
    write_json(checkpoint / COURSE, asdict(course))


def read_course(checkpoint: Path, rows: int, pace: Pace) -> Course:
    """The course that a checkpoint keeps.

    Args:
        checkpoint: its folder.
        rows, pace: those of now, for a checkpoint of earlier versions, which kept none: there the trainer's state says
            how many batches of which size were learned.

    Raises:
        Damaged: it cannot be read.
    """
    if (checkpoint / COURSE).exists():
        return read_record(checkpoint / COURSE, _COURSE)
    state = read_record(checkpoint / TRAINER_STATE, _STATE, STATE_LIMIT)
    batch = state.train_batch_size or pace.batch_size
    epoch = math.floor(state.epoch)
    row = min(round((state.epoch - epoch) * math.ceil(rows / batch)) * batch, rows)
    epoch, row = (epoch + 1, 0) if row == rows else (epoch, row)
    total = state.max_steps
    before = replace(pace, batch_size=batch)
    return Course(rows, before, total, state.global_step, epoch, row, scale=total, learned=True)


@dataclass(frozen=True)
class _State:
    """The part of `trainer_state.json` that tells how far a run has come."""

    global_step: Count
    max_steps: Count
    epoch: Annotated[Number, Field(ge=0)] = 0.0
    train_batch_size: Positive | None = None


_COURSE = TypeAdapter(Course)
_STATE = TypeAdapter(_State)
