"""What every method's trainer has in front of trl's: it goes on exactly where a run was, also with another batch.

transformers counts steps: with another batch it skips other rows than were learned, and draws the whole schedule anew.
Here the course counts rows (`workbench.methods.course`), the epoch that was going on is read on from its next row, and the
schedule is gone through by the course. A warm-up begins above 0: the first step learns, too.
Imports torch and transformers; imported only when a run starts.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import skip_first_batches
from torch.utils.data import BatchSampler, Sampler
from transformers import TrainerCallback

from workbench.methods.course import Course, Pace, read_course, write_course

if TYPE_CHECKING:
    from transformers import Trainer
else:
    Trainer = object

NEXT_TO_NOTHING = 1e-12  # beside weights of some hundredths no precision would show it


class GoesOn(Trainer):
    """In front of a trainer class: `class OurTrainer(GoesOn, SFTTrainer)`.

    Attributes:
        course: where the run is; None before the first step, unless `go_on` was called.
    """

    course: Course | None = None
    _start: Course | None = None  # where this turn began
    _marks: dict[str, int] | None = None  # check sums of the weights, then

    def go_on(self, checkpoint: Path) -> tuple[Course, Course]:
        """Take up the course that a checkpoint keeps, at the pace of the arguments; `train` from there does it by itself.

        Returns:
            The course as it was planned when it was saved, and as it is now.
        """
        rows, pace = len(self.train_dataset), self._pace()
        before = read_course(checkpoint, rows, pace)
        self.course = before.changed(pace)
        return before, self.course

    def learned(self) -> bool:
        """Whether any weight is another one than at the beginning of the run."""
        if self.course is not None and self.course.learned:
            return True
        return (
            any(_mark(weight) != self._marks.get(name) for name, weight in self._learning()) if self._marks else False
        )

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As transformers does it."""
        if not resume_from_checkpoint:
            self.course = None
        elif self.course is None:
            self.go_on(Path(resume_from_checkpoint))
        self._start = None
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def set_initial_training_values(self, args: Any, dataloader: Any) -> tuple[Any, ...]:
        """Steps, epochs and rows of the run: of its course, once it has one."""
        epochs, per_epoch, examples, samples, batch, batches, total = super().set_initial_training_values(
            args, dataloader
        )
        if self.course is None:
            self.course = Course(len(self.train_dataset), self._pace(), total, scale=total)
        last = self.course.at(max(self.course.total, self.course.step))
        return last.epoch + (last.row > 0), per_epoch, examples, samples, batch, batches, self.course.total

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule of transformers, gone through by the course, with a warm-up that begins above 0."""
        if self.lr_scheduler is not None or self.course is None:
            return super().create_scheduler(num_training_steps, optimizer)
        course = self.course
        scheduler = super().create_scheduler(course.scale, optimizer)
        warm_up, shape = self.args.get_warmup_steps(course.scale), scheduler.lr_lambdas[0]
        scheduler.lr_lambdas = [lambda step: rate(course.position(step), warm_up, shape)] * len(scheduler.base_lrs)
        _set_rates(scheduler)
        return scheduler

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            _set_rates(self.lr_scheduler)  # what is loaded are the rates of the schedule as it was

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        super()._init_training_state(*args, **kwargs)
        self._start = self.course
        self.state.train_batch_size = self._train_batch_size
        self._marks = {name: _mark(weight) for name, weight in self._learning()}
        if not any(isinstance(callback, _Keeper) for callback in self.callback_handler.callbacks):
            self.add_callback(_Keeper(self))
        return self._start.epoch, 0  # rows of the epoch that are learned already: see `_run_epoch`

    def _run_epoch(self, *, epoch: int, train_dataloader: Any, **values: Any) -> None:
        start, checkpoint = self._start, values["resume_from_checkpoint"]
        if start.row and epoch == start.epoch:
            train_dataloader = _from_row(train_dataloader, start, lambda: self._load_rng_state(checkpoint))
            left = start.rows - start.row
            values["steps_in_epoch"] = -(-left // start.pace.batch_size)
            values["num_update_steps_per_epoch"] = start.pace.steps(left)
        super()._run_epoch(epoch=epoch, train_dataloader=train_dataloader, **values)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        super()._save_checkpoint(*args, **kwargs)
        self.course = replace(self.course, learned=self.learned())
        write_course(self.course, Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}")

    def _pace(self) -> Pace:
        args = self.args
        return Pace(
            self._train_batch_size, args.gradient_accumulation_steps, args.num_train_epochs, max(args.max_steps, 0)
        )

    def _learning(self) -> Iterator[tuple[str, Any]]:
        return ((name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad)


def rate(position: float, warm_up: int, shape: Callable[[float], float]) -> float:
    """The share of the learning rate at a place of the schedule.

    Args:
        position: the place; 0 is the first step.
        warm_up: steps in which the rate rises. transformers begins them at 0, so that one step would learn nothing.
        shape: the schedule of transformers.
    """
    return max(shape(position), (position + 1) / (warm_up + 1)) if position < warm_up else shape(position)


class _Keeper(TrainerCallback):
    """Counts the rows of each step; `epoch` in the log follows them."""

    def __init__(self, trainer: GoesOn) -> None:
        self._trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trainer.course = self._trainer.course.at(state.global_step)
        state.epoch = self._trainer.course.epochs_learned


class _Rest(BatchSampler):
    """Batches of an epoch from a row on, in the epoch's own order."""

    def __init__(self, sampler: Sampler[int], batch_size: int, row: int) -> None:
        self.sampler, self.batch_size, self.drop_last, self._row = sampler, batch_size, False, row

    def __iter__(self) -> Iterator[list[int]]:
        rows = islice(iter(self.sampler), self._row, None)
        while batch := list(islice(rows, self.batch_size)):
            yield batch

    def __len__(self) -> int:
        return -(-(len(self.sampler) - self._row) // self.batch_size)


class _Restoring:
    """A loader that calls `restore` after its first batch: making an iterator draws a random number."""

    def __init__(self, loader: Any, restore: Callable[[], None]) -> None:
        self._loader, self._restore = loader, restore

    def set_epoch(self, epoch: int) -> None:
        self._loader.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(self._loader):
            if number == 0:
                self._restore()
            yield batch


def _from_row(loader: Any, start: Course, restore: Callable[[], None]) -> _Restoring:
    rest = skip_first_batches(loader, 0)
    rest.batch_sampler.batch_sampler = _Rest(loader.batch_sampler.sampler, start.pace.batch_size, start.row)
    return _Restoring(rest, restore)


def _set_rates(scheduler: Any) -> None:
    """Give the optimizer the rates of the step that comes next."""
    rates = [
        base * share(scheduler.last_epoch) for base, share in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    for group, value in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = value
    scheduler._last_lr = rates


def _mark(weight: Any) -> int:
    """A check sum of a weight's numbers; those that are next to nothing count as 0, from which any rate at all moves them."""
    numbers = torch.nn.functional.hardshrink(weight.detach(), NEXT_TO_NOTHING)
    return zlib.crc32(numbers.cpu().contiguous().flatten().view(torch.uint8).numpy())
