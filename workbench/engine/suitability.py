"""Which presets work on this computer as it is, and what the others need. A guess, made before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from workbench.config.run import RunConfig
from workbench.config.text import Text, same
from workbench.engine.fitting import TOO_LARGE, Machine, guessed_shape, memory_fit, shape_of_folder
from workbench.engine.hardware import Memory
from workbench.engine.offers import can_come
from workbench.models.curated import curated_models
from workbench.models.shape import Shape, shape_of

NOW, MODEL, CARD = "now", "model", "card"  # in this order people see them
GROUPS = {
    NOW: Text("works now", "现在可用"),
    MODEL: Text("needs a larger model", "需要更大的模型"),
    CARD: Text("needs a graphics card", "需要显卡"),
}
LARGEST_WITHOUT_CARD = 1e9  # parameters; a step of a larger model takes a processor minutes

_WORKS = Text("Works on this computer now.", "现在就能在这台电脑上运行。")
_NO_MODEL = Text(
    "Needs the model {model}, which is not on this computer yet.", "需要模型 {model}，这台电脑上还没有它。"
)
_ADD = Text(
    "Add it as the Model tab says, or choose another base model below.",
    "请按“模型”页的说明添加它，或在下面换一个基座模型。",
)
_DOWNLOAD = Text("Download it, or choose another base model below.", "请下载它，或在下面换一个基座模型。")
_NO_CARD = Text(
    "Needs a graphics card: {model} would learn far too slowly on this computer's processor.",
    "需要显卡：用这台电脑的处理器训练 {model} 会慢得无法使用。",
)
_HALF_NUMBERS = Text(
    "Needs a graphics card: fp16 cannot be computed on a processor.", "需要显卡：处理器无法用 fp16 计算。"
)
_SMALLER = Text(
    "Take a preset that works now, or choose a smaller base model below.",
    "请换一个现在可用的预设，或在下面选小一点的基座模型。",
)
_SIZE = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*([bm])(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Fit:
    """How a preset suits a computer: its group, why, and what to do about it (None where it works).

    `missing` is the model that it needs and that is not on this computer, where it can be downloaded.
    """

    group: str
    reason: Text
    way_on: Text | None = None
    missing: str | None = None


def suits(config: RunConfig, models: Sequence[Any], memory: Memory, card: bool) -> Fit:
    """Whether a run of this config would work.

    Args:
        config: all settings, those of a preset filled up with what it leaves open.
        models: what the catalog lists.
        memory: of the device that trains.
        card: whether there is a graphics card.
    """
    found = _suits(config, models, memory, card)
    wanted = config.model.base
    there = any(info.id == wanted and not info.problem for info in models)
    if there or not can_come(wanted):
        return found
    return replace(found, missing=wanted, way_on=_DOWNLOAD if found.group == MODEL else found.way_on)


def _suits(config: RunConfig, models: Sequence[Any], memory: Memory, card: bool) -> Fit:
    wanted = config.model.base
    here = next((info for info in models if info.id == wanted and not info.problem), None)
    name = here.name if here is not None else same(readable(wanted))
    parameters = here.parameters if here is not None else size_in_name(wanted)
    if not card and config.precision.dtype == "fp16":
        return Fit(CARD, _HALF_NUMBERS, _SMALLER)
    if not card and parameters > LARGEST_WITHOUT_CARD:
        return Fit(CARD, _NO_CARD.with_(model=name), _SMALLER)
    shape = _shape(wanted, here, parameters)
    if shape is not None:
        fit = memory_fit(shape, config, Machine("cuda" if card else "cpu", card, memory))
        if fit.kind == TOO_LARGE:
            return Fit(CARD, fit.reason, _SMALLER)
    if here is None:
        return Fit(MODEL, _NO_MODEL.with_(model=name), _ADD)
    return Fit(NOW, _WORKS)


def _shape(wanted: str, here: Any, parameters: float) -> Shape | None:
    """Of a model that is here, that is recommended, or whose name tells its size; None where nothing is known."""
    if here is not None:
        return shape_of_folder(here.folder, here.parameters) if here.parameters else None
    for model in curated_models():
        if wanted in (model.id, model.repository, model.modelscope):
            return shape_of(model.config())
    return guessed_shape(parameters) if parameters else None


def by_group(presets: Sequence[Any], fits: Mapping[str, Fit]) -> list[Any]:
    """Presets that work first, then those that need a model, then those that need a card; each group in its order."""
    order = list(GROUPS)
    return sorted(presets, key=lambda preset: order.index(fits[preset.id].group))


def readable(model: str) -> str:
    """The name of a model that is not here, as people write it: `Qwen3-1.7B` is Qwen3 1.7B."""
    return (PurePath(model).name or model).replace("-", " ").replace("_", " ").strip()


def size_in_name(model: str) -> float:
    """Parameters that a model's name tells of (`Qwen3-1.7B`: 1.7e9); 0 where it tells nothing."""
    told = _SIZE.findall(PurePath(model).name)
    return float(told[-1][0]) * (1e9 if told[-1][1].lower() == "b" else 1e6) if told else 0.0
