"""How long a step of a run takes on this computer: some are trained, and nothing of them is kept. Imports torch."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

from workbench.config.errors import StopRequested
from workbench.config.tasks import REWARD
from workbench.engine.chats import free_memory
from workbench.engine.hardware import memory_of_this_process
from workbench.engine.own_questions import reply
from workbench.engine.plan import Measured
from workbench.engine.training import TrainingJob, prepare
from workbench.methods import METHODS

STEPS = 12  # at most; the first one is slower than others and does not count
ENOUGH_SECONDS = 20.0  # of steps that count, after which no other is begun


def trial_settings(seed: int, rows: int, per_step: int) -> tuple[dict[str, Any], list[int]]:
    """What a trial changes of a run's settings, and the places of the rows that it learns: drawn, so that they are as long as all."""
    wanted = min(STEPS * per_step, rows)
    changes: dict[str, Any] = {
        "data.eval": None, "data.eval_share": 0, "data.max_rows": 0, "evaluation.questions": [],
        "optimization.max_steps": STEPS, "checkpoints.every_steps": STEPS + 1,
    }  # fmt: skip
    return changes, sorted(random.Random(seed).sample(range(rows), wanted))


def measure(job: TrainingJob, progress: Callable[[int, int], None], question: str | None = None) -> Measured:
    """Train a few steps of a job whose settings are a trial's (`trial_settings`).

    Args:
        progress: called with steps done, and how many there are at most.
        question: one that the run itself would ask, to time its answer, too.

    Raises:
        StopRequested: it was asked to stop.
        WorkbenchError: what would end the run as well.
    """
    try:
        return _timed(job, progress, question)
    finally:
        free_memory()  # what it held is let go with the function that held it


def _timed(job: TrainingJob, progress: Callable[[int, int], None], question: str | None) -> Measured:
    began = time.perf_counter()
    ready = prepare(job)
    trainer = ready.trainer
    trainer.args.save_strategy = SaveStrategy.NO
    clock = _Clock(job, progress)
    trainer.add_callback(clock)
    trainer.train()
    if job.stop.is_set():
        raise StopRequested
    asked = time.perf_counter()
    if METHODS[job.config.method.kind].task == REWARD:
        question = None  # it is asked nothing
    if question is not None:
        reply(trainer.model, ready.tokenizer, question, job.stop)
    return Measured(
        seconds_to_begin=clock.begun - began,
        seconds_per_step=clock.seconds / max(clock.steps, 1),
        seconds_per_answer=time.perf_counter() - asked if question is not None else None,
        steps=clock.steps,
        memory_bytes=memory_of_this_process(),
    )


class _Clock(TrainerCallback):
    """Times the steps, and ends the training when enough of them are timed."""

    def __init__(self, job: TrainingJob, progress: Callable[[int, int], None]) -> None:
        self._job, self._progress = job, progress
        self.begun = self._last = 0.0
        self.seconds, self.steps = 0.0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The steps begin now."""
        self.begun = self._last = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One step more; the first one only warms up, unless there is no other."""
        now = time.perf_counter()
        spent, self._last = now - self._last, now
        first = state.global_step == 1
        if not first or state.max_steps == 1:
            self.seconds, self.steps = self.seconds + spent, self.steps + 1
        control.should_save = False
        if self._job.stop.is_set() or (self.steps and self.seconds >= ENOUGH_SECONDS):
            control.should_training_stop = True
            return
        self._progress(state.global_step, state.max_steps)
