"""What is learned of an answer, for templates of many kinds: from the first word the model writes to the end it must know."""

from __future__ import annotations

import random

import pytest

from tests.template_zoo import R1, ZOO, learned_stretches, tokenizer_for
from workbench.data.tokens import colour, encode_chat, encode_many, render_prompt

WORDS = ["one", "<b>two</b>", "user", "assistant", "Bot: no", "\n", " ", "<", "<think", "3.", "好的", "</s", "1"]
THOUGHTS = ["", "", "<think>\nwhy 1?\n</think>\n\n", "<think></think>"]


def talk_of(drawn: random.Random) -> list[dict[str, str]]:
    """Questions and answers out of words that stand in templates too; answers begin with anything."""

    def words(thought: str = "") -> str:
        inner = "".join(drawn.choice(WORDS) for _ in range(drawn.randint(1, 5)))
        return thought + (inner if inner.strip() else inner + "x")

    system = [{"role": "system", "content": words()}] * drawn.randint(0, 1)
    turns = [
        [{"role": "user", "content": words()}, {"role": "assistant", "content": words(drawn.choice(THOUGHTS))}]
        for _ in range(drawn.randint(1, 3))
    ]
    return [*system, *(message for turn in turns for message in turn)]


@pytest.mark.parametrize("name", ZOO)
def test_what_is_learned_is_what_the_templates_own_rules_say(name):
    kind = ZOO[name]
    tokenizer = tokenizer_for(kind.template, kind.eos)
    for seed in range(60):
        talk = talk_of(random.Random(seed))
        places = [place for place, turn in enumerate(talk) if turn["role"] == "assistant"]
        expected = [kind.learned(talk, place) for place in places]
        assert learned_stretches(tokenizer, encode_chat(tokenizer, talk)) == expected, talk


@pytest.mark.parametrize("name", ZOO)
def test_the_rows_of_a_block_are_encoded_as_each_one_alone(name):
    tokenizer = tokenizer_for(ZOO[name].template, ZOO[name].eos)
    talks = [talk_of(random.Random(seed)) for seed in range(20)]
    many = encode_many(tokenizer, "chat", [{"messages": talk} for talk in talks])
    assert many == [encode_chat(tokenizer, talk) for talk in talks]


@pytest.mark.parametrize("opening", ["<b>bold</b>", "<", "<thin", "<think", "<think>I", "|"])
def test_an_answer_that_begins_like_what_the_model_is_asked_with_is_learned_whole(opening):
    tokenizer = tokenizer_for(R1, "<|end|>")
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": opening}]
    assert render_prompt(tokenizer, talk[:1])[-1] == tokenizer("\n")["input_ids"][-1]
    assert learned_stretches(tokenizer, encode_chat(tokenizer, talk)) == [opening + "<|end|>"]
    assert [piece.text for piece in colour(tokenizer, talk) if piece.learned] == [opening + "<|end|>"]


def test_the_answers_to_a_tools_result_are_learned_and_the_result_is_not():
    kind = ZOO["thinking"]
    tokenizer = tokenizer_for(kind.template, kind.eos)
    talk = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "", "reasoning": "ask", "tool_calls": [call("look", {"at": "sky"})]},
        {"role": "tool", "content": "sunny", "tool_call_id": "a"},
        {"role": "assistant", "content": "It is sunny."},
    ]
    asked = '<tool_call>look {"at": "sky"}</tool_call><|im_end|>'
    assert learned_stretches(tokenizer, encode_chat(tokenizer, talk)) == [
        "<think>\nask\n</think>\n\n" + asked,
        "<think>\n\n</think>\n\nIt is sunny.<|im_end|>",
    ]
    later = [*talk, {"role": "user", "content": "and now?"}, {"role": "assistant", "content": "Rain."}]
    assert learned_stretches(tokenizer, encode_chat(tokenizer, later)) == [
        asked,
        "It is sunny.<|im_end|>",
        "<think>\n\n</think>\n\nRain.<|im_end|>",
    ]


def call(name: str, arguments: dict[str, str]) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}
