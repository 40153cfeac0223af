"""Conversations as data sets write them, turned into messages: `[{"role": ..., "content": ...}, ...]`.

Roles come out as system, user, assistant or tool; after an optional system message, questions and answers take turns.
What does not fit raises `BadRow` with a code that `formats` puts into words; nothing is repaired in silence.
"""

from __future__ import annotations

import re
from typing import Any

from workbench.data.turns import BadRow, Message, add_fields

__all__ = ["ROLES", "BadRow", "Message", "as_text", "check_order", "from_history", "from_transcript", "parse_message"]
__all__ += ["open_with_question", "parse_messages", "trim_unanswered"]

ROLES = {
    **dict.fromkeys(("system", "developer", "系统", "系统提示"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "person", "customer", "client", "student"), "user"),
    **dict.fromkeys(("用户", "人类", "客户", "顾客", "学生"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "ai", "llm", "bing", "claude"), "assistant"
    ),
    **dict.fromkeys(
        ("agent", "helper", "gemini", "teacher", "助手", "助理", "机器人", "模型", "客服", "老师"), "assistant"
    ),
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_response": "tool",
}

_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \t]*")


def as_text(value: Any, field: str) -> str:
    """A string that can be written as UTF-8, or a list of text parts joined; anything else is a bad row."""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        if any(part.get("type") not in (None, "text") for part in value):
            raise BadRow("media")
        value = "".join(as_text(part.get("text"), field) for part in value)
    if not isinstance(value, str):
        raise BadRow("missing_field" if value is None else "not_text", field)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write and no tokenizer takes
        raise BadRow("broken_text", field) from None
    return value


def parse_message(item: Any, notes: list[str] | None = None) -> Message:
    """One message, written with role and content or with from and value; what of it is not used is noted."""
    if not isinstance(item, dict):
        raise BadRow("not_messages")
    role, content = ("role", "content") if "role" in item else ("from", "value")
    if role not in item:
        raise BadRow("not_messages")
    name = str(item[role]).strip().lower()
    if name not in ROLES:
        raise BadRow("unknown_role", name)
    words = item.get(content)
    if words is None and (item.get("tool_calls") or item.get("function_call")):
        words = ""  # who calls a tool need not say anything
    message: Message = {"role": ROLES[name], "content": as_text(words, content)}
    if len(item) > 2 or content not in item:
        add_fields(message, item, [] if notes is None else notes)
    return message


def parse_messages(value: Any, notes: list[str] | None = None) -> list[Message]:
    """A list of messages in order; an empty system message is left away.

    Any other empty message is a bad row, but for one that calls a tool, and the result of one.
    """
    if not isinstance(value, list) or not value:
        raise BadRow("not_messages")
    messages = []
    for item in value:
        message = parse_message(item, notes)
        if message["content"].strip() or message.get("tool_calls") or message["role"] == "tool":
            messages.append(message)
        elif message["role"] != "system":
            raise BadRow("empty_answer" if message["role"] == "assistant" else "empty_question")
    return messages


def check_order(messages: list[Message]) -> None:
    """Questions and answers take turns, a system message comes first or not at all: what chat templates expect."""
    previous = "start"
    for message in messages:
        role = message["role"]
        allowed = {
            "system": previous == "start",
            "user": previous in ("start", "system", "assistant"),
            "assistant": previous in ("user", "tool"),
            "tool": previous in ("assistant", "tool"),
        }
        if not allowed[role]:
            raise BadRow("wrong_order", role)
        previous = role


def trim_unanswered(messages: list[Message], notes: list[str]) -> list[Message]:
    """The conversation up to its last answer; what is trimmed is noted, a conversation without answer is a bad row."""
    end = len(messages)
    while end and messages[end - 1]["role"] != "assistant":
        end -= 1
    if not end:
        raise BadRow("no_answer")
    if end < len(messages):
        notes.append("unanswered_end")
    return messages[:end]


def open_with_question(messages: list[Message], notes: list[str]) -> list[Message]:
    """A conversation that the assistant begins, with an empty question before its greeting.

    Many chat templates refuse an answer that comes first, and some refuse a system prompt, where the greeting could
    stand otherwise; all take an empty question.
    """
    place = 1 if messages and messages[0]["role"] == "system" else 0
    begins = [message["role"] for message in messages[place : place + 1]] == ["assistant"]
    if not begins or all(message["role"] != "user" for message in messages):
        return messages
    notes.append("empty_question_added")
    return [*messages[:place], {"role": "user", "content": ""}, *messages[place:]]


def from_history(history: Any) -> list[Message]:
    """Earlier turns as pairs of question and answer."""
    messages = []
    if history and not isinstance(history, (list, tuple)):
        raise BadRow("bad_history")
    for pair in history or []:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise BadRow("bad_history")
        messages.append({"role": "user", "content": as_text(pair[0], "history")})
        messages.append({"role": "assistant", "content": as_text(pair[1], "history")})
    return parse_messages(messages) if messages else []


def from_transcript(text: str) -> list[Message] | None:
    """Messages out of a transcript with `Human:` and `Assistant:` paragraphs, or None if it is no such transcript."""
    pieces = _TURN.split(text)
    if len(pieces) < 5 or pieces[0].strip():
        return None
    turns = zip(pieces[1::2], pieces[2::2], strict=True)
    return parse_messages([{"role": speaker, "content": content.strip()} for speaker, content in turns])
