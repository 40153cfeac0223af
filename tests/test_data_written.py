"""Messages that stand as text in a cell, other names of roles, a conversation that the assistant begins, answers that are no text."""

import json
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config.errors import WorkbenchError
from workbench.data.formats import inspect_rows
from workbench.data.written import read_written


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def codes(found):
    return [(problem["code"], problem["rows"]) for problem in found.problems]


TALK = [user("Say \"no\", it's 5 o'clock\n在吗"), assistant("It's \\d {fine}, [ok]: None")]
NUMPY = "[" + "\n ".join(map(repr, TALK)) + "]"
WRITINGS = {"JSON": json.dumps, "Python": repr, "JSON as it is": lambda v: json.dumps(v, ensure_ascii=False, indent=1)}


@pytest.mark.parametrize("write", WRITINGS)
@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"messages": TALK}, "messages"),
        ({"conversations": [{"from": "human", "value": TALK[0]["content"]}, {"from": "gpt", "value": TALK[1]["content"]}]}, "messages"),
        ({"prompt": TALK[:1], "completion": TALK[1:]}, "messages"),
        ({"prompt": TALK[:1], "chosen": TALK[1:], "rejected": [assistant("bad")]}, "chosen"),
        ({"chosen": TALK, "rejected": [TALK[0], assistant("bad")]}, "chosen"),
        ({"prompt": TALK[0]["content"], "chosen": TALK, "rejected": [TALK[0], assistant("bad")]}, "chosen"),
        ({"messages": TALK, "rejected_response": "bad"}, "chosen"),
        ({"prompt": TALK[0]["content"], "completion": TALK[1]}, "messages"),
        ({"messages": TALK, "kto_tag": "true"}, "completion"),
    ],
)  # fmt: skip
def test_messages_that_are_written_as_text_are_read_as_in_a_list(row, key, write):
    written = {k: v if isinstance(v, str) else WRITINGS[write](v) for k, v in row.items()}
    as_lists, as_text = inspect_rows([row] * 3), inspect_rows([written] * 3)
    assert as_text.examples == as_lists.examples and as_text.format == as_lists.format
    assert as_text.examples[0][key][-1] == TALK[1]
    assert codes(as_text) == [("read_from_text", [1, 2, 3])] and codes(as_lists) == []


def test_a_list_as_numpy_prints_it_is_read():
    assert inspect_rows([{"messages": NUMPY}]).examples == [{"messages": TALK}]


def test_earlier_turns_that_are_written_as_text_are_read():
    row = {"instruction": "q", "output": "a", "history": "[['q0', 'a0']]"}
    assert [m["content"] for m in inspect_rows([row]).examples[0]["messages"]] == ["q0", "a0", "q", "a"]


@pytest.mark.parametrize(
    "answer", ['["a", "b"]', '{"role": "king"}', "[1, 2]", "[{'role': 'x', 'content': 'y'}]", "{", "[role]"]
)
def test_other_answers_that_look_like_code_stay_as_they_are(answer):
    found = inspect_rows([{"prompt": "q", "completion": answer}])
    assert found.examples[0]["messages"][1]["content"] == answer and found.problems == []


@pytest.mark.parametrize(
    "text",
    [
        "[__import__('os').system('true')]",
        "[{'role': open('/etc/passwd')}]",
        "[" * 100_000 + "'role'" + "]" * 100_000,
        "[" + "-" * 50_000 + "1, 'role']",
        "['role'" + ", 1" * 100_000 + "]",
        "['role', 1e999999999, 9**9**9]",
        "['role' 'x'",
        "[{'role': 'user', 'content': 'x' * 10}]",
        "[" + "{'role':" * 3_000 + "1" + "}" * 3_000 + "]",
        "['role', f'{1}']",
        "['role', " + "9" * 5_000 + "]",
        "['" + "x" * 300_000 + "']",
        "[{{}: 'role'}]",
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_text_that_is_more_than_a_list_is_no_list(text):
    assert read_written(text) is None
    with pytest.raises(WorkbenchError) as caught:
        inspect_rows([{"messages": text}])
    assert caught.value.code == "no_usable_rows"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PLAIN, min_size=1, max_size=4))
