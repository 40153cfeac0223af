"""Writing so that a kill at any moment leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, size, writable

ID = re.compile(r"^[a-z0-9][a-z0-9._-]{0,95}$")
DELETED, MAKING = ".deleted", ".making"
SYSTEM_FILES = ("Thumbs.db", "desktop.ini")  # what Windows leaves in folders that somebody looked at
LEFT_SECONDS = 3600.0  # after which nobody works on it any more
LEFTOVERS = (DELETED, MAKING, ".tmp", ".part")  # endings of hidden names of what is being made or removed
# What is taken away with a thing in a list: its folder; an entry or a link, which leads to one elsewhere; a file; nothing, of
# what something else holds: a run that made it, a folder full of models.
FOLDER, ENTRY, FILE, HELD = "folder", "entry", "file", "held"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content` beside `path`, flush it to the disk, and move it over.

    Raises:
        WorkbenchError: the disk is full or the folder cannot be written; what was there before is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    with disk_errors(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _move_over(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def sync(path: Path) -> None:
    """Wait until a file's content is on the disk itself, where a power cut cannot take it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _move_over(name: str, path: Path) -> None:
    """`os.replace`, patient with Windows, where a file that somebody reads for a moment cannot be replaced."""
    for _ in range(20 if os.name == "nt" else 0):
        try:
            os.replace(name, path)
            return
        except PermissionError:
            time.sleep(0.05)
    os.replace(name, path)


def write_json(path: Path, value: Any) -> None:
    """`value` as readable JSON, written atomically; NaN is refused because it is no JSON."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk, and a place where nothing can be written, into a sentence.

    Args:
        path: the file that is written; named where the system's error names none.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(path) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise WorkbenchError(
                Text("the folder {path} cannot be written", "无法写入文件夹 {path}").with_(path=path.parent),
                Text(
                    "Choose another folder with --home, or change its permissions.",
                    "请用 --home 换一个文件夹，或修改它的权限。",
                ),
                code="read_only",
            ) from error
        wrong = _wrong_place(error, path)
        if wrong is None:
            raise
        raise WorkbenchError(
            wrong, Text("Put it right, or choose another place.", "请先处理，或换一个位置。"), code="bad_path"
        ) from error


def _wrong_place(error: OSError, path: Path) -> Text | None:
    """What is wrong with the path that an error is about, or None where it is about something else."""
    # The second name is the one that was to be replaced; the first is then our own temporary file.
    named = error.filename2 or error.filename
    at = Path(named) if isinstance(named, str) else path
    steps = (at, *at.parents)
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        in_the_way = next((step for step in steps if os.path.lexists(step) and not os.path.isdir(step)), None)
        if in_the_way is None:
            return None
        return Text("{path} is no folder", "{path} 不是文件夹").with_(path=in_the_way)
    if error.errno == errno.ENOENT:
        missing = [step for step in steps if not os.path.lexists(step)]
        return Text("{path} does not exist", "{path} 不存在").with_(path=missing[-1] if missing else at)
    if error.errno == errno.EISDIR:
        return Text("{path} is a folder, and no file can take its name", "{path} 是文件夹，无法写成文件").with_(path=at)
    if error.errno == errno.ENAMETOOLONG:
        return Text("the name {path} is too long for this disk", "名称 {path} 太长").with_(path=f"{str(at)[:80]}...")
    return None


def disk_full(path: Path, needed: int | None = None) -> WorkbenchError:
    """The error for a disk without room; `needed` in bytes when it is known."""
    free = free_bytes(path)
    if needed is None or needed <= free:
        message = Text("the disk is full ({free} left)", "磁盘已满（剩余 {free}）").with_(free=size(free))
    else:
        message = Text(
            "the disk has {free} left, this needs about {needed}: {missing} more",
            "磁盘剩余 {free}，这里大约需要 {needed}，还差 {missing}",
        ).with_(free=size(free), needed=size(needed), missing=size(needed - free))
    return WorkbenchError(
        message,
        Text(
            "Delete old runs or other files, then try again. Nothing that was saved is lost.",
            "请删除旧的运行或其他文件后重试。已保存的内容不会丢失。",
        ),
        code="disk_full",
    )


def free_bytes(path: Path) -> int:
    """Room left on the disk that holds `path` (or the nearest folder above it that exists)."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def remove(path: Path) -> None:
    """Take a file, a folder with all that is in it, or a link (not what it leads to) off the disk, as far as that goes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def hide(path: Path) -> Path:
    """Take what is to be removed out of its list in one step, so that a kill on the way leaves no half of it there.

    Returns:
        where it lies now, for `remove`.

    Raises:
        WorkbenchError: the disk does not let it go.
    """
    gone = path.with_name(f".{secrets.token_hex(4)}{DELETED}")
    with disk_errors(path):
        path.rename(gone)
    return gone


def sweep(folder: Path, age: float = 0.0) -> None:
    """Remove what was half-made or half-deleted in a folder when a process ended. Only for who holds the home.

    Args:
        age: seconds since it was changed, for folders into which also a command writes that does not hold the home.
    """
    for rest in entries(folder):
        with suppress(OSError):
            if rest.name.startswith(".") and rest.suffix in LEFTOVERS and rest.lstat().st_mtime <= time.time() - age:
                remove(rest)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where there is no folder, or where it may not be looked into."""
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name.lower())
    except OSError:
        return []


def real_place(path: Path) -> Path:
    """Where an entry of a folder lies, whatever links lead to the folder; an entry that is a link is not followed."""
    return path.parent.resolve() / path.name


def shown_entries(folder: Path, name: Callable[[Path], str] = lambda path: path.name) -> dict[str, Path]:
    """What the workbench or a person put into a folder of the home, each by a name of its own that every file can hold.

    Args:
        folder: one of the home.
        name: what an entry is called; those that would be called alike get a number, all but the first.
    """
    found: dict[str, Path] = {}
    for path in entries(folder):
        if path.name.startswith(".") or path.name in SYSTEM_FILES:
            continue
        label = called = writable(name(path))
        number = 1
        while called in found:
            number += 1
            called = f"{label} ({number})"
        found[called] = path
    return found


def slug(text: str, fallback: str = "unnamed") -> str:
    """A safe id made from any text: lower-case ASCII letters, digits and dashes, at most 40 characters."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    return plain or fallback
