"""Rows out of a table in CSV, whatever its separator. Every complaint names its line."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from typing import Any, NoReturn

from workbench.config.text import Text, listed, same
from workbench.data import limits
from workbench.data.limits import check_rows, line_too_long, refuse

Row = dict[str, Any]

_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'\s*"?sep=([^\w\s"]|\t)"?[ ]*(?:\r\n|\r|\n)', re.IGNORECASE)
_NO_NAME = "#"  # with its place, the name of a column that has none
# The reader's limit for a cell belongs to the whole process, other readers included: it is only ever raised.
csv.field_size_limit(max(csv.field_size_limit(), limits.MAX_LINE_BYTES))


def parse_csv(text: str, name: str, delimiter: str | None) -> list[Row]:
    """A table whose first line names the columns. Cells stay strings: "NA" and "" are what they say.

    A column without a name is called by its place (`#1`, as the row numbers that pandas writes); one without a name and
    without a single filled cell, as Excel leaves behind, is not there.
    """
    said, lines_before = _SEPARATOR_LINE.match(text), 0
    if said:  # what Excel reads and writes above the table
        delimiter, text, lines_before = said[1], text[said.end() :], text[: said.end()].count("\n")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text), strict=True)
    header: list[str] = []
    rows: list[Row] = []
    try:
        for cells in reader:
            if sum(map(len, cells)) > limits.MAX_LINE_BYTES:
                line_too_long(name, Text("line {n}", "第 {n} 行").with_(n=reader.line_num + lines_before))
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = _check_header([cell.strip() for cell in cells], name)
                continue
            if len(cells) != len(header):
                cells = _fitted(cells, header, name, reader.line_num + lines_before)
            rows.append(dict(zip(header, cells, strict=True)))
            check_rows(rows, name)
    except csv.Error as error:
        if str(error).startswith("field larger than"):
            line_too_long(name, Text("line {n}", "第 {n} 行").with_(n=reader.line_num + lines_before))
        refuse(
            Text(
                "line {line} of {file}: this is not valid CSV ({why})",
                "文件 {file} 第 {line} 行：不是有效的 CSV（{why}）",
            ),
            file=name,
            line=reader.line_num + lines_before,
            why=_reason(error),
            code="bad_csv",
        )
    return _without_empty_columns(rows, header)


def _fitted(cells: list[str], header: list[str], name: str, line: int) -> list[str]:
    """The cells of a row that is longer by empty cells, or shorter by columns that have no name."""
    spare, lacking = cells[len(header) :], header[len(cells) :]
    if any(cell.strip() for cell in spare) or not set(lacking) <= set(_nameless(header)):
        _ragged(name, line, len(cells), len(header))
    return [*cells[: len(header)], *[""] * len(lacking)]


def _nameless(header: list[str]) -> list[str]:
    return [column for place, column in enumerate(header, start=1) if column == f"{_NO_NAME}{place}"]


def _without_empty_columns(rows: list[Row], header: list[str]) -> list[Row]:
    for column in _nameless(header):
        if not any(row[column].strip() for row in rows):
            for row in rows:
                del row[column]
    return rows


def _reason(error: csv.Error) -> Text:
    """The two complaints that a strict reader has, in the reader's language."""
    if "end of data" in str(error):
        return Text("a double quote is opened and never closed", "有一个双引号没有结束")
    if "expected after" in str(error):
        return Text(
            "after a closing double quote comes text; a quote inside a cell has to be written twice",
            "结束的双引号后面还有文字；单元格内的双引号要写成两个",
        )
    return same(str(error))


def _ragged(name: str, line: int, found: int, expected: int) -> NoReturn:
    refuse(
        Text(
            "line {line} of {file}: {found} cells, but the first line names {expected} columns",
            "文件 {file} 第 {line} 行：有 {found} 个单元格，而首行定义了 {expected} 列",
        ),
        Text(
            "A cell that contains the separator or a line break must stand in double quotes.",
            "含有分隔符或换行的单元格必须用双引号括起来。",
        ),
        file=name,
        line=line,
        found=found,
        expected=expected,
        code="ragged_csv",
    )


def _check_header(header: list[str], name: str) -> list[str]:
    header = [column or f"{_NO_NAME}{place}" for place, column in enumerate(header, start=1)]
    repeated = [column for column, count in Counter(header).items() if count > 1]
    if repeated or len(header) > limits.MAX_COLUMNS:
        refuse(
            Text(
                "the first line of {file} must name the columns, at most {limit} and each name once; found twice: {names}",
                "文件 {file}：首行应给出各列的名称，最多 {limit} 列且名称不能重复；重复的有：{names}",
            ),
            file=name,
            limit=f"{limits.MAX_COLUMNS:,}",
            names=listed(column[:40] for column in repeated[:5]),
            code="csv_header",
        )
    return header


def _delimiter(text: str) -> str:
    """The separator that stands most often outside quotes in the first line (csv.Sniffer guesses from letters too)."""
    first = text.lstrip("\r\n").split("\n", 1)[0]
    outside = "".join(first.split('"')[::2])
    return max(_DELIMITERS, key=lambda character: (outside.count(character), -_DELIMITERS.index(character)))
