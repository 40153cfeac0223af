"""From examples to token ids and labels: exactly the ids of `apply_chat_template`, and -100 where nothing is learned.

A tokenizer is handed in; nothing heavy is imported. An answer is learned from its first token to the one that ends it;
where the template writes no end, the tokenizer's end token is added behind the last answer (see `ends`). Cutting to `max_length` keeps the start of a row.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.text import Text
from workbench.data.answers import Rendered, Span, render_answers
from workbench.data.encoded import (
    IGNORED,
    AnyEncoded,
    Encoded,
    EncodedFeedback,
    EncodedLabelled,
    EncodedPreference,
    EncodedPrompt,
    TokenStats,
    statistics,
)
from workbench.data.ends import Ending, ending_of
from workbench.data.formats import Example
from workbench.data.rendering import TemplateRefusal, chat_template, render
from workbench.data.turns import Message
from workbench.data.words import Loss, losses

__all__ = [
    "IGNORED",
    "Encoded",
    "EncodedFeedback",
    "EncodedLabelled",
    "EncodedPreference",
    "EncodedPrompt",
    "Learn",
    "Piece",
    "TemplateRefusal",
    "TokenStats",
    "colour",
    "colour_example",
    "colour_text",
    "encode_chat",
    "encode_many",
    "encode_preference",
    "encode_text",
    "render_prompt",
    "statistics",
]

CHUNK = 128

Learn = Literal["answers", "all"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Piece:
    """A stretch of the rendered text that is learned or not, and cut off or not."""

    text: str
    learned: bool
    cut: bool


def encode_chat(
    tokenizer: Any, messages: list[Message], learn: Learn = "answers", max_length: int | None = None
) -> Encoded:
    """A conversation as tokens.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        messages: the whole conversation.
        learn: `answers` for the assistant's turns only, `all` for every token.
        max_length: tokens to keep; None keeps all.

    Raises:
        WorkbenchError: no chat template (`no_chat_template`), or it refuses this conversation (`chat_template`).
    """
    rendered = render_answers(tokenizer, [messages], ending_of(tokenizer))
    return _encode_rendered(tokenizer, rendered, learn, max_length)[0]


def encode_text(tokenizer: Any, text: str, max_length: int | None = None) -> Encoded:
    """A plain text as tokens, all of them learned, with the tokenizer's own start and end tokens."""
    return _encode_texts(tokenizer, [text], max_length)[0]


def encode_preference(tokenizer: Any, example: Example, max_length: int | None = None) -> EncodedPreference:
    """A preference example as tokens; an answer starts where it parts from the prompt, as in trl."""
    return _encode_preferences(tokenizer, [example], max_length, ending_of(tokenizer))[0]


def encode_many(
    tokenizer: Any,
    kind: str,
    examples: list[Example],
    learn: Learn = "answers",
    max_length: int | None = None,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
) -> list[AnyEncoded]:
    """All examples of a set, one result each and in order, by the encoder of their kind.

    `Encoded` for chat and text, `EncodedFeedback` for feedback, `EncodedLabelled` for labels, `EncodedPreference` for
    preference, `EncodedPrompt` for prompts.

    Args:
        tokenizer: a transformers tokenizer.
        kind: of the set (see `formats`).
        examples: of this kind.
        learn: what is learned from conversations.
        max_length: tokens to keep of every row.
        stop: looked at between blocks of rows.
        progress: called with (rows done, rows in all).

    Raises:
        StopRequested: `stop` was set.
        WorkbenchError: as `encode_chat`; a `TemplateRefusal` holds the example, and names its row after `in_file`.
    """
    results: list[AnyEncoded] = []
    encode, ending = _ENCODERS[kind], ending_of(tokenizer) if examples and kind in _RENDERED else None
    for start in range(0, len(examples), CHUNK):
        if stop is not None and stop.is_set():
            raise StopRequested
        block = examples[start : start + CHUNK]
        try:
            results += encode(tokenizer, block, learn, max_length, ending)
        except TemplateRefusal as refusal:
            raise refusal.at(start + refusal.place, block[refusal.place]) from refusal
        if progress is not None:
            progress(len(results), len(examples))
    return results


def render_prompt(tokenizer: Any, messages: list[Message]) -> list[int]:
    """The tokens that the model continues: the conversation and the header of the answer to come."""
    return _ids(tokenizer, _prompt_texts(tokenizer, [messages]))[0]


def colour(
    tokenizer: Any, messages: list[Message], learn: Learn = "answers", max_length: int | None = None
) -> list[Piece]:
    """The rendered conversation in pieces that join to the whole text, as `encode_chat` learns and cuts it."""
    return _colour(render_answers(tokenizer, [messages], ending_of(tokenizer))[0], tokenizer, learn, max_length)


