"""Recognising formats, turning rows into examples, and reporting the rows that cannot be used."""

import pytest

from workbench.config.errors import WorkbenchError
from workbench.data.formats import FORMATS, inspect_rows, normalise, recognise, require_kind


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


def shared(*pairs):
    return [{"from": speaker, "value": text} for speaker, text in pairs]


TALK = [user("q"), assistant("a")]
PAIR = {"prompt": [user("q")], "chosen": [assistant("good")], "rejected": [assistant("bad")]}

CASES = {
    "text": ("text", {"text": "t"}, {"text": "t"}),
    "text under another name": ("text", {"content": "t", "id": 5}, {"text": "t"}),
    "prompt and completion": ("prompt_completion", {"prompt": "q", "completion": "a"}, {"messages": TALK}),
    "message lists as prompt and completion": (
        "prompt_completion",
        {"prompt": [user("q")], "completion": [assistant("a")]},
        {"messages": TALK},
    ),
    "question and answer": ("prompt_completion", {"Question": "q", "Answer": "a"}, {"messages": TALK}),
    "Chinese headings": ("prompt_completion", {"问题": "q", "回答": "a"}, {"messages": TALK}),
    "alpaca": ("alpaca", {"instruction": "q", "input": "", "output": "a"}, {"messages": TALK}),
    "alpaca with all columns": (
        "alpaca",
        {"instruction": "q", "input": "x", "output": "a", "system": "s", "history": [["q0", "a0"]]},
        {"messages": [system("s"), user("q0"), assistant("a0"), user("q\nx"), assistant("a")]},
    ),
    "messages": ("messages", {"messages": TALK}, {"messages": TALK}),
    "messages with parts": (
        "messages",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, assistant("a")]},
        {"messages": TALK},
    ),
    "messages with an empty system turn": ("messages", {"messages": [system(""), *TALK]}, {"messages": TALK}),
    "conversations with roles": ("messages", {"conversations": TALK}, {"messages": TALK}),
    "sharegpt": (
        "sharegpt",
        {"conversations": shared(("human", "q"), ("gpt", "a")), "system": "s"},
        {"messages": [system("s"), *TALK]},
    ),
    "sharegpt with tools": (
        "sharegpt",
        {"conversations": shared(("human", "q"), ("function_call", "{}"), ("observation", "1"), ("gpt", "a"))},
        {"messages": [user("q"), assistant("{}"), {"role": "tool", "content": "1"}, assistant("a")]},
    ),
    "preference strings": ("preference", {"prompt": "q", "chosen": "good", "rejected": "bad"}, PAIR),
    "preference with a question and a system column": (
        "preference",
        {"system": "s", "question": "q", "chosen": "good", "rejected": "bad"},
        {**PAIR, "prompt": [system("s"), user("q")]},
    ),
    "preference in alpaca's columns": (
        "preference",
        {"instruction": "q", "input": "", "chosen": "good", "rejected": "bad"},
        PAIR,
    ),
    "preference message lists": (
        "preference",
        {"prompt": [user("q")], "chosen": [assistant("good")], "rejected": [assistant("bad")]},
        PAIR,
    ),
    "preference whose answers repeat the prompt": (
        "preference",
        {"prompt": "q", "chosen": [user("q"), assistant("good")], "rejected": [user("q"), assistant("bad")]},
        PAIR,
    ),
    "preference with an implicit prompt": (
        "preference",
        {"chosen": [*TALK, user("q2"), assistant("good")], "rejected": [*TALK, user("q2"), assistant("bad")]},
        {**PAIR, "prompt": [*TALK, user("q2")]},
    ),
    "preference as LLaMA-Factory writes it": (
        "preference",
        {
            "conversations": shared(("system", "s"), ("human", "q")),
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        {**PAIR, "prompt": [system("s"), user("q")]},
    ),
    "preference as transcripts": (
        "preference",
        {"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: bad"},
        PAIR,
    ),
    "kto": (
        "kto",
        {"prompt": "q", "completion": "a", "label": True},
        {"prompt": [user("q")], "completion": [assistant("a")], "label": True},
    ),
    "kto as messages": (
        "kto",
        {"messages": TALK, "label": False},
        {"prompt": [user("q")], "completion": [assistant("a")], "label": False},
    ),
    "kto from csv": (
        "kto",
        {"prompt": "q", "completion": "a", "label": "false"},
        {"prompt": [user("q")], "completion": [assistant("a")], "label": False},
    ),
    "labelled": ("labelled", {"text": "t", "label": 1}, {"text": "t", "label": "1"}),
    "labelled from csv": ("labelled", {"Review": "t", "Sentiment": "good"}, {"text": "t", "label": "good"}),
    "prompts": ("prompts", {"prompt": "q"}, {"prompt": [user("q")]}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_format_is_recognised_and_normalised(case):
    name, row, example = CASES[case]
    found = recognise([row, row])
    assert (found.format, found.kind, found.problems) == (name, FORMATS[name], [])
    assert normalise([row, row], found) == [example, example]


GOOD = {"messages": TALK}
BAD = {
    "empty_answer": {"messages": [user("q"), assistant("  ")]},
    "empty_question": {"messages": [user(""), assistant("a")]},
    "unknown_role": {"messages": [{"role": "wizard", "content": "q"}, assistant("a")]},
    "wrong_order": {"messages": [user("q"), user("q"), assistant("a")]},
    "no_answer": {"messages": [user("q")]},
    "not_messages": {"messages": "oops"},
    "not_text": {"messages": [user("q"), {"role": "assistant", "content": 5}]},
    "missing_field": {"messages": [user("q"), {"role": "assistant", "content": None}]},
    "broken_text": {"messages": [user("q"), assistant("\ud800")]},
    "tool_calls": {"messages": [user("q"), {"role": "assistant", "content": "", "tool_calls": [{}]}]},
    "media": {"messages": TALK, "images": ["/etc/passwd"]},
}


@pytest.mark.parametrize("code", BAD)
def test_a_bad_row_is_left_out_and_listed_by_its_number(code):
    found = inspect_rows([GOOD, BAD[code], GOOD])
    assert [(p["code"], p["rows"], p["left_out"]) for p in found.problems] == [(code, [2], True)]
    assert (found.rows, len(found.examples), found.numbers) == (3, 2, [1, 3])
    message = found.problems[0]["message"]
    assert "1" in message.to("en") and "1" in message.to("zh") and "{" not in message.to("en")


@pytest.mark.parametrize(
    "messages",
    [
        [user("q"), assistant("a"), user("q"), user("q"), assistant("a")],
        [user("q"), system("s"), assistant("a")],
        [user("q"), assistant("a"), assistant("a")],
        [{"role": "tool", "content": "1"}, assistant("a")],
    ],
)
def test_turns_out_of_order_are_reported(messages):
    problems = inspect_rows([GOOD, {"messages": messages}]).problems
    assert [problem["code"] for problem in problems] == ["wrong_order"]


def test_a_last_question_without_answer_is_trimmed_and_noted():
    found = inspect_rows([{"messages": [*TALK, user("and?")]}])
    assert found.examples == [{"messages": TALK}]
    assert [(p["code"], p["rows"], p["left_out"]) for p in found.problems] == [("unanswered_end", [1], False)]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"prompt": "q", "chosen": "x", "rejected": "x"}, "same_answers"),
        ({"prompt": "q", "chosen": "", "rejected": "x"}, "empty_answer"),
        ({"prompt": "q", "chosen": 5, "rejected": "x"}, "not_text"),
        ({"chosen": "x", "rejected": "y"}, "missing_field"),
        ({"prompt": "q", "chosen": "x"}, "missing_field"),
        ({"prompt": "q", "chosen": [user("q")], "rejected": "y"}, "no_answer"),
        ({"prompt": [*TALK], "chosen": "x", "rejected": "y"}, "wrong_order"),
    ],
)
def test_bad_preference_rows(row, code):
    good = {"prompt": "q", "chosen": "x", "rejected": "y"}
    problems = inspect_rows([good, row, good]).problems
    assert [(problem["code"], problem["rows"]) for problem in problems] == [(code, [2])]


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ({"text": "t"}, {"text": " "}, "empty_text"),
        ({"text": "t"}, {"text": 5}, "not_text"),
        ({"text": "t"}, {"other": "x"}, "missing_field"),
        ({"text": "t", "label": "a"}, {"text": "t", "label": ""}, "missing_field"),
        ({"prompt": "q", "completion": "a"}, {"prompt": "q"}, "missing_field"),
        ({"prompt": "q", "completion": "a"}, {"prompt": "", "completion": "a"}, "empty_question"),
        ({"instruction": "q", "output": "a"}, {"instruction": "q", "output": ""}, "empty_answer"),
        ({"instruction": "q", "output": "a"}, {"instruction": "q", "output": "a", "history": "x"}, "bad_history"),
        (
            {"prompt": "q", "completion": "a", "label": 1},
            {"prompt": "q", "completion": "a", "label": "?"},
            "bad_verdict",
        ),
    ],
)
def test_bad_rows_of_the_other_formats(good, bad, code):
    problems = inspect_rows([good, good, bad]).problems
    assert [(problem["code"], problem["rows"]) for problem in problems] == [(code, [3])]


