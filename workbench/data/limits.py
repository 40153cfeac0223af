"""What a data file may hold at most, and the errors for a file that holds more.

An upload comes from anyone who can open the page, so every file meets these limits before it is parsed or stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text

MAX_FILE_BYTES = 200 * 1024 * 1024
MAX_ROWS = 1_000_000
MAX_LINE_BYTES = 1024 * 1024
MAX_JSON_DEPTH = 32
MAX_COLUMNS = 1_000
EMPTY_ROWS = 1_000  # a file that begins with so many rows of nothing is not read further


@dataclass(frozen=True)
class FileNote:
    """Something about a whole file that people should know although it was read: a stable word, and the sentence."""

    code: str
    message: Text


def refuse(message: Text, hint: Text | None = None, *, code: str, **values: Any) -> NoReturn:
    """Raise a `WorkbenchError` whose message has its placeholders filled."""
    raise WorkbenchError(message.with_(**values), hint, code=code)


def check_line(line: str, name: str, number: int) -> None:
    """Refuse a line over the limit."""
    # A character has up to four bytes: the exact size is only taken where it can matter.
    if len(line) * 4 > MAX_LINE_BYTES and len(line.encode("utf-8")) > MAX_LINE_BYTES:
        line_too_long(name, Text("line {n}", "第 {n} 行").with_(n=number))


def line_too_long(name: str, where: Text) -> NoReturn:
    """The error for a line or row over the limit."""
    refuse(
        Text("{where} of {file}: longer than {limit} MB", "文件 {file} {where}：长度超过 {limit} MB"),
        Text("Split the text into several rows.", "请把文本拆成多条数据。"),
        file=name,
        where=where,
        limit=MAX_LINE_BYTES // 1024**2,
        code="line_too_long",
    )


def check_rows(rows: list[dict[str, Any]], name: str) -> None:
    """Refuse more rows than the limit, and a file whose first thousand rows hold nothing (asked as rows are added)."""
    if len(rows) == EMPTY_ROWS and not any(map(holds_anything, rows)):
        refuse(
            Text("the first {count} rows of {file} are empty", "文件 {file} 的前 {count} 条数据都是空的"),
            Text(
                "Look at the file: a row needs named fields with text, such as {example}.",
                "请检查文件：每条数据应有带文字的字段，例如 {example}。",
            ).with_(example='{"text": "..."}'),
            file=name,
            count=f"{EMPTY_ROWS:,}",
            code="empty_rows",
        )
    if len(rows) > MAX_ROWS:
        refuse(
            Text("the file {file} has more than {limit} rows", "文件 {file} 超过 {limit} 条数据"),
            Text("Split it into smaller files.", "请把它拆分成较小的文件。"),
            file=name,
            limit=f"{MAX_ROWS:,}",
            code="too_many_rows",
        )


def holds_anything(row: Any) -> bool:
    """Whether a row has a field that is neither null nor blank nor an empty list or object."""
    values = row.values() if isinstance(row, dict) else [row]
    return any(value.strip() if isinstance(value, str) else value not in (None, [], {}) for value in values)
