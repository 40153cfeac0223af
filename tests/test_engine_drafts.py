"""The draft of a run in the engine: who set each value, what a change is, one for each visitor, kept over a restart."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ui_double import FakeEngine
from workbench.config.run import RunConfig, put
from workbench.engine import drafts as store
from workbench.engine import suited
from workbench.engine.draft import DATA, DEFAULT, FOR_DATA, KIND, MODEL, PERSON, PRESET, SOURCES, Draft, copied
from workbench.engine.drafts import Drafts
from workbench.engine.suggestions import EPOCHS, RATE

BLANK = RunConfig().values()


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(tmp_path)


@pytest.fixture
def kept(tmp_path: Path) -> Drafts:
    return Drafts(tmp_path / "drafts")


def typed(before: Draft, changes: dict[str, Any]) -> Draft:
    """After a form that showed the draft was changed."""
    now = copied(before.values)
    for path, value in changes.items():
        put(now, path, value)
    return before.edited(before.values, now)


# -- who set it -------------------------------------------------------------------------------------------------------


def test_every_value_knows_who_set_it(engine: FakeEngine) -> None:
    draft = suited.preset_alone(engine, "first-run")
    assert (draft.who(RATE), draft.who(DATA), draft.who("adapter.rank")) == (PRESET, PRESET, DEFAULT)
    draft = typed(suited.choose_data(engine, draft, "better-answers", "en"), {"adapter.rank": 4})
    assert {path: draft.who(path) for path in (DATA, KIND, "evaluation.questions", "adapter.rank", RATE)} == {
        DATA: PERSON, KIND: FOR_DATA, "evaluation.questions": FOR_DATA, "adapter.rank": PERSON, RATE: PRESET,
    }  # fmt: skip
    assert draft.who("method.beta") == DEFAULT, "an option of a method that nobody set"
    assert typed(draft, {"adapter.rank": BLANK["adapter"]["rank"]}).who("adapter.rank") == DEFAULT, "typed back"
    assert {draft.who(f"{section}.{name}") for section, inner in draft.values.items() for name in inner} <= {*SOURCES}


def test_what_is_suggested_for_a_model_or_data_says_so(tmp_path: Path) -> None:
    from workbench.engine.engine import Engine

    engine = Engine(tmp_path)
    file = tmp_path / "few.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"Q{n}?", "completion": f"A{n}."}) + "\n" for n in range(40)))
    mine = engine.data.add(file, name="few").id
    draft = suited.choose_data(engine, suited.preset_alone(engine, "first-run"), mine, "en")
    assert draft.value(EPOCHS) == 20.0 and draft.who(EPOCHS) == FOR_DATA
    assert typed(draft, {EPOCHS: 3.0}).who(EPOCHS) == PERSON
    again = suited.choose_preset(engine, typed(draft, {EPOCHS: 3.0}), "own-data")
    assert again.value(DATA) == mine and again.who(DATA) == PERSON
    engine.close()


def test_only_what_a_form_changed_is_a_change_and_what_it_did_not_know_stays() -> None:
    start = Draft("first-run", BLANK, BLANK)
    elsewhere = typed(start, {"optimization.epochs": 9.0})  # in another tab
    now = copied(start.values)
    put(now, "adapter.rank", 4)
    both = elsewhere.edited(start.values, now)
    assert both.own() == ["adapter.rank", "optimization.epochs"]
    assert both.edited(now, now) is both and start.edited(start.values, start.values) is start
    gone = copied(start.values)
    del gone["optimization"]["adam_beta1"]  # a form leaves out what does not count
    assert "adam_beta1" not in start.edited(start.values, gone).values["optimization"]


def test_a_value_a_section_and_all_are_taken_back() -> None:
    start = Draft("first-run", BLANK, BLANK)
    changed = typed(start, {"adapter.rank": 4, "adapter.alpha": 5.0, "optimization.epochs": 9.0, KIND: "dpo"})
    changed = typed(changed, {"method.beta": 0.5})
    assert changed.undone(["adapter.rank"]).own() == [
        path for path in changed.own() if path != "adapter.rank"
    ]  # fmt: skip
    assert "adapter." not in " ".join(changed.undone(["adapter."]).own())
    assert changed.undone(["method.beta"]).value("method.beta") == 0.1
    assert changed.undone([KIND, "method.beta"]).values["method"] == BLANK["method"]
    assert changed.undone(changed.own()).values == BLANK
    other = typed(start, {"adapter.kind": "dora", "adapter.rank": 4}).undone(["adapter.kind"])
    assert other.value("adapter.kind") == "lora" and other.own() == ["adapter.rank"], "what both have stays"
    assert changed.undone(["no.such", "x", ""]) == changed
    chosen = start.picks(MODEL, "qwen3-0.6b")
    assert chosen.undone([MODEL]).value(MODEL) == BLANK["model"]["base"] and not chosen.undone([MODEL]).picked


# -- kept -------------------------------------------------------------------------------------------------------------


def test_a_draft_is_there_after_a_restart_with_a_wrong_value_too(kept: Drafts) -> None:
    visitor = Drafts.new_id()
    draft = typed(Draft("first-run", BLANK, BLANK, {DATA: "x"}, {RATE: PRESET}), {"adapter.rank": 0, RATE: 0.5})
    one = kept.change(visitor, lambda _: draft)
    again = Drafts(kept.folder).get(visitor)
    assert again == one and again.number == 1 and again.draft.value("adapter.rank") == 0
    assert kept.change(visitor, lambda before: before) == one, "no change, no number"
    assert kept.change(visitor, lambda before: typed(before, {"adapter.rank": 8})).number == 2
    assert kept.at(visitor, 1) == draft and kept.at(visitor, 2).value("adapter.rank") == 8
    assert kept.at(visitor, 77) == kept.get(visitor).draft, "long ago: the newest"


def test_a_visitor_knows_only_their_own(kept: Drafts) -> None:
    ann, bob = Drafts.new_id(), Drafts.new_id()
    kept.change(ann, lambda _: Draft("first-run", BLANK, BLANK))
    assert kept.get(bob) is None and ann != bob
    for name in ("", "../" + ann, ann.upper() + "x", None, {}, 7, "a" * 33, ann + "\n"):
        assert kept.get(name) is None  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="visitor"):
        kept.change("../out", lambda _: Draft("first-run", BLANK, BLANK))
    assert [path.name for path in kept.folder.iterdir()] == [f"{ann}.json"]


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                st.sampled_from(["values", "filled", "picked", "number", "sources", "model", "adapter", "rank", "kind"]),
                inner, max_size=4,
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
    )
)  # fmt: skip
def test_a_file_that_is_no_draft_is_none(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    kept = Drafts(tmp_path_factory.mktemp("drafts"))
    visitor = Drafts.new_id()
    (kept.folder / f"{visitor}.json").write_bytes(content)
    found = kept.get(visitor)
    assert found is None or isinstance(found.draft, Draft)
    assert kept.change(visitor, lambda before: before or Draft("first-run", BLANK, BLANK)).draft.values


def test_the_oldest_go_and_changes_long_ago_are_forgotten(kept: Drafts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST", 3)
    visitors = [Drafts.new_id() for _ in range(5)]
    for age, visitor in enumerate(visitors):
        kept.change(visitor, lambda _: Draft("first-run", BLANK, BLANK))
        os.utime(kept.folder / f"{visitor}.json", (age, age))
    kept.change(Drafts.new_id(), lambda _: Draft("first-run", BLANK, BLANK))
    assert sum(kept.get(visitor) is not None for visitor in visitors) == 2
    last = visitors[-1]
    for rank in range(1, 50):
        kept.change(last, lambda before, rank=rank: typed(before, {"adapter.rank": rank}))
    assert kept.at(last, 2) == kept.get(last).draft and kept.at(last, 49) != kept.get(last).draft


def test_changes_from_many_threads_are_all_kept(kept: Drafts) -> None:
    visitor, paths = Drafts.new_id(), ["adapter.rank", "optimization.batch_size", "optimization.accumulation"]
    kept.change(visitor, lambda _: Draft("first-run", BLANK, BLANK))
    threads = [
        threading.Thread(target=lambda path=path: kept.change(visitor, lambda before: typed(before, {path: 3})))
        for path in paths
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.get(visitor).number == 4
    assert [kept.get(visitor).draft.value(path) for path in paths] == [3, 3, 3]


def test_what_no_json_holds_is_kept_as_wrong_as_it_is(kept: Drafts) -> None:
    visitor = Drafts.new_id()
    kept.change(
        visitor, lambda _: typed(Draft("first-run", BLANK, BLANK), {RATE: 10**400, "adapter.rank": float("nan")})
    )
    again = Drafts(kept.folder).get(visitor)
    assert again is not None and again.draft.value(RATE) == float("inf")
