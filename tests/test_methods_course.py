"""Going on with a run: every row is learned as often as asked, whatever the batch; the schedule goes on or begins anew."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.method_parts import logged, make_parts
from workbench.methods import METHODS
from workbench.methods.course import TRAINER_STATE, Course, Pace, read_course

SCHEDULERS = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt")


def begun(rows: int, pace: Pace) -> Course:
    total = pace.max_steps or Course(rows, pace, 1)._steps_left(pace)
    return Course(rows, pace, total, scale=total)


def walk(course: Course, step: int, seen: Counter[int]) -> Course:
    """Go on to `step` one step after the other; `seen` counts the rows (by their place in the epoch) that a loader gives."""
    while course.step < step:
        after = course.at(course.step + 1)
        until = course.rows if after.epoch > course.epoch else after.row
        assert 0 < until - course.row <= course.pace.per_step
        assert after.epoch == course.epoch or after.row == 0, "a step never holds rows of two epochs"
        seen.update(range(course.row, until))
        course = after
    return course


@pytest.mark.parametrize("seed", range(40))
def test_rows_are_learned_as_often_as_asked_however_often_the_batch_is_changed(seed: int) -> None:
    draw = random.Random(seed)
    rows, epochs = draw.randint(1, 90), draw.randint(1, 5)

    def pace() -> Pace:
        return Pace(draw.randint(1, 12), draw.randint(1, 4), epochs)

    course, seen = begun(rows, pace()), Counter[int]()
    while not course.finished:
        course = walk(course, draw.randint(course.step, course.total), seen)
        if course.finished:
            break
        before, course = course, course.changed(pace())
        assert course.position(course.step) == pytest.approx(before.position(before.step)), "no jump"
        assert course.position(course.total) == pytest.approx(course.scale), "it ends at the end"
    assert set(seen.values()) == {epochs} and len(seen) == rows
    assert (course.epoch, course.row, course.at(course.step)) == (epochs, 0, course)


@pytest.mark.parametrize("epochs", [0.3, 0.5, 1.0, 1.1, 2.3, 2.5, 3.0, 7.7])
@pytest.mark.parametrize(("rows", "batch", "accumulation"), [(30, 1, 1), (47, 4, 2), (10, 3, 1), (5, 8, 1)])
def test_steps_are_counted_as_transformers_counts_them(epochs: float, rows: int, batch: int, accumulation: int) -> None:
    import math

    pace = Pace(batch, accumulation, epochs)
    total = math.ceil(epochs * math.ceil(math.ceil(rows / batch) / accumulation))
    course = Course(rows, pace, total, scale=total)
    for step in range(total + 1):
        longer = course.at(step).changed(dataclasses.replace(pace, epochs=epochs + 1))
        assert longer.changed(pace).total == total, "there and back"
    assert begun(rows, pace).total == total


def test_a_finished_course_that_gets_more_epochs_goes_through_a_schedule_of_its_own() -> None:
    done = begun(20, Pace(4, 1, 2)).at(10)
    assert done.finished and done.epochs_learned == 2
    more = done.changed(Pace(4, 1, 5))
    assert (more.total, more.since, more.scale) == (25, 10, 15)
    assert [more.position(step) for step in (10, 11, 25)] == [0, 1, 15]
    assert done.changed(Pace(4, 1, 1)).total == 10 and done.changed(done.pace) is done


def test_a_run_that_is_changed_half_way_comes_to_the_end_of_its_schedule_with_its_last_step() -> None:
    course = begun(40, Pace(4, 1, 2)).at(10)
    assert course.position(10) == 10 and course.changed(course.pace).position(11) == 11
    longer = course.changed(Pace(4, 1, 5))
    assert [longer.position(step) for step in (10, 30, 50)] == [10, 15, 20]
    assert longer.at(30).changed(Pace(8, 1, 5)).position(30) == 15


@pytest.mark.parametrize(("steps", "batch", "accumulation"), [(3, 4, 1), (5, 4, 1), (6, 4, 1), (2, 5, 2), (7, 3, 1)])
def test_checkpoints_of_versions_that_kept_no_course_are_read(
    tmp_path: Path, steps: int, batch: int, accumulation: int
) -> None:
    rows, pace = 22, Pace(batch, accumulation, 3)
    batches = -(-rows // batch)
    per_epoch = -(-batches // accumulation)
    epoch, over = divmod(steps, per_epoch)
    state = {
        "global_step": steps, "max_steps": 3 * per_epoch, "train_batch_size": batch,
        "epoch": epoch + over * accumulation / batches, "log_history": [],
    }  # fmt: skip
    (tmp_path / TRAINER_STATE).write_text(json.dumps(state), encoding="utf-8")
    read, expected = read_course(tmp_path, rows, pace), begun(rows, pace).at(steps)
    assert (read.step, read.epoch, read.row, read.total) == (steps, expected.epoch, expected.row, expected.total)
    assert read.changed(pace).position(steps) == steps


class Watched:
    """A method's trainer whose collator notes the rows of each batch.

    Args:
        stop_at: saves a checkpoint after this step.
        lost: ends so many steps later, as a kill would: what they learned does not count.
    """

    def __init__(
        self, kind: str, folder: Path, rows: list[dict[str, Any]], stop_at: int = 0, lost: int = 0, **changes: Any
    ) -> None:
        from transformers import TrainerCallback

        defaults = {"optimization__max_steps": 0, "optimization__epochs": 2.0, "adapter__dropout": 0.1}
        parts = make_parts(folder, rows, method__kind=kind, **{**defaults, **changes})
        self.trainer, self.batches, self.learned, self.saved = METHODS[kind].build_trainer(parts), [], 0, 0
        collate, learn = self.trainer.data_collator, self.trainer.training_step

        def noted(examples: list[dict[str, Any]]) -> Any:
            self.batches.append([json.dumps(row, sort_keys=True, default=list) for row in examples])
            return collate(examples)

        def step(*args: Any, **kwargs: Any) -> Any:
            self.learned += 1
            return learn(*args, **kwargs)

        watched = self

        class Stop(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == stop_at:
                    control.should_save, watched.saved = True, watched.learned
                if state.global_step == (stop_at + lost if stop_at else state.max_steps):
                    control.should_training_stop = True

        self.trainer.data_collator, self.trainer.training_step = noted, step
        self.trainer.add_callback(Stop())
        self.folder = Path(self.trainer.args.output_dir)

    def train(self, checkpoint: Path | None = None) -> Counter[str]:
        """How often each row was learned; a loader collates one batch ahead, which does not count."""
        self.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return Counter(itertools.chain.from_iterable(self.batches[: self.saved or self.learned]))

    def rates(self) -> list[float]:
        return logged(self.trainer, "learning_rate")


def _said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


ROWS = {
    "sft": [{"messages": _said("user", f"q{n}" + "x" * (n % 5)) + _said("assistant", f"a{n}")} for n in range(22)],
    "dpo": [
        {"prompt": _said("user", f"q{n}"), "chosen": _said("assistant", f"y{n}"), "rejected": _said("assistant", "no")}
        for n in range(14)
    ],
}


@pytest.mark.parametrize(
    ("kind", "paces", "stops"),
    [
        ("sft", [(4, 1), (8, 1)], [2]),
        ("sft", [(8, 1), (3, 2)], [1]),
        ("sft", [(3, 3), (4, 2), (2, 1)], [4, 5]),  # in the second epoch, after its first, smaller group; and once more
        ("sft", [(4, 2), (4, 2)], [2]),
        ("dpo", [(4, 1), (3, 2)], [3]),
        ("dpo", [(2, 2), (5, 1)], [5]),
    ],
)
def test_every_row_is_learned_as_often_as_asked_with_another_batch(
    tmp_path: Path, kind: str, paces: list[tuple[int, int]], stops: list[int]
) -> None:
    seen, rates, checkpoint = Counter[str](), [], None
    for (batch, accumulation), stop in zip(paces, [*stops, 0], strict=True):
        watched = Watched(
            kind, tmp_path, ROWS[kind], stop, lost=batch % 2, optimization__batch_size=batch, optimization__accumulation=accumulation,
            optimization__scheduler="linear", optimization__warmup_ratio=0.1,
        )  # fmt: skip
        seen += watched.train(checkpoint)
        checkpoint = watched.folder / f"checkpoint-{stop}"
        rates = watched.rates()
    assert set(seen.values()) == {2} and len(seen) == len(ROWS[kind])
    state, course = watched.trainer.state, watched.trainer.course
    assert (state.global_step, state.epoch) == (state.max_steps, 2.0) and course.finished
    assert len(rates) == state.global_step, "the log is the whole run's"
    assert min(rates) > 0 and max(rates) <= 1e-2
    steepest = 1e-2 / (0.8 * course.scale) * max(1.0, course.scale / (course.total - course.since))
    falls = [early - late for early, late in itertools.pairwise(rates[rates.index(max(rates)) :])]
    assert all(0 < fall <= steepest * 1.5 for fall in falls), "it falls evenly to its end"


def test_a_change_of_batch_at_the_end_of_an_epoch_reads_the_next_in_its_own_order(tmp_path: Path) -> None:
    first = Watched("sft", tmp_path, ROWS["sft"], 3, optimization__batch_size=8)
    first.train()
    second = Watched("sft", tmp_path, ROWS["sft"], optimization__batch_size=5)
    seen = second.train(first.folder / "checkpoint-3")
    whole = Watched("sft", tmp_path / "whole", ROWS["sft"], optimization__batch_size=8)
    whole.train()
    order = list(itertools.chain.from_iterable(whole.batches))
    assert set(seen.values()) == {1}
    assert list(itertools.chain.from_iterable(second.batches)) == order[22:] != order[:22]


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize(("steps", "share"), [(1, 0.03), (10, 0.03), (10, 0.35), (4, 1.0), (10, 0.0)])
def test_the_first_step_learns_and_the_rest_of_the_schedule_is_transformers(
    name: str, steps: int, share: float
) -> None:
    import math

    import torch
    from transformers import get_scheduler

    from workbench.methods.trainers.going_on import rate

    warm_up = math.ceil(share * steps)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    options = {"lr_end": 0.0} if name == "polynomial" else None
    shape = get_scheduler(name, optimizer, warm_up, steps, options).lr_lambdas[0]
    rates = [rate(step, warm_up, shape) for step in range(steps)]
    assert 0 < rates[0] <= 1 and max(rates) <= 1
    assert rates[warm_up:] == [shape(step) for step in range(warm_up, steps)]
    rising = rates[: warm_up + 1]
    assert rising == sorted(rising)
    if name != "constant":
        assert len(set(rising)) == len(rising), "each step of the warm-up is higher than the one before"