def test_what_python_and_json_print_is_read_back(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_written(repr(value)) == value
        assert read_written(json.dumps(value)) == value


@settings(max_examples=150, deadline=None)
@given(st.text("[]{}()'\"\\, :rolefromNTu0-e.\n", max_size=60))
def test_any_other_text_is_nothing_and_warns_of_nothing(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_written("[" + text) is None or isinstance(read_written("[" + text), (list, dict))


@pytest.mark.parametrize(
    "names", [("human", "ai"), ("User", "AI"), ("用户", "助手"), ("prompter", "LLM"), ("客户", "客服"), ("user", "bot")]
)
@pytest.mark.parametrize("fields", [("role", "content"), ("from", "value")])
def test_other_names_of_roles_are_known(names, fields):
    role, content = fields
    row = {"messages": [{role: names[0], content: "q"}, {role: names[1], content: "a"}]}
    assert inspect_rows([row]).examples == [{"messages": [user("q"), assistant("a")]}]


@pytest.mark.parametrize(
    ("row", "key", "turns"),
    [
        ({"messages": [assistant("hi"), user("q"), assistant("a")]}, "messages", ["", "hi", "q", "a"]),
        ({"messages": [{"role": "system", "content": "s"}, assistant("hi"), user("q"), assistant("a")]}, "messages", ["s", "", "hi", "q", "a"]),
        ({"conversations": [assistant("hi"), user("q"), assistant("a"), user("and?")]}, "messages", ["", "hi", "q", "a"]),
        ({"prompt": [assistant("hi"), user("q")], "completion": "a"}, "messages", ["", "hi", "q", "a"]),
        ({"prompt": [assistant("hi"), user("q")], "chosen": "a", "rejected": "b"}, "prompt", ["", "hi", "q"]),
        ({"prompt": [assistant("hi"), user("q")]}, "prompt", ["", "hi", "q"]),
        ({"prompt": [assistant("hi"), user("q")], "completion": "a", "label": True}, "prompt", ["", "hi", "q"]),
    ],
)  # fmt: skip
def test_a_conversation_that_the_assistant_begins_is_kept_behind_an_empty_question(row, key, turns):
    found = inspect_rows([row])
    assert [message["content"] for message in found.examples[0][key]] == turns
    assert ("empty_question_added", [1]) in codes(found)
    assert not any(problem["left_out"] for problem in found.problems)


def test_an_answer_without_any_question_is_still_left_out():
    with pytest.raises(WorkbenchError) as caught:
        inspect_rows([{"messages": [assistant("a")]}])
    assert caught.value.code == "no_usable_rows"


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "a", "rejected_response": "b"},
        {"prompt": "q", "response": "a", "rejected": "b"},
        {"messages": [user("q"), assistant("a")], "rejected_response": "b"},
        {"messages": [user("q"), assistant("a")], "rejected_messages": [user("q"), assistant("b")]},
        {"conversations": [user("q"), assistant("a")], "rejected": assistant("b")},
        {"问题": "q", "优选": "a", "拒绝": "b"},
        {"query": "q", "answer": "a", "rejected_answer": "b"},
        {"messages": [user("q")], "chosen": assistant("a"), "rejected": assistant("b")},
    ],
)
def test_the_worse_answer_is_known_by_its_other_names_and_beside_a_conversation(row):
    found = inspect_rows([row])
    pair = {"prompt": [user("q")], "chosen": [assistant("a")], "rejected": [assistant("b")]}
    assert (found.format, found.examples, found.problems) == ("preference", [pair], [])