HALF = "\ud800"  # half of a surrogate pair: JSON can write it, UTF-8 and tokenizers can't


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ({"text": "t", "label": "a"}, {"text": "t", "label": HALF}, "broken_text"),
        ({"text": "t", "label": "a"}, {"text": HALF, "label": "a"}, "broken_text"),
        ({"prompt": "q", "completion": "a"}, {"prompt": "q", "completion": "a", "system": HALF}, "broken_text"),
        (GOOD, {"messages": [{"role": f"wizard{HALF}", "content": "q"}, assistant("a")]}, "unknown_role"),
    ],
)
def test_what_no_file_can_hold_gets_neither_into_an_example_nor_into_a_message(good, bad, code):
    found = inspect_rows([good, bad, good])
    assert [(problem["code"], problem["rows"]) for problem in found.problems] == [(code, [2])]
    for lang in ("en", "zh"):
        assert found.problems[0]["message"].to(lang).encode()


def test_unknown_columns_that_no_file_can_hold_are_named_all_the_same():
    with pytest.raises(WorkbenchError) as caught:
        recognise([{f"foo{HALF}": "x"}])
    for lang in ("en", "zh"):
        assert "foo\ufffd" in caught.value.to(lang) and caught.value.to(lang).encode()


def test_equal_problems_are_counted_together():
    bad = {"messages": [user("q"), assistant("")]}
    assert [p["rows"] for p in inspect_rows([bad, GOOD, bad]).problems] == [[1, 3]]


