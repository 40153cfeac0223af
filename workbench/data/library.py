"""The data sets that can be trained on: the shipped ones, and the user's own in HOME/datasets/<id>/.

A user's set is one data file and its `meta.json`, which remembers format, kind and counts together with the size and
the time of the file they were taken from: listing reads no data unless a file was changed. Ids from outside are matched
against a pattern and looked up inside the two folders; a symbolic link is never followed. Files are copied in as they
are, after every row was checked.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import secrets
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from workbench.config.disk import (
    LEFT_SECONDS,
    MAKING,
    disk_errors,
    disk_full,
    entries,
    free_bytes,
    hide,
    real_place,
    remove,
    shown_entries,
    slug,
    sweep,
    write_atomically,
    write_json,
)
from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, listed, same
from workbench.data.files import SUFFIXES, parse_rows, read_data
from workbench.data.formats import Example, Inspection, inspect_rows
from workbench.data.noted import COUNTED, ID, META, READ_AS, no_reading, no_set, read_meta, text_of
from workbench.data.sets import DatasetInfo, Loaded, Seen, Stamp, meta_stamp, stamp_of

__all__ = ["DataLibrary", "DatasetInfo", "Examples", "Loaded"]

SHIPPED = Path(__file__).parent / "shipped"

# All own sets together: anyone who can open the page can upload.
MAX_LIBRARY_BYTES = 4 * 1024**3
# What stays free on the disk after a copy, for the checkpoints of runs.
SPARE_BYTES = 200 * 1024**2
# File bytes of loaded sets kept in memory, so that paging through examples does not read the file again and again.
CACHE_BYTES = 64 * 1024**2
MAX_NAME = 80

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
        self._infos: dict[Path, tuple[Seen, DatasetInfo]] = {}
        self._loaded: OrderedDict[Path, tuple[Seen, Loaded]] = OrderedDict()

    def list(self) -> Infos:
        """All sets: the shipped ones, then the user's by name."""
        shipped = [self._info(path, path.stem) for path in sorted(self._shipped.glob("*.jsonl"))]
        own = [self._own_info(name, place) for name, place in self._own().items()]
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
        seen = self._seen(path)
        with self._lock:
            held = self._loaded.get(path)
        if held is None or held[0] != seen:
            # Not under the lock: a large file takes seconds, and lists are wanted meanwhile.
            held = (seen, self._read(path, self._id_of(path) or str(id_or_path)))
        self._keep(path, held)
        return held[1]

    def holds(self, loaded: Loaded) -> bool:
        """Whether a set that was loaded is there still as it was, and read as it was; cheaper than loading it again."""
        path = loaded.info.path
        with self._lock:
            held = self._loaded.get(path)
        return held is not None and held[1] is loaded and held[0] == self._seen(path)

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
        readings = self.load(dataset_id).readings if self._is_own(path) else ()
        if name not in readings:
            raise no_reading(dataset_id, readings)
        stamp, data = stamp_of(path), read_data(path)
        counts = _counts(_inspected(data, path, name), stamp)
        with self._lock, disk_errors(path):
            meta = _known(self._meta(path)) | counts
            write_json(path.parent / META, {"schema_version": 1, **meta, READ_AS: name, "sha256": _digest(data)})
        return self._info(path, dataset_id)

    def delete(self, dataset_id: str) -> None:
        """Remove one of the user's sets, be it whole or not."""
        with self._lock:
            place = self.place(dataset_id)
            gone, known = hide(place), self._folder / place.name
            for path in [path for path in (*self._infos, *self._loaded) if path.parent == known]:
                self._infos.pop(path, None)
                self._loaded.pop(path, None)
        remove(gone)

    def place(self, dataset_id: str) -> Path:
        """What is deleted with one of the user's sets; raises like `delete`."""
        place = self._own().get(dataset_id)
        if place is None:
            raise WorkbenchError(
                Text(
                    "the data set {name} belongs to the workbench and stays", "数据集 {name} 是随附的，不能删除"
                ).with_(name=self.resolve(dataset_id).stem),
                code="shipped",
            )
        return real_place(place)

    def places(self, id_or_path: str) -> set[Path]:
        """Where the set that is named by its id or its path lies; empty where there is none."""
        try:
            return {real_place(self.resolve(id_or_path, allow_paths=True).parent)}
        except WorkbenchError:
            return set()

    def sweep(self) -> None:
        """Remove what was half-made or half-deleted when a process ended. Only for who holds the home."""
        sweep(self._folder, LEFT_SECONDS)

    def _store(self, data: bytes, suffix: str, name: str, inspection: Inspection) -> DatasetInfo:
        with self._lock, disk_errors(self._folder / "x"):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._check_room(len(data))
            draft = self._folder / f".{secrets.token_hex(4)}{MAKING}"
            draft.mkdir()
            try:
                file = draft / f"data{suffix}"
                write_atomically(file, data)
                meta = {"schema_version": 1, "name": name, "added": time.time(), "sha256": _digest(data)}
                write_json(draft / META, meta | _counts(inspection, stamp_of(file)))
                dataset_id = self._move_in(draft, name)
            except BaseException:
                remove(draft)
                raise
        return self._own_info(dataset_id, self._folder / dataset_id)

    def _check_room(self, size: int) -> None:
        used = sum(stamp_of(path)[0] for folder in self._own().values() if (path := self._data_file(folder)))
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
            if not os.path.lexists(target) and not (self._shipped / f"{dataset_id}.jsonl").exists():
                draft.rename(target)
                return dataset_id
            number += 1

    def _own(self) -> dict[str, Path]:
        """Everything that lies in the home's folder of data sets, by its id, which is also there for what is no set."""
        return shown_entries(self._folder)

    def _data_file(self, folder: Path) -> Path | None:
        """The data file in a set's folder: the one file of a known kind beside meta.json."""
        if os.path.islink(folder):
            return None
        for path in entries(folder):
            known = path.suffix.lower() in SUFFIXES and path.name != META and not path.name.startswith(".")
            if known and os.path.isfile(path) and not os.path.islink(path):
                return path
        return None

    def _is_own(self, path: Path) -> bool:
        return path.parent.parent == self._folder and bool(ID.match(path.parent.name))

    def _id_of(self, path: Path) -> str | None:
        if self._is_own(path):
            return path.parent.name
        return path.stem if path.parent == self._shipped else None

    def _own_info(self, dataset_id: str, place: Path) -> DatasetInfo:
        path = self._data_file(place)
        if path is not None and ID.match(place.name):
            return self._info(path, dataset_id)
        problem = no_set(place)
        return DatasetInfo(dataset_id, same(dataset_id), None, "", "", 0, False, place, problem=problem)

    def _info(self, path: Path, dataset_id: str) -> DatasetInfo:
        """The entry of a data file: remembered, else from meta.json, else by reading the file."""
        seen = self._seen(path)
        with self._lock:
            held = self._infos.get(path)
        if held is None or held[0] != seen:
            meta = self._meta(path)
            if (meta.get("size"), meta.get("mtime_ns")) != seen[0] or not meta.keys() >= COUNTED:
                meta |= self._count_again(path, seen, meta)
            held = (seen, self._entry(path, dataset_id, meta))
            with self._lock:
                self._infos[path] = held
        return held[1]

    def _count_again(self, path: Path, seen: Seen, meta: dict[str, Any]) -> dict[str, Any]:
        """Counts for a file that has none in its meta.json, or that was changed since; an own set remembers them.

        Not where its meta.json is damaged, which may hold more than was read of it, or was written meanwhile.
        """
        try:
            data = read_data(path)
            counts = _counts(_inspected(data, path, meta.get(READ_AS)), seen[0])
        except WorkbenchError as error:
            return {"kind": "", "format": "", "rows": 0, "usable": 0, "problem": error}
        with self._lock:
            if self._is_own(path) and "lost" not in meta and self._seen(path) == seen:
                try:
                    write_json(path.parent / META, meta | counts | {"schema_version": 1, "sha256": _digest(data)})
                except (OSError, WorkbenchError):
                    pass  # a read-only home only costs the time to count again
        return counts

    def _meta(self, path: Path) -> dict[str, Any]:
        file = self._meta_file(path)
        return {} if file is None else read_meta(file)

    def _meta_file(self, path: Path) -> Path | None:
        """Where it stands what is noted of a data file; None for a file that was named by its path."""
        if self._is_own(path):
            return path.parent / META
        return path.with_name(f"{path.stem}.{META}") if path.parent == self._shipped else None

    def _seen(self, path: Path) -> Seen:
        """What tells that a set became another one, by its data or by how it is to be read. Ask before reading either."""
        return stamp_of(path), meta_stamp(self._meta_file(path))

    def _entry(self, path: Path, dataset_id: str, meta: dict[str, Any]) -> DatasetInfo:
        own_name = self._id_of(path) or path.name
        return DatasetInfo(
            id=dataset_id,
            name=text_of(meta.get("name")) or same(own_name),
            about=text_of(meta.get("about")),
            kind=meta["kind"],
            format=meta["format"],
            rows=meta["rows"],
            shipped=path.parent == self._shipped,
            path=path,
            usable=meta["usable"],
            size=stamp_of(path)[0],
            lang=meta.get("lang"),
            problem=meta.get("problem"),
            lost=meta.get("lost"),
        )

    def _read(self, path: Path, dataset_id: str) -> Loaded:
        data = read_data(path)
        meta = self._meta(path)
        inspection = _inspected(data, path, meta.get(READ_AS))
        read_otherwise = inspection.format != inspection.usual  # what is learned follows from both
        info = self._entry(path, dataset_id, meta | _counts(inspection, stamp_of(path)))
        return Loaded(
            info,
            inspection.examples,
            inspection.problems,
            f"{_digest(data)}-{inspection.format}" if read_otherwise else _digest(data),
            inspection.numbers,
            tuple(inspection.columns),
            inspection.readings,
            inspection.usual,
        )

    def _keep(self, path: Path, held: tuple[Seen, Loaded]) -> None:
        """Remember a loaded set; the oldest go when all together are too large (the newest always stays)."""
        with self._lock:
            self._loaded[path] = held
            self._loaded.move_to_end(path)
            while len(self._loaded) > 1 and sum(seen[0][0] for seen, _ in self._loaded.values()) > CACHE_BYTES:
                self._loaded.popitem(last=False)


def _inspected(data: bytes, path: Path, read_as: str | None = None) -> Inspection:
    table = parse_rows(data, path.name)
    return inspect_rows(table.rows, table.notes, read_as)


def _known(meta: dict[str, Any]) -> dict[str, Any]:
    """What a file can hold of what is noted."""
    return {key: value for key, value in meta.items() if key != "lost"}


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


def _clean_name(name: str) -> str:
    """A name to show: one line, nothing invisible or turning the direction of reading, not too long."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:MAX_NAME] or "data"
