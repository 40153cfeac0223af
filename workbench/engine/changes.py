"""A run that goes on with other settings: which may change, what each change does to it, and when that is refused."""

from __future__ import annotations

import math
from functools import reduce
from pathlib import Path

from workbench.config.errors import Problem, WorkbenchError
from workbench.config.fields import knobs
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.engine.checkpoints import read_state, step_of
from workbench.engine.names import epochs_named, status_name, steps_named
from workbench.engine.records import RESUMABLE, RunRecord
from workbench.methods.course import Course

CHANGED_ON_RESUME = (
    "optimization.epochs",
    "optimization.max_steps",
    "optimization.batch_size",
    "optimization.accumulation",
    "evaluation.every_steps",
    "evaluation.batch_size",
    "evaluation.questions",
    "checkpoints.every_steps",
    "checkpoints.keep",
    "precision.activation_checkpointing",
    "precision.threads",
    "output.name",
)
FINISHED = "completed"
ROUNDING = 1e-6  # of epochs
FALLING = ("linear", "cosine", "polynomial")  # schedules that end at (nearly) nothing

_BOTH = Text("{first} {second}", "{first}{second}")
_OTHER_STEPS = Text(
    "Each step learns {new} rows from here on, instead of {old}.",
    "从这里开始，每一步学 {new} 条样本，之前是 {old} 条。",
)
_GOES_ON = Text(
    "{row} of the {rows} rows of this epoch have been learned; the run goes on with the others.",
    "这一轮的 {rows} 条样本已学了 {row} 条，接下来学其余的。",
)
_ENDS = Text(
    "The run ends after step {total} (before: {before}); each row has then been learned {times}.",
    "运行会在第 {total} 步结束（之前是第 {before} 步）；到时每条样本学了{times}。",
)
_SAME_SCHEDULE = Text(
    "The learning rate goes on from where it was, without a jump, and its schedule ends with step {total}.",
    "学习率从原来的位置接着变化，不会跳变，学习率曲线在第 {total} 步结束。",
)
_HAD_FINISHED = Text("The run had finished.", "这个运行已经完成。")
_HAD_FALLEN = Text(
    "The run had finished, and its learning rate had come to its end.", "这个运行已经完成，学习率也已走到终点。"
)
_WARMED_UP = Text(
    "What was added ({steps}) gets a schedule of its own: a warm-up to {rate} at step {peak}, then {kind}.",
    "新增的 {steps}使用一条新的学习率曲线：预热到第 {peak} 步升至 {rate}，然后{kind}。",
)
_AT_ONCE = Text(
    "What was added ({steps}) gets a schedule of its own, which begins at {rate}: {kind}.",
    "新增的 {steps}使用一条新的学习率曲线，从 {rate} 开始：{kind}。",
)
_NOTHING_LEFT = Text(
    "Nothing is left to learn: the run ends at step {step}, where it is.",
    "没有剩下要学的：运行就在当前的第 {step} 步结束。",
)


def fixed_on_resume(path: str) -> list[Problem]:
    """A problem when this setting cannot change once there is a checkpoint: its old value is part of what was saved."""
    if path in CHANGED_ON_RESUME:
        return []
    return [
        Problem(
            Text("this cannot change in the middle of a run", "运行中途不能修改这一项"),
            Text("Start a new run with the new value.", "请用新的值开始一个新的运行。"),
            path,
        )
    ]


def long_enough(config: RunConfig, checkpoint: Path) -> list[Problem]:
    """A problem when a run that has come this far is told to end earlier."""
    step, epochs = _reached(checkpoint)
    steps = config.optimization
    if 0 < steps.max_steps < step:
        return [
            Problem(
                Text("this run is already at step {step}", "这个运行已经到第 {step} 步").with_(step=step),
                Text("Choose {steps} or more.", "请选择至少 {steps}。").with_(steps=steps_named(step)),
                "optimization.max_steps",
            )
        ]
    if not steps.max_steps and steps.epochs < epochs - ROUNDING:
        enough = math.ceil(epochs * 100 - ROUNDING) / 100
        return [
            Problem(
                Text("this run has already learned {epochs}", "这个运行已经学了 {epochs}").with_(
                    epochs=epochs_named(_times(epochs))
                ),
                Text("Choose {enough} or more.", "请选择至少 {enough}。").with_(enough=epochs_named(_times(enough))),
                "optimization.epochs",
            )
        ]
    return []


