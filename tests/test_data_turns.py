"""The fields of a turn beside role and content: used in their place, or named."""

from __future__ import annotations

import json

import pytest

from tests.template_zoo import CHATML, ZOO, learned_stretches, tokenizer_for
from workbench.data.formats import inspect_rows
from workbench.data.rendering import render
from workbench.data.tokens import colour_example, encode_many

ASK = {"role": "user", "content": "say a number"}
RIGHT = {"role": "assistant", "content": "seven"}
MARKS = [
    {"weight": 0},
    {"weight": 0.0},
    {"loss_weight": "0"},
    {"train": False},
    {"training": False},
    {"trainable": "false"},
    {"learn": "no"},
    {"loss": False},
    {"masked": True},
    {"mask": 1},
    {"weight": 1, "train": False},
]
CALL = {"type": "function", "id": "a1", "function": {"name": "look", "arguments": '{"place": "Rome", "days": 2}'}}
TALK = [
    ASK,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "sunny", "tool_call_id": "a1", "name": "look"},
    {"role": "assistant", "content": "It is sunny."},
]
TOOL = {"name": "look", "description": "looks", "parameters": {"type": "object", "properties": {}}}
WITH_TOOLS = "{% for tool in tools or [] %}<tool>{{ tool | tojson }}</tool>{% endfor %}"


def codes(found):
    return [(problem["code"], problem["rows"], problem["left_out"]) for problem in found.problems]


def first(rows, tokenizer, learn="answers"):
    examples = inspect_rows(rows).examples
    return learned_stretches(tokenizer, encode_many(tokenizer, "chat", examples, learn)[0])


@pytest.mark.parametrize("mark", MARKS, ids=str)
@pytest.mark.parametrize("names", [("role", "content"), ("from", "value")])
def test_an_answer_that_is_marked_is_read_and_not_learned_and_shown_grey(mark, names):
    role, content = names
    talk = [ASK, {"role": "assistant", "content": "WRONG", **mark}, ASK, {**RIGHT, "weight": 1, "train": True}]
    renamed = [{role: turn.pop("role"), content: turn.pop("content"), **turn} for turn in map(dict, talk)]
    rows = [{"messages" if role == "role" else "conversations": renamed}]
    tokenizer = tokenizer_for(CHATML, "<|im_end|>")
    assert first(rows, tokenizer) == ["seven<|im_end|>"]
    assert "WRONG" not in "".join(first(rows, tokenizer, "all")) and "say a number" in "".join(
        first(rows, tokenizer, "all")
    )
    assert codes(inspect_rows(rows)) == []
    for learn in ("answers", "all"):
        pieces = colour_example(tokenizer, inspect_rows(rows).examples[0], learn)
        assert [piece.learned for piece in pieces if "WRONG" in piece.text] == [False]


@pytest.mark.parametrize("name", ZOO)
def test_with_every_template_only_the_answer_that_is_not_marked_is_learned(name):
    tokenizer = tokenizer_for(ZOO[name].template, ZOO[name].eos)
    rows = [{"messages": [ASK, {"role": "assistant", "content": "WRONG", "weight": 0}, ASK, RIGHT]}]
    (learned,) = first(rows, tokenizer)
    assert "seven" in learned and "WRONG" not in learned


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"weight": 0.5}, "weight_counts_as_1"),
        ({"weight": "heavy"}, "field_not_used"),
        ({"emotion": "glad"}, "field_not_used"),
        ({"reasoning": "a", "thinking": "b"}, "thought_not_used"),
        ({"thought": ["a"]}, "thought_not_used"),
    ],
)
def test_what_is_not_used_of_a_turn_is_named_and_the_answer_stays_learned(extra, code):
    rows = [{"messages": [ASK, {**RIGHT, **extra}]}] * 2
    found = inspect_rows(rows)
    assert codes(found) == [(code, [1, 2], False)]
    if code == "field_not_used":
        assert f" {next(iter(extra))} " in found.problems[0]["message"].to("en")
    assert first(rows, tokenizer_for(CHATML, "<|im_end|>")) == ["seven<|im_end|>"]


def test_a_mark_on_a_question_or_in_a_pair_is_named():
    assert codes(inspect_rows([{"messages": [{**ASK, "train": True}, RIGHT]}])) == [("mark_of_others", [1], False)]
    pair = {"prompt": "q", "chosen": [{**RIGHT, "weight": 0}], "rejected": "no"}
    assert codes(inspect_rows([pair])) == [("mark_of_pairs", [1], False)]


