"""How long, how fast and how much at once a run should learn where its preset cannot know it: rules, and where each number is from.

A preset's values were chosen for the model and the data that it names, and for a computer with enough memory. For others the
workbench fills in what this file suggests, and says why; what a person set stays. Page (`engine/suited.py`) and command line
(`commands.py`) use the same rules.

The rule of rate and epochs has two halves. For models of the starter's size it comes from a trial of our own, which
`python -m tests.benchmarks.small_sets` repeats. For larger ones it is where their papers and documentation begin, it was not
tried here, and its sentence says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.config.run import RunConfig
from workbench.config.text import Text, size
from workbench.engine.draft import FOR_DATA, FOR_MACHINE, FOR_MODEL
from workbench.engine.fitting import TOO_LARGE, MemoryFit
from workbench.engine.plan import split_counts, steps_per_epoch

RATE, EPOCHS, LENGTH = "optimization.learning_rate", "optimization.epochs", "data.max_length"
BATCH, ACCUMULATION = "optimization.batch_size", "optimization.accumulation"
PATHS = (LENGTH, BATCH, ACCUMULATION, RATE, EPOCHS)
"""All settings that are suggested."""

# The trial: the starter (3.8 million parameters), LoRA of rank 16 on all linear layers, batches of 8, a rate that falls
# linearly; sets of 32 to 48 rows of four kinds (a voice, a format, a task, pairs), with unseen questions, and how many of
# the starter's right answers to 60 questions of other things were lost.
TRIED_UP_TO = 20e6  # parameters; the trial's rule is not used for models more than about five times its size
# A voice (the owl) had its style in 15 of 20 answers after 30 steps, which is what six epochs of 40 rows make, and after 60,
# in 16 (17 with another seed) after 100. The other sets were learned after 20 to 36 steps already and lost one or two
# answers, after 100 as well. A style that begins each answer (bullets) cost 14 to 23 of 56 with all rates and steps tried.
FEWEST_STEPS = 100
STARTER_RATE = 2e-3  # the rate of the starter's own presets; at half of it the voice stood at 14 after 60 steps
MOST_EPOCHS = 30  # a handful of rows that is read oftener than this is only learned by heart

# Others: Hu et al. 2021 (arXiv:2106.09685) tune GPT-2 and GPT-3 by LoRA at 2e-4, Dettmers et al. 2023
# (arXiv:2305.14314) take 2e-4 up to 13 billion parameters and 1e-4 above.
LORA_RATE, LARGE_LORA_RATE, LARGE = 2e-4, 1e-4, 13e9
# Preferences overshoot at such rates: Tunstall et al. 2023 (arXiv:2310.16944) take 5e-7 for a whole model; an adapter wants
# ten to twenty times the rate of a whole model.
DPO_RATE = 1e-5

# A row that is cut at its end is learned without its end, and so without the end token. The tokens of a row are guessed from its
# characters (`fitting.text_tokens`). For the starter, with its small vocabulary, four sets of real data had 1.6 to 2.3 times as
# many (a row of 756 guessed had 1305; 471: 756; 4061: 9303; 74: 134), and its own three sets 0.9 to 1.0 times.
SMALL_VOCABULARY, SMALL_VOCABULARY_TOKENS = 8192, 2.3
LENGTH_STEP = 256  # lengths are multiples of it
# Longer rows want a decision: at 4096 tokens a model of a billion parameters needs some 8 GB for one row's activations.
LONGEST = 4096

_LONGER = Text(
    "the longest row has some {longest} tokens, and of one with more than {before} the end would be cut, which would then not be "
    "learned",
    "最长的样本约 {longest} 个词元；超过 {before} 个的会被截断，结尾就学不到",
)
_LONGER_THAN_READ = Text(
    "the longest row has some {longest} tokens, and this model reads no more than {most}: what is longer is cut",
    "最长的样本约 {longest} 个词元，而这个模型最多读 {most} 个：更长的会被截断",
)
_LONGER_THAN_FITS = Text(
    "the longest row has some {longest} tokens; with more than {most} a row takes very much memory: what is longer is cut",
    "最长的样本约 {longest} 个词元；超过 {most} 个会占用非常多的内存：更长的会被截断",
)
_READS_AT_MOST = Text("this model reads no more than {context} tokens", "这个模型最多读 {context} 个词元")
_SMALLER_BATCH = Text(
    "{before} rows at once would take about {need} of memory, and this computer has {room}; {rows} at once take about {less}",
    "一次 {before} 条样本约需 {need} 内存，这台电脑只有 {room}；一次 {rows} 条约需 {less}",
)
_SAME_STEP = Text(
    "fewer rows fit in memory at once; {times} batches of {rows} make the same step as the {before} rows before",
    "内存一次放不下那么多样本；{times} 批、每批 {rows} 条合成一步，与原来的 {before} 条效果相同",
)

_SMALL_EPOCHS = Text(
    "{rows} rows to learn are few, and this makes {steps} steps of them; with 60 and fewer, a voice was not yet learned in "
    "our trial with the starter",
    "只有 {rows} 条样本用来学习，这样共 {steps} 步；我们在入门模型上试过，只有 60 步或更少时，口吻还没有学好",
)
_SMALL_PAIRS = Text(
    "{rows} rows to learn are few, and this makes {steps} steps of them; in our trial with the starter, 100 steps taught a "
    "preference and cost one or two of its right answers to 60 other questions",
    "只有 {rows} 条样本用来学习，这样共 {steps} 步；我们在入门模型上试过，100 步学好了偏好，60 个其他问题中只有一两个原来答对的变错了",
)
_TOO_FEW_ROWS = Text(
    "so few rows to learn ({rows}) make only {steps} steps even when each is read {epochs} times; more readings would only "
    "learn them by heart, so more rows are needed",
    "只有 {rows} 条样本用来学习，每条读 {epochs} 遍也只有 {steps} 步；再多读只会死记硬背，需要增加样本",
)
_STARTER_RATE = Text(
    "the preset's rate is for another model; this one is from our trial with the starter, and suits models of its size",
    "预设的学习率是给别的模型用的；这个值我们在入门模型上试过，适合同样大小的模型",
)
_USUAL = Text(
    "the preset's rate is for another model; adapters of larger models usually begin here. Not tried by us with this model",
    "预设的学习率是给别的模型用的；较大模型的适配器通常从这个值开始。我们没有在这个模型上试过",
)
_USUAL_PAIRS = Text(
    "the preset's rate is for another model; with preference pairs larger models usually begin here. Not tried by us with "
    "this model",
    "预设的学习率是给别的模型用的；较大的模型做偏好学习时通常从这个值开始。我们没有在这个模型上试过",
)


@dataclass(frozen=True)
class Suggestion:
    """A value for a setting (dotted path), the reason: words that go on after "suggested, because", and whose it is.

    The source is one of `draft.SOURCES`: what it follows from.
    """

    path: str
    value: float
    why: Text
    source: str


@dataclass(frozen=True)
class Subject:
    """What is known of a run's data, model and computer; 0 or None where nobody knows.

    Attributes:
        rows: usable rows of the data.
        parameters: of the base model.
        longest: tokens of the longest row, guessed from its characters.
        context: tokens that the model reads at most.
        vocabulary: tokens that it knows.
        fit: how a run of these settings suits the memory of this computer.
    """

    rows: int = 0
    parameters: float = 0
    longest: int = 0
    context: int = 0
    vocabulary: int = 0
    fit: Callable[[RunConfig], MemoryFit] | None = None


def suggestions(
    preset: Mapping[str, Any], config: RunConfig, subject: Subject, own: Collection[str] = ()
) -> list[Suggestion]:
    """What to fill in instead of what the preset says; nothing where its own values fit.

    Args:
        preset: the values that the preset holds, for which model and which data it was made.
        config: the run as it stands.
        subject: what it learns from and with.
        own: paths that a person set; what follows from them does, they themselves stay.
    """
    named = {name: dict(preset.get(name) or {}) for name in ("model", "data")}
    other_model = config.model.base != named["model"].get("base", config.model.base)
    other_data = config.data.train != named["data"].get("train")
    found: list[Suggestion] = []
    settled = config
    rules: list[Callable[[RunConfig], list[Suggestion]]] = [
        lambda config: _length(config, subject) if (other_model or other_data) and LENGTH not in own else [],
        lambda config: _batch(config, subject) if not {BATCH, ACCUMULATION} & {*own} else [],
        lambda config: _course(config, subject, other_model, other_data),
    ]
    for (
        rule
    ) in rules:  # how often rows are read follows from how many are read at once, and that from how long they are
        made = [one for one in rule(settled) if one.path not in own]
        settled = settled.changed({one.path: one.value for one in made})
        found += made
    return found


def _length(config: RunConfig, subject: Subject) -> list[Suggestion]:
    """Long enough for the longest row, and no longer than the model reads."""
    stands, most = config.data.max_length, subject.context or LONGEST
    if stands > most and subject.context:
        return [Suggestion(LENGTH, subject.context, _READS_AT_MOST.with_(context=subject.context), FOR_MODEL)]
    small = 0 < subject.vocabulary < SMALL_VOCABULARY
    longest = round(subject.longest * (SMALL_VOCABULARY_TOKENS if small else 1.0))
    wanted = math.ceil(longest / LENGTH_STEP) * LENGTH_STEP
    value = min(wanted, most, LONGEST)
    if value <= stands:
        return []
    why = _LONGER if value >= longest else _LONGER_THAN_READ if value == subject.context else _LONGER_THAN_FITS
    return [Suggestion(LENGTH, value, why.with_(longest=longest, before=stands, most=value), FOR_DATA)]


def _batch(config: RunConfig, subject: Subject) -> list[Suggestion]:
    """As many rows at once as fit, in as many batches as make the same step; nothing where one row alone does not fit."""
    rows, before = config.optimization.batch_size, config.optimization.batch_size
    first = found = subject.fit(config) if subject.fit is not None and rows > 1 else None
    while found is not None and found.kind == TOO_LARGE and rows > 1:
        rows //= 2
        found = subject.fit(config.changed({BATCH: rows})) if subject.fit is not None else None
    if first is None or found is None or rows == before or found.kind == TOO_LARGE:
        return []
    times = math.ceil(before * config.optimization.accumulation / rows)
    said = {"before": before, "rows": rows, "need": size(first.peak_bytes), "room": size(first.available_bytes)}
    smaller = _SMALLER_BATCH.with_(less=size(found.peak_bytes), **said)
    same = _SAME_STEP.with_(times=times, rows=rows, before=before * config.optimization.accumulation)
    return [Suggestion(BATCH, rows, smaller, FOR_MACHINE), Suggestion(ACCUMULATION, times, same, FOR_MACHINE)]


def _course(config: RunConfig, subject: Subject, other_model: bool, other_data: bool) -> list[Suggestion]:
    """How fast, and how often each row is read."""
    parameters = subject.parameters
    if not parameters or config.adapter.whole or not (other_model or other_data):
        return []
    if parameters > TRIED_UP_TO:
        return _usual_rate(config, parameters) if other_model else []
    if not _tried(config):
        return []
    found = [Suggestion(RATE, STARTER_RATE, _STARTER_RATE, FOR_MODEL)] if other_model else []
    found += _enough_steps(config, split_counts(config, subject.rows)[0])
    stands = {RATE: config.optimization.learning_rate, EPOCHS: config.optimization.epochs}
    return [one for one in found if one.value != stands[one.path]]


def no_longer_than_suggested(config: RunConfig, steps: int, parameters: float) -> bool:
    """Whether the rule of the trial covers a run of so many steps in all, and it reads its rows no oftener than that asks."""
    optimization = config.optimization
    if optimization.max_steps or config.adapter.whole or not _tried(config):
        return False
    wanted = math.ceil(FEWEST_STEPS * optimization.epochs / max(steps, 1))
    return 0 < parameters <= TRIED_UP_TO and optimization.epochs <= min(wanted, MOST_EPOCHS)


def _tried(config: RunConfig) -> bool:
    """Whether the trial had runs of this kind: its pairs were learned beside their chosen answers, never alone."""
    return config.method.kind == "sft" or (config.method.kind == "dpo" and getattr(config.method, "sft_weight", 0) > 0)


def _enough_steps(config: RunConfig, rows: int) -> list[Suggestion]:
    """As many readings as make enough steps; nothing where the preset's are enough, or where steps decide."""
    optimization = config.optimization
    if rows < 1 or optimization.max_steps:
        return []
    per_epoch = steps_per_epoch(config, rows)
    wanted = math.ceil(FEWEST_STEPS / per_epoch)
    epochs = min(wanted, MOST_EPOCHS)
    if epochs <= optimization.epochs:
        return []
    small = _SMALL_PAIRS if config.method.kind == "dpo" else _SMALL_EPOCHS
    why = small if epochs == wanted else _TOO_FEW_ROWS
    return [Suggestion(EPOCHS, float(epochs), why.with_(rows=rows, steps=epochs * per_epoch, epochs=epochs), FOR_DATA)]


def _usual_rate(config: RunConfig, parameters: float) -> list[Suggestion]:
    """Where larger models begin; only lower than what stands there, as what is too high destroys a model."""
    usual = LARGE_LORA_RATE if parameters > LARGE else LORA_RATE
    rate, why = (DPO_RATE, _USUAL_PAIRS) if config.method.kind == "dpo" else (usual, _USUAL)
    return [Suggestion(RATE, rate, why, FOR_MODEL)] if config.optimization.learning_rate > rate else []