def states_to_resume(config: RunConfig, checkpoint: Path | None) -> tuple[str, ...]:
    """In which states a run with these settings can be resumed: a finished one only where it has more to learn now."""
    if checkpoint is None:
        return RESUMABLE
    step, epochs = _reached(checkpoint)
    steps = config.optimization
    more = steps.max_steps > step if steps.max_steps else steps.epochs > epochs + ROUNDING
    return (*RESUMABLE, FINISHED) if more else RESUMABLE


def nothing_to_resume(record: RunRecord) -> WorkbenchError:
    """Why a run in this state does not go on."""
    hint = Text("Start a new run on the Train page.", "请在“训练”页开始新的运行。")
    if record.status == FINISHED:
        hint = Text(
            "To train it further, give it more epochs (optimization.epochs) than it has learned; where optimization.max_steps "
            "is set, that decides, and has to be more. Or start a new run.",
            "想继续训练，请把轮数（optimization.epochs）设得比已学的多；如果设了 optimization.max_steps，则以它为准，"
            "需要把它调大。也可以开始新的运行。",
        )
    return WorkbenchError(
        Text(
            "this run is {status}, there is nothing to resume",
            "这个运行的状态是“{status}”，没有可以继续的",
        ).with_(status=status_name(record.status)),
        hint,
        code="not_resumable",
    )


def check_same_rows(before: Course, rows: int) -> None:
    """Refuse to go on where the count of rows is another one: nobody could say which of them have been learned.

    Raises:
        WorkbenchError: it is.
    """
    if before.rows != rows:
        raise WorkbenchError(
            Text(
                "this run began with {before} rows to learn, and now there are {rows}",
                "这个运行开始时有 {before} 条要学的样本，现在是 {rows} 条",
            ).with_(before=before.rows, rows=rows),
            Text("Start a new run with the same settings.", "请用同样的设置开始新的运行。"),
            field="data.train",
            code="data_changed",
        )


def told(before: Course, now: Course, config: RunConfig) -> Text | None:
    """What is different now about how far and how a run learns; None when nothing is."""
    if before.total == now.total and before.pace.per_step == now.pace.per_step:
        return None
    if now.finished:
        return _NOTHING_LEFT.with_(step=now.step)
    said = []
    if before.pace.per_step != now.pace.per_step:
        said.append(_OTHER_STEPS.with_(old=before.pace.per_step, new=now.pace.per_step))
        if now.row:
            said.append(_GOES_ON.with_(row=now.row, rows=now.rows))
    number = _times(now.at(now.total).epochs_learned)
    times = Text("once", "一遍") if number == "1" else Text("{n} times", " {n} 遍").with_(n=number)
    said.append(_ENDS.with_(total=now.total, before=before.total, times=times))
    said += _own_schedule(now, config) if before.finished else [_SAME_SCHEDULE.with_(total=now.total)]
    return reduce(lambda left, right: _BOTH.with_(first=left, second=right), said)


def _own_schedule(now: Course, config: RunConfig) -> list[Text]:
    """What a finished run goes through in the steps that were added."""
    steps = config.optimization
    warm_up = 0 if steps.scheduler == "constant" else math.ceil(now.scale * steps.warmup_ratio)
    kind = next(dict(one.choices)[steps.scheduler] for one in knobs(type(steps)) if one.path == "scheduler")
    said = (_WARMED_UP if warm_up else _AT_ONCE).with_(
        steps=steps_named(now.scale), peak=now.step + warm_up + 1, kind=kind, rate=f"{steps.learning_rate:g}"
    )
    return [_HAD_FALLEN if steps.scheduler in FALLING else _HAD_FINISHED, said]


def _reached(checkpoint: Path) -> tuple[int, float]:
    """Steps done and epochs learned; 0 epochs where the checkpoint is damaged, which the run itself finds and says."""
    try:
        return step_of(checkpoint), read_state(checkpoint).epoch or 0.0
    except WorkbenchError:
        return step_of(checkpoint), 0.0


def _times(epochs: float) -> str:
    return f"{round(epochs, 2):g}"
