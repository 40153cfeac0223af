"""What a run's states and numbers are called, on the page and on the command line."""

from __future__ import annotations

from workbench.config.text import Text, counted, same

STATUS_NAMES = {
    "queued": Text("waiting", "排队中"),
    "running": Text("training", "训练中"),
    "stopping": Text("stopping", "正在停止"),
    "completed": Text("finished", "已完成"),
    "stopped": Text("stopped", "已停止"),
    "failed": Text("failed", "失败"),
    "interrupted": Text("interrupted", "被中断"),
    "damaged": Text("damaged", "已损坏"),
}

# Two losses, each named for what it is: one falls also where a model only learns by heart, the other one does not.
TRAINING_LOSS = Text("training loss", "训练损失")
RECENT_LOSS = Text("training loss, last steps", "训练损失（最近几步）")
KEPT_BACK_LOSS = Text("loss on rows kept back", "留出样本的损失")

WAITS = Text("Waiting for the device: {holder}", "等待设备空闲：{holder}")
NOT_ANSWERED = Text("(no answer: {why})", "（没有回答：{why}）")


def status_name(status: str) -> Text:
    """A run's state in words."""
    return STATUS_NAMES.get(status, same(status))


def job_status(status: str, *, training: bool = False) -> Text:
    """A job's state in words; of a training, that of its run."""
    return Text("running", "进行中") if status == "running" and not training else status_name(status)


def steps_of(step: int, total: int) -> Text:
    """How far a training is."""
    return Text("step {step} of {total}", "第 {step} 步，共 {total} 步").with_(step=step, total=total)


def steps_named(count: int) -> Text:
    """So many steps."""
    return counted(count, Text("{n} step", "{n} 步"), Text("{n} steps", "{n} 步"))


def epochs_named(number: str) -> Text:
    """So many epochs, as the number is written: "1.5"."""
    named = Text("{number} epoch", "{number} 轮") if number == "1" else Text("{number} epochs", "{number} 轮")
    return named.with_(number=number)


RECENT = 5  # a fifth of a run stands for its end, on the page, in its record and in its verdict


def recent_steps(done: int) -> int:
    """Over how many of the steps done the training loss is averaged: the last fifth. One batch alone says little."""
    return max(min(done, 2), done // RECENT, 1)