def colour_text(tokenizer: Any, text: str, max_length: int | None = None) -> list[Piece]:
    """A plain text in pieces, as `encode_text` learns and cuts it."""
    row = tokenizer(text, return_offsets_mapping=True)
    return _pieces(text, row["offset_mapping"], [True] * len(row["input_ids"]), max_length)


def colour_example(
    tokenizer: Any,
    example: Example,
    learn: Learn = "answers",
    max_length: int | None = None,
    side: Literal["chosen", "rejected"] = "chosen",
) -> list[Piece]:
    """An example of any kind in pieces; of a preference pair the side that is asked for."""
    if "text" in example:
        return colour_text(tokenizer, example["text"], max_length)
    try:
        if "messages" in example:
            return colour(tokenizer, example["messages"], learn, max_length)
        answer = example.get(side) or example.get("completion") or []
        rendered = _render_last_answers(tokenizer, [(example["prompt"], answer)], ending_of(tokenizer))[0]
    except TemplateRefusal as refusal:
        raise refusal.at(0, example) from refusal
    return _colour(rendered, tokenizer, "answers", max_length)


def _encode_rendered(tokenizer: Any, rendered: list[Rendered], learn: Learn, max_length: int | None) -> list[Encoded]:
    rows = _tokenise(tokenizer, [row.text for row in rendered])
    encoded = []
    for row, (ids, offsets) in zip(rendered, rows, strict=True):
        kept = ids[:max_length]
        flags = _learned_flags(offsets[: len(kept)], row, learn)
        labels = [token if learned else IGNORED for token, learned in zip(kept, flags, strict=True)]
        encoded.append(Encoded(kept, labels, len(ids) - len(kept), row.lost))
    return encoded


def _encode_texts(tokenizer: Any, texts: list[str], max_length: int | None) -> list[Encoded]:
    end = tokenizer.eos_token_id
    encoded = []
    for ids in tokenizer(texts)["input_ids"]:
        if end is not None and ids[-1:] != [end]:
            ids = [*ids, end]
        kept = ids[:max_length]
        encoded.append(Encoded(kept, [*kept], len(ids) - len(kept)))
    return encoded


def _encode_labelled(tokenizer: Any, examples: list[Example], max_length: int | None) -> list[EncodedLabelled]:
    """With the tokenizer's own start and end tokens, which a text that is cut keeps."""
    encoded = []
    for example, ids in zip(examples, tokenizer([e["text"] for e in examples])["input_ids"], strict=True):
        kept = ids
        if max_length is not None and len(ids) > max_length:
            kept = tokenizer(example["text"], truncation=True, max_length=max_length)["input_ids"]
        encoded.append(EncodedLabelled(kept, example["label"], len(ids) - len(kept)))
    return encoded


def _encode_feedback(
    tokenizer: Any, examples: list[Example], max_length: int | None, ending: Ending
) -> list[EncodedFeedback]:
    rendered = _render_last_answers(tokenizer, [(e["prompt"], e["completion"]) for e in examples], ending)
    rows = zip(_encode_rendered(tokenizer, rendered, "answers", max_length), examples, strict=True)
    return [EncodedFeedback(row.input_ids, row.labels, row.cut, row.lost, example["label"]) for row, example in rows]


def _encode_prompts(tokenizer: Any, examples: list[Example], max_length: int | None) -> list[EncodedPrompt]:
    prompts = [example["prompt"] for example in examples]
    texts = _prompt_texts(tokenizer, prompts)
    rows = zip(_ids(tokenizer, texts), prompts, texts, strict=True)
    return [
        EncodedPrompt(ids[:max_length], len(ids) - len(ids[:max_length]), losses(messages, text, [], len(messages)))
        for ids, messages, text in rows
    ]


def _encode_chats(
    tokenizer: Any, examples: list[Example], learn: Learn, max_length: int | None, ending: Ending
) -> list[Encoded]:
    rendered = render_answers(tokenizer, [example["messages"] for example in examples], ending)
    return _encode_rendered(tokenizer, rendered, learn, max_length)


# One encoder a kind of data: tokenizer, examples, what of a conversation is learned, tokens to keep, how answers end (None
# where nothing is rendered by the template).
_ENCODERS: dict[str, Callable[[Any, list[Example], Learn, int | None, Any], Sequence[AnyEncoded]]] = {
    "text": lambda tokenizer, rows, _, length, __: _encode_texts(tokenizer, [row["text"] for row in rows], length),
    "labels": lambda tokenizer, rows, _, length, __: _encode_labelled(tokenizer, rows, length),
    "chat": _encode_chats,
    "preference": lambda tokenizer, rows, _, length, ending: _encode_preferences(tokenizer, rows, length, ending),
    "feedback": lambda tokenizer, rows, _, length, ending: _encode_feedback(tokenizer, rows, length, ending),
    "prompts": lambda tokenizer, rows, _, length, __: _encode_prompts(tokenizer, rows, length),
}
_RENDERED = frozenset(_ENCODERS) - {"text", "labels"}


