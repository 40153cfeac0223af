"""Which part of a rendered conversation the model learns: the characters of its answers, for any chat template.

A template that marks its answers with `{% generation %}` is believed. For any other, the conversation is rendered up to
each answer, with and without it, and the difference is the answer together with the token that ends it. Where that tells
nothing, because a template renders a conversation differently once it goes on, the answer is put in place of another one,
and what stands around both is the template's. Knows nothing about tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.data.around import Around
from workbench.data.ends import Ending, special_tokens
from workbench.data.rendering import TemplateRefusal, chat_template, render
from workbench.data.turns import Message
from workbench.data.words import Loss, losses

Span = tuple[int, int]

# Characters for private use, which a tokenizer's vocabulary and ordinary text do not have.
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
_START_TAG = re.compile(r"\{%([-+]?)\s*generation\s*([-+]?)%\}")
_END_TAG = re.compile(r"\{%([-+]?)\s*endgeneration\s*([-+]?)%\}")


@dataclass(frozen=True)
class Rendered:
    """A conversation as one text.

    Args:
        text: what the template writes, and behind a last answer the end that is taught where the template writes none.
        answers: spans of characters (start, end) that are the model's answers and are learned.
        skipped: spans of answers that are marked as not to be learned.
        lost: words that the template leaves away.
    """

    text: str
    answers: list[Span]
    skipped: list[Span] = field(default_factory=list)
    lost: tuple[Loss, ...] = ()


def render_answers(
    tokenizer: Any, conversations: list[list[Message]], ending: Ending, context: list[int] | None = None
) -> list[Rendered]:
    """Every conversation rendered, with the spans of its answers in order.

    Args:
        tokenizer: with a chat template.
        conversations: each with its answers.
        ending: how answers end with this tokenizer.
        context: how many messages of each conversation only lead to its answers; default none.
    """
    template = chat_template(tokenizer)
    texts = render(tokenizer, conversations)
    turns = [_answers(messages) for messages in conversations]
    spans: list[list[Span] | None] = [None] * len(texts)
    asked: dict[int, str] = {}
    if _START_TAG.search(template):
        spans = _marked_spans(tokenizer, template, conversations, texts)
        for row, found in enumerate(spans):
            if found is not None and len(found) != len(turns[row]) and (context or _unlearned(conversations[row])):
                spans[row] = None  # nobody can say which of the marked stretches belongs to which answer
    left = [row for row, found in enumerate(spans) if found is None]
    for row, found in _measured_spans(tokenizer, conversations, texts, left, asked).items():
        spans[row] = found
    return [
        _rendered(conversations[row], text, spans[row] or [], ending, context[row] if context else 0, asked.get(row))
        for row, text in enumerate(texts)
    ]


def _answers(messages: list[Message]) -> list[int]:
    return [place for place, message in enumerate(messages) if message["role"] == "assistant"]


def _unlearned(messages: list[Message]) -> bool:
    return any("learned" in message for message in messages)


def _rendered(
    messages: list[Message], text: str, spans: list[Span], ending: Ending, context: int, asked: str | None
) -> Rendered:
    """One conversation with its end, and with its spans sorted by what is learned of them."""
    taught = messages[-1]["role"] == "assistant" and messages[-1].get("learned", True)
    if ending.added and taught and spans:
        text += ending.added
        spans = [*spans[:-1], (spans[-1][0], len(text))]
    lost = losses(messages, text, spans, context, asked)
    if not context and not _unlearned(messages):
        return Rendered(text, spans, [], lost)
    places = _answers(messages)
    learned = [
        span
        for place, span in zip(places, spans, strict=True)
        if place >= context and messages[place].get("learned", True)
    ]
    skipped = [span for place, span in zip(places, spans, strict=True) if not messages[place].get("learned", True)]
    return Rendered(text, learned, skipped, lost)


def _marked_spans(
    tokenizer: Any, template: str, conversations: list[list[Message]], texts: list[str]
) -> list[list[Span] | None]:
    """Spans from a copy of the template that writes a private character where an answer starts and ends.

    Transformers can report the spans itself, but through state that it keeps in the compiled template: two threads that
    render at the same time disturb each other (transformers 5.23, `AssistantTracker`). None stands for a conversation
    whose copy does not come out the same, and for one without any mark.
    """
    copy = _START_TAG.sub(rf"{{%\1 if true %}}{{{{ '{_OPEN}' }}}}{{% if true \2%}}", template)
    copy = _END_TAG.sub(rf"{{%\1 endif %}}{{{{ '{_CLOSE}' }}}}{{% endif \2%}}", copy)
    try:
        written = render(tokenizer, conversations, chat_template=copy)
    except WorkbenchError:
        return [None] * len(texts)
    enders = special_tokens(tokenizer)
    return [_read_marks(marked, text, enders) for marked, text in zip(written, texts, strict=True)]


def _read_marks(marked: str, text: str, enders: tuple[str, ...]) -> list[Span] | None:
    pieces = re.split(f"[{_OPEN}{_CLOSE}]", marked)
    marks = re.findall(f"[{_OPEN}{_CLOSE}]", marked)
    if "".join(pieces) != text or not marks or marks != [_OPEN, _CLOSE] * (len(marks) // 2):
        return None
    spans, position = [], 0
    for index, piece in enumerate(pieces):
        if index % 2:
            end = position + len(piece)
            if not piece.rstrip().endswith(enders):
                # Some templates close the mark in front of the token that ends the answer.
                end += next((len(token) for token in enders if text.startswith(token, end)), 0)
            spans.append((position, end))
        position += len(piece)
    return spans


def _measured_spans(
    tokenizer: Any, conversations: list[list[Message]], texts: list[str], rows: list[int], asked: dict[int, str]
) -> dict[int, list[Span]]:
    """Spans by rendering the conversations with the numbers `rows` up to each of their answers, all in two batches.

    Where a last answer does not begin as the template asks for it, `asked` gets what is asked for and not there.
    """
    places = [(row, index) for row in rows for index in _answers(conversations[row])]
    led = [(row, index) for row, index in places if index]
    followed = [(row, index) for row, index in places if index + 1 < len(conversations[row])]
    before = _render_parts(tokenizer, conversations, led, 0, add_generation_prompt=True)
    after = _render_parts(tokenizer, conversations, followed, 1)
    enders = special_tokens(tokenizer)
    spans: dict[int, list[Span]] = {row: [] for row in rows}
    for row, index in places:
        text, messages = texts[row], conversations[row]
        head, upto = before.get((row, index)), after.get((row, index), text)
        around = Around(tokenizer, messages, index, text)
        low = spans[row][-1][1] if spans[row] else 0
        try:
            start = len(head) if head is not None and text.startswith(head) else around.start(head, low)
            end = len(upto) if text.startswith(upto) else around.end(start, enders)
        except TemplateRefusal as refusal:
            raise refusal.at(row) from refusal
        if index + 1 == len(messages) and around.missing.strip():
            asked[row] = around.missing
        spans[row].append((start, _without_tail(text, start, max(start, end), enders)))
    return spans


def _render_parts(
    tokenizer: Any, conversations: list[list[Message]], places: list[tuple[int, int]], extra: int, **options: Any
) -> dict[tuple[int, int], str]:
    """Conversations rendered up to a message, with `extra` messages from there on."""
    try:
        parts = render(tokenizer, [conversations[row][: index + extra] for row, index in places], **options)
    except TemplateRefusal as refusal:
        raise refusal.at(places[refusal.place][0]) from refusal
    return dict(zip(places, parts, strict=True))


def _without_tail(text: str, start: int, end: int, enders: tuple[str, ...]) -> int:
    """The end of the answer's end token: a line break behind it belongs to the next message, and is never generated."""
    stripped = text[start:end].rstrip()
    return start + len(stripped) if enders and stripped.endswith(enders) else end
