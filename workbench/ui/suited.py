"""What suits a data set: the method that learns from it, the preset for that, the questions to ask, the run's name.

People choose data and expect the rest to fit. What they wrote themselves stays; what a preset or this file filled in goes
with the data. Knows no gradio: a form is the nested dictionary of `RunConfig`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.config.errors import Problem, WorkbenchError
from workbench.config.presets import Preset
from workbench.config.run import RunConfig, put
from workbench.config.text import Text, listed
from workbench.data.formats import KIND_NAMES
from workbench.methods import METHODS

QUESTIONS = 3
LONGEST_QUESTION = 200  # characters; a longer one is no question that people compare answers to
RECIPE = ("model", "method", "adapter", "precision", "optimization")  # what makes two presets the same but for the data
NAMED_SETS = 3  # how many data sets a hint names

_SET_METHOD = Text("Set Method to “{method}”", "请把“方法”改为“{method}”")
_CHOOSE = Text("{first}, or choose data that fits: {names}.", "{first}，或选择合适的数据集：{names}。")
_CHOOSE_ONLY = Text("Choose data that fits: {names}.", "请选择合适的数据集：{names}。")
_BRING = Text("{first}, or bring data with {kinds}.", "{first}，或换成{kinds}。")
_BRING_ONLY = Text(
    "Bring a file with {kinds} on the Data tab; no data set here has them.",
    "请在“数据”页上传{kinds}；这里还没有合适的数据集。",
)


# Why a set of a kind that no method takes cannot be learned from, and what makes it one that can.
_UNFIT = {
    "labels": Text(
        "These are texts with labels, and no method here sorts texts into classes. Name the columns prompt and completion "
        "instead, and a model learns to answer a text with its label.",
        "这是带标签的文本，这里还没有做分类的方法。请把两列改名为 prompt 和 completion，模型就能学会用标签来回答文本。",
    ),
    "prompts": Text(
        "These are questions without answers, so there is nothing to learn. Add a column named completion with the answers.",
        "这里只有问题没有回答，没有可学的内容。请加上名为 completion 的一列，写入回答。",
    ),
}
_UNFIT_OTHERWISE = Text(
    "No method here learns from data of this kind ({kind}).", "这里还没有方法能学习这种数据（{kind}）。"
)


@dataclass(frozen=True)
class Suited:
    """A form that follows its data set: the preset and settings it now has, and the questions made from the rows."""

    preset: str
    values: dict[str, Any]
    questions: tuple[str, ...]


def follow(engine: Any, preset_id: str, nested: dict[str, Any], made: Sequence[str], dataset: str, lang: str) -> Suited:
    """The form `nested` after the choice of `dataset`.

    Args:
        preset_id: the preset that the form shows.
        made: the questions that were made from the data set before, so that they are not taken for the person's own.
        lang: the reader's language, for the choice between presets that are equally good.
    """
    values = {section: dict(inner) for section, inner in nested.items()}
    put(values, "data.train", dataset)
    info = next((info for info in engine.data.list() if info.id == dataset), None)
    if info is None or getattr(info, "problem", None) is not None:
        return Suited(preset_id, values, tuple(made))
    if info.kind not in METHODS[values["method"]["kind"]].data_kinds:
        preset_id, values = _other_method(engine, preset_id, values, info, lang)
    else:
        preset_id, values = _same_recipe(engine, preset_id, values, dataset)
    presets = [(preset, preset.config()) for preset in engine.presets()]
    here = next((config for _, config in presets if config.data.train == dataset and config.output.name), None)
    asked, name = values["evaluation"]["questions"], values["output"]["name"]
    made = tuple(made)
    if tuple(asked) in {made, *(tuple(config.evaluation.questions) for _, config in presets)}:
        made = tuple(here.evaluation.questions) if here else questions(engine, dataset)
        put(values, "evaluation.questions", list(made))
    if name in {"", *(config.output.name for _, config in presets)}:
        put(values, "output.name", here.output.name if here else "")
    return Suited(preset_id, values, made)


def questions(engine: Any, dataset: str) -> tuple[str, ...]:
    """Some questions of the rows, from all over the set; none where the rows ask nothing."""
    info = next((info for info in engine.data.list() if info.id == dataset), None)
    if info is None or getattr(info, "problem", None) is not None:
        return ()
    rows = getattr(info, "usable", 0) or info.rows
    found: list[str] = []
    for part in range(QUESTIONS):
        try:
            example = next(iter(engine.sample(dataset, rows * part // QUESTIONS, 1)), {})
        except WorkbenchError:
            break
        messages = example.get("prompt") or example.get("messages") or ()
        asked = next((message["content"] for message in messages if message["role"] == "user"), "")
        question = " ".join(str(asked).split())
        if question and len(question) <= LONGEST_QUESTION and question not in found:
            found.append(question)
    return tuple(found)


def method_for(kind: str) -> str | None:
    """The method that learns from this kind of data, the one made for it first; None when there is none."""
    fitting = [name for name, method in METHODS.items() if kind in method.data_kinds]
    return min(fitting, key=lambda name: METHODS[name].data_kinds.index(kind), default=None)


def unfit(kind: str) -> Text | None:
    """Why no method learns from this kind of data, and what to do; None when one does."""
    if method_for(kind) is not None:
        return None
    return _UNFIT.get(kind) or _UNFIT_OTHERWISE.with_(kind=KIND_NAMES.get(kind, Text(kind, kind)))


def explained(engine: Any, config: RunConfig, problems: Sequence[Problem]) -> list[Problem]:
    """`problems`, of which "this data is of the wrong kind" also says which method or data set to take."""
    infos = {info.id: info for info in engine.data.list()}
    method, made = METHODS[config.method.kind], []
    for problem in problems:
        chosen = {"data.train": config.data.train, "data.eval": config.data.eval}.get(problem.field or "")
        info = infos.get(chosen or "")
        if info is not None and info.kind not in method.data_kinds:
            answers = "chat" in method.data_kinds  # what `unfit` says leads to data with answers
            hint = (unfit(info.kind) if answers else None) or _way_out(
                info, infos.values(), method, problem.field == "data.train"
            )
            problem = replace(problem, hint=hint)
        made.append(problem)
    return made


def preset_values(engine: Any, preset_id: str, current: dict[str, Any]) -> dict[str, Any]:
    """All settings of a preset; what it leaves open about model and data stays as it is now."""
    preset = engine.preset(preset_id)
    nested = preset.config().values()
    for path in ("model.base", "data.train"):
        section, _, name = path.partition(".")
        given = preset.values.get(section)
        now = current.get(section, {}).get(name)
        if now and not (isinstance(given, dict) and name in given):
            put(nested, path, now)
    return nested


def first_preset(engine: Any, lang: str) -> str:
    """The preset of the first run in the reader's language."""
    ids = [preset.id for preset in engine.presets()]
    wanted = "first-run-zh" if lang == "zh" else "first-run"
    return wanted if wanted in ids else (ids[0] if ids else "")


