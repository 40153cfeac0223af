"""The one reader of the small files that the workbench finds on the disk: the right value, or `Damaged` with the reason.

Whatever lies there (half a file, another type, JSON without end, a folder, a pipe, no permission), nothing else is raised.
What a record holds is declared once, as a dataclass or `TypedDict`, and checked by pydantic while it is parsed; files of
strangers, whose keys are not ours to declare, are read as plain JSON (`parse_json`).
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from workbench.config.errors import WorkbenchError
from workbench.config.problems import problems_of
from workbench.config.text import LANGUAGES, Text

RECORD_LIMIT = 16 * 1024**2  # bytes; a record of ours has some kilobytes
LARGEST = 1e100  # a number beyond is none that anybody measured, and would overflow where it is averaged

Shape = TypeVar("Shape")

NO_FOLDER = Text("it is no folder", "它不是文件夹")


class Damaged(WorkbenchError):
    """A file that does not hold what it should.

    Args:
        name: the file, as it is named to people.
        why: what is wrong with it.
        hint: what to do now.
    """

    def __init__(self, name: str, why: Text, hint: Text | None = None) -> None:
        message = Text("the file {file} cannot be read: {why}", "无法读取文件 {file}：{why}").with_(file=name, why=why)
        super().__init__(message, hint, code="damaged")
        self.why = why


def _is_time(value: str) -> str:
    try:
        datetime.fromisoformat(value).astimezone()
    except (OverflowError, OSError) as error:  # long before or after all calendars
        raise ValueError(str(error)) from None
    return value


def _in_both(value: dict[str, str]) -> dict[str, str]:
    if not value.keys() >= set(LANGUAGES):
        raise ValueError("not in both languages")
    return value


Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Time = Annotated[str, AfterValidator(_is_time)]
"""A time as ISO 8601 writes it."""
Said = Annotated[dict[str, str], AfterValidator(_in_both)]
"""A `Text` as files hold it: `{"en", "zh"}`."""


def read_record(path: Path, shape: TypeAdapter[Shape], limit: int = RECORD_LIMIT) -> Shape:
    """The record in a JSON file of ours.

    Args:
        path: the file.
        shape: what it has to hold; keys that are not declared are passed over, as a later version may have written them.
        limit: bytes that it may have.

    Raises:
        Damaged: it holds anything else.
    """
    return parse_record(read_bytes(path, limit), shape, path.name)


def parse_record(data: bytes, shape: TypeAdapter[Shape], name: str) -> Shape:
    """The record that `data` is as JSON; `name` is for the error, as in `read_record`."""
    try:
        return shape.validate_json(data.removeprefix(b"\xef\xbb\xbf"), strict=True)
    except ValidationError as error:
        raise Damaged(name, _wrong(error)) from None


def parse_json(data: bytes, name: str) -> Any:
    """Any JSON value, also one with the `Infinity` and `NaN` that Python writes: for files that others made.

    Raises:
        Damaged: it is no JSON.
    """
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Damaged(name, _no_json(error)) from error


def read_text(path: Path, limit: int = RECORD_LIMIT) -> str:
    """The text of a UTF-8 file.

    Raises:
        Damaged: it is none, or cannot be read.
    """
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Damaged(path.name, _no_json(error)) from error


def read_bytes(path: Path, limit: int = RECORD_LIMIT, start: int = 0) -> bytes:
    """The content of a file, from a byte on.

    Raises:
        Damaged: it is missing, larger than `limit`, no file (a folder, a pipe: reading that would never end), or the system
            does not let this process read it.
    """

    def read(file: IO[bytes]) -> bytes:
        file.seek(start)
        return file.read(limit + 1)

    return opened(path, read, limit)


def opened(path: Path, read: Callable[[Any], Shape], limit: int | None = None) -> Shape:
    """What `read` makes of a file that is open for reading bytes; raises like `read_bytes`."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "")
        if not stat.S_ISREG(found.st_mode):
            raise Damaged(path.name, Text("it is no ordinary file", "它不是普通文件"))
        if limit is not None and found.st_size > limit:
            raise Damaged(
                path.name, Text("it is larger than {limit} MB", "超过 {limit} MB").with_(limit=limit // 1024**2)
            )
        with path.open("rb") as file:
            return read(file)
    except OSError as error:
        raise Damaged(path.name, system_says(error, path)) from error


def system_says(error: OSError, path: Path | None = None) -> Text:
    """What an error of the system means, since its own words are English in every language."""
    if isinstance(error, FileNotFoundError):
        if path is not None and os.path.lexists(path):
            return Text("it is a link that leads nowhere", "它是失效的链接")
        return Text("it is missing", "文件缺失")
    if isinstance(error, IsADirectoryError):
        return Text("it is a folder", "它是文件夹")
    if isinstance(error, PermissionError):
        return Text("no permission to read it", "没有读取权限")
    number = error.errno or 0
    return Text("the system reports {code}", "系统报告 {code}").with_(code=errno.errorcode.get(number, number))


def _no_json(error: Exception) -> Text:
    if isinstance(error, json.JSONDecodeError):
        return Text("line {line}", "第 {line} 行").with_(line=error.lineno)
    if isinstance(error, UnicodeDecodeError):
        return Text("not UTF-8", "不是 UTF-8 编码")
    if isinstance(error, RecursionError):
        return Text("nested too deeply", "嵌套过深")
    return Text("a number with too many digits", "有位数过多的数字")  # the only other ValueError that json raises


def _wrong(error: ValidationError) -> Text:
    """The first thing that is wrong with a record."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        said = str(first.get("ctx", {}).get("error"))
        if "recursion" in said:
            return Text("nested too deeply", "嵌套过深")
        if "EOF" in said:
            return Text("it is cut off", "内容不完整")
        line = re.search(r"line (\d+)", said)
        return Text("no valid JSON, line {line}", "第 {line} 行不是有效的 JSON").with_(
            line=line.group(1) if line else 1
        )
    problem = problems_of(error, BaseModel)[0]
    if not problem.field:
        return Text("it holds no JSON object", "内容不是 JSON 对象")
    return Text("{field}: {what}", "{field}：{what}").with_(field=problem.field, what=problem.message)
