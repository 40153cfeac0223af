"""Rows out of JSON: a list, an object that holds one, one object a line, or a single object; complaints name their line."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from workbench.config.text import Text, listed
from workbench.data import limits
from workbench.data.limits import check_line, check_rows, line_too_long, refuse

Row = dict[str, Any]

_LINE, _ROW = Text("line {n}", "第 {n} 行"), Text("row {n}", "第 {n} 条")
_LIST_KEYS = ("data", "rows", "train", "examples", "instances", "items")


def parse_json(text: str, name: str) -> list[Row]:
    """A JSON list, an object that holds one, or one object a line, whichever of the two endings the file has."""
    start = text.lstrip()[:1]
    if name.lower().endswith(".jsonl") and start != "[":
        return _parse_lines(text, name)
    try:
        top = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        if start == "{" and error.msg == "Extra data":  # one object a line in a file called .json
            return _parse_lines(text, name)
        _bad_json(name, error.lineno, _reason(error))
    except _NotANumber as error:
        _bad_json(name, _line_of_constant(text, str(error)), _not_json(error))
    except (RecursionError, ValueError) as error:
        _out_of_bounds(name, Text("one value", "某个值"), error)
    rows = top if isinstance(top, list) else _list_inside(top, name)
    check_rows(rows[: limits.EMPTY_ROWS], name)
    check_rows(rows, name)
    for number, row in enumerate(rows, start=1):
        _check_row(row, name, _ROW, number)
    return rows


def _parse_lines(text: str, name: str) -> list[Row]:
    rows: list[Row] = []
    # Not splitlines(): U+2028 and its like may stand unescaped inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        check_line(line, name, number)
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            _bad_json(name, number, _reason(error))
        except _NotANumber as error:
            _bad_json(name, number, _not_json(error))
        except (RecursionError, ValueError) as error:
            _out_of_bounds(name, _LINE.with_(n=number), error)
        _check_row(row, name, _LINE, number, line)
        rows.append(row)
        check_rows(rows, name)
    return rows


def _list_inside(top: Any, name: str) -> list[Any]:
    """The rows of a JSON file whose top is an object: the list in `{"data": [...]}`, else the object as its only row."""
    if isinstance(top, dict):
        for key in _LIST_KEYS:
            if isinstance(top.get(key), list):
                return top[key]
        entries = [entry for entry in top.values() if isinstance(entry, dict)]
        if len(entries) == len(top) and any("file_name" in entry for entry in entries):
            refuse(
                Text(
                    "the file {file} is a list of data sets, not a data set", "文件 {file} 是数据集清单，而不是数据集"
                ),
                Text("Give one of the files that it names: {files}.", "请选择它列出的文件之一：{files}。").with_(
                    files=listed([str(entry["file_name"]) for entry in entries if "file_name" in entry][:5])
                ),
                file=name,
                code="dataset_info",
            )
        if any(isinstance(value, (str, list)) for value in top.values()):
            return [top]
    refuse(
        Text("the file {file} holds no list of rows", "文件 {file} 中没有数据列表"),
        Text(
            'Expected a list of objects, an object whose "data" is that list, or one JSON object a line.',
            '应为对象列表、以 "data" 字段存放该列表的对象，或每行一个 JSON 对象。',
        ),
        file=name,
        code="no_rows",
    )


# What Python's parser says, by the beginning of its sentence, for people who write data and not programs.
_REASONS = {
    "Expecting property name": Text(
        "a field name in double quotes was expected at character {column}", "第 {column} 个字符处应为双引号括起的字段名"
    ),
    "Expecting ',' delimiter": Text(
        "a comma or a closing bracket is missing at character {column}", "第 {column} 个字符处缺少逗号或右括号"
    ),
    "Expecting ':' delimiter": Text("a colon is missing at character {column}", "第 {column} 个字符处缺少冒号"),
    "Expecting value": Text("a value was expected at character {column}", "第 {column} 个字符处应为一个值"),
    "Extra data": Text(
        "there is more after its end, from character {column} on", "结束之后从第 {column} 个字符起还有多余内容"
    ),
    "Unterminated string": Text(
        "the text that begins at character {column} has no closing quote", "从第 {column} 个字符开始的文本缺少结束引号"
    ),
    "Invalid control character": Text(
        "a line break or a tab stands inside a text at character {column}; write \\n or \\t instead",
        "第 {column} 个字符处的文本中有换行或制表符，请写成 \\n 或 \\t",
    ),
    "Invalid \\": Text(
        "the backslash at character {column} has to be written twice", "第 {column} 个字符处的反斜杠需要写成两个"
    ),
    "Illegal trailing comma": Text(
        "there is one comma too many at character {column}", "第 {column} 个字符处多了一个逗号"
    ),
}


def _reason(error: json.JSONDecodeError) -> Text:
    """Why the parser stopped, and where in the line, in the reader's words."""
    for beginning, text in _REASONS.items():
        if error.msg.startswith(beginning):
            return text.with_(column=error.colno)
    return Text("it cannot be read at character {column}", "第 {column} 个字符处无法读取").with_(column=error.colno)


