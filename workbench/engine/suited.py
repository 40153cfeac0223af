"""What suits a data set: the method that learns from it, the preset for that, the questions to ask, the run's name.

People choose preset, model and data in any order and expect the rest to fit. What they set themselves stays
(`workbench.engine.draft`); what a preset or this file filled in goes along. Knows no gradio.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from workbench.config.errors import Problem, WorkbenchError
from workbench.config.fields import value_at
from workbench.config.presets import Preset
from workbench.config.run import RunConfig, put
from workbench.config.tasks import REWARD
from workbench.config.text import Text, count_chinese, listed, same
from workbench.data.formats import KIND_NAMES, READ_OTHERWISE
from workbench.data.sets import DatasetInfo
from workbench.engine.draft import DATA, FOR_DATA, KIND, MODEL, PERSON, PRESET, Draft, Nested
from workbench.engine.fitting import USUAL_ROW, MemoryFit, shape_of_folder
from workbench.engine.session import Session
from workbench.engine.suggestions import PATHS, Subject, Suggestion, suggestions
from workbench.methods import METHODS
from workbench.models.catalog import ModelInfo

QUESTIONS = 3
LONGEST_QUESTION = 200  # characters; a longer one is no question that people compare answers to
# Few rows can cost a model what it knew before, and no question of theirs shows it; this one does.
OTHER_MATTER = Text("What is the capital of France?", "法国的首都是哪里？")
RECIPE = ("model", "method", "adapter", "precision", "optimization")  # what makes two presets the same but for the data
_COUNTS = ("model.", "data.", "method.", "adapter.", "optimization.")  # sections of which a suggestion takes notice
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
    "prompts": Text(
        "These are questions without answers, so there is nothing to learn. Add a column named completion with the answers.",
        "这里只有问题没有回答，没有可学的内容。请加上名为 completion 的一列，写入回答。",
    ),
}
_LEARNS = Text(
    "the data holds {kind}, from which this method learns: {method}", "数据是{kind}，适合用这个方法学习：{method}"
)
_UNFIT_OTHERWISE = Text(
    "No method here learns from data of this kind ({kind}).", "这里还没有方法能学习这种数据（{kind}）。"
)


def choose_preset(engine: Session, draft: Draft, preset_id: str) -> Draft:
    """The draft after another preset was chosen: what a person set stays, everything else is as the preset says."""
    preset = engine.preset(preset_id)
    kept = {*draft.own(), *draft.picked}
    model, dataset = (
        draft.value(path) if path in kept else _named(preset, path) or draft.value(path) for path in (MODEL, DATA)
    )
    own = {path: draft.value(path) for path in kept}
    filled, sources = _filled(engine, preset, model, dataset, own=own)
    return draft.refilled(preset_id, filled, sorted(kept), sources)


def back_to_preset(engine: Session, draft: Draft) -> Draft:
    """The draft without anything that a person set, but for the model and the data that the preset leaves open."""
    return choose_preset(engine, Draft(draft.preset, draft.values, draft.values), draft.preset)


def preset_alone(engine: Session, preset_id: str) -> Draft:
    """The draft as a preset alone fills it, whatever stood there before."""
    blank = RunConfig().values()
    return replace(choose_preset(engine, Draft(preset_id, blank, blank), preset_id), moved=())


def now_kept(engine: Session, draft: Draft, preset_id: str) -> Draft:
    """The draft after all of it was kept as a preset: nothing of it is a change any more. Model and data that a person chose
    are theirs as before."""
    preset = engine.preset(preset_id)
    values = preset.config().changed({"output.name": draft.value("output.name") or ""}).values()
    kept = Draft(preset_id, values, values, sources=_sources(preset))
    return replace(kept, picked={path: name for path, name in draft.picked.items() if kept.value(path) == name})


def choose_data(engine: Session, draft: Draft, dataset: str, lang: str) -> Draft:
    """The draft after a person chose a data set: preset, method, questions and length go with it, what they set stays.

    Args:
        lang: the reader's language, for the choice between presets that are equally good.
    """
    draft = draft.picks(DATA, dataset)
    info, preset = engine.dataset(dataset), _preset(engine, draft.preset)
    if info is None:
        return draft
    model, kind, own = draft.value(MODEL), draft.filled["method"]["kind"], draft.own()
    if info.kind not in METHODS[draft.value(KIND)].data_kinds:
        # Filled in: where a person chose another one, that stays, and its field says what is wrong.
        kind = method_for(info.kind) or kind
        preset = _preset_for(engine, kind, model, dataset, lang) or preset
    elif preset is not None:
        preset = _same_recipe(engine, preset, dataset)
    if preset is None:
        return draft
    mine = {path: draft.value(path) for path in own}
    filled, sources = _filled(engine, preset, model, dataset, kind, mine)
    return draft.refilled(preset.id, filled, [DATA, *own], sources)


def choose_model(engine: Session, draft: Draft, model: str) -> Draft:
    """The draft after a person chose a model: how fast and how long goes with it, what they set stays."""
    draft, preset = draft.picks(MODEL, model), _preset(engine, draft.preset)
    if preset is None:
        return draft
    own = {path: draft.value(path) for path in draft.own()}
    filled, sources = _filled(engine, preset, model, draft.value(DATA), draft.filled["method"]["kind"], own)
    return draft.refilled(preset.id, filled, [MODEL, *own], sources)


def first_draft(engine: Session, model: str, dataset: str, lang: str) -> Draft:
    """What the page begins with: the first run, on the model and the data that were chosen before."""
    preset = first_preset(engine, lang)
    if not preset:
        blank = RunConfig().values()
        return Draft(preset, blank, blank)
    draft = preset_alone(engine, preset)
    if model and model != draft.value(MODEL):
        draft = choose_model(engine, draft, model)
    if dataset and dataset != draft.value(DATA):
        draft = choose_data(engine, draft, dataset, lang)
    return replace(draft, moved=())


def reasons(engine: Session, draft: Draft) -> dict[str, Text]:
    """Why the settings that follow from model and data are what they are, by path; as words after "because"."""
    found = {one.path: one.why for one in suggested(engine, draft)}
    info = engine.dataset(draft.value(DATA))
    if info is not None and draft.who(KIND) != PERSON:
        found[KIND] = _LEARNS.with_(
            kind=KIND_NAMES.get(info.kind, same(info.kind)), method=METHODS[draft.value(KIND)].label
        )
    return found


def suggested(engine: Session, draft: Draft) -> list[Suggestion]:
    """The suggestions that stand in the draft, with their reasons; not those over which a person wrote."""
    preset = _preset(engine, draft.preset)
    if preset is None:
        return []
    base, own = preset.config().values(), draft.own()
    values = {path: value_at(base, path) for path in PATHS if path not in own}
    with contextlib.suppress(WorkbenchError):  # a value that is wrong is told at its field
        found = _suggestions(engine, preset, RunConfig.parse(draft.values).changed(values), own)
        return [one for one in found if draft.value(one.path) == one.value]
    return []


def questions(engine: Session, dataset: str) -> tuple[str, ...]:
    """Some questions of the rows, from all over the set, and one of another matter; none where the rows ask nothing."""
    info = engine.dataset(dataset)
    if info is None:
        return ()
    rows = getattr(info, "usable", 0) or info.rows
    found: list[str] = []
    for part in range(QUESTIONS):
        try:
            example: dict[str, Any] = next(iter(engine.sample(dataset, rows * part // QUESTIONS, 1)), {})
        except WorkbenchError:
            break
        messages = example.get("prompt") or example.get("messages") or ()
        labelled = example.get("text") if info.kind == "labels" else ""  # whose label is asked for
        asked = labelled or next((message["content"] for message in messages if message["role"] == "user"), "")
        question = " ".join(str(asked).split())
        if question and len(question) <= LONGEST_QUESTION and question not in found:
            found.append(question)
    if not found or info.kind == "labels":
        return tuple(found)
    asked = "".join(found)
    general = OTHER_MATTER.to("zh" if 3 * count_chinese(asked) > len(asked) else "en")
    return tuple(found) if general in found else (*found, general)


def method_for(kind: str) -> str | None:
    """The method that learns from this kind of data, the one made for it first; None when there is none."""
    fitting = [name for name, method in METHODS.items() if kind in method.data_kinds]
    return min(fitting, key=lambda name: METHODS[name].data_kinds.index(kind), default=None)


def unfit(kind: str) -> Text | None:
    """Why no method learns from this kind of data, and what to do; None when one does."""
    if method_for(kind) is not None:
        return None
    return _UNFIT.get(kind) or _UNFIT_OTHERWISE.with_(kind=KIND_NAMES.get(kind, Text(kind, kind)))


def explained(engine: Session, config: RunConfig, problems: Sequence[Problem]) -> list[Problem]:
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
            if problem.hint is not None and problem.hint.en == READ_OTHERWISE.en:
                hint = problem.hint.with_(otherwise=hint)
            problem = replace(problem, hint=hint)
        made.append(problem)
    return made


def first_preset(engine: Session, lang: str) -> str:
    """The preset of the first run in the reader's language."""
    ids = [preset.id for preset in engine.presets()]
    wanted = "first-run-zh" if lang == "zh" else "first-run"
    return wanted if wanted in ids else (ids[0] if ids else "")


