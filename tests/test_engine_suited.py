"""Preset, model and data are chosen: the settings that nobody set go with them, and what a person set stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ui_double import PIRATE, FakeEngine
from workbench.config.errors import Problem
from workbench.config.presets import Preset, find_preset, list_presets
from workbench.config.run import RunConfig, put
from workbench.config.text import Text
from workbench.engine import suited
from workbench.engine.draft import DATA, MODEL, Draft, copied


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(tmp_path)


def draft(engine: FakeEngine, preset: str = "first-run") -> Draft:
    blank = RunConfig().values()
    return suited.choose_preset(engine, Draft(preset, blank, blank), preset)


def typed(before: Draft, changes: dict[str, Any]) -> Draft:
    """The draft after a person changed settings in the form."""
    values = copied(before.values)
    for path, value in changes.items():
        put(values, path, value)
    return replace(before, values=values)


def with_preset(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    known = engine.presets()
    made = Preset(
        "pairs", Text("Pairs", "成对"), Text("About pairs.", "关于成对。"), engine.home / "pairs.yaml", values
    )
    monkeypatch.setattr(engine, "presets", lambda: [*known, made])


def test_data_of_another_kind_brings_the_method_that_learns_from_it(engine: FakeEngine) -> None:
    before = draft(engine)
    now = suited.choose_data(engine, before, "better-answers", "en")
    assert now.values["method"]["kind"] == "dpo" and now.values["data"]["train"] == "better-answers"
    assert RunConfig.parse(now.values).method.kind == "dpo"
    assert before.values["method"]["kind"] == "sft" and before.values["data"]["train"] == "pirate-voice"  # untouched
    assert now.own() == [DATA], "nobody chose the method"


def test_a_preset_for_that_method_and_model_is_taken_whole(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"model": {"base": "starter"}, "method": {"kind": "dpo"}, "optimization": {"weight_decay": 0.25}}
    with_preset(engine, monkeypatch, values)
    now = suited.choose_data(engine, draft(engine), "better-answers", "en")
    assert now.preset == "pairs" and now.values["optimization"]["weight_decay"] == 0.25
    assert now.values["data"]["train"] == "better-answers"
    back = suited.choose_data(engine, now, "wuxia-voice", "en")
    assert back.preset == "first-run-zh" and back.values["method"]["kind"] == "sft" and back.own() == []


def test_a_preset_that_names_no_data_comes_before_one_that_names_others(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pairs(name: str, train: str) -> Preset:
        values = {"model": {"base": "starter"}, "method": {"kind": "dpo"}, "data": {"train": train} if train else {}}
        return Preset(name, Text(name, name), Text(name, name), engine.home / f"{name}.yaml", values)

    known = [*engine.presets(), pairs("others", "somebody-elses"), pairs("own", "")]
    monkeypatch.setattr(engine, "presets", lambda: known)
    assert suited.choose_data(engine, draft(engine), "better-answers", "en").preset == "own"


def test_own_pairs_get_the_preset_for_own_pairs(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "presets", list_presets)
    monkeypatch.setattr(engine, "preset", find_preset)
    now = suited.choose_data(engine, draft(engine), "better-answers", "en")
    assert now.preset == "own-pairs" and now.own() == []
    assert "train" not in find_preset("own-pairs").values["data"], "it tells of nobody else's data"
    back = suited.choose_data(engine, now, engine.data.add(Path("bakery.jsonl")).id, "en")
    assert back.preset == "own-data" and back.own() == []


def test_a_preset_for_the_shipped_model_is_not_taken_for_another_one(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_preset(engine, monkeypatch, {"model": {"base": "starter"}, "method": {"kind": "dpo"}})
    now = suited.choose_data(engine, suited.choose_model(engine, draft(engine), "qwen3-0.6b"), "better-answers", "en")
    assert now.preset == "first-run" and now.values["method"]["kind"] == "dpo"
    assert now.values["model"]["base"] == "qwen3-0.6b"


def test_questions_of_the_preset_give_way_to_questions_from_the_rows(engine: FakeEngine) -> None:
    info = engine.data.add(Path("bakery.jsonl"))
    now = suited.choose_data(engine, draft(engine), info.id, "en")
    assert now.values["evaluation"]["questions"] == [*(question for question, _ in PIRATE), suited.OTHER_MATTER.en]
    again = suited.choose_data(engine, now, "wuxia-voice", "en")
    assert (
        again.values["evaluation"]["questions"] == ["天空是什么颜色？"]
        and again.values["data"]["train"] == "wuxia-voice"
    )
    assert suited.choose_data(engine, now, info.id, "en") == now


MINE = {"evaluation.questions": ["Mine?"], "output.name": "mine", "optimization.epochs": 7.0, "adapter.dropout": 0.2}


@pytest.mark.parametrize("dataset", ["bakery", "better-answers", "wuxia-voice"])
def test_what_a_person_set_stays_when_data_is_chosen(engine: FakeEngine, dataset: str) -> None:
    """Also where another method, and so another preset, comes with the data."""
    engine.data.add(Path("bakery.jsonl"))
    now = suited.choose_data(engine, typed(draft(engine), MINE), dataset, "en")
    assert now.values["evaluation"]["questions"] == ["Mine?"] and now.values["output"]["name"] == "mine"
    assert now.values["optimization"]["epochs"] == 7.0 and now.values["adapter"]["dropout"] == 0.2
    assert set(now.own()) - {DATA} == set(MINE)


def test_a_set_that_is_gone_changes_nothing_but_the_choice(engine: FakeEngine) -> None:
    before = draft(engine)
    now = suited.choose_data(engine, before, "no-such-set", "en")
    assert now.values == typed(before, {DATA: "no-such-set"}).values and now.filled == before.filled


# -- another preset ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["first-run", "first-run-zh", "lora-8gb"])
@pytest.mark.parametrize("dataset", ["bakery", "better-answers", "wuxia-voice"])
def test_data_and_model_that_a_person_chose_stay_with_every_preset(
    engine: FakeEngine, preset: str, dataset: str
) -> None:
    engine.data.add(Path("bakery.jsonl"))
    before = suited.choose_model(engine, suited.choose_data(engine, draft(engine), dataset, "en"), "qwen3-0.6b")
    now = suited.choose_preset(engine, before, preset)
    assert now.preset == preset
    assert (now.values["data"]["train"], now.values["model"]["base"]) == (dataset, "qwen3-0.6b")
    on = suited.choose_preset(engine, now, "lora-8gb")
    assert (on.values["data"]["train"], on.values["model"]["base"]) == (dataset, "qwen3-0.6b")


def test_data_that_nobody_chose_goes_with_the_preset(engine: FakeEngine) -> None:
    now = suited.choose_preset(engine, draft(engine), "first-run-zh")
    assert now.values["data"]["train"] == "wuxia-voice" and now.own() == []


def test_a_set_that_a_preset_names_too_stays_where_a_person_chose_it(engine: FakeEngine) -> None:
    chosen = suited.choose_data(engine, draft(engine), "wuxia-voice", "en")
    assert chosen.preset == "first-run-zh" and chosen.own() == []
    assert suited.choose_preset(engine, chosen, "lora-8gb").values["data"]["train"] == "wuxia-voice"


def test_another_preset_brings_the_rest_and_touches_nothing_that_a_person_set(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_preset(engine, monkeypatch, {"method": {"kind": "dpo", "beta": 0.3}, "optimization": {"weight_decay": 0.25}})
    before = typed(draft(engine), MINE)
    now = suited.choose_preset(engine, before, "pairs")
    assert {path: now.value(path) for path in before.own()} == MINE and set(before.own()) <= set(now.own())
    assert now.value("optimization.weight_decay") == 0.25 and now.value("method.kind") == "dpo"
    assert {"optimization.weight_decay", "method.kind", "optimization.learning_rate"} <= set(now.moved)
    assert not set(now.moved) & set(MINE)
    chosen = typed(draft(engine), {"method.kind": "dpo"})
    assert suited.choose_preset(engine, chosen, "lora-8gb").value("method.kind") == "dpo", "a method, too"


def test_a_method_that_a_person_chose_stays_with_other_data_and_can_be_taken_back(engine: FakeEngine) -> None:
    chosen = typed(draft(engine), {"method.kind": "dpo"})
    now = suited.choose_data(engine, chosen, engine.data.add(Path("bakery.jsonl")).id, "en")
    assert now.value("method.kind") == "dpo" and now.own() == [DATA, "method.kind"]
    assert now.undone(["method.kind"]).value("method.kind") == "sft"


def test_kept_data_that_does_not_suit_the_presets_method_is_told_with_the_way_out(engine: FakeEngine) -> None:
    pairs = suited.choose_data(engine, draft(engine), "better-answers", "en")
    now = suited.choose_preset(engine, pairs, "lora-8gb")
    config = RunConfig.parse(now.values)
    assert (config.method.kind, config.data.train) == ("sft", "better-answers")
    wrong = Problem(Text("wrong kind", "类型不对"), None, "data.train")
    (problem,) = suited.explained(engine, config, [wrong])
    assert problem.hint is not None and "DPO" in problem.hint.to("en") and "DPO" in problem.hint.to("zh")


def test_what_was_kept_as_a_preset_is_no_change_and_the_data_stays_the_persons(engine: FakeEngine) -> None:
    chosen = typed(suited.choose_data(engine, draft(engine), "wuxia-voice", "en"), {"optimization.epochs": 7.0})
    saved = engine.save_preset("Mine", RunConfig.parse(chosen.values))
    now = suited.now_kept(engine, chosen, saved.id)
    assert now.own() == [] and now.preset == saved.id and now.value("optimization.epochs") == 7.0
    assert suited.choose_preset(engine, now, "first-run").value(DATA) == "wuxia-voice"
    other = suited.now_kept(engine, chosen, engine.save_preset("Other", RunConfig()).id)
    assert other.picked == {} and other.value(DATA) == RunConfig().data.train, "a preset that was brought says its own"


def test_only_what_a_person_changed_counts_as_changed(engine: FakeEngine) -> None:
    info = engine.data.add(Path("bakery.jsonl"))
    now = suited.choose_data(engine, draft(engine), info.id, "en")
    assert now.own() == [DATA], "not the questions, the name and the length, which went with the data"
    assert typed(now, {"method.kind": "dpo"}).own() == [DATA, "method.kind"], "not the options that come with it"
    filled_in = now.value("optimization.learning_rate")
    now = typed(now, {"optimization.learning_rate": 0.5})
    assert now.own() == [DATA, "optimization.learning_rate"]
    assert typed(now, {"optimization.learning_rate": filled_in}).own() == [DATA]


def test_back_to_the_preset_leaves_nothing_that_a_person_set(engine: FakeEngine) -> None:
    before = typed(suited.choose_data(engine, draft(engine), "wuxia-voice", "en"), MINE)
    now = suited.back_to_preset(engine, replace(before, preset="first-run"))
    assert now.values == draft(engine).values and now.own() == [] and now.picked == {}


def test_a_model_and_data_that_the_preset_leaves_open_stay_with_it(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_preset(engine, monkeypatch, {"adapter": {"rank": 4}})
    now = suited.choose_preset(engine, draft(engine, "first-run-zh"), "pairs")
    assert now.values["data"]["train"] == "wuxia-voice" and now.own() == []
    assert suited.back_to_preset(engine, now).values["data"]["train"] == "wuxia-voice"


def test_a_draft_comes_back_from_the_browser_as_it_was(engine: FakeEngine) -> None:
    before = typed(suited.choose_data(engine, draft(engine), "wuxia-voice", "en"), {"adapter.rank": 4})
    assert Draft.parse(json.loads(json.dumps(before.as_dict()))) == before
    assert before.settled(DATA, "wuxia-voice") and not before.settled(DATA, "pirate-voice")
    assert before.settled(MODEL, "starter")


@pytest.mark.parametrize(
    "kept",
    [None, {}, [], {"preset": "first-run", "values": {}}, {"values": 1, "filled": {}, "picked": {}},
     {"values": {}, "filled": None, "picked": {}}, {"values": {"no": 1}, "filled": {}, "picked": {}},
     {"values": {}, "filled": {}, "picked": [[1]]}],
)  # fmt: skip
def test_what_is_no_draft_is_not_taken_for_one(kept: Any) -> None:
    assert Draft.parse(kept) is None


def test_rows_that_ask_nothing_or_too_long_give_no_questions(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "sample", lambda *_: [{"text": "no question"}])
    assert suited.questions(engine, "pirate-voice") == ()
    long = {"messages": [{"role": "user", "content": "why? " * 100}]}
    monkeypatch.setattr(engine, "sample", lambda *_: [long])
    assert suited.questions(engine, "pirate-voice") == ()


@pytest.mark.parametrize(
    ("asked", "general"),
    [
        ("Where be the treasure?", "What is the capital of France?"),
        ("客官，打尖还是住店？", "法国的首都是哪里？"),
        ("用 Python 写一个排序函数，好吗？", "法国的首都是哪里？"),
    ],
)
def test_one_question_shows_whether_the_model_still_knows_what_no_row_says(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, asked: str, general: str
) -> None:
    monkeypatch.setattr(engine, "sample", lambda *_: [{"messages": [{"role": "user", "content": asked}]}])
    assert suited.questions(engine, "pirate-voice") == (asked, general)
    monkeypatch.setattr(engine, "sample", lambda *_: [{"messages": [{"role": "user", "content": general}]}])
    assert suited.questions(engine, "pirate-voice") == (general,)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_method_that_does_not_suit_the_data_is_told_with_the_way_out(engine: FakeEngine, lang: str) -> None:
    config = RunConfig().changed({"data.train": "better-answers"})
    wrong = Problem(Text("wrong kind", "类型不对"), Text("Choose another.", "另选。"), "data.train")
    other = Problem(Text("too much", "太多"), None, "optimization.epochs")
    told, same = suited.explained(engine, config, [wrong, other])
    assert same == other and told.hint is not None
    hint = told.hint.to(lang)
    assert "DPO" in hint and ("Pirate voice" in hint or "海盗口吻" in hint)
    fitting = suited.explained(engine, RunConfig().changed({"data.train": "pirate-voice"}), [wrong])
    assert fitting == [wrong]


def test_where_no_data_fits_the_hint_says_what_to_bring(engine: FakeEngine) -> None:
    engine.data._all = [info for info in engine.data._all if info.kind == "chat"]
    config = RunConfig().changed({"method.kind": "dpo", "data.train": "pirate-voice"})
    wrong = Problem(Text("wrong kind", "类型不对"), None, "data.train")
    assert "SFT" in suited.explained(engine, config, [wrong])[0].hint.to("en")  # type: ignore[union-attr]
    strange = replace(engine.data._all[0], id="strange", kind="prompts")
    engine.data._all = [strange]
    config = config.changed({"data.train": "strange"})
    assert "preference" in suited.explained(engine, config, [wrong])[0].hint.to("en")  # type: ignore[union-attr]


@pytest.mark.parametrize(("kind", "said"), [("prompts", "completion")])
def test_data_that_no_method_learns_from_says_what_to_change_in_the_file(
    engine: FakeEngine, kind: str, said: str
) -> None:
    assert all(suited.unfit(known) is None for known in ("chat", "preference", "labels"))
    assert said in suited.unfit(kind).to("en") and "completion" in suited.unfit(kind).to("zh")  # type: ignore[union-attr]
    engine.data._all = [replace(engine.data._all[0], id="strange", kind=kind)]
    wrong = Problem(Text("wrong kind", "类型不对"), None, "data.train")
    told = suited.explained(engine, RunConfig().changed({"data.train": "strange"}), [wrong])
    assert said in told[0].hint.to("en")  # type: ignore[union-attr]


def test_data_of_ones_own_leave_the_first_runs_preset_and_come_back_to_it(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = {
        section: value for section, value in engine.preset("first-run").values.items() if section == "optimization"
    }
    with_preset(engine, monkeypatch, {**recipe, "evaluation": {"every_steps": 7}})
    before = typed(draft(engine), {"optimization.seed": 5})
    own = suited.choose_data(engine, before, engine.data.add(Path("bakery.jsonl")).id, "en")
    assert own.preset == "pairs"  # the one that names no data set
    assert own.values["evaluation"]["every_steps"] == 7 and own.values["optimization"]["seed"] == 5
    back = suited.choose_data(engine, own, "pirate-voice", "en")
    assert back.preset == "first-run"
    assert back.values["evaluation"]["every_steps"] == before.values["evaluation"]["every_steps"]
    other, only = draft(engine), [engine.preset("first-run")]
    monkeypatch.setattr(engine, "presets", lambda: only)
    assert suited.choose_data(engine, other, "wuxia-voice", "en").preset == "first-run"
