"""One function a format: a row as it stands in the file becomes an `Example`, or raises `BadRow`.

Column names are compared in lower case, and the usual Chinese headings are read like their English twins.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from workbench.data.conversations import (
    BadRow,
    Message,
    as_text,
    check_order,
    from_history,
    from_transcript,
    parse_messages,
    trim_unanswered,
)

Row = dict[str, Any]
Example = dict[str, Any]
Converter = Callable[[Row, list[str]], Example]

TEXT_KEYS = ("text", "content", "raw_content", "document", "sentence", "review")
MESSAGE_KEYS = ("messages", "conversations", "conversation")
PROMPT_KEYS = ("prompt", "question", "query", "instruction", "input")
ANSWER_KEYS = ("completion", "response", "answer", "output", "target")
LABEL_KEYS = ("label", "labels", "kto_tag", "sentiment", "category", "class")
MEDIA_KEYS = ("images", "image", "audios", "audio", "videos", "video")
SYSTEM_KEYS = ("system", "system_prompt")

_CHINESE = {
    "文本": "text",
    "内容": "content",
    "指令": "instruction",
    "输入": "input",
    "输出": "output",
    "问题": "question",
    "提示": "prompt",
    "回答": "answer",
    "答案": "answer",
    "系统": "system",
    "标签": "label",
    "类别": "category",
}
_TRUE = ("true", "1", "yes", "good", "是", "好")
_FALSE = ("false", "0", "-1", "no", "bad", "否", "差")


def plain_keys(row: Row) -> Row:
    """The row with its column names in lower case and in English; null counts as not there."""
    result: Row = {}
    for key, value in row.items():
        if value is not None:
            name = key.strip().lower()
            result.setdefault(_CHINESE.get(name, name), value)
    return result


def first_of(row: Row, keys: tuple[str, ...]) -> str | None:
    """The first of `keys` that the row has."""
    return next((key for key in keys if key in row), None)


def as_bool(value: Any) -> bool | None:
    """A verdict in any of its usual spellings, or None."""
    word = str(value).strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def detect(row: Row) -> str | None:
    """The format that a row (with plain keys) is written in, told from its columns alone."""
    messages = row.get(first_of(row, MESSAGE_KEYS) or "")
    label = first_of(row, LABEL_KEYS)
    prompt, answer, text = first_of(row, PROMPT_KEYS), first_of(row, ANSWER_KEYS), first_of(row, TEXT_KEYS)
    if "chosen" in row and "rejected" in row:
        return "preference"
    if isinstance(messages, list):
        if label and as_bool(row[label]) is not None:
            return "kto"
        return "sharegpt" if messages and isinstance(messages[0], dict) and "from" in messages[0] else "messages"
    if prompt and answer:
        if label and as_bool(row[label]) is not None:
            return "kto"
        return "alpaca" if "instruction" in row else "prompt_completion"
    if text:
        return "labelled" if label else "text"
    return "prompts" if prompt else None


def convert_text(row: Row, notes: list[str]) -> Example:
    """`{"text": str}`"""
    return {"text": _filled(row, TEXT_KEYS, "empty_text")}


def convert_labelled(row: Row, notes: list[str]) -> Example:
    """`{"text": str, "label": str}`; numbers and truth values become their JSON spelling."""
    value = row.get(first_of(row, LABEL_KEYS) or "")
    if isinstance(value, (dict, list)):
        raise BadRow("not_text", "label")
    label = as_text(value, "label") if isinstance(value, str) or value is None else json.dumps(value)
    if not label.strip():
        raise BadRow("missing_field", "label")
    return {"text": _filled(row, TEXT_KEYS, "empty_text"), "label": label.strip()}


def convert_chat(row: Row, notes: list[str]) -> Example:
    """`{"messages": [...]}` from a list of messages, whichever names its fields have."""
    messages = parse_messages(row.get(first_of(row, MESSAGE_KEYS) or ""), notes)
    return {"messages": _finished(_with_system(messages, row), notes)}


def convert_instruction(row: Row, notes: list[str]) -> Example:
    """`{"messages": [...]}` from a question and an answer, with history and system where the row has them."""
    answer_key = first_of(row, ANSWER_KEYS)
    if answer_key is None:
        raise BadRow("missing_field", "output" if "instruction" in row else "completion")
    return {"messages": _finished(_prompt(row, notes) + _answer(row[answer_key], answer_key, notes), notes)}


def convert_prompt(row: Row, notes: list[str]) -> Example:
    """`{"prompt": [...]}`, a question that waits for the model's own answer."""
    prompt = _prompt(row, notes)
    check_order(prompt)
    return {"prompt": prompt}


