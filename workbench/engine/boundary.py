"""The job boundary: the one place where any exception is caught. It says what happened, what it means and what to change."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from workbench.config.disk import disk_full
from workbench.config.errors import Problem, WorkbenchError
from workbench.config.text import Text

logger = logging.getLogger("workbench")

# What may end a job: any error, and what a library raises to end the whole program, which on a thread ends that thread
# without a word. Ctrl-C is here, too: Python raises it in the main thread only, so in a job a library has raised it.
ENDINGS = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit)


def explain(error: BaseException, place: Path | None = None) -> Problem:
    """What to tell a person about an exception of a job; the traceback belongs into the log.

    Args:
        place: where the job wrote to: how much room is left there is told.
    """
    if isinstance(error, WorkbenchError):
        return error.problems[0]
    if is_out_of_memory(error):
        return Problem(
            Text("memory ran out", "内存不够了"),
            Text(
                "Start again with half the batch size and twice the 'Batches per step', shorter rows, or a smaller model.",
                "请把批大小减半、梯度累积加倍，或减小最大长度，或换更小的模型，再重新开始。",
            ),
            "optimization.batch_size",
        )
    if is_refused_file(error):
        return Problem(
            Text(
                "a saved file is damaged, or can carry a program, and was not loaded",
                "有一个已保存的文件已损坏，或可能夹带程序，因此未加载",
            ),
            Text(
                "Put it back from a backup, or start a new run with the same settings.",
                "请从备份恢复该文件，或用同样的设置开始新的运行。",
            ),
        )
    if is_disk_full(error):
        full = disk_full(place or Path.cwd())
        return Problem(full.message, full.hint)
    if not isinstance(error, Exception):
        return Problem(
            Text(
                "a library wanted to end the whole program ({kind}: {detail})",
                "某个库想要结束整个程序（{kind}：{detail}）",
            ).with_(kind=type(error).__name__, detail=_first_line(error)),
            Text(
                "Only this was ended. The log says where it came from; what was saved is kept.",
                "只结束了这一项。日志里有它的来源；已保存的内容都还在。",
            ),
        )
    return Problem(
        Text("something unexpected went wrong ({kind}: {detail})", "出现意外错误（{kind}：{detail}）").with_(
            kind=type(error).__name__, detail=_first_line(error)
        ),
        Text(
            "The log holds the details; please report it with them. What was saved is kept.",
            "详情见日志，请连同日志一起反馈。已保存的内容都还在。",
        ),
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["-"])[0][:200]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device's or the computer's memory ran out."""
    text = str(error).lower()
    return (
        type(error).__name__ == "OutOfMemoryError"
        or isinstance(error, MemoryError)
        or (isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text))
    )


def is_refused_file(error: BaseException) -> bool:
    """Whether torch or safetensors refused what it was to load; torch's own words advise to load it unsafely."""
    return type(error).__name__ in ("UnpicklingError", "SafetensorError") or "weights_only" in str(error)


def is_disk_full(error: BaseException) -> bool:
    """Whether the disk had no room; safetensors and torch.save report that in their own ways."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        text = str(seen)
        if "No space left" in text or "os error 28" in text or "os error 27" in text:
            return True
        if "PytorchStreamWriter" in text or "inline_container" in text:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
