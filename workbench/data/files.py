"""Reading rows from a file.

`read_rows` takes .jsonl, .json, .csv, .tsv and .txt and returns plain dicts, or raises a `WorkbenchError` that names
the file and the line. It knows nothing about what the rows mean: that is `formats`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from workbench.config.text import Text, listed
from workbench.data import limits
from workbench.data.csv_rows import parse_csv
from workbench.data.encodings import decode
from workbench.data.json_rows import parse_json
from workbench.data.limits import FileNote, check_line, check_rows, refuse

Row = dict[str, Any]

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".txt")

_MAGIC = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"PAR1": "parquet",
    b"%PDF": "PDF",
    b"\xd0\xcf\x11\xe0": "Excel",
}
_OTHER_FILE = Text(
    "Choose a file with text: {kinds}. A spreadsheet can be saved as CSV.",
    "请选择文本文件：{kinds}。电子表格可以另存为 CSV。",
)
_FILL = Text(
    "Save the file in the program that made it, and choose it again.", "请在原来的程序中保存该文件，再重新选择。"
)


@dataclass(frozen=True)
class Table:
    """The rows of a file, in its order, and what people should know of how it was read."""

    rows: list[Row]
    notes: list[FileNote]


def read_rows(path: Path | str) -> list[Row]:
    """All rows of a data file, in file order.

    Raises:
        WorkbenchError: with the file's name and, where there is one, the number of the line that is wrong.
    """
    path = Path(path)
    return parse_rows(read_data(path), path.name).rows


def read_data(path: Path) -> bytes:
    """The bytes of a data file, refused before reading when the kind or the size of the file is wrong."""
    name = path.name
    if path.suffix.lower() not in SUFFIXES:
        refuse(
            Text("the file {file} is not a data file that can be read", "文件 {file} 不是可以读取的数据文件"),
            _OTHER_FILE.with_(kinds=listed(SUFFIXES)),
            file=name,
            code="file_type",
        )
    if not path.is_file():
        refuse(Text("there is no file {file}", "找不到文件 {file}"), file=str(path), code="no_file")
    try:
        if path.stat().st_size > limits.MAX_FILE_BYTES:
            _too_big(name, path.stat().st_size)
        with path.open("rb") as handle:
            data = handle.read(limits.MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        refuse(
            Text("the file {file} cannot be read: {why}", "无法读取 {file}：{why}"),
            file=name,
            why=reason,
            code="unreadable",
        )
    if len(data) > limits.MAX_FILE_BYTES:
        _too_big(name, len(data))
    return data


def parse_rows(data: bytes, name: str) -> Table:
    """The rows in the bytes of a file called `name`; its ending says how to read them.

    Splitting reading from parsing lets the caller hash and copy exactly the bytes that were checked.
    """
    text, notes = _decode(data, name)
    if not text.strip():
        refuse(Text("the file {file} is empty", "文件 {file} 是空文件"), _FILL, file=name, code="empty_file")
    suffix = Path(name).suffix.lower()
    if suffix in (".json", ".jsonl"):
        rows = parse_json(text, name)
    elif suffix in (".csv", ".tsv"):
        rows = parse_csv(text, name, "\t" if suffix == ".tsv" else None)
    else:
        rows = _parse_text(text, name)
    if not rows:
        refuse(Text("the file {file} has no rows", "文件 {file} 中没有数据"), file=name, code="no_rows")
    return Table(rows, notes)


def _too_big(name: str, size: int) -> NoReturn:
    refuse(
        Text(
            "the file {file} has {size} MB; at most {limit} MB can be read",
            "文件 {file} 大小为 {size} MB，最多可读取 {limit} MB",
        ),
        Text("Split it into smaller files.", "请把它拆分成较小的文件。"),
        file=name,
        size=round(size / 1024**2),
        limit=limits.MAX_FILE_BYTES // 1024**2,
        code="file_too_big",
    )


def _decode(data: bytes, name: str) -> tuple[str, list[FileNote]]:
    """The text of a file; what is no text is refused with what it looks like."""
    kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
    decoded = decode(data, name) if kind is None else None
    if decoded is not None:
        return decoded
    refuse(
        Text(
            "the file {file} is not a text file: it looks like {kind}",
            "文件 {file} 不是文本文件：看起来是{kind}",
        ),
        _OTHER_FILE.with_(kinds=listed(SUFFIXES)),
        file=name,
        kind=Text("{kind}", " {kind} 文件").with_(kind=kind) if kind else Text("binary data", "二进制数据"),
        code="binary",
    )


def _parse_text(text: str, name: str) -> list[Row]:
    """Plain text: every line that is not blank is one row, a paragraph or a document."""
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        check_line(line, name, number)
        if line.strip():
            rows.append({"text": line.strip()})
            check_rows(rows, name)
    return rows
