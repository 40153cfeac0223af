"""The form as a view of the visitor's draft, without a browser: what is sent, who set it, what a click takes back."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.ui_double import FakeEngine
from workbench.bootstrap import environment
from workbench.config.run import RunConfig

environment()

from workbench.engine import suited  # noqa: E402
from workbench.engine.draft import Draft  # noqa: E402
from workbench.engine.drafts import Drafts  # noqa: E402
from workbench.ui.live import LONGEST  # noqa: E402
from workbench.ui.page import build  # noqa: E402

RATE = "optimization.learning_rate"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> FakeEngine:
    return FakeEngine(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def part(engine: FakeEngine) -> Any:
    return build(engine).shell.shared["train.parts"].draft


def opened(part: Any, engine: FakeEngine) -> tuple[str, Any]:
    return part.opened("", lambda before: before or suited.first_draft(engine, "", "", "en"))


def typed(part: Any, kept: Any, **changes: Any) -> list[Any]:
    """What the page would send of this draft, with changes by the setting's name."""
    values = part.form.show(kept.draft.values)
    for index, field in enumerate(part.form.fields):
        name = field.setting.path.rpartition(".")[2]
        if name in changes and field.setting.applies(kept.draft.values):
            values[index] = changes[name]
    return values


def test_what_the_page_sends_back_unchanged_is_no_change(part: Any, engine: FakeEngine) -> None:
    visitor, kept = opened(part, engine)
    assert not kept.draft.own() and not kept.draft.moved
    first = part.changed(visitor, "1", typed(part, kept), "en")
    assert not first.draft.own()
    assert part.changed(visitor, str(first.number), typed(part, first), "en") == first


def test_a_change_that_another_tab_made_meanwhile_stays(part: Any, engine: FakeEngine) -> None:
    visitor, kept = opened(part, engine)
    part.changed(visitor, "1", typed(part, kept, learning_rate=0.5), "en")
    both = part.changed(visitor, "1", typed(part, kept, epochs=9), "en")  # as if it had not heard of the first
    assert both.draft.own() == [RATE, "optimization.epochs"]
    shown = part.show(both, "en", typed(part, kept, epochs=9))
    sent = [value for value in shown[2:] if not isinstance(value, dict)]
    assert 0.5 in sent and shown[0] == str(both.number)


def test_each_field_says_who_set_it_in_the_readers_language(part: Any, engine: FakeEngine) -> None:
    visitor, kept = opened(part, engine)
    now = part.changed(visitor, "1", typed(part, kept, epochs=9), "en").draft
    english, chinese = part.styles(now, "en"), part.styles(now, "zh")
    you = english.partition("set by you")[0].rpartition("}")[2]
    assert "#field-optimization-epochs [data-testid=block-info]::after" in you and "你设置的" in chinese
    assert "from the preset" in english and "adapter-rank" not in english, "the usual needs no word"


def test_a_click_takes_back_one_value_or_a_section(part: Any, engine: FakeEngine) -> None:
    visitor, kept = opened(part, engine)
    now = part.changed(visitor, "1", typed(part, kept, rank=4, alpha=9, epochs=9), "en")
    said = part.changes(visitor, now.draft, "en")
    assert said.count('data-deed="undo"') == 4 and "all of Adapter" in said and "“" not in said
    keys = re.findall('data-key="([^"]*)"', said)
    assert all(len(key) <= LONGEST for key in keys)
    part._undo(keys[-1])  # the section's
    assert engine.drafts.get(visitor).draft.own() == ["optimization.epochs"]
    part._undo(f"{Drafts.new_id()} adapter.rank")
    part._undo(f"{visitor} nonsense ../x")
    assert engine.drafts.get(visitor).draft.own() == ["optimization.epochs"]
    assert part.changes(visitor, suited.first_draft(engine, "", "", "en"), "zh") == ""


def test_what_an_older_version_kept_in_the_browser_is_taken_along(part: Any, engine: FakeEngine) -> None:
    blank = RunConfig().values()
    older = Draft("first-run", {**blank, "adapter": {**blank["adapter"], "rank": 4}}, blank).as_dict()
    del older["sources"], older["moved"]
    visitor, kept = part.opened(older, lambda before: before or pytest.fail("it was lost"))
    assert kept.draft.value("adapter.rank") == 4 and engine.drafts.get(visitor) == kept
    for strange in (None, 7, [], {"values": 1}, "../../x", "f" * 32):
        visitor, kept = part.opened(strange, lambda before: before or suited.first_draft(engine, "", "", "en"))
        assert visitor != strange and not kept.draft.own()


def test_what_a_choice_changed_by_itself_is_named(part: Any, engine: FakeEngine) -> None:
    from workbench.ui import presetlist

    visitor, kept = opened(part, engine)
    now = part.changed(
        visitor, "1", typed(part, kept, epochs=9), "en", lambda d: suited.choose_preset(engine, d, "first-run-zh")
    )
    said = presetlist.note(engine, part.form, now.draft, "en")
    assert "also changed: Your own questions" in said and "Epochs" not in said
    assert "also changed" not in presetlist.note(engine, part.form, kept.draft, "en")