def test_empty_fields_are_no_reason_to_say_anything():
    turn = {**RIGHT, "name": None, "tool_calls": [], "reasoning_content": "", "refusal": None}
    found = inspect_rows([{"messages": [ASK, turn]}])
    assert found.problems == [] and found.examples == [{"messages": [ASK, RIGHT]}]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking", "thought"])
@pytest.mark.parametrize("place", ["reasoning_content", "reasoning", "thinking"])
def test_a_thought_is_learned_in_the_templates_own_place_whatever_the_data_calls_it(field, place):
    template = ZOO["thinking"].template.replace("reasoning_content", place)
    rows = [{"messages": [ASK, {**RIGHT, field: "I count."}]}]
    tokenizer = tokenizer_for(template, "<|im_end|>")
    assert first(rows, tokenizer) == ["<think>\nI count.\n</think>\n\nseven<|im_end|>"]
    assert encode_many(tokenizer, "chat", inspect_rows(rows).examples)[0].lost == ()


@pytest.mark.parametrize("write", ["tojson", "string"])
def test_tool_calls_and_their_results_are_rendered_by_the_template(write):
    shown = {"tojson": "call.function.arguments | tojson", "string": "'' + call.function.arguments"}[write]
    template = CHATML.replace(
        "m.content +",
        "m.content }}{% for call in m.tool_calls or [] %}{{ '[' + call.function.name + ' ' }}{{ "
        + shown
        + " }}{{ ']' }}"
        "{% endfor %}{{ (' of ' + m.name if m.name else '') +",
    )
    rows = [{"messages": TALK}, {"messages": [ASK, RIGHT]}]
    tokenizer = tokenizer_for(template, "<|im_end|>")
    examples = inspect_rows(rows).examples
    encoded = encode_many(tokenizer, "chat", examples)
    assert learned_stretches(tokenizer, encoded[0]) == [
        '[look {"place": "Rome", "days": 2}]<|im_end|>',
        "It is sunny.<|im_end|>",
    ]
    assert "sunny of look" in tokenizer.decode(encoded[0].input_ids)
    assert [row.lost for row in encoded] == [(), ()] and codes(inspect_rows(rows)) == []


def test_content_together_with_calls_stays():
    talk = [ASK, {**TALK[1], "content": "Let me see."}, *TALK[2:]]
    (example,) = inspect_rows([{"messages": talk}]).examples
    assert example["messages"][1]["content"] == "Let me see." and example["messages"][1]["tool_calls"]


@pytest.mark.parametrize("calls", [[{}], "look()", [{"function": {"name": 5}}], [{"function": "look"}]])
def test_calls_that_cannot_be_read_leave_the_row_out(calls):
    rows = [{"messages": [ASK, RIGHT]}, {"messages": [ASK, {"role": "assistant", "content": "", "tool_calls": calls}]}]
    assert codes(inspect_rows(rows)) == [("tool_calls", [2], True)]


@pytest.mark.parametrize("written", [[TOOL], json.dumps([TOOL]), [{"type": "function", "function": TOOL}]], ids=repr)
def test_descriptions_of_tools_reach_the_template_row_by_row(written):
    rows = [{"messages": TALK, "tools": written}, {"messages": [ASK, RIGHT]}, {"messages": TALK, "tools": []}]
    found = inspect_rows(rows)
    texts = render(tokenizer_for(WITH_TOOLS + CHATML, "<|im_end|>"), [row["messages"] for row in found.examples])
    expected = "<tool>" + json.dumps({"type": "function", "function": TOOL}) + "</tool>"
    assert [text.count(expected) for text in texts] == [1, 0, 0] and found.problems == []
    encoded = encode_many(tokenizer_for(CHATML, "<|im_end|>"), "chat", found.examples)
    assert [[loss.kind for loss in row.lost] for row in encoded] == [["call", "tools"], [], ["call"]]


@pytest.mark.parametrize("written", ["look(place)", ["look"], {"x": 1}])
def test_descriptions_of_tools_that_cannot_be_read_are_named(written):
    found = inspect_rows([{"messages": TALK, "tools": written}])
    assert codes(found) == [("tools_ignored", [1], False)] and "tools" not in found.examples[0]["messages"][0]


def test_the_rows_of_other_people_are_left_as_they_are():
    row = {"messages": TALK, "tools": [TOOL]}
    before = json.dumps(row)
    inspect_rows([row])
    assert json.dumps(row) == before
