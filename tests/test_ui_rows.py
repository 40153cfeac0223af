"""What the Data tab says of a set, its columns and its rows, and what the card beside Start says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui_double import FakeEngine
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.data.columns import NAMES, Column
from workbench.ui import rowhtml
from workbench.ui.forecast import forecast_card

ATTACK = '<img src=x onerror="window.__x=1"><script>alert(1)</script>'


def test_a_thought_a_tool_call_and_a_turn_that_is_not_learned_are_seen() -> None:
    call = {"type": "function", "function": {"name": "tide", "arguments": {"harbour": ATTACK}}}
    example = {
        "messages": [
            {"role": "user", "content": "Now?"},
            {"role": "assistant", "content": "WRONG", "learned": False},
            {"role": "assistant", "content": "", "reasoning": f"I look {ATTACK}", "tool_calls": [call]},
            {"role": "tool", "content": "low"},
            {"role": "assistant", "content": "Low tide."},
        ]
    }
    made = rowhtml.conversations([example], 0, "en")
    assert 'class="said context"><small>assistant (not learned)</small><div>WRONG' in made and "<img" not in made
    assert "<small>thought</small><div>I look" in made and "<small>tool call</small><div>tide({" in made
    assert made.count('class="said assistant"') == 3 and "<small>tool</small><div>low" in made
    chinese = rowhtml.conversations([example], 0, "zh")
    assert "助手（不学习）" in chinese and "工具结果" in chinese and "思考" in chinese


def test_what_is_good_to_know_is_not_among_the_problems() -> None:
    note = {"code": "note", "rows": [3], "message": Text("Noted", "已注明"), "left_out": False}
    lost = {"code": "lost", "rows": [4, 7], "message": Text("Gone", "没有"), "left_out": True}
    for lang, known, found in (("en", "Good to know", "Problems"), ("zh", "需要了解", "发现的问题")):
        quiet = rowhtml.problems({"rows": 30, "problems": [note]}, 512, None, lang)
        assert known in quiet and found not in quiet
        both = rowhtml.problems({"rows": 30, "problems": [note, lost]}, 512, None, lang)
        assert both.index(found) < both.index(Text("Gone", "没有").to(lang)) < both.index(known)
        assert "<b>0</b>" in rowhtml.tiles({"rows": 30, "problems": [note]}, lang)
        assert "<b>2</b>" in rowhtml.tiles({"rows": 30, "problems": [note, lost]}, lang)


def test_columns_that_are_not_used_are_named_with_an_example_all_of_them() -> None:
    used = [Column("问题", "question", "..."), Column("passage", "context", "...")]
    unused = [Column(f"{ATTACK}{number}", None, f"{ATTACK} value {number}") for number in range(30)]
    found = {"columns": [*used, *unused], "question": f"{ATTACK} Where?"}
    made = rowhtml.columns(found, "en")
    assert made.count("not used") == made.count("for example") == 30 and "<img" not in made and "<script" not in made
    assert all(f"value {number}”" in made for number in range(30)) and "and 22 more" in made
    assert made.index("<details>") > made.index("value 7”") and "is put before the question" in made
    assert "Where?" in made and "合在一起后" in rowhtml.columns(found, "zh")


@pytest.mark.parametrize("role", ["question", "messages", "text"])
def test_how_a_column_comes_to_be_used_is_said_where_one_is_not_and_there_is_a_question_to_put_it_before(
    role: str,
) -> None:
    for lang, said, renamed in (("en", "call it context", "context"), ("zh", "列名改为“上下文”", "上下文")):
        told = [Column("main", role, "a"), Column("note", None, "b")]
        made = rowhtml.columns({"columns": told, "question": None}, lang)
        assert (said in made) == (role != "text")
        used = [Column("main", role, "a"), Column("passage", "context", "b")]
        assert said not in rowhtml.columns({"columns": used, "question": "b\n\na"}, lang)
        assert renamed in NAMES["context"]  # what is promised


def test_where_all_columns_are_used_as_they_are_one_sentence_says_so() -> None:
    columns = [Column("prompt", "question", "a"), Column("<b>", "answer", "b")]
    made = rowhtml.columns({"columns": columns, "question": None}, "en")
    assert "prompt (the question), &lt;b&gt; (the answer)" in made and "card" not in made
    assert rowhtml.columns({"columns": [], "question": None}, "zh") == ""


def test_the_card_beside_start_says_which_rows_are_learned_and_kept_back_as_well(tmp_path: Path) -> None:
    forecast = FakeEngine(tmp_path).forecast(RunConfig.parse({"data": {"train": "pirate-voice"}}))
    overlap = Text("3 of the 20 rows <stand> twice", "20 条样本中有 3 条重复")
    assert "3 of the 20 rows &lt;stand&gt; twice" in forecast_card(forecast, [overlap], "en")
    assert "20 条样本中有 3 条重复" in forecast_card(forecast, [overlap], "zh")
    assert 'class="problem"' not in forecast_card(forecast, [], "en")


def test_the_card_beside_start_says_what_is_not_used_and_where_the_reasons_are(tmp_path: Path) -> None:
    forecast = FakeEngine(tmp_path).forecast(RunConfig.parse({"data": {"train": "pirate-voice"}}))
    unused = Text("Not used: column <i>.", "未使用：列 <i>。")
    made = forecast_card(forecast, [], "en", [unused])
    assert "Not used: column &lt;i&gt;. The Data tab says why." in made and 'class="problem"' not in made
    assert "未使用：列 &lt;i&gt;。原因见“数据”页。" in forecast_card(forecast, [], "zh", [unused])
    assert "Data tab" not in forecast_card(forecast, [], "en")
