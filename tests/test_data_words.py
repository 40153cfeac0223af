"""The words of an answer survive rendering, or people are told which do not."""

from __future__ import annotations

import time

import pytest

from tests.template_zoo import CHATML, R1, ZOO, tokenizer_for
from workbench.data.notices import notices, row_numbers, with_rows
from workbench.data.tokens import encode_many
from workbench.data.words import Loss, missing_words

THOUGHT = "<think>\nI add one.\n</think>\n\n"
ASK = {"role": "user", "content": "1+1?"}


def say(words, **fields):
    return {"role": "assistant", "content": words, **fields}


def lost(template, *messages, eos="<|im_end|>"):
    (row,) = encode_many(tokenizer_for(template, eos), "chat", [{"messages": [*messages]}])
    return [(loss.kind, loss.words) for loss in row.lost]


def test_a_thought_that_the_template_strips_is_lost():
    found = lost(R1, ASK, say(THOUGHT + "2"), eos="<|end|>")
    assert found == [("asked", "<think>"), ("answer", "<think> I add one. </think>")]


def test_a_thought_that_is_stripped_from_earlier_turns_alone_is_lost_there():
    template = ZOO["thinking"].template
    assert lost(template, ASK, say(THOUGHT + "2")) == []
    assert lost(template, ASK, say(THOUGHT + "2"), ASK, say("two")) == [("answer", "<think> I add one. </think>")]
    assert lost(template, ASK, say("2", reasoning="I add."), ASK, say("two")) == [("thought", "I add.")]


def test_an_answer_that_is_not_learned_has_nothing_to_lose():
    assert lost(ZOO["thinking"].template, ASK, say(THOUGHT + "2", learned=False), ASK, say("two")) == []


@pytest.mark.parametrize("name", [name for name in ZOO if name != "stripped thoughts"])
@pytest.mark.parametrize("words", ["  two\n", "a\n\n    b\tc", "二 二", "</s", "x" * 3000])
def test_what_only_loses_spaces_around_it_has_lost_nothing(name, words):
    assert lost(ZOO[name].template, ASK, say(words), ASK, say("3"), eos=ZOO[name].eos) == []


@pytest.mark.parametrize(
    ("template", "messages", "expected"),
    [
        (CHATML, [ASK, say("2", reasoning="I add.")], [("thought", "I add.")]),
        (CHATML.replace("m.content +", "m.content[:5] +"), [ASK, say("two and four")], [("answer", "and four")]),
        (CHATML.replace("m.content +", "m.content | upper +"), [ASK, say("two")], [("answer", "two")]),
        (
            CHATML.replace("in messages", "in messages if m.role != 'system'"),
            [{"role": "system", "content": "be kind"}, ASK, say("2")],
            [("context", "be kind")],
        ),
    ],
)
def test_whatever_a_template_takes_away_is_named(template, messages, expected):
    assert lost(template, *messages) == expected


def test_both_answers_of_a_pair_are_looked_at_and_the_thoughts_of_its_prompt_are_not():
    pair = {"prompt": [ASK, say(THOUGHT + "2"), ASK], "chosen": [say("3")], "rejected": [say(THOUGHT + "4")]}
    tokenizer = tokenizer_for(R1, "<|end|>")
    assert encode_many(tokenizer, "preference", [pair])[0].lost == (Loss("answer", "<think> I add one. </think>"),)


@pytest.mark.parametrize(
    ("words", "text", "missing"),
    [
        ("a b c", "<a b c>", ""),
        (" a\n b ", "a b", ""),
        ("a b c", "a c", "b"),
        ("think so 2", "2", "think so"),
        ("2 = 2 so 2", "2<|end|>", "2 = 2 so"),
        ("b a", "a b", "b"),
        ("", "", ""),
    ],
)
def test_missing_words_are_those_that_do_not_stand_there_in_order(words, text, missing):
    assert missing_words(words, text) == missing


def test_the_notice_says_how_many_rows_which_and_what():
    tokenizer = tokenizer_for(R1.replace("<|assistant|><think>\n' -", "<|assistant|>' -"), "<|end|>")
    examples = [{"messages": [ASK, say(THOUGHT * (number % 2) + "2")]} for number in range(40)]
    encoded = encode_many(tokenizer, "chat", examples)
    (notice,) = notices(tokenizer, encoded, [number + 10 for number in range(40)], "chat")
    assert notice["code"] == "lost_answer" and notice["rows"] == [*range(11, 51, 2)] and not notice["left_out"]
    for lang in ("en", "zh"):
        text = with_rows(notice).to(lang)
        assert "I add one." in text and "20" in text and "33" in text and "35" not in text


def test_the_numbers_of_rows_are_those_of_their_own_files():
    from types import SimpleNamespace

    mine, other = [{"messages": []}, {"messages": []}], [{"messages": []}]
    sets = [SimpleNamespace(examples=mine, numbers=[4, 9]), None, SimpleNamespace(examples=other, numbers=[7])]
    assert row_numbers(sets, [mine[1], other[0], mine[0], {"messages": []}]) == [9, 7, 4, 4]


def test_a_long_text_that_is_lost_beside_another_long_one_is_told_soon():
    lost, text = (" ".join(f"{letter}{number}" for number in range(60_000)) for letter in "xy")
    began = time.process_time()
    words = missing_words(lost, text).split()
    assert time.process_time() - began < 5
    assert words and set(words) <= set(lost.split()) and words[-1] == "x59999"
