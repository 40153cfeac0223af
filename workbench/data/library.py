"""The data sets that can be trained on: the shipped ones, and the user's own in HOME/datasets/<id>/.

A user's set is one data file and its `meta.json`, which remembers format, kind and counts together with the size and
the time of the file they were taken from: listing reads no data unless a file was changed. Ids from outside are matched
against a pattern and looked up inside the two folders; a symbolic link is never followed. Files are copied in as they
are, after every row was checked.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from workbench.config.disk import disk_errors, disk_full, free_bytes, slug, write_atomically, write_json
from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, listed, same
from workbench.data.files import SUFFIXES, parse_rows, read_data
from workbench.data.formats import FORMATS, Example, Inspection, inspect_rows
from workbench.data.sets import DatasetInfo, Loaded

__all__ = ["DataLibrary", "DatasetInfo", "Examples", "Loaded"]

ID = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")
SHIPPED = Path(__file__).parent / "shipped"
META = "meta.json"

# All own sets together: anyone who can open the page can upload.
MAX_LIBRARY_BYTES = 4 * 1024**3
# What stays free on the disk after a copy, for the checkpoints of runs.
SPARE_BYTES = 200 * 1024**2
# File bytes of loaded sets kept in memory, so that paging through examples does not read the file again and again.
CACHE_BYTES = 64 * 1024**2
MAX_NAME = 80

Stamp = tuple[int, int]

_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


# Inside the class below, `list` is its method.
Infos = list[DatasetInfo]
Examples = list[Example]
Paths = list[Path]


class DataLibrary:
    """The sets of one home folder. All methods may be called from any thread."""

    def __init__(self, home: Path, shipped: Path = SHIPPED) -> None:
        self._folder = Path(home) / "datasets"
        self._shipped = shipped
        self._lock = threading.RLock()
        self._infos: dict[Path, tuple[Stamp, DatasetInfo]] = {}
        self._loaded: OrderedDict[Path, tuple[Stamp, Loaded]] = OrderedDict()

    def list(self) -> Infos:
        """All sets: the shipped ones, then the user's by name."""
        shipped = [self._info(path, path.stem) for path in sorted(self._shipped.glob("*.jsonl"))]
        own = [self._own_info(folder) for folder in self._own_folders()]
        return shipped + sorted(own, key=lambda info: (str(info.name).lower(), info.id))

    def info(self, id_or_path: str, allow_paths: bool = False) -> DatasetInfo:
        """One set's entry; raises like `resolve`, and with the set's own problem when it is broken."""
        path = self.resolve(id_or_path, allow_paths)
        found = self._info(path, self._id_of(path) or str(id_or_path))
        if found.problem is not None:
            raise found.problem
        return found

    def resolve(self, id_or_path: str | Path, allow_paths: bool = False) -> Path:
        """The data file of an id, or of a path where paths are allowed (on the command line, never from the page)."""
        name = str(id_or_path)
        if ID.match(name):
            path = self._shipped / f"{name}.jsonl"
            if path.is_file() and not path.is_symlink():
                return path
            own = self._data_file(self._folder / name)
            if own is not None:
                return own
        # os.path answers to any name; pathlib raises for homes of nobody and for names that no disk can hold.
        if allow_paths and name and os.path.isfile(os.path.expanduser(name)):
            return Path(os.path.expanduser(name))
        known = [info.id for info in self.list()]
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:5]
        raise WorkbenchError(
            Text('there is no data set "{name}"', "没有名为“{name}”的数据集").with_(name=name[:MAX_NAME]),
            Text("Choose one of: {known}.", "可选：{known}。").with_(known=listed(close)) if close else None,
            code="unknown_dataset",
        )

    def load(self, id_or_path: str | Path, allow_paths: bool = False) -> Loaded:
        """Read, check and normalise a set.

        Raises:
            WorkbenchError: when the set is unknown, cannot be read, or has no usable row.
        """
        path = self.resolve(id_or_path, allow_paths)
        stamp = _stamp(path)
        with self._lock:
            held = self._loaded.get(path)
        if held is None or held[0] != stamp:
            # Not under the lock: a large file takes seconds, and lists are wanted meanwhile.
            held = (stamp, self._read(path, self._id_of(path) or str(id_or_path)))
        self._keep(path, held)
        return held[1]

    def examples(self, id_or_path: str | Path, start: int = 0, count: int = 20, allow_paths: bool = False) -> Examples:
        """`count` usable examples from number `start` (the first is 0)."""
        start = max(0, start)
        return self.load(id_or_path, allow_paths).examples[start : start + max(0, count)]

    def add(self, path: Path | str, name: str | None = None) -> DatasetInfo:
        """Check a file row by row and copy it in under a new id; nothing that exists is overwritten."""
        path = Path(path)
        data = read_data(path)
        inspection = _inspected(data, path)
        return self._store(data, path.suffix.lower(), _clean_name(name or path.stem), inspection)

    def read_as(self, dataset_id: str, name: str) -> DatasetInfo:
        """Read one of the user's sets in another of the formats that fit it; it stays so.

        Raises:
            WorkbenchError: it cannot be read so, or the set ships with the workbench; nothing has changed then.
        """
        path = self.resolve(dataset_id)
        if not self._is_own(path) or name not in self.load(dataset_id).readings:
            raise WorkbenchError(
                Text("the data set {name} cannot be read so", "数据集 {name} 不能这样读取").with_(name=dataset_id),
                code="no_reading",
            )
        counts = _counts(_inspected(read_data(path), path, name), _stamp(path))
        with self._lock, disk_errors(path):
            write_json(path.parent / META, self._meta(path) | counts | {"read_as": name})
            self._infos.pop(path, None)
            self._loaded.pop(path, None)
        return self._info(path, dataset_id)

    def delete(self, dataset_id: str) -> None:
        """Remove one of the user's sets."""
        path = self.resolve(dataset_id)
        if not self._is_own(path):
            raise WorkbenchError(
                Text(
                    "the data set {name} belongs to the workbench and stays", "数据集 {name} 是随附的，不能删除"
                ).with_(name=dataset_id),
                code="shipped",
            )
        with self._lock, disk_errors(path):
            # Out of sight in one step, so that a crash in the middle leaves no half set in the list.
            trash = self._folder / f".deleted-{secrets.token_hex(4)}"
            path.parent.rename(trash)
            self._infos.pop(path, None)
            self._loaded.pop(path, None)
            shutil.rmtree(trash, ignore_errors=True)

    def _store(self, data: bytes, suffix: str, name: str, inspection: Inspection) -> DatasetInfo:
        with self._lock, disk_errors(self._folder / "x"):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._check_room(len(data))
            draft = self._folder / f".new-{secrets.token_hex(4)}"
            draft.mkdir()
            try:
                file = draft / f"data{suffix}"
                write_atomically(file, data)
                meta = {"schema_version": 1, "name": name, "added": time.time(), "sha256": _digest(data)}
                write_json(draft / META, meta | _counts(inspection, _stamp(file)))
                dataset_id = self._move_in(draft, name)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        return self._own_info(self._folder / dataset_id)

    def _check_room(self, size: int) -> None:
        used = sum(path.stat().st_size for folder in self._own_folders() if (path := self._data_file(folder)))
        if used + size > MAX_LIBRARY_BYTES:
            raise WorkbenchError(
                Text(
                    "your data sets would take more than {limit} GB together", "您的数据集总量将超过 {limit} GB"
                ).with_(limit=MAX_LIBRARY_BYTES // 1024**3),
                Text("Delete data sets that you no longer need.", "请删除不再需要的数据集。"),
                code="library_full",
            )
        if free_bytes(self._folder) < size + SPARE_BYTES:
            raise disk_full(self._folder, size + SPARE_BYTES)

    def _move_in(self, draft: Path, name: str) -> str:
        """Give the finished draft the first free id made from its name."""
        base = slug(name, "dataset")
        base = f"{base}-data" if base in _RESERVED else base
        number = 1
        while True:
            dataset_id = base if number == 1 else f"{base}-{number}"
            target = self._folder / dataset_id
            if not target.exists() and not target.is_symlink() and not (self._shipped / f"{dataset_id}.jsonl").exists():
                draft.rename(target)
                return dataset_id
            number += 1

    def _own_folders(self) -> Paths:
        if not self._folder.is_dir():
            return []
        folders = (path for path in self._folder.iterdir() if ID.match(path.name))
        return sorted(path for path in folders if path.is_dir() and not path.is_symlink())

    def _data_file(self, folder: Path) -> Path | None:
        """The data file in a set's folder: the one file of a known kind beside meta.json."""
        if folder.is_symlink() or not folder.is_dir():
            return None
        for path in sorted(folder.iterdir()):
            known = path.suffix.lower() in SUFFIXES and path.name != META and not path.name.startswith(".")
            if known and path.is_file() and not path.is_symlink():
                return path
        return None

    def _is_own(self, path: Path) -> bool:
        return path.parent.parent == self._folder and bool(ID.match(path.parent.name))

    def _id_of(self, path: Path) -> str | None:
        if self._is_own(path):
            return path.parent.name
        return path.stem if path.parent == self._shipped else None

    def _own_info(self, folder: Path) -> DatasetInfo:
        path = self._data_file(folder)
        if path is not None:
            return self._info(path, folder.name)
        missing = WorkbenchError(
            Text("the data file of {name} is missing", "数据集 {name} 的数据文件缺失").with_(name=folder.name),
            Text("Delete the data set and add it again.", "请删除该数据集后重新添加。"),
            code="no_file",
        )
        return DatasetInfo(folder.name, same(folder.name), None, "", "", 0, False, folder, problem=missing)

    def _info(self, path: Path, dataset_id: str) -> DatasetInfo:
        """The entry of a data file: remembered, else from meta.json, else by reading the file."""
        stamp = _stamp(path)
        with self._lock:
            held = self._infos.get(path)
        if held is None or held[0] != stamp:
            meta = self._meta(path)
            if (meta.get("size"), meta.get("mtime_ns")) != stamp or not _complete(meta):
                meta |= self._count_again(path, stamp, meta)
            held = (stamp, self._entry(path, dataset_id, meta))
            with self._lock:
                self._infos[path] = held
        return held[1]

    def _count_again(self, path: Path, stamp: Stamp, meta: dict[str, Any]) -> dict[str, Any]:
        """Counts for a file that has none in its meta.json, or that was changed since; an own set remembers them."""
        try:
            data = read_data(path)
            counts = _counts(_inspected(data, path, _read_as(meta)), stamp)
        except WorkbenchError as error:
            return {"kind": "", "format": "", "rows": 0, "usable": 0, "problem": error}
        if self._is_own(path):
            try:
                write_json(path.parent / META, meta | counts | {"schema_version": 1, "sha256": _digest(data)})
            except (OSError, WorkbenchError):
                pass  # a read-only home only costs the time to count again
        return counts

    def _meta(self, path: Path) -> dict[str, Any]:
        file = path.parent / META if self._is_own(path) else path.with_name(f"{path.stem}.{META}")
        if self._id_of(path) is None or file.is_symlink():
            return {}
        try:
            meta = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return meta if isinstance(meta, dict) else {}

    def _entry(self, path: Path, dataset_id: str, meta: dict[str, Any]) -> DatasetInfo:
        own_name = self._id_of(path) or path.name
        return DatasetInfo(
            id=dataset_id,
            name=_text(meta.get("name")) or same(own_name),
            about=_text(meta.get("about")),
            kind=str(meta["kind"]),
            format=str(meta["format"]),
            rows=meta["rows"],
            shipped=path.parent == self._shipped,
            path=path,
            usable=meta["usable"],
            size=_stamp(path)[0],
            lang=meta["lang"] if isinstance(meta.get("lang"), str) else None,
            problem=meta.get("problem") if isinstance(meta.get("problem"), WorkbenchError) else None,
        )

    def _read(self, path: Path, dataset_id: str) -> Loaded:
        data = read_data(path)
        meta = self._meta(path)
        chosen = _read_as(meta)
        inspection = _inspected(data, path, chosen)
        info = self._entry(path, dataset_id, meta | _counts(inspection, _stamp(path)))
        return Loaded(
            info,
            inspection.examples,
            inspection.problems,
            f"{_digest(data)}-{chosen}" if chosen else _digest(data),  # what is learned follows from both
            inspection.numbers,
            tuple(inspection.columns),
            inspection.readings,
        )

    def _keep(self, path: Path, held: tuple[Stamp, Loaded]) -> None:
        """Remember a loaded set; the oldest go when all together are too large (the newest always stays)."""
        with self._lock:
            self._loaded[path] = held
            self._loaded.move_to_end(path)
            while len(self._loaded) > 1 and sum(stamp[0] for stamp, _ in self._loaded.values()) > CACHE_BYTES:
                self._loaded.popitem(last=False)


def _inspected(data: bytes, path: Path, read_as: str | None = None) -> Inspection:
    table = parse_rows(data, path.name)
    return inspect_rows(table.rows, table.notes, read_as)


def _read_as(meta: dict[str, Any]) -> str | None:
    """The format that a person chose for the set; None where it is told from the rows."""
    chosen = meta.get("read_as")
    return chosen if isinstance(chosen, str) and chosen in FORMATS else None


def _stamp(path: Path) -> Stamp:
    """Size and time of a file: what tells that it was changed."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_size, found.st_mtime_ns)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _counts(inspection: Inspection, stamp: Stamp) -> dict[str, Any]:
    return {
        "format": inspection.format,
        "kind": inspection.kind,
        "rows": inspection.rows,
        "usable": len(inspection.examples),
        "size": stamp[0],
        "mtime_ns": stamp[1],
    }


def _complete(meta: dict[str, Any]) -> bool:
    """Whether a meta.json carries counts of the right types (people edit it to change the name)."""
    words = all(isinstance(meta.get(key), str) for key in ("format", "kind"))
    return words and all(type(meta.get(key)) is int for key in ("rows", "usable"))


def _text(value: Any) -> Text | None:
    if isinstance(value, str) and value:
        return same(value)
    if isinstance(value, dict) and isinstance(value.get("en"), str) and isinstance(value.get("zh"), str):
        return Text(value["en"], value["zh"])
    return None


def _clean_name(name: str) -> str:
    """A name to show: one line, nothing invisible or turning the direction of reading, not too long."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:MAX_NAME] or "data"