def convert_preference(row: Row, notes: list[str]) -> Example:
    """`{"prompt": [...], "chosen": [...], "rejected": [...]}`"""
    chosen, rejected = (_side(row.get(key), key, notes) for key in ("chosen", "rejected"))
    if first_of(row, PROMPT_KEYS + MESSAGE_KEYS):
        prompt = _prompt(row, notes)
        # Some sets repeat the question at the head of both answers.
        question = [message for message in prompt if message["role"] != "system"]
        for head in (prompt, question):
            if len(chosen) > len(head) and chosen[: len(head)] == rejected[: len(head)] == head:
                chosen, rejected = chosen[len(head) :], rejected[len(head) :]
                break
    else:
        common = _common_prefix(chosen, rejected)
        prompt, chosen, rejected = _with_system(chosen[:common], row), chosen[common:], rejected[common:]
        if not prompt and (chosen or rejected):
            raise BadRow("missing_field", "prompt")
    if chosen == rejected:
        raise BadRow("same_answers")
    for answer in (chosen, rejected):
        if not answer or answer[-1]["role"] != "assistant":
            raise BadRow("no_answer")
        check_order(prompt + answer)
        if any("learned" in message for message in answer):
            notes.append("mark_of_pairs")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def convert_feedback(row: Row, notes: list[str]) -> Example:
    """`{"prompt": [...], "completion": [...], "label": bool}`"""
    label = as_bool(row.get(first_of(row, LABEL_KEYS) or ""))
    if label is None:
        raise BadRow("bad_verdict")
    answer_key = first_of(row, ANSWER_KEYS)
    if answer_key:
        prompt, completion = _prompt(row, notes), _answer(row[answer_key], answer_key, notes)
        check_order(prompt + completion)
    else:
        messages = convert_chat(row, notes)["messages"]
        prompt, completion = messages[:-1], messages[-1:]
    return {"prompt": prompt, "completion": completion, "label": label}


CONVERTERS: dict[str, Converter] = {
    "text": convert_text,
    "prompt_completion": convert_instruction,
    "alpaca": convert_instruction,
    "messages": convert_chat,
    "sharegpt": convert_chat,
    "preference": convert_preference,
    "kto": convert_feedback,
    "labelled": convert_labelled,
    "prompts": convert_prompt,
}


def _filled(row: Row, keys: tuple[str, ...], code: str) -> str:
    """The text of the first column that is there; blank is a bad row."""
    key = first_of(row, keys)
    text = as_text(row.get(key or ""), key or keys[0])
    if not text.strip():
        raise BadRow(code)
    return text


def _finished(messages: list[Message], notes: list[str]) -> list[Message]:
    messages = trim_unanswered(messages, notes)
    check_order(messages)
    return messages


def _with_system(messages: list[Message], row: Row) -> list[Message]:
    """The messages behind the row's own system column, unless they bring a system message themselves."""
    system = as_text(row.get(first_of(row, SYSTEM_KEYS) or "", ""), "system")
    if not system.strip() or (messages and messages[0]["role"] == "system"):
        return messages
    return [{"role": "system", "content": system}, *messages]


def _prompt(row: Row, notes: list[str]) -> list[Message]:
    """What comes before the answer: a message list, or system, history and the question."""
    key = first_of(row, PROMPT_KEYS + MESSAGE_KEYS)
    if key is None:
        raise BadRow("missing_field", "prompt")
    if isinstance(row[key], list):
        messages = parse_messages(row[key], notes)
    else:
        question = as_text(row[key], key)
        extra = as_text(row.get("input", ""), "input") if key == "instruction" else ""
        # The two halves of an instruction are joined as LLaMA-Factory joins them.
        question = "\n".join(part for part in (question, extra) if part.strip())
        messages = parse_messages([{"role": "user", "content": question}])
    messages = from_history(row.get("history")) + messages
    return _with_system(messages, row)


def _answer(value: Any, key: str, notes: list[str]) -> list[Message]:
    if isinstance(value, list) and value and isinstance(value[0], dict) and value[0].keys() & {"role", "from"}:
        return parse_messages(value, notes)
    return parse_messages([{"role": "assistant", "content": as_text(value, key)}])


def _side(value: Any, key: str, notes: list[str]) -> list[Message]:
    """One of the two answers: a string, a message, a list of messages, or a transcript that includes the question."""
    if isinstance(value, dict):
        return parse_messages([value], notes)
    if isinstance(value, str):
        return from_transcript(value) or _answer(value, key, notes)
    return _answer(value, key, notes)


def _common_prefix(left: list[Message], right: list[Message]) -> int:
    count = 0
    while count < min(len(left), len(right)) and left[count] == right[count]:
        count += 1
    return count