class _NotANumber(Exception):
    """NaN or Infinity, which Python's parser takes and JSON does not have."""


def _no_constant(word: str) -> NoReturn:
    raise _NotANumber(word)


def _line_of_constant(text: str, word: str) -> int:
    """The first line on which the constant stands outside a string (good enough to point at it)."""
    for number, line in enumerate(text.split("\n"), start=1):
        if any(word in piece for piece in line.split('"')[::2]):
            return number
    return 1


def _not_json(error: _NotANumber) -> Text:
    return Text("{word} is not a JSON value", "{word} 不是 JSON 值").with_(word=str(error))


def _out_of_bounds(name: str, where: Text, error: Exception) -> NoReturn:
    """The parser gave up on its own: nested beyond the interpreter's depth, or a number of thousands of digits."""
    if isinstance(error, RecursionError):
        _too_deep(name, where)
    refuse(
        Text("{where} of {file}: a number is too long", "文件 {file} {where}：数字过长"),
        file=name,
        where=where,
        code="bad_json",
    )


def _too_deep(name: str, where: Text) -> NoReturn:
    refuse(
        Text("{where} of {file}: nested deeper than {limit} levels", "文件 {file} {where}：嵌套超过 {limit} 层"),
        file=name,
        where=where,
        limit=limits.MAX_JSON_DEPTH,
        code="too_deep",
    )


_ONE_A_LINE = Text(
    "Correct or remove this line; in a .jsonl file every line is one JSON object.",
    "请改正或删除这一行；.jsonl 文件的每一行是一个 JSON 对象。",
)
_ONE_LIST = Text(
    "Correct it there or shortly before; a .json file is one list of objects, with a comma between any two.",
    "请改正此处或稍前的内容；.json 文件是一个对象列表，两个对象之间用逗号分隔。",
)


def _bad_json(name: str, line: int, why: Text) -> NoReturn:
    refuse(
        Text(
            "line {line} of {file}: this is not valid JSON ({why})",
            "文件 {file} 第 {line} 行：不是有效的 JSON（{why}）",
        ),
        _ONE_A_LINE if name.lower().endswith(".jsonl") else _ONE_LIST,
        file=name,
        line=line,
        why=why,
        code="bad_json",
    )


def _check_row(row: Any, name: str, place: Text, number: int, line: str | None = None) -> None:
    """A row is an object, neither deep nor huge. `line` spares the walk for the usual row with few brackets."""
    if line is not None and isinstance(row, dict) and line.count("{") + line.count("[") <= limits.MAX_JSON_DEPTH:
        return
    where = place.with_(n=number)
    if not isinstance(row, dict):
        refuse(
            Text(
                "{where} of {file}: this is not an object with named fields", "文件 {file} {where}：不是带字段名的对象"
            ),
            Text("A row looks like {example}.", "一条数据应类似 {example}。").with_(example='{"text": "..."}'),
            file=name,
            where=where,
            code="not_an_object",
        )
    depth, characters = measure(row)
    if depth > limits.MAX_JSON_DEPTH:
        _too_deep(name, where)
    if characters > limits.MAX_LINE_BYTES:
        line_too_long(name, where)


def measure(value: Any) -> tuple[int, int]:
    """Depth and size in characters of a JSON value, without recursion."""
    deepest = characters = 0
    pending = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, (dict, list)):
            deepest = max(deepest, depth)
            if deepest > limits.MAX_JSON_DEPTH:
                break
            if isinstance(item, dict):
                characters += sum(map(len, item))
                item = item.values()
            pending.extend((child, depth + 1) for child in item)
    return deepest, characters