def test_a_mark_that_says_rejected_is_no_answer():
    found = inspect_rows([{"question": "q", "answer": "a", "rejected": False}])
    assert found.kind == "chat" and found.columns[-1].name == "rejected" and found.columns[-1].role is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-1.5, "-1.5"),
        (True, "true"),
        (False, "false"),
        ({"name": "小明", "age": 5}, '{"name": "小明", "age": 5}'),
        (["a", "b"], '["a", "b"]'),
        ([], "[]"),
        ([{"type": "fruit", "name": "fig"}], '[{"type": "fruit", "name": "fig"}]'),
        ([{"text": "a", "start": 5}], '[{"text": "a", "start": 5}]'),
    ],
)
@pytest.mark.parametrize("columns", [("prompt", "completion"), ("instruction", "output"), ("问题", "回答")])
def test_answers_that_are_numbers_truth_values_or_json_are_written_as_text(columns, value, text):
    row = dict(zip(columns, ("q", value), strict=True))
    found = inspect_rows([row, row])
    assert found.examples[0]["messages"][1] == assistant(text)
    assert codes(found) == [("written_as_text", [1, 2])]
    assert columns[1] in found.problems[0]["message"].to("zh")


def test_inputs_and_contexts_that_are_no_text_are_written_as_text_too():
    found = inspect_rows([{"instruction": "Double it.", "input": 4, "output": 8, "context": {"unit": "m"}}])
    assert found.examples[0]["messages"] == [user('{"unit": "m"}\n\nDouble it.\n4'), assistant("8")]
    assert sorted(problem["message"].to("en").split()[2] for problem in found.problems) == [
        "context",
        "input",
        "output",
    ]


def test_pictures_that_are_nothing_leave_the_row_and_others_leave_it_out():
    rows = [
        {"instruction": "q", "output": "a", "images": value} for value in ([], None, [None], "", ["a.png"], "a.png")
    ]
    assert codes(inspect_rows(rows)) == [("media", [5, 6])]


def test_when_no_row_is_usable_all_reasons_stand_with_their_counts():
    rows = [{"instruction": "q", "output": ""}] * 3 + [{"instruction": "", "output": "a"}] * 2 + [{"instruction": "q"}]
    with pytest.raises(WorkbenchError) as caught:
        inspect_rows(rows)
    english, chinese = (caught.value.to(lang).split("\n") for lang in ("en", "zh"))
    assert english[1:] == [
        "Rows with an empty answer: 3.",
        "Rows with an empty question: 2.",
        "Rows without output: 1.",
    ]
    assert chinese[1:] == ["3 条样本的回答为空。", "2 条样本的问题为空。", "1 条样本缺少 output。"]


def test_very_many_reasons_end_in_their_sum():
    rows = [{"messages": [{"role": f"wizard{n}", "content": "x"}]} for n in range(50)]
    with pytest.raises(WorkbenchError) as caught:
        inspect_rows(rows)
    assert len(caught.value.problems) == 22 and "30" in caught.value.problems[-1].message.to("zh")


HARD = {
    "digits": "1" * 5000 + "x",
    "digits and dots": "1.1" * 5000 + "x",
    "exponents": "1e1" * 5000 + "x",
    "escaped quotes": "'" + "\\'" * 50_000,
    "double quotes": '"' + '\\"' * 50_000,
    "quotes and line breaks": "'\n" * 50_000,
    "line breaks": "} " + "\n" * 50_000 + "x",
    "spaces": "}" + " " * 50_000 + "{",
    "brackets": "[" * 50_000,
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("opening", ["[", "{"])
def test_no_text_keeps_the_reader_for_long(name, opening):
    began = time.process_time()
    assert read_written(opening + HARD[name] + "]") is None
    assert time.process_time() - began < 1


@pytest.mark.parametrize("history", [-1, 2.5, True, {"a": 1}, "one", [1], [["q"]], ["qa"], [["q", None]]])
def test_a_history_that_is_no_list_of_pairs_leaves_the_row_out(history):
    rows = [{"instruction": "q", "output": "a", "history": history}, {"instruction": "q", "output": "b"}]
    found = inspect_rows(rows)
    assert found.numbers == [2] and [problem["rows"] for problem in found.problems] == [[1]]
