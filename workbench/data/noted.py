"""What is noted of a data set in its `meta.json`, and what is told of a place among the sets that holds none."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict, get_type_hints

from workbench.config.errors import WorkbenchError
from workbench.config.reading import Count, Damaged, Number, Said, parse_record, read_bytes
from workbench.config.text import Text, listed, same
from workbench.data.formats import FORMAT_NAMES, FORMATS, KIND_NAMES

ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
META = "meta.json"


def _is_kind(value: str) -> str:
    if value not in KIND_NAMES:
        raise ValueError(value)
    return value


def _is_format(value: str) -> str:
    if value not in FORMATS:
        raise ValueError(value)
    return value


class _Meta(TypedDict, total=False):
    """What `meta.json` holds."""

    schema_version: Count
    name: str | Said
    about: str | Said | None
    lang: str | None
    kind: Annotated[str, AfterValidator(_is_kind)]
    format: Annotated[str, AfterValidator(_is_format)]
    rows: Count
    usable: Count
    size: Count
    mtime_ns: int
    added: Number
    sha256: str
    read_as: Annotated[str, AfterValidator(_is_format)]


_META = TypeAdapter(_Meta)
_FIELDS = {name: TypeAdapter(shape) for name, shape in get_type_hints(_Meta, include_extras=True).items()}
COUNTED = {"format", "kind", "rows", "usable"}
READ_AS = "read_as"
_NAMES = {
    "name": Text("its name", "名称"),
    "about": Text("what is said about it", "说明"),
    READ_AS: Text("what it is to be read as", "读取方式"),
}
"""What cannot be made good by reading the rows again."""


def read_meta(file: Path) -> dict[str, Any]:
    """What is noted of a set; where the file is damaged, what of it is right, and `lost`: a WorkbenchError that says the rest.

    A damaged file is not to be written over before a person chooses something: it may hold more than can be read of it.
    """
    if not os.path.lexists(file):
        return {}
    data: bytes = b""
    try:
        if file.is_symlink():
            raise Damaged(META, Text("it is a link, which is not followed", "它是链接，不会跟随读取"))
        data = read_bytes(file)
        whole_meta: _Meta = parse_record(data, _META, file.name)
        return {**whole_meta}
    except Damaged as error:
        noted, kept, whole = _noted(data)
        lost = WorkbenchError(error.message, _what_is_lost(noted, kept, whole), code=error.code)
        if READ_AS not in kept and (
            READ_AS in noted or not whole
        ):  # the counts may be those of another reading than the one that is left
            kept = {name: value for name, value in kept.items() if name not in COUNTED}
        return {**kept, "lost": lost}


def _noted(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """What a damaged file holds as far as it goes, the part of that which is right, and whether that is all of it."""
    noted, whole = None, True
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        try:
            noted = from_json(data)
        except ValueError:
            noted, whole = from_json(data, allow_partial=True), False
    except ValueError:
        pass
    if not isinstance(noted, dict):
        return {}, {}, False
    if not whole and noted and isinstance(list(noted.values())[-1], int | float):
        noted.popitem()  # where it is cut off, a number may be half of one
    kept = {}
    for name in _FIELDS.keys() & noted.keys():
        try:
            kept[name] = _FIELDS[name].validate_python(noted[name], strict=True)
        except ValidationError:
            continue
    return noted, kept, whole


def _what_is_lost(noted: dict[str, Any], kept: dict[str, Any], whole: bool) -> Text:
    # Of a file that is cut off nobody knows what stood in the rest; few sets have something said about them.
    unknown = () if whole else ("name", READ_AS)
    lost = [said for name, said in _NAMES.items() if name not in kept and (name in noted or name in unknown)]
    if not lost:
        return Text(
            "Its rows are all there, and so are its name and what it is read as. Nothing needs to be done.",
            "数据都在，名称和读取方式也在，无需处理。",
        )
    if READ_AS in kept or READ_AS not in noted and whole:
        again = Text("Put the file back from a backup, if you have one.", "如有备份，请恢复该文件。")
    else:
        again = Text(
            "It is now read as its columns suggest{before}. If that is wrong, choose what it is at “Read as” on the Data tab, "
            "or put the file back from a backup.",
            "现在按各列自动判断读取方式{before}。如果不对，请在“数据”页的“读取方式”中选择，或从备份恢复该文件。",
        )
        before, last = Text("", ""), kept.get("format")  # which is what it was read as when it was counted
        if last is not None:
            before = Text(" (it was “{name}”)", "（原来是“{name}”）").with_(name=FORMAT_NAMES[last])
        again = again.with_(before=before)
    said = Text("Its rows are all there. Lost: {lost}. {again}", "数据都在。丢失：{lost}。{again}")
    return said.with_(lost=listed(lost), again=again)


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


def no_reading(dataset_id: str, readings: tuple[str, ...]) -> WorkbenchError:
    """The error for a reading that a set does not have; `readings` are those of an own set."""
    if not readings:
        return WorkbenchError(
            Text(
                "the data set {name} ships with the workbench and is read as it is",
                "数据集 {name} 是随附的，读取方式固定",
            ),
            Text("Add a file of your own to choose how it is read.", "请添加自己的文件，再选择读取方式。"),
            code="no_reading",
        )
    return WorkbenchError(
        Text("the data set {name} cannot be read so", "数据集 {name} 不能这样读取").with_(name=dataset_id),
        Text("Its rows can be read as: {names}.", "它的样本可以读作：{names}。").with_(
            names=listed(FORMAT_NAMES[reading] for reading in readings)
        ),
        code="no_reading",
    )


def text_of(value: str | dict[str, str] | None) -> Text | None:
    """A name or a note, which a person may have written in one language."""
    if isinstance(value, dict):
        return Text(value["en"], value["zh"])
    return same(value) if value else None
