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
from workbench.engine.names import status_name
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
    "The run ends after step {total} (before: {before}); each row has then been learned {times} times.",
    "运行会在第 {total} 步结束（之前是第 {before} 步）；到时每条样本学了 {times} 遍。",
)
_SAME_SCHEDULE = Text(
    "The learning rate goes on from where it was, without a jump, and its schedule ends with step {total}.",
    "学习率从原来的位置接着变化，不会跳变，学习率曲线在第 {total} 步结束。",
)
_OWN_SCHEDULE = Text(
    "The run had finished, and its learning rate had come to its end. The {count} steps that were added get a schedule of "
    "their own: a warm-up to {rate} at step {peak}, then {kind}.",
    "这个运行已经完成，学习率也已走到终点。新增的 {count} 步使用一条新的学习率曲线：预热到第 {peak} 步升至 {rate}，然后{kind}。",
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
                Text("Choose {step} steps or more.", "请选择至少 {step} 步。").with_(step=step),
                "optimization.max_steps",
            )
        ]
    if not steps.max_steps and steps.epochs < epochs - ROUNDING:
        enough = math.ceil(epochs * 100 - ROUNDING) / 100
        return [
            Problem(
                Text("this run has already learned {epochs} epochs", "这个运行已经学了 {epochs} 轮").with_(
                    epochs=_times(epochs)
                ),
                Text("Choose {enough} epochs or more.", "请选择至少 {enough} 轮。").with_(enough=_times(enough)),
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
    times = _times(now.at(now.total).epochs_learned)
    said.append(_ENDS.with_(total=now.total, before=before.total, times=times))
    if before.finished:
        steps = config.optimization
        warm_up = 0 if steps.scheduler == "constant" else math.ceil(now.scale * steps.warmup_ratio)
        kind = next(dict(one.choices)[steps.scheduler] for one in knobs(type(steps)) if one.path == "scheduler")
        peak, rate = now.step + warm_up + 1, f"{steps.learning_rate:g}"
        said.append(_OWN_SCHEDULE.with_(count=now.scale, peak=peak, kind=kind, rate=rate))
    else:
        said.append(_SAME_SCHEDULE.with_(total=now.total))
    return reduce(lambda left, right: _BOTH.with_(first=left, second=right), said)


def _reached(checkpoint: Path) -> tuple[int, float]:
    """Steps done and epochs learned; 0 epochs where the checkpoint is damaged, which the run itself finds and says."""
    try:
        return step_of(checkpoint), read_state(checkpoint).epoch or 0.0
    except WorkbenchError:
        return step_of(checkpoint), 0.0


def _times(epochs: float) -> str:
    return f"{round(epochs, 2):g}"
