"""One function a format: the values of a row, by their roles, become an `Example`, or raise `BadRow`.

Which column has which role is for `columns` to know. A `BadRow` names a role; `formats` puts the column's name for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from workbench.data.columns import Row, first_of
from workbench.data.conversations import (
    ROLES,
    BadRow,
    Message,
    as_text,
    check_order,
    from_history,
    from_transcript,
    open_with_question,
    parse_messages,
    trim_unanswered,
)
from workbench.data.written import read_written

Example = dict[str, Any]
Converter = Callable[[Row, list[str]], Example]

_TRUE = ("true", "1", "yes", "good", "是", "好")
_FALSE = ("false", "0", "-1", "no", "bad", "否", "差")
# A text of this length that stands in the question already is not put into it again; a shorter one may stand there by chance.
_REPEATED = 8
_PART_TYPES = ("text", "image", "image_url", "audio", "input_audio", "video", "video_url", "file")


def as_bool(value: Any) -> bool | None:
    """A verdict in any of its usual spellings, or None."""
    word = str(value).strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def detect(row: Row) -> str | None:
    """The format that a row (with plain names) is written in, told from its columns and from what they hold."""
    column = {role: first_of(row, role) for role in ("messages", "answer", "text", "label", "chosen", "rejected")}
    asked = next((name for role in ("question", "instruction", "input") if (name := first_of(row, role))), None)
    messages = row.get(column["messages"] or "")
    talk = messages if isinstance(messages, list) else written_messages(messages)
    if column["rejected"] and _is_pair(row, column, talk):
        return "preference"
    if talk is not None:
        if _is_rated(row):
            return "kto"
        return "sharegpt" if talk and isinstance(talk[0], dict) and "from" in talk[0] else "messages"
    if asked and column["answer"]:
        if _is_rated(row):
            return "kto"
        return "alpaca" if first_of(row, "instruction") else "prompt_completion"
    if column["text"]:
        return "labelled" if column["label"] else "text"
    return "prompts" if asked else "messages" if column["messages"] else None


def written_messages(value: Any) -> list[Any] | None:
    """The messages that a text holds as JSON or as Python prints them; None when it is another text."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return None
    if "role" not in value and "from" not in value:
        return None
    items = read_written(value)
    items = [items] if isinstance(items, dict) else items
    known = items and all(_is_message(item) and _role(item) in ROLES for item in items)
    return items if known else None


def convert_text(fields: Row, notes: list[str]) -> Example:
    """`{"text": str}`"""
    text = as_text(fields.get("text"), "text")
    if not text.strip():
        raise BadRow("empty_text")
    return {"text": text}


def convert_labelled(fields: Row, notes: list[str]) -> Example:
    """`{"text": str, "label": str}`; numbers and truth values become their JSON spelling."""
    value = fields.get("label")
    if isinstance(value, (dict, list)):
        raise BadRow("not_text", "label")
    label = as_text(value, "label") if isinstance(value, str) or value is None else json.dumps(value)
    if not label.strip():
        raise BadRow("missing_field", "label")
    return {**convert_text(fields, notes), "label": label.strip()}


def convert_chat(fields: Row, notes: list[str]) -> Example:
    """`{"messages": [...]}` from a list of messages, whichever names its fields have."""
    messages = _conversation(fields.get("messages"), notes)
    return {"messages": _finished(_framed(messages, fields, notes), notes)}


def convert_instruction(fields: Row, notes: list[str]) -> Example:
    """`{"messages": [...]}` from a question and an answer, with history and system where the row has them."""
    answer = _answer(fields.get("answer"), "answer", notes)
    return {"messages": _finished(_prompt(fields, notes) + answer, notes)}


def convert_prompt(fields: Row, notes: list[str]) -> Example:
    """`{"prompt": [...]}`, a question that waits for the model's own answer."""
    prompt = open_with_question(_prompt(fields, notes), notes)
    check_order(prompt)
    return {"prompt": prompt}


