"""What each column of a set is used for: what belongs to the question goes into it, and what is not used is named."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.columns import NAMES, ROLE_NAMES, ColumnSurvey, use_sentences
from workbench.data.formats import inspect_rows


def read(*rows):
    return inspect_rows([*rows])


def question(row):
    example = read(row, row).examples[0]
    return (example.get("messages") or example["prompt"])[0]["content"]


def uses(*rows):
    return {column.name: column.role for column in read(*rows).columns}


ENDS = {
    "question and answer": {"question": "q", "answer": "a"},
    "prompt and completion": {"prompt": "q", "completion": "a"},
    "instruction and response": {"instruction": "q", "response": "a"},
    "a message list as prompt": {"prompt": [{"role": "user", "content": "q"}], "completion": "a"},
    "a message list as text": {"prompt": '[{"role": "user", "content": "q"}]', "completion": "a"},
    "messages": {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    "preference": {"question": "q", "chosen": "a", "rejected": "b"},
    "preference whose answers repeat the question": {
        "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
        "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}],
    },
    "ratings": {"prompt": "q", "completion": "a", "label": True},
    "questions only": {"question": "q"},
    "Chinese": {"问题": "q", "回答": "a"},
}


@pytest.mark.parametrize(
    "name", ["context", "Passage", "SCHEMA", "sql_context", "Background ", "上下文", "背景", "材料", "表结构"]
)
@pytest.mark.parametrize("case", ENDS)
def test_a_context_is_put_before_the_question_in_every_format(case, name):
    row = {**ENDS[case], name: "The shop opens at nine."}
    assert question(row) == "The shop opens at nine.\n\nq"
    assert uses(row)[name] == "context"


@pytest.mark.parametrize("name", NAMES["context"])
def test_every_known_name_of_a_context_is_read_as_one(name):
    assert question({"question": "q", name: "c", "answer": "a"}) == "c\n\nq"


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        ({"prompt": "Translate:", "input": "good morning", "output": "a"}, "Translate:\ngood morning"),
        ({"query": "grass", "instruction": "One word.", "response": "a"}, "One word.\ngrass"),
        ({"instruction": "One word.", "question": "grass", "answer": "a"}, "One word.\ngrass"),
        ({"指令": "翻译", "输入": "早上好", "输出": "a"}, "翻译\n早上好"),
        ({"instruction": "i", "question": "q", "input": "x", "context": "c", "output": "a"}, "c\n\ni\nq\nx"),
        ({"question": "q", "context": ["first", "second"], "answer": "a"}, "first\n\nsecond\n\nq"),
        ({"question": "q", "context": "c", "passage": "p", "answer": "a"}, "c\n\np\n\nq"),
        ({"question": "q", "schema": {"shop": ["id"]}, "answer": "a"}, '{"shop": ["id"]}\n\nq'),
        ({"question": "q", "context": " ", "answer": "a"}, "q"),
        ({"question": "q", "context": None, "answer": "a"}, "q"),
        ({"prompt": "Read: a long text. q", "context": "a long text.", "answer": "a"}, "Read: a long text. q"),
        ({"question": "What is 1 + 2?", "context": "1", "answer": "a"}, "1\n\nWhat is 1 + 2?"),
        ({"prompt": "Be brief.", "question": "Who are you?", "answer": "a"}, "Be brief.\nWho are you?"),
        ({"prompt": "Be brief. Who are you?", "question": "Who are you?", "answer": "a"}, "Be brief. Who are you?"),
    ],
)
def test_all_that_a_question_needs_stands_in_it_once(row, asked):
    assert question(row) == asked


def test_a_context_goes_behind_system_and_history_to_its_question():
    row = {"system": "s", "history": [["q0", "a0"]], "question": "q", "context": "c", "answer": "a"}
    contents = [message["content"] for message in read(row).examples[0]["messages"]]
    assert contents == ["s", "q0", "a0", "c\n\nq", "a"]


def test_a_context_without_a_question_is_no_question():
    found = read({"question": "q", "context": "c", "answer": "a"}, {"question": "", "context": "c", "answer": "a"})
    assert [(problem["code"], problem["rows"]) for problem in found.problems] == [("empty_question", [2])]


def test_columns_that_are_not_used_are_named_with_an_example_and_the_others_with_their_use():
    rows = [
        {"id": 1, "question": "q", "source": None, "answer": "a", "difficulty": "", "meta": {"page": 3}},
        {"id": 2, "question": "q", "source": "my\nbook " * 30, "answer": "a", "difficulty": ""},
    ]
    columns = read(*rows).columns
    assert [(column.name, column.role) for column in columns] == [
        ("question", "question"),
        ("answer", "answer"),
        ("id", None),
        ("meta", None),
        ("source", None),
    ]
    english, chinese = ([text.to(lang) for text in use_sentences(columns)] for lang in ("en", "zh"))
    assert english[0] == "question: the question" and chinese[0] == "question：作为问题"
    assert english[3] == 'meta: not used (for example "{"page": 3}")'
    assert english[4].startswith('source: not used (for example "my book my book') and len(english[4]) < 110
    assert "未使用" in chinese[3]


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_what_a_column_serves_as_is_not_the_word_that_stands_above_it(role):
    assert not {ROLE_NAMES[role].to(lang) for lang in ("en", "zh")} & set(NAMES.get(role, ()))


def test_of_two_columns_for_the_same_the_second_is_named_as_not_used():
    row = {"prompt": "q", "response": "long", "answer": "short"}
    assert uses(row) == {"prompt": "question", "response": "answer", "answer": None}
    assert read(row).examples[0]["messages"][1]["content"] == "long"


def test_rows_that_name_the_same_differently_are_all_used():
    found = read({"prompt": "q", "completion": "a"}, {"question": "r", "answer": "b"}, {"Prompt": "s", "output": "c"})
    assert [[m["content"] for m in e["messages"]] for e in found.examples] == [["q", "a"], ["r", "b"], ["s", "c"]]
    assert found.problems == [] and all(column.role for column in found.columns)


def test_a_problem_names_the_column_as_the_file_does():
    found = read({"问题": "q", "答案": "a"}, {"问题": "q", "答案": None}, {"问题": "q", "答案": "\ud800"})
    assert [problem["message"].to("en") for problem in found.problems] == [
        "Rows without 答案: 1",
        "Rows with broken characters in 答案: 1",
    ]


def test_names_that_no_file_can_hold_are_shown_all_the_same():
    found = read({"question": "q", "answer": "a", "x\ud800": "y\ud800"})
    for text in use_sentences(found.columns):
        assert text.to("en").encode() and json.dumps(found.columns[2].name, ensure_ascii=False).encode()


LABELS = {
    "numbers": [0, 1],
    "numbers as text": ["0", "1"],
    "yes and no": ["yes", "no"],
    "good and bad": ["good", "bad"],
    "Chinese": ["好", "差"],
    "a single word": ["good"],
}


@pytest.mark.parametrize("name", ["label", "Label", "category", "class", "sentiment", "labels", "类别", "标签"])
@pytest.mark.parametrize("values", LABELS)
@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "answer": "a"},
        {"instruction": "q", "output": "a"},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    ],
)
def test_a_class_beside_conversations_leaves_them_conversations(row, values, name):
    found = read(*({**row, name: value} for value in LABELS[values] * 3))
    assert found.kind == "chat" and found.columns[-1].role is None
    assert ("kto_tag" in found.columns[-1].use.to("zh")) == (name.lower() in ("label", "标签"))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": False},
        {"instruction": "q", "output": "a", "label": True},
        {"instruction": "q", "output": "a", "label": "False"},
        {"instruction": "q", "output": "a", "kto_tag": 0},
        {"问题": "q", "回答": "a", "评价": "好"},
        {"prompt": "q", "completion": "a", "label": 1},
    ],
)
def test_truth_values_and_columns_for_ratings_make_rated_answers_and_say_what_else_they_could_be(row):
    found = read(row, row)
    assert found.kind == "feedback"
    use = next(column.use for column in found.columns if column.role == "verdict")
    assert "rename" in use.to("en") and "改名" in use.to("zh")


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=20
)
KNOWN = {name for names in NAMES.values() for name in names}


@settings(max_examples=100, deadline=None)
@given(extra=st.dictionaries(WORDS, st.none() | st.booleans() | st.integers() | WORDS, max_size=5), context=WORDS)
def test_whatever_else_a_row_has_every_column_is_used_or_named(extra, context):
    extra = {key: value for key, value in extra.items() if key.strip().lower() not in KNOWN}
    row = {**extra, "question": "What is it?", "context": context, "answer": "a"}
    found = read(row, row)
    assert found.examples[0]["messages"][0]["content"].startswith(context)
    assert {column.name for column in found.columns if column.role is None} == {
        key for key, value in extra.items() if value is not None
    }


def test_a_column_of_its_own_in_every_row_costs_no_more_than_the_row():
    rows = [{"text": "hi", f"column{number}": ""} for number in range(20_000)]
    began = time.process_time()
    assert list(ColumnSurvey(rows).columns({"text": "text"}))[0].name == "text"
    assert time.process_time() - began < 5
