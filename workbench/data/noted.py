"""What is noted of a data set in its `meta.json`, and what is told of a place among the sets that holds none."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter
from typing_extensions import TypedDict

from workbench.config.disk import SYSTEM_FILES
from workbench.config.errors import WorkbenchError
from workbench.config.reading import Count, Damaged, Number, Said, read_record
from workbench.config.text import Text, same
from workbench.data.formats import KIND_NAMES

ID = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")
META = "meta.json"


def _is_kind(value: str) -> str:
    if value not in KIND_NAMES:
        raise ValueError(value)
    return value


class _Meta(TypedDict, total=False):
    """What `meta.json` holds."""

    schema_version: Count
    name: str | Said
    about: str | Said | None
    lang: str | None
    kind: Annotated[str, AfterValidator(_is_kind)]
    format: str
    rows: Count
    usable: Count
    size: Count
    mtime_ns: int
    added: Number
    sha256: str
    read_as: str


_META = TypeAdapter(_Meta)
COUNTED = {"format", "kind", "rows", "usable"}


def read_meta(file: Path) -> dict[str, Any]:
    """What is noted of a set; where that cannot be read, only what it says of it (`lost`: a WorkbenchError)."""
    if not os.path.lexists(file):
        return {}
    try:
        if file.is_symlink():
            raise Damaged(META, Text("it is a link, which is not followed", "它是链接，不会跟随读取"))
        return {**read_record(file, _META)}
    except Damaged as error:
        hint = Text(
            "Its rows are all there, but the name that it had is not. Nothing needs to be done.",
            "数据都在，只是原来的名称丢失了，无需处理。",
        )
        return {"lost": WorkbenchError(error.message, hint, code=error.code)}


def is_shown(path: Path) -> bool:
    """Whether something in the folder of data sets was put there by the workbench or by a person."""
    return not path.name.startswith(".") and path.name not in SYSTEM_FILES


def no_set(place: Path) -> WorkbenchError:
    """What is wrong with something that lies among the data sets and is none."""
    again = Text("Delete the data set and add it again.", "请删除该数据集后重新添加。")
    if os.path.islink(place):
        message, hint = Text("{name} is a link, which is not followed", "{name} 是链接，不会跟随读取"), again
    elif not os.path.isdir(place):
        message = Text("{name} is a file; a data set is a folder", "{name} 是文件；数据集应是文件夹")
        hint = Text("Add it as a data set, and delete it here.", "请把它作为数据集添加，然后在这里删除。")
    elif not ID.match(place.name):
        message = Text(
            "{name} can be no data set's name: only a-z, 0-9, dot, dash and underscore, at most 64",
            "{name} 不能用作数据集名称：只能用小写字母、数字、点、横线和下划线，最多 64 个字符",
        )
        hint = Text("Rename the folder.", "请重命名该文件夹。")
    else:
        message, hint = Text("the data file of {name} is missing", "数据集 {name} 的数据文件缺失"), again
    return WorkbenchError(message.with_(name=place.name), hint, code="no_file")


def text_of(value: str | dict[str, str] | None) -> Text | None:
    """A name or a note, which a person may have written in one language."""
    if isinstance(value, dict):
        return Text(value["en"], value["zh"])
    return same(value) if value else None
