"""Which part of a rendered conversation the model learns: the characters of its answers, for any chat template.

A template that marks its answers with `{% generation %}` is believed. For any other, the conversation is rendered up to
each answer, with and without it, and the difference is the answer together with the token that ends it. Knows nothing
about tokens; a conversation is rendered only through the tokenizer's public `apply_chat_template`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, same

if TYPE_CHECKING:
    from workbench.data.formats import Example
    from workbench.data.library import Loaded

Message = dict[str, str]
Span = tuple[int, int]

# Characters for private use, which a tokenizer's vocabulary and ordinary text do not have.
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
_START_TAG = re.compile(r"\{%([-+]?)\s*generation\s*([-+]?)%\}")
_END_TAG = re.compile(r"\{%([-+]?)\s*endgeneration\s*([-+]?)%\}")
# Characters that a template may write: a little more than the messages, and a long system prompt of its own.
_SPARE, _TIMES = 1_000_000, 20

_ANOTHER_MODEL = Text("Change the conversation, or choose another model.", "请修改对话内容，或选择其他模型。")
_WITHOUT_SYSTEM = Text("Clear the system prompt, or choose another model.", "请清空系统提示，或选择其他模型。")
_OTHER_ROW = Text("Leave the row out, or choose another model.", "请去掉该样本，或选择其他模型。")
_OTHER_ROW_WITHOUT_SYSTEM = Text(
    "Take the system prompt out of such rows, leave them out, or choose another model.",
    "请去掉这类样本中的系统提示，或去掉整条样本，或选择其他模型。",
)


@dataclass(frozen=True)
class Rendered:
    """A conversation as one text, and the spans of characters (start, end) that are the model's answers."""

    text: str
    answers: list[Span]


def chat_template(tokenizer: Any) -> str:
    """The tokenizer's default chat template.

    Raises:
        WorkbenchError: (`no_chat_template`) when it has none.
    """
    try:
        template = tokenizer.get_chat_template()
    except ValueError:
        template = None
    if not template:
        raise WorkbenchError(
            Text(
                "this model has no chat template, so conversations cannot be shown to it",
                "此模型没有对话模板，无法处理对话数据",
            ),
            Text(
                "Choose a model made for chat (often called Instruct or Chat), or train on plain text.",
                "请选择面向对话的模型（名称中常带 Instruct 或 Chat），或使用纯文本数据训练。",
            ),
            code="no_chat_template",
        )
    return template


def render(tokenizer: Any, conversations: list[list[Message]], **options: Any) -> list[str]:
    """Every conversation as text; `options` go to `apply_chat_template`.

    Raises:
        TemplateRefusal: the template refuses one, or writes far more than was said; `place` says which.
    """
    if not conversations:
        return []
    try:
        texts = tokenizer.apply_chat_template(conversations, tokenize=False, **options)
    except _template_errors():
        for place, messages in enumerate(conversations):
            try:
                tokenizer.apply_chat_template(messages, tokenize=False, **options)
            except _template_errors() as error:
                system = _refuses_system(tokenizer, messages, options)
                raise TemplateRefusal(same(str(error)[:300]), place, system) from error
        raise
    for place, (text, messages) in enumerate(zip(texts, conversations, strict=True)):
        # Turning it into tokens would take the memory of many such texts.
        if len(text) > _SPARE + _TIMES * sum(len(message.get("content") or "") for message in messages):
            reason = Text("it makes {length} characters out of it", "它把对话展开成了 {length} 个字符")
            raise TemplateRefusal(reason.with_(length=f"{len(text):,}"), place)
    return texts


def render_answers(tokenizer: Any, conversations: list[list[Message]]) -> list[Rendered]:
    """Every conversation rendered, with the spans of its answers in order."""
    template = chat_template(tokenizer)
    texts = render(tokenizer, conversations)
    spans: list[list[Span] | None] = [None] * len(texts)
    if _START_TAG.search(template):
        spans = _marked_spans(tokenizer, template, conversations, texts)
    left = [index for index, found in enumerate(spans) if found is None]
    for index, found in _measured_spans(tokenizer, conversations, texts, left).items():
        spans[index] = found
    return [Rendered(text, found or []) for text, found in zip(texts, spans, strict=True)]


