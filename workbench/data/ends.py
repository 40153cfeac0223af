"""How an answer ends: what a chat template writes behind it, what is taught where it writes no end, where chat stops.

An end is a token that the model learns to write behind its answer. Many base models have one (`<|endoftext|>`) and a
template that uses another (`<|im_end|>`): both are ends then. Templates that end a turn with nothing, or with ordinary
text, teach no end; the tokenizer's own is added behind the last answer then. Wherever an end is not what stands behind
an earlier answer, chat also stops where the template would begin the next turn.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from workbench.config.text import Text
from workbench.data.rendering import TemplateRefusal, render
from workbench.data.turns import Message

_QUESTION, _ANSWER, _NEXT = "\ue0f3", "\ue0f2", "\ue0f4"  # for private use: in no template and in no vocabulary


@dataclass(frozen=True)
class Ending:
    """How answers end with one tokenizer.

    Args:
        tokens: what ends an answer, in the template's words and the tokenizer's: ids.
        added: the end that is added behind a last answer, since the template writes none; empty where it does.
        tail: what the template writes behind a last answer instead of an end; mostly nothing or a line break.
        stops: texts at which chat stops, since the template begins the next turn with them.
        turn: tokens (ids, in this order) at which chat stops for the same reason; one of them alone is no end.
        written: whether the template writes an end; also taken for granted where it cannot be asked.
    """

    tokens: tuple[int, ...]
    added: str = ""
    tail: str = ""
    stops: tuple[str, ...] = ()
    turn: tuple[int, ...] = ()
    written: bool = True


def special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The tokenizer's special tokens, as they stand in a rendered text."""
    return tuple(str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)


def ending_of(tokenizer: Any) -> Ending:
    """How answers end with this tokenizer and its chat template; a few renderings of a word, nothing is kept."""
    own = () if tokenizer.eos_token_id is None else (int(tokenizer.eos_token_id),)
    talk: list[Message] = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
    try:
        closed = render(tokenizer, [talk])[0]
        asked, unasked = (render(tokenizer, [talk[:1]], add_generation_prompt=flag)[0] for flag in (True, False))
    except TemplateRefusal:  # it has none, or none that takes a question and an answer
        return Ending(own)
    if _ANSWER not in closed:
        return Ending(own)
    tail, header = closed[closed.rfind(_ANSWER) + 1 :], asked[len(os.path.commonprefix([asked, unasked])) :]
    added_tokens = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
    first, between = _first_token(tail, added_tokens), _between(tokenizer, talk)
    if first and (first not in header or added_tokens[first] in own):
        ends = tuple(dict.fromkeys((added_tokens[first], *own)))
        opening = _first_token(between, added_tokens)
        if opening and added_tokens[opening] not in ends:  # of earlier answers alone: elsewhere it may stand in one
            return Ending(ends, turn=tuple(tokenizer(between.rstrip(), add_special_tokens=False)["input_ids"]))
        return Ending(ends, stops=() if opening else _words(between))
    tags, stops = _next_turn(between, added_tokens)
    added = tokenizer.eos_token if own and _is_one_token(tokenizer) else ""
    return Ending((*own, *tags), added, tail, (*(_words(tail) if not first else ()), *stops), written=False)


def end_notice(tokenizer: Any, ending: Ending) -> Text | None:
    """What people should know about the end of answers before a training; None where the template writes one."""
    if ending.written:
        return None
    if ending.added:
        return Text(
            "This model's chat template writes no end after an answer; this run teaches {end} as the end.",
            "此模型的对话模板不会在回答之后写结束符；本次训练会把 {end} 作为结束符来教。",
        ).with_(end=ending.added)
    stops = [*ending.stops, *(tokenizer.convert_ids_to_tokens(token) for token in ending.tokens)]
    if stops:
        return Text(
            "This model's chat template writes no end after an answer, and the model has no end token to teach: it will "
            "not know where to stop. Chat here stops where the next turn would begin ({stop}); other programs will not. "
            "Choose a model whose template ends its answers.",
            "此模型的对话模板不会在回答之后写结束符，模型也没有可教的结束符：它不知道在哪里停止。这里的聊天会在下一轮"
            "开始处（{stop}）停止，其他程序则不会。请选择模板会结束回答的模型。",
        ).with_(stop=stops[0].strip())
    return Text(
        "This model's chat template writes no end after an answer, and the model has no end token to teach: it will not "
        "know where to stop, and every answer runs to its longest length. Choose a model whose template ends its answers.",
        "此模型的对话模板不会在回答之后写结束符，模型也没有可教的结束符：它不知道在哪里停止，每个回答都会写到最大长度。"
        "请选择模板会结束回答的模型。",
    )


def _first_token(text: str, added_tokens: dict[str, int]) -> str:
    """The added token that comes first in a text; of two at the same place the longer one."""
    found = [(place, -len(token), token) for token in added_tokens if token and (place := text.find(token)) >= 0]
    return min(found)[2] if found else ""


def _between(tokenizer: Any, talk: list[Message]) -> str:
    """What the template writes between an answer and the next question; "" where it takes no second question."""
    try:
        text = render(tokenizer, [[*talk, {"role": "user", "content": _NEXT}]])[0]
    except TemplateRefusal:
        return ""
    return text[text.rfind(_ANSWER) + 1 : text.find(_NEXT)] if _ANSWER in text and _NEXT in text else ""


def _next_turn(between: str, added_tokens: dict[str, int]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """What begins the next turn: a token, or a text."""
    first = _first_token(between, added_tokens)
    if first and between.lstrip().startswith(first):
        return (added_tokens[first],), ()
    return (), _words(between[: between.find(first)] if first else between)


def _words(text: str) -> tuple[str, ...]:
    """A text at which chat can stop; a single sign stands in many answers."""
    return (text.rstrip(),) if len(text.strip()) > 1 else ()


def _is_one_token(tokenizer: Any) -> bool:
    """Whether the end token's name, written into a text, is read as that token."""
    return tokenizer(tokenizer.eos_token, add_special_tokens=False)["input_ids"] == [tokenizer.eos_token_id]