def _encode_preferences(
    tokenizer: Any, examples: list[Example], max_length: int | None, ending: Ending
) -> list[EncodedPreference]:
    asked = _prompt_texts(tokenizer, [example["prompt"] for example in examples])
    sides = []
    lost: list[tuple[Loss, ...]] = [()] * len(examples)
    for side in ("chosen", "rejected"):
        talks = [example["prompt"] + example[side] for example in examples]
        texts = render(tokenizer, talks)
        for place, (talk, text) in enumerate(zip(talks, texts, strict=True)):
            answer = (len(os.path.commonprefix([asked[place], text])), len(text))
            found = losses(talk, text, [answer], len(examples[place]["prompt"]))
            lost[place] = tuple(dict.fromkeys((*lost[place], *found)))
        sides.append(_ids(tokenizer, [text + ending.added for text in texts]))
    rows = zip(_ids(tokenizer, asked), *sides, lost, strict=True)
    return [_preference(p, c, r, max_length, found) for p, c, r, found in rows]


def _preference(
    prompt: list[int], chosen: list[int], rejected: list[int], max_length: int | None, lost: tuple[Loss, ...]
) -> EncodedPreference:
    """The answers start where they part from the prompt, which a template may render differently before an answer."""
    head = min(_common_length(prompt, chosen), _common_length(prompt, rejected))
    kept = chosen[head:max_length], rejected[head:max_length]
    cut = len(chosen) + len(rejected) - 2 * head - len(kept[0]) - len(kept[1])
    return EncodedPreference(prompt[:head], *kept, cut, max(len(chosen), len(rejected)), lost)


def _common_length(left: list[int], right: list[int]) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(left), len(right)))


def _prompt_texts(tokenizer: Any, prompts: list[list[Message]]) -> list[str]:
    chat_template(tokenizer)
    return render(tokenizer, prompts, add_generation_prompt=True)


def _render_last_answers(
    tokenizer: Any, pairs: list[tuple[list[Message], list[Message]]], ending: Ending
) -> list[Rendered]:
    """Prompt and answer rendered together, where only the answer counts: earlier turns of the prompt are context."""
    talks = [prompt + answer for prompt, answer in pairs]
    return render_answers(tokenizer, talks, ending, [len(prompt) for prompt, _ in pairs])


def _ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    # The template has written the special tokens already.
    return tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []


def _tokenise(tokenizer: Any, texts: list[str]) -> list[tuple[list[int], list[Span]]]:
    """Ids of every text, and for each token the characters that it stands for."""
    if not tokenizer.is_fast:
        raise WorkbenchError(
            Text(
                "this model's tokenizer cannot say which characters a token stands for",
                "此模型的分词器无法给出词元对应的字符",
            ),
            Text("Choose a model that comes with a tokenizer.json.", "请选择带有 tokenizer.json 的模型。"),
            code="slow_tokenizer",
        )
    rows = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    return list(zip(rows["input_ids"], rows["offset_mapping"], strict=True))


def _learned_flags(offsets: list[Span], rendered: Rendered, learn: Learn) -> list[bool]:
    """Which tokens are learned: those that have at least one character in an answer."""
    flags = [learn == "all"] * len(offsets)
    _set_flags(flags, offsets, rendered.skipped if learn == "all" else rendered.answers, learn != "all")
    return flags


def _set_flags(flags: list[bool], offsets: list[Span], spans: list[Span], value: bool) -> None:
    for start, end in spans:
        for place in range(bisect_left(offsets, start, key=lambda span: span[1]), len(offsets)):
            first, last = offsets[place]
            if first >= end:
                break
            # A token without characters (a byte of a character that another token has) goes with its place.
            if last > start or first == last == start:
                flags[place] = value


def _colour(rendered: Rendered, tokenizer: Any, learn: Learn, max_length: int | None) -> list[Piece]:
    offsets = _tokenise(tokenizer, [rendered.text])[0][1]
    return _pieces(rendered.text, offsets, _learned_flags(offsets, rendered, learn), max_length)


def _pieces(text: str, offsets: list[Span], flags: list[bool], max_length: int | None) -> list[Piece]:
    """Neighbouring characters of the same state joined. A character split over several tokens goes with the first."""
    states: list[tuple[bool, bool]] = []
    for place, ((_, end), learned) in enumerate(zip(offsets, flags, strict=True)):
        state = (learned, max_length is not None and place >= max_length)
        states += [state] * (end - len(states))
    states += (states[-1:] or [(False, False)]) * (len(text) - len(states))
    pieces = []
    for (learned, cut), group in groupby(range(len(text)), key=states.__getitem__):
        places = [*group]
        pieces.append(Piece(text[places[0] : places[-1] + 1], learned, cut))
    return pieces