class TemplateRefusal(WorkbenchError):
    """The chat template cannot render a conversation.

    Raised without a row number: who renders one conversation has none, and who renders many has left rows out and kept
    some back before. Whoever has the set itself raises it again with `in_file`.

    Args:
        reason: what the template says.
        place: the conversation's place, from 0, among those that were asked for.
        system: whether it is the conversation's system prompt that is refused, as many templates do.
        example: the example that the conversation comes from, the very object.
        row: its number in its file, from 1.
        name: the data set's name.
    """

    def __init__(
        self,
        reason: Text,
        place: int = 0,
        system: bool = False,
        *,
        example: Example | None = None,
        row: int | None = None,
        name: Text | str = "",
    ) -> None:
        if row is None:
            message = Text(
                "this model's chat template refuses this conversation: {reason}",
                "此模型的对话模板拒绝了这段对话：{reason}",
            ).with_(reason=reason)
            hint = _WITHOUT_SYSTEM if system else _ANOTHER_MODEL
        else:
            message = Text(
                "row {row} of {name}: this model's chat template refuses it: {reason}",
                "数据集 {name} 第 {row} 条样本：此模型的对话模板拒绝了它：{reason}",
            ).with_(row=row, name=name, reason=reason)
            hint = _OTHER_ROW_WITHOUT_SYSTEM if system else _OTHER_ROW
        super().__init__(message, hint, code="chat_template")
        self.reason, self.place, self.system, self.example, self.row = reason, place, system, example, row

    def at(self, place: int, example: Example | None = None) -> TemplateRefusal:
        """The same refusal with the conversation's place in a longer list, and the example there."""
        return TemplateRefusal(self.reason, place, self.system, example=example)

    def in_file(self, *sets: Loaded | None) -> TemplateRefusal:
        """The same refusal with the row's number in its file, where the example is one of these sets'."""
        for loaded in sets:
            pairs = zip(loaded.numbers, loaded.examples, strict=True) if loaded is not None else ()
            row = next((number for number, example in pairs if example is self.example), None)
            if loaded is not None and row is not None:
                named = {"example": self.example, "row": row, "name": loaded.info.name}
                return TemplateRefusal(self.reason, self.place, self.system, **named)
        return self.at(self.place, self.example)


def _template_errors() -> tuple[type[Exception], ...]:
    from jinja2 import TemplateError

    # A template can also stumble over Python's own rules: a missing key, None where it adds strings, a division by 0.
    return (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


def _refuses_system(tokenizer: Any, messages: list[Message], options: dict[str, Any]) -> bool:
    """Whether it is the system prompt that the template refuses in a conversation."""
    others = [message for message in messages if message.get("role") != "system"]
    if not others or len(others) == len(messages):
        return False
    try:
        tokenizer.apply_chat_template(others, tokenize=False, **options)
    except _template_errors():
        return False
    return True


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
    enders = _end_tokens(tokenizer)
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
    tokenizer: Any, conversations: list[list[Message]], texts: list[str], rows: list[int]
) -> dict[int, list[Span]]:
    """Spans by rendering the conversations with the numbers `rows` up to each of their answers, all in two batches."""
    places = [
        (row, index)
        for row in rows
        for index, message in enumerate(conversations[row])
        if message["role"] == "assistant"
    ]
    led = [(row, index) for row, index in places if index]
    followed = [(row, index) for row, index in places if index + 1 < len(conversations[row])]
    before = _render_parts(tokenizer, conversations, led, 0, add_generation_prompt=True)
    after = _render_parts(tokenizer, conversations, followed, 1)
    enders = _end_tokens(tokenizer)
    spans: dict[int, list[Span]] = {row: [] for row in rows}
    for row, index in places:
        text = texts[row]
        start = len(os.path.commonprefix([before.get((row, index), ""), text]))
        upto = after.get((row, index), text)
        kept = text.startswith(upto)
        try:
            end = len(upto) if kept else _searched_end(tokenizer, conversations[row], index, text, start, enders)
        except TemplateRefusal as refusal:
            raise refusal.at(row) from refusal
        spans[row].append((start, _without_tail(text, start, end, enders)))
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


def _searched_end(
    tokenizer: Any, messages: list[Message], index: int, text: str, start: int, enders: tuple[str, ...]
) -> int:
    """The end of an answer that the template renders differently once the conversation goes on (Qwen3's thoughts).

    What stands behind a last answer mostly closes the earlier ones too: it is searched backwards from the next message.
    Otherwise (Phi-3 and gpt-oss end the last answer in their own way) the answer ends with the first special token
    behind its words.
    """
    probe = "\ue0f2"
    changed = [*messages]
    changed[index + 1] = {**messages[index + 1], "content": probe}
    other, last = render(tokenizer, [changed, [*messages[:index], {"role": "assistant", "content": probe}]])
    following = len(os.path.commonprefix([text, other]))
    closer = last[last.rfind(probe) + 1 :].rstrip()
    found = text.rfind(closer, start, following) if closer else -1
    if found >= 0:
        return found + len(closer)
    words = messages[index]["content"].strip()
    found = text.rfind(words, start, following)
    if found < 0:
        return following
    behind = found + len(words)
    ends = [place + len(token) for token in enders if (place := text.find(token, behind, following)) >= 0]
    return min(ends, default=behind)


def _end_tokens(tokenizer: Any) -> tuple[str, ...]:
    return tuple(str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)


def _without_tail(text: str, start: int, end: int, enders: tuple[str, ...]) -> int:
    """The end of the answer's end token: a line break behind it belongs to the next message, and is never generated."""
    stripped = text[start:end].rstrip()
    return start + len(stripped) if enders and stripped.endswith(enders) else end
