"""Rows out of a table in CSV, whatever its separator. Every complaint names its line."""

from __future__ import annotations

import csv
import io
from typing import Any, NoReturn

from workbench.config.text import Text, same
from workbench.data import limits
from workbench.data.limits import check_count, line_too_long, refuse

Row = dict[str, Any]

_DELIMITERS = ",;\t|"
# The reader's limit for a cell belongs to the whole process, other readers included: it is only ever raised.
csv.field_size_limit(max(csv.field_size_limit(), limits.MAX_LINE_BYTES))


def parse_csv(text: str, name: str, delimiter: str | None) -> list[Row]:
    """A table whose first line names the columns. Cells stay strings: "NA" and "" are what they say."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text), strict=True)
    header: list[str] = []
    rows: list[Row] = []
    try:
        for cells in reader:
            if sum(map(len, cells)) > limits.MAX_LINE_BYTES:
                line_too_long(name, Text("line {n}", "第 {n} 行").with_(n=reader.line_num))
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = _check_header([cell.strip() for cell in cells], name)
                continue
            if len(cells) != len(header):
                _ragged(name, reader.line_num, len(cells), len(header))
            rows.append(dict(zip(header, cells, strict=True)))
            check_count(len(rows), name)
    except csv.Error as error:
        if str(error).startswith("field larger than"):
            line_too_long(name, Text("line {n}", "第 {n} 行").with_(n=reader.line_num))
        refuse(
            Text(
                "line {line} of {file}: this is not valid CSV ({why})",
                "文件 {file} 第 {line} 行：不是有效的 CSV（{why}）",
            ),
            file=name,
            line=reader.line_num,
            why=_reason(error),
            code="bad_csv",
        )
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
    if len(header) > limits.MAX_COLUMNS or "" in header or len(set(header)) < len(header):
        refuse(
            Text(
                "the first line of {file} must name every column, each name once",
                "文件 {file}：首行必须给出每一列的名称，且名称不能重复",
            ),
            file=name,
            code="csv_header",
        )
    return header


def _delimiter(text: str) -> str:
    """The separator that stands most often outside quotes in the first line (csv.Sniffer guesses from letters too)."""
    first = text.lstrip("\r\n").split("\n", 1)[0]
    outside = "".join(first.split('"')[::2])
    return max(_DELIMITERS, key=lambda character: (outside.count(character), -_DELIMITERS.index(character)))
