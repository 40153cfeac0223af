"""What to try next after a run that is over, of which a verdict says what it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.engine.history import History, lowest
from workbench.engine.names import epochs_named, steps_named
from workbench.engine.suggestions import no_longer_than_suggested

ROUNDING = 1e-6  # of epochs
RISING = ("overfits", "kept_back_rises", "higher_at_end")
"""Of the rows kept back: their loss was higher at the end than before."""
HARDLY_BEGUN = 5  # a run that was stopped in its first fifth is not judged by what it has not learned yet


@dataclass(frozen=True)
class Ended:
    """A run that is over: what advice is counted from."""

    history: History
    config: RunConfig
    words: frozenset[str]
    parameters: float

    @property
    def longer(self) -> bool:
        """Whether more steps may be proposed: not where the rows kept back rise, nor of a run that did not do its own."""
        return not self.words & {*RISING, "stopped"}


def next_to_try(word: str, history: History, config: RunConfig, words: Collection[str], parameters: float) -> Text:
    """What to try after a run of which `word` is the most serious of the words that are said.

    Args:
        parameters: of the base model; 0 when nobody knows.
    """
    if word == "stopped" and hardly_begun(history):
        return Text("It has hardly begun: Resume goes on.", "才刚开始，点“继续训练”接着训练。")
    return _NEXT[word](Ended(history, config, frozenset(words), parameters))


def hardly_begun(history: History) -> bool:
    """Whether a run that was stopped did so little that only going on can tell how it turns out."""
    return HARDLY_BEGUN * history.step < history.total


def _again(run: Ended) -> Text:
    """After a colon."""
    settings = run.config.optimization
    if run.longer:
        said = Text("try half the learning rate ({rate}) with {length}.", "试试把学习率减半（{rate}），训练{length}。")
        said = said.with_(length=_length(run.config, 2))
    elif settings.max_steps:
        said = Text("try half the learning rate ({rate}) with as many steps.", "试试把学习率减半（{rate}），步数不变。")
    else:
        said = Text(
            "try half the learning rate ({rate}) with as many epochs.", "试试把学习率减半（{rate}），轮数不变。"
        )
    return said.with_(rate=_number(settings.learning_rate / 2))


def _higher(run: Ended) -> Text:
    rate = _number(run.config.optimization.learning_rate * 3)
    if not run.longer:
        return Text("Try a learning rate three times as high ({rate}).", "试试把学习率提高到三倍（{rate}）。").with_(
            rate=rate
        )
    return Text(
        "Try {length}, or a learning rate three times as high ({rate}).",
        "试试训练{length}，或把学习率提高到三倍（{rate}）。",
    ).with_(rate=rate, length=_length(run.config, 2))


def _lower(run: Ended) -> Text:
    return Text("Try a third of the learning rate ({rate}).", "试试把学习率降到三分之一（{rate}）。").with_(
        rate=_number(run.config.optimization.learning_rate / 3)
    )


def _sooner(run: Ended) -> Text:
    """To the step where the rows kept back were known best: in epochs where they can tell it, and in steps below the first."""
    history, settings = run.history, run.config.optimization
    step, _ = history.kept_back[lowest(history.kept_back)]
    epochs = settings.epochs * step / max(history.total, 1)
    if settings.max_steps or epochs < 1:
        said = Text(
            "Try {steps} (set “Stop after”), where the loss on the rows kept back was lowest, or bring more rows.",
            "试试只训练 {steps}（设置“最多步数”），那时留出样本的损失最低；或增加样本。",
        )
        return said.with_(steps=steps_named(step))
    epochs = math.floor(epochs + ROUNDING) if epochs >= 3 else epochs  # down: up may be as long as this run was
    said = Text(
        "Try {epochs} (to about step {step}), or bring more rows.",
        "试试只训练 {epochs}（大约到第 {step} 步），或增加样本。",
    )
    end = round(history.total * epochs / settings.epochs)
    return said.with_(epochs=epochs_named(_number(epochs)), step=end)


def _by_heart(run: Ended) -> Text:
    """Fewer steps; not of a small set, of which the suggested ones are too few already."""
    if no_longer_than_suggested(run.config, run.history.total, run.parameters):
        return Text(
            "For a tone this matters little: read the answers. For facts, bring more rows.",
            "如果只教口吻，影响不大，请看回答；如果要教事实，请增加样本。",
        )
    return _sooner(run)


def _gentler(run: Ended) -> Text:
    return Text(
        "Read the answers below. If this is not what the rows should teach: {again} Ordinary questions and answers among "
        "the rows help it to keep what it knew.",
        "请看下面的回答。如果这不是样本要教的：{again}在样本里混入一些普通问答，也有助于保住它原来会的。",
    ).with_(again=_again(run))


def _longer(run: Ended) -> Text:
    return Text("Talk to it; {length} may teach it more.", "先和它聊聊看；训练{length}也许还能学到更多。").with_(
        length=_length(run.config, 1.5)
    )


def _plain(text: Text) -> Callable[[Ended], Text]:
    return lambda _: text


_NEXT: dict[str, Callable[[Ended], Text]] = {
    "nothing_changed": _plain(
        Text(
            "The steps were too small for these weights: try a learning rate that is much higher.",
            "步子太小，权重动不了：请把学习率调高很多。",
        )
    ),
    "broken": _gentler,
    "rising": _lower,
    "kept_back_rises": _sooner,
    "not_learning": _higher,
    "overfits": _by_heart,
    "same_answer": _gentler,
    "lost": _gentler,
    "unchanged": _higher,
    "stopped": _plain(Text("Resume goes on from there.", "点“继续训练”可以接着训练。")),
    "still_falling": _longer,
    "higher_at_end": _plain(
        Text(
            "Talk to it; next time have the rows kept back checked more often, to see whether it goes on rising.",
            "先和它聊聊；下次请更频繁地检查留出的样本，看看损失是否继续上升。",
        )
    ),
    "few_steps": _higher,
    "nothing_kept_back": _plain(
        Text("Talk to it; next time keep a tenth of the rows back.", "先和它聊聊；下次请留出十分之一的样本。")
    ),
    "learning": _plain(Text("Talk to it, or export it.", "可以和它聊聊，或者导出。")),
}


_SPACED = Text("{length}", " {length}")  # a number in Chinese words


def _length(config: RunConfig, factor: float) -> Text:
    """A run of so many times the length, in the setting that decides it."""
    steps = config.optimization.max_steps
    if steps:
        return _SPACED.with_(length=steps_named(max(1, round(steps * factor))))
    epochs = max(1.0, config.optimization.epochs * factor)
    return _SPACED.with_(length=epochs_named(_number(round(epochs) if epochs >= 3 else epochs)))


def _number(value: float) -> str:
    return f"{value:.3g}"