def convert_preference(fields: Row, notes: list[str]) -> Example:
    """`{"prompt": [...], "chosen": [...], "rejected": [...]}`"""
    if "answered" in fields:
        messages = trim_unanswered(_conversation(fields["answered"], notes), notes)
        prompt, chosen = _framed(messages[:-1], fields, notes), messages[-1:]
    else:
        chosen = _side(fields.get("chosen", fields.get("answer")), "chosen", notes)
        prompt = _prompt(fields, notes) if fields.keys() & {"question", "instruction", "input", "messages"} else []
    rejected = _side(fields.get("rejected"), "rejected", notes)
    if prompt:
        # Some sets repeat the question at the head of the answers.
        heads = (prompt, [message for message in prompt if message["role"] != "system"])
        chosen, rejected = _without_head(chosen, heads), _without_head(rejected, heads)
    else:
        common = _common_prefix(chosen, rejected)
        prompt, chosen, rejected = _framed(chosen[:common], fields, notes), chosen[common:], rejected[common:]
        if not prompt and (chosen or rejected):
            raise BadRow("missing_field", "question")
    if chosen == rejected:
        raise BadRow("same_answers")
    prompt = open_with_question(prompt, notes)
    for answer in (chosen, rejected):
        if not answer or answer[-1]["role"] != "assistant":
            raise BadRow("no_answer")
        check_order(prompt + answer)
        if any("learned" in message for message in answer):
            notes.append("mark_of_pairs")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def convert_feedback(fields: Row, notes: list[str]) -> Example:
    """`{"prompt": [...], "completion": [...], "label": bool}`"""
    label = as_bool(fields.get("verdict"))
    if label is None:
        raise BadRow("bad_verdict")
    if "messages" in fields:
        messages = convert_chat(fields, notes)["messages"]
        return {"prompt": messages[:-1], "completion": messages[-1:], "label": label}
    completion = _answer(fields.get("answer"), "answer", notes)
    prompt = open_with_question(_prompt(fields, notes), notes)
    check_order(prompt + completion)
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


def _is_pair(row: Row, column: dict[str, str | None], talk: Any) -> bool:
    """Whether a rejected answer stands beside a better one; a mere mark that says "rejected" is no answer."""
    if column["chosen"]:
        return True
    answer = isinstance(row[column["rejected"] or ""], (str, list, dict))
    return answer and bool(column["answer"] or talk is not None)


def _is_rated(row: Row) -> bool:
    """Whether a row says if its answer is good.

    A column of this purpose says so in any words, a `label` only with truth values: numbers and words beside questions
    and answers are mostly classes of something. Where the columns are called as trl calls those of rated answers, they
    are believed.
    """
    name = first_of(row, "verdict")
    value = row.get(name or "")
    if name is None or as_bool(value) is None:
        return False
    if name not in ("label", "标签") or isinstance(value, bool) or str(value).strip().lower() in ("true", "false"):
        return True
    return "prompt" in row and "completion" in row


def _is_message(item: Any) -> bool:
    """Whether a value is written as a message, whoever speaks; a JSON answer may well have a role of its own."""
    if not isinstance(item, dict) or not item.keys() & {"role", "from"}:
        return False
    return bool(item.keys() & {"content", "value", "tool_calls", "function_call"})


def _role(item: dict[str, Any]) -> str:
    return str(item.get("role", item.get("from"))).strip().lower()


def _conversation(value: Any, notes: list[str]) -> list[Message]:
    """A list of messages, or a text that holds one."""
    if isinstance(value, str):
        value = read_written(value)
        if value is not None:
            notes.append("read_from_text")
    return parse_messages(value, notes)


def _finished(messages: list[Message], notes: list[str]) -> list[Message]:
    messages = open_with_question(trim_unanswered(messages, notes), notes)
    check_order(messages)
    return messages


def _framed(messages: list[Message], fields: Row, notes: list[str]) -> list[Message]:
    """The messages with the row's own context before the first question, and behind its system column."""
    messages = _put_before(messages, _contexts(fields, notes))
    system = as_text(fields.get("system", ""), "system")
    if not system.strip() or (messages and messages[0]["role"] == "system"):
        return messages
    return [{"role": "system", "content": system}, *messages]


