"""A conversation as the text that a model reads: the chat template filled in, and what it says when it refuses.

Rendered only through the tokenizer's public `apply_chat_template`. A turn's further fields reach the template under the
names that templates look for. Knows nothing about tokens, or about what is learned.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, same
from workbench.data.turns import THOUGHT_FIELDS, Message

if TYPE_CHECKING:
    from workbench.data.formats import Example
    from workbench.data.library import Loaded

# Characters that a template may write: a little more than the messages, and a long system prompt of its own.
_SPARE, _TIMES = 1_000_000, 20

_ANOTHER_MODEL = Text("Change the conversation, or choose another model.", "请修改对话内容，或选择其他模型。")
_WITHOUT_SYSTEM = Text("Clear the system prompt, or choose another model.", "请清空系统提示，或选择其他模型。")
_OTHER_ROW = Text("Leave the row out, or choose another model.", "请去掉该样本，或选择其他模型。")
_OTHER_ROW_WITHOUT_SYSTEM = Text(
    "Take the system prompt out of such rows, leave them out, or choose another model.",
    "请去掉这类样本中的系统提示，或去掉整条样本，或选择其他模型。",
)


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
    texts = [""] * len(conversations)
    plain: list[int] = []
    for place, messages in enumerate(conversations):
        if any(len(message) > 2 for message in messages):
            try:
                texts[place] = _render_plain(tokenizer, *_for_template(tokenizer, messages, options))[0]
            except TemplateRefusal as refusal:
                raise refusal.at(place) from refusal
        else:
            plain.append(place)
    try:
        found = _render_plain(tokenizer, [conversations[place] for place in plain], options) if plain else []
    except TemplateRefusal as refusal:
        raise refusal.at(plain[refusal.place]) from refusal
    for place, text in zip(plain, found, strict=True):
        texts[place] = text
    return texts


def _render_plain(tokenizer: Any, conversations: list[Any], options: dict[str, Any]) -> list[str]:
    """Conversations that share their options and are just as the template reads them."""
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
    tools = len(str(options.get("tools") or ""))
    for place, (text, messages) in enumerate(zip(texts, conversations, strict=True)):
        # Turning it into tokens would take the memory of many such texts.
        if len(text) > _SPARE + _TIMES * (tools + sum(_length(message) for message in messages)):
            reason = Text("it makes {length} characters out of it", "它把对话展开成了 {length} 个字符")
            raise TemplateRefusal(reason.with_(length=f"{len(text):,}"), place)
    return texts


def _length(message: dict[str, Any]) -> int:
    return len(message.get("content") or "") if len(message) == 2 else len(str(message))


def _for_template(
    tokenizer: Any, messages: list[Message], options: dict[str, Any]
) -> tuple[list[list[dict[str, Any]]], dict[str, Any]]:
    """One conversation and its options with the further fields of its turns under the names that templates know."""
    tools = messages[0].get("tools")
    calls = any("tool_calls" in message for message in messages)
    as_text = calls and _wants_text(tokenizer, options)
    given = []
    for message in messages:
        turn: dict[str, Any] = {"role": message["role"], "content": message["content"]}
        turn |= {name: message[name] for name in ("name", "tool_call_id") if name in message}  # type: ignore[literal-required]
        if "reasoning" in message:
            turn |= dict.fromkeys(
                THOUGHT_FIELDS, message["reasoning"]
            )  # a template takes the one that it has a place for
        if "tool_calls" in message:
            turn["tool_calls"] = [_call(call, as_text) for call in message["tool_calls"]]
        given.append(turn)
    return [given], {**options, "tools": tools} if tools else options


def _call(call: dict[str, Any], as_text: bool) -> dict[str, Any]:
    arguments = call["function"]["arguments"]
    if not as_text or isinstance(arguments, str):
        return call
    return {**call, "function": {**call["function"], "arguments": json.dumps(arguments, ensure_ascii=False)}}


def _wants_text(tokenizer: Any, options: dict[str, Any]) -> bool:
    """Whether a template puts the arguments of a call into its text as they are, instead of writing them as JSON."""
    call = {"type": "function", "function": {"name": "probe", "arguments": {"probe": 1}}, "id": "probe00ab"}
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    try:
        return "{'probe': 1}" in tokenizer.apply_chat_template(turns, tokenize=False, **options)
    except _template_errors():
        return True


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
