"""Between trl's trainer and the run: numbers out, Stop in, checkpoints marked whole. Runs on the training thread.

Imports transformers; loaded only when a run starts.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.text import Text
from workbench.engine.checkpoints import mark_whole, remove_old
from workbench.engine.events import CheckpointSaved, Event, Findings, Metrics, Stage
from workbench.engine.hardware import memory_of_this_process
from workbench.engine.names import recent_steps

NAMED = {"loss", "eval_loss", "grad_norm", "learning_rate", "epoch", "num_tokens"}
NOT_SHOWN = ("runtime", "per_second", "total_flos", "train_loss", "num_input_tokens_seen")


class RunCallback(TrainerCallback):
    """Reports a run's progress and listens for Stop.

    Args:
        emit: takes the events.
        stop: set when the person pressed Stop.
        keep: how many checkpoints stay on the disk.
        ask_questions: called with (model, step) before, during and after training; answers the person's own questions.
        serve: called with the model between two steps; answers who chats with it meanwhile.
        findings: what the evaluation that just ended found beside numbers.
    """

    def __init__(
        self,
        emit: Callable[[Event], Any],
        stop: threading.Event,
        keep: int,
        *,
        ask_questions: Callable[[Any, int], None] = lambda model, step: None,
        serve: Callable[[Any], None] = lambda model: None,
        findings: Callable[[], dict[str, Any] | None] = lambda: None,
    ) -> None:
        self._emit = emit
        self._stop = stop
        self._keep = keep
        self._ask_questions = ask_questions
        self._serve = serve
        self._findings = findings
        self._pace = _Pace()
        self._asked_at = -1
        self._losses: deque[tuple[int, float]] = deque()
        self.last: dict[str, float] = {}
        """What is told of the run when it is over: the mean loss of the last fifth of its steps, the last evaluation's."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Answer the questions before the first step; of a resumed run, follow its config as it is now."""
        # The trainer reads these from the checkpoint's state, which holds those of the time before Resume.
        state.logging_steps, state.eval_steps, state.save_steps = args.logging_steps, args.eval_steps, args.save_steps
        self._emit(Stage("training", Text("Training", "正在训练").as_dict()))
        if state.global_step == 0:
            self._ask(kwargs["model"], 0)
        self._pace.start(state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Only steps count as training: evaluating, saving and answering come between them."""
        self._pace.step_begins()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Let others ask the model, and listen for Stop."""
        self._pace.step_ends()
        with self._pace.paused():
            self._serve(kwargs["model"])
        if self._stop.is_set():
            control.should_training_stop = True
            control.should_save = True

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The trainer does not look at its stop flag while it evaluates, so Stop raises here."""
        if self._stop.is_set():
            raise StopRequested

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Report the numbers of a step.

        Raises:
            WorkbenchError: the loss is no number any more.
        """
        logs = logs or {}
        if "loss" not in logs:
            return
        self._losses.append((state.global_step, logs["loss"]))
        self.last["loss"] = self._mean_of_the_end(state.global_step)
        tokens = logs.get("num_tokens") or state.num_input_tokens_seen or None
        speed = self._pace.step(state.global_step, tokens)
        self._emit(
            Metrics(
                step=state.global_step,
                total_steps=state.max_steps,
                epoch=logs.get("epoch"),
                loss=logs["loss"],
                learning_rate=logs.get("learning_rate"),
                grad_norm=logs.get("grad_norm"),
                tokens_per_second=speed,
                memory_bytes=memory_of_this_process(),
                seconds_left=self._pace.seconds_left(state.max_steps),
                more=_others(logs),
            )
        )
        _check_finite(logs["loss"], state.global_step)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Report the evaluation, and ask the questions again."""
        metrics = metrics or {}
        loss = metrics.get("eval_loss")
        if loss is not None:
            self.last["eval_loss"] = loss
            others = _others(metrics)
            self._emit(Metrics(state.global_step, state.max_steps, metrics.get("epoch"), eval_loss=loss, more=others))
            if (found := self._findings()) is not None:
                self._emit(Findings(state.global_step, **found))
            _check_finite(loss, state.global_step)
        with self._pace.paused():
            self._ask(kwargs["model"], state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint as whole, then let old ones go: in this order, so that a kill never leaves none."""
        folder = Path(args.output_dir)
        mark_whole(folder / f"checkpoint-{state.global_step}", state.global_step)
        remove_old(folder, self._keep)
        self._emit(CheckpointSaved(state.global_step))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask the questions a last time."""
        if not self._stop.is_set():
            self._ask(kwargs["model"], state.global_step)

    def _mean_of_the_end(self, done: int) -> float:
        while self._losses[0][0] <= done - recent_steps(done):
            self._losses.popleft()
        return sum(loss for _, loss in self._losses) / len(self._losses)

    def _ask(self, model: Any, step: int) -> None:
        if step != self._asked_at:
            self._asked_at = step
            self._ask_questions(model, step)


def _check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise WorkbenchError(
            Text(
                "the loss became {loss} at step {step}: training has diverged",
                "第 {step} 步损失变成了 {loss}：训练已发散",
            ).with_(loss=loss, step=step),
            Text(
                "Start again with a lower learning rate (a third of it), or with bf16 instead of fp16.",
                "请把学习率降到三分之一重新开始，或用 bf16 代替 fp16。",
            ),
            field="optimization.learning_rate",
            code="diverged",
        )


class _Pace:
    """Speed, from the steps alone, and time left, from all but the time in which others asked the model."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.start(0)

    def start(self, step: int) -> None:
        self._first_step = self._step = step
        self._began = self._last = self._step_began = self._clock()
        self._in_steps = 0.0  # seconds of training since the last numbers
        self._tokens: float | None = None

    def paused(self) -> Any:
        return _Pause(self)

    def skip(self, seconds: float) -> None:
        self._began += seconds
        self._last += seconds

    def step_begins(self) -> None:
        self._step_began = self._clock()

    def step_ends(self) -> None:
        self._in_steps += self._clock() - self._step_began

    def step(self, step: int, tokens: float | None) -> float | None:
        """Note a step; tokens per second of the steps since the last call, when tokens (seen so far) are counted."""
        speed = None
        if tokens is not None and self._tokens is not None and self._in_steps > 0:
            speed = (tokens - self._tokens) / self._in_steps
        self._step, self._last, self._tokens, self._in_steps = step, self._clock(), tokens, 0.0
        return speed

    def seconds_left(self, total: int) -> float | None:
        done = self._step - self._first_step
        return (self._last - self._began) / done * max(total - self._step, 0) if done > 0 else None


class _Pause:
    def __init__(self, pace: _Pace) -> None:
        self._pace = pace

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *exc: object) -> None:
        self._pace.skip(time.perf_counter() - self._began)


def _others(logs: dict[str, Any]) -> dict[str, float] | None:
    """Numbers that only some methods have (reward margins, accuracy), under their own names."""
    found = {
        key: float(value)
        for key, value in logs.items()
        if key not in NAMED and isinstance(value, int | float) and not any(part in key for part in NOT_SHOWN)
    }
    return found or None
