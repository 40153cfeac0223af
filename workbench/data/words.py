"""Whether the words of a conversation survive its rendering: templates strip thoughts, and have no place for some fields.

Only words count. Spaces and line breaks around an answer are trimmed by most templates, and put elsewhere by some: that
loses nothing that anybody wrote, so it is not told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workbench.config.text import Text
from workbench.data.turns import Message, call_name

EXAMPLE = 80  # characters of lost words that are shown
_MOST = 1000  # words that are looked for and not found

_SAID = {
    "answer": Text(
        "Rows whose answers lose words in this model's chat template, which are then not learned (“{words}”): {count}. "
        "To learn them, choose a model whose template keeps them, or take a template that does.",
        "{count} 条样本的回答在此模型的对话模板中丢失了文字（“{words}”），这些文字不会被学习。"
        "要学习它们，请选择模板会保留它们的模型，或换用会保留的模板。",
    ),
    "thought": Text(
        "Rows with a thought in a field of its own that this model's chat template leaves away (“{words}”): {count}. "
        "To learn it, choose a thinking model, or write the thought into the answer.",
        "{count} 条样本的思考内容写在单独的字段中，被此模型的对话模板略去（“{words}”）。"
        "要学习它，请选择思考模型，或把思考写进回答。",
    ),
    "call": Text(
        "Rows with tool calls that this model's chat template leaves away (“{words}”): {count}. "
        "To learn them, choose a model that calls tools.",
        "{count} 条样本的工具调用被此模型的对话模板略去（“{words}”）。要学习它们，请选择支持工具调用的模型。",
    ),
    "tools": Text(
        "Rows whose descriptions of tools this model's chat template leaves away (“{words}”): {count}.",
        "{count} 条样本的工具说明被此模型的对话模板略去（“{words}”）。",
    ),
    "context": Text(
        "Rows with other messages that lose words in this model's chat template, so that it answers without them "
        "(“{words}”): {count}.",
        "{count} 条样本中其他消息的文字在此模型的对话模板中丢失（“{words}”），模型作答时看不到它们。",
    ),
    "asked": Text(
        "Rows whose last answer does not begin as this model is asked in chat, with “{words}”: {count}. In chat it "
        "will be made to begin so. Give these answers a thought, or choose a model whose template asks as it is trained.",
        "{count} 条样本的最后一个回答不是以“{words}”开头，而聊天时模板会让模型以此开头。"
        "请给这些回答写上思考，或选择训练与聊天写法一致的模型。",
    ),
}


@dataclass(frozen=True)
class Loss:
    """Words that are not there after rendering: what kind of words they are, and the first of them."""

    kind: str
    words: str


def losses(
    messages: list[Message], text: str, spans: list[tuple[int, int]], context: int = 0, asked: str | None = None
) -> tuple[Loss, ...]:
    """What a rendered conversation has lost.

    Args:
        messages: the conversation.
        text: as it was rendered.
        spans: of its answers, in order.
        context: how many messages only lead to the answers; their thoughts may go.
        asked: what the template asks the last answer with, and the answer does not begin with.
    """
    found: list[Loss] = [Loss("asked", _shown(asked))] if asked else []
    answers = sum(message["role"] == "assistant" for message in messages)
    ordered = iter(spans if len(spans) == answers else ())
    joined = "" if len(spans) == answers else "\n".join(text[start:end] for start, end in spans)
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            found += _loss("context", message["content"], text)
            continue
        span = next(ordered, None)
        if place < context or not message.get("learned", True):
            continue
        learned = joined if span is None else text[span[0] : span[1]]
        found += _loss("answer", message["content"], learned)
        if len(message) > 2:
            found += _loss("thought", message.get("reasoning", ""), learned)
            for call in message.get("tool_calls", ()):
                found += _loss("call", " ".join(_call_words(call)), learned)
    for tool in messages[0].get("tools", ()):
        found += _loss("tools", call_name(tool), text)
    return tuple(dict.fromkeys(found))


def missing_words(words: str, text: str) -> str:
    """The words that do not stand in the text in their order; empty when all of them do. Of very many, the last ones."""
    if words.strip() in text:
        return ""
    missing, end = [], len(text)
    for word in reversed(words.split()):  # from behind: what templates strip stands mostly in front
        found = text.rfind(word, 0, end)
        if found < 0:
            missing.append(word)
            if len(missing) == _MOST:  # each is looked for in the whole text
                break
        else:
            end = found
    return " ".join(reversed(missing))


def loss_notices(rows: Iterable[tuple[int, Iterable[Loss]]]) -> list[tuple[str, list[int], Text]]:
    """A code, the numbers of the rows and a sentence for each kind of words that are lost.

    Args:
        rows: the number of each row, and what it has lost.
    """
    numbers: dict[str, list[int]] = {}
    examples: dict[str, str] = {}
    for number, lost in rows:
        for kind in dict.fromkeys(loss.kind for loss in lost):
            numbers.setdefault(kind, []).append(number)
        for loss in lost:
            examples.setdefault(loss.kind, loss.words)
    return [
        (f"lost_{kind}", found, _SAID[kind].with_(count=len(found), words=examples[kind]))
        for kind in _SAID
        if (found := numbers.get(kind))
    ]


def _loss(kind: str, words: str, text: str) -> list[Loss]:
    missing = missing_words(words, text)
    return [Loss(kind, _shown(missing))] if missing else []


def _shown(words: str) -> str:
    words = " ".join(words.split())
    return words if len(words) <= EXAMPLE else words[: EXAMPLE - 1] + "…"


def _call_words(call: dict[str, Any]) -> list[str]:
    arguments = call["function"]["arguments"]
    return [call_name(call), *(arguments if isinstance(arguments, dict) else [str(arguments)])]