def _other_method(
    engine: Any, preset_id: str, values: dict[str, Any], info: Any, lang: str
) -> tuple[str, dict[str, Any]]:
    """A preset whose method learns from the set, for the chosen model; else the method alone; else nothing new."""
    kind, base = method_for(info.kind), values["model"]["base"]
    if kind is None:
        return preset_id, values
    preset = _preset_for(engine, kind, base, info.id, lang)
    if preset is None:
        put(values, "method.kind", kind)
        return preset_id, values
    filled = preset.config().values()
    put(filled, "model.base", base)
    put(filled, "data.train", info.id)
    return preset.id, filled


def _same_recipe(engine: Any, preset_id: str, values: dict[str, Any], dataset: str) -> tuple[str, dict[str, Any]]:
    """The preset for this data set, or for any, that differs from the chosen one in what it says of the data alone.

    What the chosen preset filled in becomes what the other one says; what a person wrote stays.
    """
    presets = {preset.id: preset for preset in engine.presets()}
    if preset_id not in presets:
        return preset_id, values
    before = presets[preset_id].config().values()
    if presets[preset_id].values.get("data", {}).get("train") == dataset:
        return preset_id, values
    alike = [
        preset
        for preset in presets.values()
        if all(preset.config().values()[section] == before[section] for section in RECIPE)
        and preset.values.get("data", {}).get("train") in (None, dataset)
    ]
    other = max(alike, key=lambda preset: "train" in preset.values.get("data", {}), default=None)
    if other is None or other.id == preset_id:
        return preset_id, values
    after = other.config().values()
    for section, inner in values.items():
        for name, value in inner.items():
            if (section, name) != ("data", "train") and value == before[section].get(name):
                inner[name] = after[section].get(name, value)
    return other.id, values


def _preset_for(engine: Any, kind: str, base: str, dataset: str, lang: str) -> Preset | None:
    """The preset of a method that is nearest to model and data; one made for a shipped model suits only that model."""
    shipped = {info.id for info in engine.models.list() if info.shipped}
    first, ranked = first_preset(engine, lang), []
    for place, preset in enumerate(engine.presets()):
        config = preset.config()
        same_base = config.model.base == base
        if config.method.kind == kind and (same_base or not {config.model.base, base} & shipped):
            ranked.append((not same_base, config.data.train != dataset, preset.id != first, place, preset))
    return min(ranked, key=lambda entry: entry[:4])[-1] if ranked else None


_QUOTED = Text("“{name}”", "“{name}”")


def _way_out(info: Any, infos: Any, method: Any, train: bool) -> Text:
    usable = [other for other in infos if other.kind in method.data_kinds and not getattr(other, "problem", None)]
    names = [other.name for other in usable[:NAMED_SETS]]
    other = method_for(info.kind) if train else None
    first = _SET_METHOD.with_(method=METHODS[other].label) if other else None
    if names:
        quoted = listed(_QUOTED.with_(name=name) for name in names)
        return _CHOOSE.with_(first=first, names=quoted) if first else _CHOOSE_ONLY.with_(names=quoted)
    kinds = [KIND_NAMES.get(kind, Text(kind, kind)) for kind in method.data_kinds]
    needed = Text(" or ".join(kind.en for kind in kinds), "或".join(kind.zh for kind in kinds))
    return _BRING.with_(first=first, kinds=needed) if first else _BRING_ONLY.with_(kinds=needed)
