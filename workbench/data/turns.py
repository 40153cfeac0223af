"""One turn of a conversation, and the fields that data sets write beside its role and its words.

A thought, calls of tools and their results stay what they are, for the chat template to render; a mark says whether a turn
is learned. What is not used is noted by name; the notes' codes are known to `formats`.
"""

from __future__ import annotations

import json
from typing import Any, NotRequired, TypedDict


class Message(TypedDict):
    """A turn. Fields beside role and content are there only where the data set has them.

    `learned` is False for an answer that is context only. `tools`, on the first message alone, describes what may be called.
    """

    role: str
    content: str
    reasoning: NotRequired[str]
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]
    learned: NotRequired[bool]
    tools: NotRequired[list[dict[str, Any]]]


class BadRow(Exception):
    """A row that cannot be used: why (a code known to `formats`), and the field or role concerned."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail[:40]


THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking", "thought")
# What a true value of a mark means for its turn.
MARKS = {
    "weight": True,
    "loss_weight": True,
    "train": True,
    "training": True,
    "trainable": True,
    "learn": True,
    "loss": True,
    "mask": False,
    "masked": False,
}
_READ = {"role", "from", "content", "value", "tool_calls", "function_call", *THOUGHT_FIELDS, *MARKS}
_OF_RESULTS = ("tool_call_id", "name")
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


def add_fields(message: Message, item: dict[str, Any], notes: list[str]) -> None:
    """Put the further fields of a turn, as they stand in `item`, into the message; note those that are not used."""
    answer = message["role"] == "assistant"
    calls = item.get("tool_calls") or ([item["function_call"]] if item.get("function_call") else [])
    if calls:
        if not answer:
            raise BadRow("tool_calls")
        message["tool_calls"] = _calls(calls)
    thoughts = [item[name] for name in THOUGHT_FIELDS if item.get(name)]
    if answer and thoughts and isinstance(thoughts[0], str) and thoughts[0].strip():
        message["reasoning"] = _sound(thoughts[0])
        thoughts = [other for other in thoughts if other != thoughts[0]]
    if thoughts:
        notes.append("thought_not_used")
    _add_mark(message, item, notes)
    for name, value in item.items():
        if message["role"] == "tool" and name in _OF_RESULTS and isinstance(value, str):
            message[name] = _sound(value)  # type: ignore[literal-required]
        elif name not in _READ and value not in (None, "", [], {}):
            notes.append(f"field_not_used:{name[:40]}")


def add_tools(messages: list[Message], value: Any, notes: list[str]) -> None:
    """Put a row's descriptions of tools, a list or a text that holds one, onto the first message of its conversation."""
    if not value:
        return
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
        if value == []:
            return
    tools = value if isinstance(value, list) else [value]
    if not messages or not all(isinstance(tool, dict) and _name(tool) for tool in tools):
        notes.append("tools_ignored")
        return
    _sound(json.dumps(tools, ensure_ascii=False))
    # Some sets write what a function is without saying that it is one, which templates expect.
    wrapped = [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
    messages[0] = {**messages[0], "tools": wrapped}


def call_name(call: dict[str, Any]) -> str:
    """The name of the function that is called or described."""
    return str(call.get("function", {}).get("name", ""))


def _name(tool: dict[str, Any]) -> Any:
    inner = tool.get("function", tool)
    return inner.get("name") if isinstance(inner, dict) else None


def _calls(calls: Any) -> list[dict[str, Any]]:
    """Calls in the form that chat templates expect: arguments are an object, not its text."""
    if not isinstance(calls, list):
        raise BadRow("tool_calls")
    read = []
    for call in calls:
        inner = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or not inner["name"]:
            raise BadRow("tool_calls")
        arguments = inner.get("arguments", {})
        if isinstance(arguments, str):
            try:
                parsed = json.loads(arguments or "{}")
            except (ValueError, RecursionError):
                parsed = None
            arguments = parsed if isinstance(parsed, dict) else arguments
        one: dict[str, Any] = {"type": "function", "function": {"name": inner["name"], "arguments": arguments}}
        if isinstance(call.get("id"), str):
            one["id"] = call["id"]
        read.append(one)
    _sound(json.dumps(read, ensure_ascii=False))
    return read


def _add_mark(message: Message, item: dict[str, Any], notes: list[str]) -> None:
    marks = [(name, item[name]) for name in MARKS if item.get(name) is not None]
    if not marks:
        return
    if message["role"] != "assistant":
        if any(_number(value) and MARKS[name] for name, value in marks if "weight" not in name):
            notes.append("mark_of_others")
        return
    for name, value in marks:
        number = _number(value)
        if number is None:
            notes.append(f"field_not_used:{name}")
            continue
        if number not in (0, 1):
            notes.append("weight_counts_as_1")
        if bool(number) != MARKS[name]:
            message["learned"] = False


def _number(value: Any) -> float | None:
    """A mark in any of its usual spellings: true, 0, "0.0", "no"."""
    if isinstance(value, str):
        word = value.strip().lower()
        try:
            return _WORDS[word] if word in _WORDS else float(word)
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) and abs(value) < 1e9 else None


def _sound(text: str) -> str:
    """The text, where it can be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRow("broken_text", "messages") from None
    return text
