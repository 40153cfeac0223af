"""Other data is chosen: the settings that nobody wrote go with it, and what a person wrote stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ui_double import PIRATE, FakeEngine
from workbench.config.errors import Problem, WorkbenchError
from workbench.config.presets import Preset
from workbench.config.run import RunConfig, put
from workbench.config.text import Text
from workbench.ui import suited
from workbench.ui.tabtools import reported


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(tmp_path)


def form(engine: FakeEngine, preset: str = "first-run") -> dict[str, Any]:
    return suited.preset_values(engine, preset, {})


def with_preset(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    known = engine.presets()
    made = Preset(
        "pairs", Text("Pairs", "成对"), Text("About pairs.", "关于成对。"), engine.home / "pairs.yaml", values
    )
    monkeypatch.setattr(engine, "presets", lambda: [*known, made])


def test_data_of_another_kind_brings_the_method_that_learns_from_it(engine: FakeEngine) -> None:
    before = form(engine)
    now = suited.follow(engine, "first-run", before, (), "better-answers", "en")
    assert now.values["method"]["kind"] == "dpo" and now.values["data"]["train"] == "better-answers"
    assert RunConfig.parse(now.values).method.kind == "dpo"
    assert before["method"]["kind"] == "sft" and before["data"]["train"] == "pirate-voice"  # the old form is untouched


def test_a_preset_for_that_method_and_model_is_taken_whole(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"model": {"base": "starter"}, "method": {"kind": "dpo"}, "optimization": {"learning_rate": 0.0007}}
    with_preset(engine, monkeypatch, values)
    now = suited.follow(engine, "first-run", form(engine), (), "better-answers", "en")
    assert now.preset == "pairs" and now.values["optimization"]["learning_rate"] == 0.0007
    assert now.values["data"]["train"] == "better-answers"
    back = suited.follow(engine, now.preset, now.values, now.questions, "wuxia-voice", "en")
    assert back.preset == "first-run-zh" and back.values["method"]["kind"] == "sft"


def test_a_preset_for_the_shipped_model_is_not_taken_for_another_one(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_preset(engine, monkeypatch, {"model": {"base": "starter"}, "method": {"kind": "dpo"}})
    before = form(engine)
    put(before, "model.base", "qwen3-0.6b")
    now = suited.follow(engine, "first-run", before, (), "better-answers", "en")
    assert now.preset == "first-run" and now.values["method"]["kind"] == "dpo"
    assert now.values["optimization"] == before["optimization"]


def test_questions_of_the_preset_give_way_to_questions_from_the_rows(engine: FakeEngine) -> None:
    info = engine.data.add(Path("bakery.jsonl"))
    now = suited.follow(engine, "first-run", form(engine), (), info.id, "en")
    assert now.values["evaluation"]["questions"] == [question for question, _ in PIRATE] == list(now.questions)
    again = suited.follow(engine, "first-run", now.values, now.questions, "wuxia-voice", "en")
    assert again.values["data"]["train"] == "wuxia-voice"
    assert suited.follow(engine, "first-run", now.values, now.questions, info.id, "en") == now


def test_what_a_person_wrote_stays(engine: FakeEngine) -> None:
    before = form(engine)
    for path, value in (("evaluation.questions", ["Mine?"]), ("output.name", "mine"), ("optimization.epochs", 7.0)):
        put(before, path, value)
    now = suited.follow(engine, "first-run", before, (), engine.data.add(Path("bakery.jsonl")).id, "en").values
    assert now["evaluation"]["questions"] == ["Mine?"] and now["output"]["name"] == "mine"
    assert now["optimization"]["epochs"] == 7.0


def test_a_set_that_is_gone_changes_nothing_but_the_choice(engine: FakeEngine) -> None:
    now = suited.follow(engine, "first-run", form(engine), ("a?",), "no-such-set", "en")
    wanted = form(engine)
    put(wanted, "data.train", "no-such-set")
    assert (now.values, now.questions) == (wanted, ("a?",))


def test_rows_that_ask_nothing_or_too_long_give_no_questions(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "sample", lambda *_: [{"text": "no question"}])
    assert suited.questions(engine, "pirate-voice") == ()
    long = {"messages": [{"role": "user", "content": "why? " * 100}]}
    monkeypatch.setattr(engine, "sample", lambda *_: [long])
    assert suited.questions(engine, "pirate-voice") == ()


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


@pytest.mark.parametrize(("kind", "said"), [("labels", "prompt and completion"), ("prompts", "completion")])
def test_data_that_no_method_learns_from_says_what_to_change_in_the_file(
    engine: FakeEngine, kind: str, said: str
) -> None:
    assert suited.unfit("chat") is None and suited.unfit("preference") is None
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
    before = form(engine)
    put(before, "optimization.seed", 5)
    own = suited.follow(engine, "first-run", before, (), engine.data.add(Path("bakery.jsonl")).id, "en")
    assert own.preset == "pairs"  # the one that names no data set
    assert own.values["evaluation"]["every_steps"] == 7 and own.values["optimization"]["seed"] == 5
    back = suited.follow(engine, own.preset, own.values, own.questions, "pirate-voice", "en")
    assert (
        back.preset == "first-run" and back.values["evaluation"]["every_steps"] == before["evaluation"]["every_steps"]
    )
    other, only = form(engine), [engine.preset("first-run")]
    monkeypatch.setattr(engine, "presets", lambda: only)
    assert suited.follow(engine, "first-run", other, (), "wuxia-voice", "en").preset == "first-run"


def test_long_work_reports_and_ends_with_its_result_or_its_error() -> None:
    steps = reported(lambda progress: progress(Text("a", "甲"), 1, 2) or "made")
    seen = []
    try:
        while True:
            seen.append(next(steps))
    except StopIteration as end:
        assert end.value == "made"
    assert seen in ([], [(Text("a", "甲"), 1, 2)])

    def fails(_: Any) -> None:
        raise WorkbenchError(Text("no room", "没有空间"))

    with pytest.raises(WorkbenchError, match="no room"):
        list(reported(fails))
