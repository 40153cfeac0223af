"""How long and how fast a run should learn where its preset cannot know it: the rule, and where each number is from.

A preset's rate and epochs were chosen for the model and the data that it names. For others the workbench fills in what this
file suggests, and says why; what a person set stays. Page (`ui/suited.py`) and command line (`commands.py`) use the same rule.

The rule has two halves. For models of the starter's size it comes from a trial of our own, which
`python -m tests.benchmarks.small_sets` repeats. For larger ones it is where their papers and documentation begin, it was not
tried here, and its sentence says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.config.run import RunConfig
from workbench.config.text import Text

RATE, EPOCHS = "optimization.learning_rate", "optimization.epochs"

# The trial: the starter (3.8 million parameters), LoRA of rank 16 on all linear layers, batches of 8, a rate that falls
# linearly; sets of 36 to 48 rows of four kinds (a voice, a format, a task, pairs), with unseen questions, and how many of
# the starter's right answers to 60 questions of other things were lost.
TRIED_UP_TO = 20e6  # parameters; the trial's rule is not used for models more than about five times its size
FEWEST_STEPS = 60  # the 30 steps that six epochs of 40 rows make left styles half learned, and broke answers
SMALL_SET_RATE = 1e-3  # twice as much kept less of what the model knew, at the same 60 steps
MOST_EPOCHS = 30  # a handful of rows that is read oftener than this is only learned by heart
STARTER_RATE = 2e-3  # the presets' own for the starter, with some hundred rows

# Others: Hu et al. 2021 (arXiv:2106.09685, table 11) tune GPT-2 and GPT-3 by LoRA at 2e-4, Dettmers et al. 2023
# (arXiv:2305.14314, table 9) take 2e-4 up to 13 billion parameters and 1e-4 above.
LORA_RATE, LARGE_LORA_RATE, LARGE = 2e-4, 1e-4, 13e9
# Preferences overshoot at such rates: Tunstall et al. 2023 (arXiv:2310.16944) take 5e-7 for a whole model; an adapter wants
# ten to twenty times the rate of a whole model.
DPO_RATE = 1e-5

_SMALL_EPOCHS = Text(
    "{rows} rows to learn are few, and this makes {steps} steps of them; with half as many, styles that are hard for the "
    "starter were learned by halves in our trial",
    "只有 {rows} 条样本用来学习，这样共 {steps} 步；我们在入门模型上试过，步数减半时，它觉得难的风格只能学到一半",
)
_SMALL_RATE = Text(
    "few rows are read often, and at twice this rate styles that are hard for the starter cost it more of what it knew in "
    "our trial",
    "样本少，每条会读很多遍；我们试过，学习率再高一倍，遇到难学的风格时，入门模型会忘掉更多原来会的内容",
)
_STARTER_RATE = Text(
    "the preset's rate is for another model, and one as small as the starter needs about ten times as much",
    "预设的学习率是给别的模型用的，像入门模型这样小的模型需要约十倍",
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
    """A value for a setting (dotted path), and the reason: words that go on after "suggested, because"."""

    path: str
    value: float
    why: Text


def suggestions(preset: Mapping[str, Any], config: RunConfig, rows: int, parameters: float) -> list[Suggestion]:
    """What to fill in instead of what the preset says; nothing where its own values fit.

    Args:
        preset: the values that the preset holds, for which model and which data it was made.
        config: the run as it stands.
        rows: usable rows of the data; 0 when nobody knows.
        parameters: of the base model; 0 when nobody knows.
    """
    named = {name: dict(preset.get(name) or {}) for name in ("model", "data")}
    other_model = config.model.base != named["model"].get("base", config.model.base)
    other_data = config.data.train != named["data"].get("train")
    if not parameters or config.adapter.kind == "none" or not (other_model or other_data):
        return []
    if parameters > TRIED_UP_TO:
        return _usual_rate(config, parameters) if other_model else []
    found = _small_set(config, learned_rows(config, rows))
    if not found and other_model:
        found = [Suggestion(RATE, STARTER_RATE, _STARTER_RATE)]
    return [one for one in found if one.value != _stands(config, one.path)]


def _small_set(config: RunConfig, rows: int) -> list[Suggestion]:
    """Enough steps at a rate that keeps what the model knew; nothing where the preset's own epochs are enough."""
    optimization = config.optimization
    per_epoch = math.ceil(math.ceil(rows / optimization.batch_size) / optimization.accumulation)
    if rows < 1 or per_epoch * optimization.epochs >= FEWEST_STEPS:
        return []
    found = [Suggestion(RATE, SMALL_SET_RATE, _SMALL_RATE)]
    epochs = min(math.ceil(FEWEST_STEPS / per_epoch), MOST_EPOCHS)
    if not optimization.max_steps and epochs > optimization.epochs:
        why = _SMALL_EPOCHS.with_(rows=rows, steps=epochs * per_epoch)
        found.append(Suggestion(EPOCHS, float(epochs), why))
    return found


def _stands(config: RunConfig, path: str) -> float:
    return {RATE: config.optimization.learning_rate, EPOCHS: config.optimization.epochs}[path]


def _usual_rate(config: RunConfig, parameters: float) -> list[Suggestion]:
    """Where larger models begin; only lower than what stands there, as what is too high destroys a model."""
    usual = LARGE_LORA_RATE if parameters > LARGE else LORA_RATE
    rate, why = (DPO_RATE, _USUAL_PAIRS) if config.method.kind == "dpo" else (usual, _USUAL)
    return [Suggestion(RATE, rate, why)] if config.optimization.learning_rate > rate else []


def learned_rows(config: RunConfig, rows: int) -> int:
    """How many of a set's rows are learned, and not cut off or kept back."""
    total = min(rows, config.data.max_rows or rows)
    return (
        total
        if config.data.eval or total < 2
        else total - max(round(total * config.data.eval_share), bool(config.data.eval_share))
    )
