"""Reading rows from a file.

`read_rows` takes .jsonl, .json, .csv, .tsv and .txt and returns plain dicts, or raises a `WorkbenchError` that names
the file and the line. It knows nothing about what the rows mean: that is `formats`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from workbench.config.text import Text, listed
from workbench.data import limits
from workbench.data.csv_rows import parse_csv
from workbench.data.json_rows import parse_json
from workbench.data.limits import check_count, check_line, refuse

Row = dict[str, Any]

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".txt")

_MAGIC = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"PAR1": "parquet",
    b"%PDF": "PDF",
    b"\xd0\xcf\x11\xe0": "Excel",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_SAVE_AS_UTF8 = Text(
    'Open it in a text editor and save it again with the encoding "UTF-8"; in Excel: Save as, "CSV UTF-8".',
    "请用文本编辑器打开并以 UTF-8 编码重新保存；在 Excel 中请“另存为”，类型选择“CSV UTF-8（逗号分隔）”。",
)
_OTHER_FILE = Text(
    "Choose a file with text: {kinds}. A spreadsheet can be saved as CSV.",
    "请选择文本文件：{kinds}。电子表格可以另存为 CSV。",
)
_FILL = Text(
    "Save the file in the program that made it, and choose it again.", "请在原来的程序中保存该文件，再重新选择。"
)


def read_rows(path: Path | str) -> list[Row]:
    """All rows of a data file, in file order.

    Raises:
        WorkbenchError: with the file's name and, where there is one, the number of the line that is wrong.
    """
    path = Path(path)
    return parse_rows(read_data(path), path.name)


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


def parse_rows(data: bytes, name: str) -> list[Row]:
    """The rows in the bytes of a file called `name`; its ending says how to read them.

    Splitting reading from parsing lets the caller hash and copy exactly the bytes that were checked.
    """
    text = _decode(data, name)
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
    return rows


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


def _decode(data: bytes, name: str) -> str:
    """UTF-8 with or without a byte order mark; anything else is refused with the line where it goes wrong."""
    kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
    if kind is not None or b"\x00" in data:
        refuse(
            Text(
                "the file {file} is not a text file in UTF-8: it looks like {kind}",
                "文件 {file} 不是 UTF-8 文本文件：看起来是{kind}",
            ),
            _SAVE_AS_UTF8 if kind == "UTF-16" else _OTHER_FILE.with_(kinds=listed(SUFFIXES)),
            file=name,
            kind=Text("{kind}", " {kind} 文件").with_(kind=kind) if kind else Text("binary data", "二进制数据"),
            code="binary",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The offset counts from behind the byte order mark, which holds no line break.
        refuse(
            Text("line {line} of {file}: the text is not in UTF-8", "文件 {file} 第 {line} 行：文本不是 UTF-8 编码"),
            _SAVE_AS_UTF8,
            file=name,
            line=data.count(b"\n", 0, error.start) + 1,
            code="encoding",
        )


def _parse_text(text: str, name: str) -> list[Row]:
    """Plain text: every line that is not blank is one row, a paragraph or a document."""
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        check_line(line, name, number)
        if line.strip():
            rows.append({"text": line.strip()})
            check_count(len(rows), name)
    return rows