def _filled(
    engine: Session,
    preset: Preset,
    model: str,
    dataset: str,
    kind: str | None = None,
    own: Mapping[str, Any] | None = None,
) -> tuple[Nested, dict[str, str]]:
    """What the workbench fills in by itself for a preset, a model and a data set, and why, by path (`Draft.sources`).

    Args:
        kind: a method that is not the preset's, for data from which that one does not learn.
        own: what a person set, by path; it is not filled in, but what is suggested follows from it.
    """
    filled = preset.config().values()
    sources = _sources(preset)
    if kind is not None and kind != filled["method"]["kind"]:
        put(filled, KIND, kind)
        sources[KIND] = FOR_DATA
    for path, value in ((MODEL, model), (DATA, dataset)):
        if value and not _named(preset, path):
            put(filled, path, value)
    if _named(preset, DATA) != dataset and engine.dataset(dataset) is not None:
        configs = [other.config() for other in engine.presets()]
        here = next((config for config in configs if config.data.train == dataset and config.output.name), None)
        asked = (
            () if METHODS[filled["method"]["kind"]].task == REWARD else questions(engine, dataset)
        )  # it writes nothing
        put(filled, "evaluation.questions", list(here.evaluation.questions if here else asked))
        put(filled, "output.name", here.output.name if here else "")
        sources |= {"evaluation.questions": FOR_DATA, "output.name": FOR_DATA}
    config = RunConfig.parse(filled)
    given = {path: value for path, value in (own or {}).items() if path.startswith(_COUNTS)}
    with contextlib.suppress(WorkbenchError):  # a value that is wrong is told at its field
        found = _suggestions(engine, preset, config.changed(given), given)
        config = config.changed({one.path: one.value for one in found})
        sources |= {one.path: one.source for one in found}
    return config.values(), sources