def _prompt(fields: Row, notes: list[str]) -> list[Message]:
    """What comes before the answer: a message list, or system, history and the question with all that belongs to it."""
    questions = fields.get("question", [])
    if not questions and "messages" in fields:
        return _framed(from_history(_history(fields)) + _conversation(fields["messages"], notes), fields, notes)
    if questions:
        listed = _messages_in(questions[0], notes)
        if listed is not None:
            parts = [fields.get("instruction"), *questions[1:], fields.get("input")]
            before = [_words(part, "question", notes) for part in parts if part is not None]
            messages = _put_before(listed, [text for text in before if text.strip()])
            return _framed(from_history(_history(fields)) + messages, fields, notes)
    elif not fields.keys() & {"instruction", "input"}:
        raise BadRow("missing_field", "question")
    question = _joined(fields, notes)
    if not question.strip():
        raise BadRow("empty_question")
    asked = _put_before([{"role": "user", "content": question}], _contexts(fields, notes))
    return _framed(from_history(_history(fields)) + asked, {**fields, "context": []}, notes)


def _joined(fields: Row, notes: list[str]) -> str:
    """Instruction, question and input in one text, each in lines of its own, as LLaMA-Factory joins them."""
    question = ""
    for role in ("instruction", "question", "input"):
        values = fields.get(role, []) if role == "question" else [fields[role]] if role in fields else []
        for place, value in enumerate(values):
            text = _words(value, role, notes)
            if text.strip() and not (place and _stands_in(text, question)):
                question = f"{question}\n{text}" if question.strip() else text
    return question


def _contexts(fields: Row, notes: list[str]) -> list[str]:
    texts = []
    for value in fields.get("context", []):
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            value = "\n\n".join(value)
        text = _words(value, "context", notes)
        if text.strip():
            texts.append(text)
    return texts


def _put_before(messages: list[Message], texts: list[str]) -> list[Message]:
    """The messages with the texts before their first question, each a paragraph; what stands there already is not repeated."""
    place = next((place for place, message in enumerate(messages) if message["role"] == "user"), None)
    if not texts or place is None:
        return messages
    question = messages[place]["content"]
    texts = [text for text in texts if not _stands_in(text, question)]
    changed: Message = {**messages[place], "content": "\n\n".join([*texts, question])}
    return [*messages[:place], changed, *messages[place + 1 :]]


def _stands_in(text: str, question: str) -> bool:
    return len(text.strip()) >= _REPEATED and text.strip() in question


def _history(fields: Row) -> Any:
    history = fields.get("history")
    return (read_written(history) or history) if isinstance(history, str) and history.strip() else history


def _messages_in(value: Any, notes: list[str]) -> list[Message] | None:
    """The messages that a value is or holds as text; None when it is something else."""
    if isinstance(value, str):
        listed = written_messages(value)
        if listed is None:
            return None
        notes.append("read_from_text")
        return parse_messages(listed, notes)
    items = [value] if isinstance(value, dict) else value
    if isinstance(items, list) and items and _is_message(items[0]):
        return parse_messages(items, notes)
    return None


def _words(value: Any, role: str, notes: list[str]) -> str:
    """A value as text: text and lists of text parts as they are, numbers, truth values and other JSON as JSON writes them."""
    if value is None or isinstance(value, str) or _is_parts(value):
        return as_text(value, role)
    notes.append(f"written_as_text:{role}")
    return as_text(json.dumps(value, ensure_ascii=False), role)


def _is_parts(value: Any) -> bool:
    """Whether a value is a list of parts of one content, as chats with pictures have them, and not somebody's own list."""
    if not isinstance(value, list) or not value or not all(isinstance(part, dict) for part in value):
        return False
    return all(part.get("type") in _PART_TYPES if "type" in part else part.keys() == {"text"} for part in value)


def _answer(value: Any, role: str, notes: list[str]) -> list[Message]:
    messages = _messages_in(value, notes)
    if messages is not None:
        return messages
    return parse_messages([{"role": "assistant", "content": _words(value, role, notes)}])


def _side(value: Any, role: str, notes: list[str]) -> list[Message]:
    """One of the two answers: a text, a message, a list of messages, or a transcript that includes the question."""
    if isinstance(value, (bool, int, float)):
        raise BadRow("not_text", role)  # of two answers a number is rather a score, or the place of an answer in a list
    if isinstance(value, str):
        return from_transcript(value) or _answer(value, role, notes)
    return _answer(value, role, notes)


def _without_head(answer: list[Message], heads: tuple[list[Message], ...]) -> list[Message]:
    for head in heads:
        if len(answer) > len(head) and answer[: len(head)] == head:
            return answer[len(head) :]
    return answer


def _common_prefix(left: list[Message], right: list[Message]) -> int:
    count = 0
    while count < min(len(left), len(right)) and left[count] == right[count]:
        count += 1
    return count