def test_a_set_without_a_usable_row_is_refused_with_the_reasons():
    with pytest.raises(WorkbenchError) as caught:
        recognise([{"messages": [user("q")]}])
    assert caught.value.code == "no_usable_rows"
    assert "without an answer" in caught.value.to("en") and "没有回答" in caught.value.to("zh")


def test_unknown_columns_are_named():
    with pytest.raises(WorkbenchError) as caught:
        recognise([{"foo": "x", "bar{0}": "y"}])
    assert caught.value.code == "unknown_format"
    assert "bar{0}, foo" in caught.value.to("en")


@pytest.mark.parametrize("row", [{}, {"messages": None}, {"text": " ", "label": ""}, {"messages": [], "meta": {}}])
def test_rows_that_hold_nothing_are_refused_as_empty(row):
    with pytest.raises(WorkbenchError) as caught:
        inspect_rows([row] * 7)
    assert caught.value.code == "empty_rows" and "7" in caught.value.to("zh")


def test_a_set_of_the_wrong_kind_is_refused_in_both_languages():
    require_kind("chat", ("chat", "text"), "mine")
    with pytest.raises(WorkbenchError) as caught:
        require_kind("preference", ("chat", "text"), "mine")
    error = caught.value
    assert (error.code, error.field) == ("wrong_kind", "data.train")
    assert "mine holds preference pairs" in error.message.to("en")
    assert "对话或纯文本" in error.message.to("zh")