def _sources(preset: Preset) -> dict[str, str]:
    """What a preset itself says, by path."""
    inside = {section: inner for section, inner in preset.values.items() if isinstance(inner, dict)}
    return {f"{section}.{name}": PRESET for section, inner in inside.items() for name in inner}


def _suggestions(engine: Session, preset: Preset, config: RunConfig, own: Collection[str]) -> list[Suggestion]:
    """What the rules suggest for this run, for its data and its model as they are listed."""
    data = engine.dataset(config.data.train)
    if data is None or data.kind not in METHODS[config.method.kind].data_kinds:
        return []
    try:
        model = engine.models.resolve(config.model.base)
    except WorkbenchError:  # what is wrong is told at its field
        return []
    return suggestions(preset.values, config, subject(engine, data, model), own)


def subject(engine: Session, data: DatasetInfo, model: ModelInfo) -> Subject:
    """What is known of this data, of this model, and of this computer's memory."""
    longest = engine.longest_row(data.id)
    shape = shape_of_folder(model.folder, model.parameters)

    def fit(config: RunConfig) -> MemoryFit:
        return engine.memory_fit(config, shape, min(longest or USUAL_ROW, config.data.max_length))

    return Subject(data.usable or data.rows, model.parameters, longest, model.context, shape.vocabulary, fit)


def _preset(engine: Session, preset_id: str) -> Preset | None:
    return next((preset for preset in engine.presets() if preset.id == preset_id), None)


def _named(preset: Preset, path: str) -> str:
    """What a preset itself says about model or data; "" where it leaves that open."""
    section, _, name = path.partition(".")
    given = preset.values.get(section)
    return str(given.get(name) or "") if isinstance(given, dict) else ""


def _same_recipe(engine: Session, preset: Preset, dataset: str) -> Preset:
    """The preset for this data set, or for any, that differs from the chosen one in what it says of the data alone."""
    if _named(preset, DATA) == dataset:
        return preset
    recipe = preset.config().values()
    alike = [
        other
        for other in engine.presets()
        if _named(other, DATA) in ("", dataset)
        and all(other.config().values()[section] == recipe[section] for section in RECIPE)
    ]
    return max(alike, key=lambda other: bool(_named(other, DATA)), default=preset)


def _preset_for(engine: Session, kind: str, base: str, dataset: str, lang: str) -> Preset | None:
    """The preset of a method that is nearest to model and data; one made for a shipped model suits only that model."""
    shipped = {info.id for info in engine.models.list() if info.shipped}
    first, ranked = first_preset(engine, lang), []
    for place, preset in enumerate(engine.presets()):
        config = preset.config()
        same_base = config.model.base == base
        if config.method.kind == kind and (same_base or not {config.model.base, base} & shipped):
            about = [dataset, ""].index(named) if (named := _named(preset, DATA)) in (dataset, "") else 2
            ranked.append((not same_base, about, preset.id != first, place, preset))
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
