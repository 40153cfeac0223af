"""What is alike in the stores of runs and of jobs: a folder each, named by its id, with a record that is replaced as a whole.

A record is written by the process that owns what it tells of (`workbench.engine.owners`); every other one reads it, again
whenever its file changed. One whose owner has died is marked as interrupted by whoever notices it first.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from workbench.config.disk import hide, remove, shown_entries, sweep, write_json
from workbench.config.errors import WorkbenchError
from workbench.config.reading import NO_FOLDER, Damaged
from workbench.config.text import Text
from workbench.engine.events import EventLog, StatusChanged
from workbench.engine.owners import Owners
from workbench.engine.records import kept_error

LOGS_KEPT = 8


Kept = TypeVar("Kept", bound=Any)  # a frozen dataclass with id, status, created, error, active and damaged


class RecordStore(Generic[Kept]):
    """Records inside one folder, named by id. Any thread may use it.

    Args:
        folder: where the folders lie.
        owners: who works on which; without them this process is the only one.
        read_only: mark nothing: only look.
    """

    FILE: ClassVar[str]
    ID: ClassVar[re.Pattern[str]]

    def __init__(self, folder: Path, owners: Owners | None = None, *, read_only: bool = False) -> None:
        self.folder = folder
        self.owners = owners
        self._read_only = read_only
        self._lock = threading.RLock()
        self._logs: dict[str, EventLog] = {}
        self._records: dict[str, tuple[int, Kept]] = {}
        self._changes = 0  # of records that this process keeps in memory, be they on the disk or not
        self._listed: tuple[tuple[int, int, dict[str, int]], list[Kept]] | None = None

    # What a store says of its own records

    def _read(self, path: Path) -> Kept:
        """The record in a file; where it cannot be read, one that says so."""
        raise NotImplementedError

    def _unreadable(self, name: str, entry: Path, error: Damaged | None) -> Kept:
        """What stands in the list for something that is no record's folder; `error` is None where only its name is wrong."""
        raise NotImplementedError

    def _unknown(self, name: str) -> WorkbenchError:
        """The error for an id that is none."""
        raise NotImplementedError

    def _interrupted(self, record: Kept) -> dict[str, Any]:
        """Put in order what a dead process left of this, and what changes in its record beside the state."""
        return {}

    # Reading

    def path(self, name: str) -> Path:
        """The folder of one.

        Raises:
            WorkbenchError: `name` is no id of this store (a path, a link, or unknown).
        """
        if not self.is_folder(name):
            raise self._unknown(name)
        return self.folder / name

    def is_folder(self, name: str) -> bool:
        """Whether there is a folder at the place of this one."""
        return bool(self.ID.match(name or "")) and is_folder(self.folder / name)

    def _entry(self, name: str) -> Path | None:
        """What lies at the place of an id, be it a folder or not; None where nothing does."""
        if not self.ID.match(name or ""):
            return shown_entries(self.folder).get(name)
        return self.folder / name if os.path.lexists(self.folder / name) else None

    def get(self, name: str) -> Kept:
        """The record of one, read again only when the file changed; of one that cannot be read, what is known of it.

        Raises:
            WorkbenchError: there is no such one.
        """
        entry = self._entry(name)
        if entry is None:
            raise self._unknown(name)
        if not is_folder(entry):
            return self._unreadable(name, entry, Damaged(name, NO_FOLDER))
        if not self.ID.match(name):
            return self._unreadable(name, entry, None)
        path = entry / self.FILE
        time = changed(path)
        with self._lock:
            known = self._records.get(name)
            if known is None or known[0] != time:
                known = self._records[name] = (time, self._read(path))
        return self._with_its_owner(known[1])

    def _with_its_owner(self, record: Kept) -> Kept:
        """The record, or if it is active and nobody works on it any more, that it was interrupted."""
        if not record.active or self.owners is None or self.owners.alive(record.id):
            return record
        if not self._read_only and self.owners.claim(record.id):
            try:
                return self._mark_interrupted(record.id)
            finally:
                self.owners.release(record.id)
        return replace(record, status="interrupted")

    def _mark_interrupted(self, name: str) -> Kept:
        with self._lock:
            record = self._read(self.folder / name / self.FILE)
            if not record.active:  # somebody else was first
                return record
            facts: dict[str, Any] = {}
            try:
                facts = self._interrupted(record)
            except (WorkbenchError, OSError):
                pass  # a full disk: it is told all the same, so that the page opens and something can be deleted
            self._records[name] = (changed(self.folder / name / self.FILE), record)
            try:
                return self.update(name, status="interrupted", finished=now_iso(), **facts)
            except (WorkbenchError, OSError):
                return self._records[name][1]

    def all(self) -> list[Kept]:
        """Every one, newest first, damaged ones too.

        Their files are read again only where they changed: open pages ask every second.
        """
        with self._lock:
            folder, times = changed(self.folder), self._times()
            state = (self._changes, folder, times)
            if self._listed is None or self._listed[0] != state:
                # Where nothing came, went or was exchanged in the folder, only those whose file changed are looked at.
                known = times if self._listed is not None and self._listed[0][1] == folder else {}
                found = sorted(self._walk(known), key=lambda one: (one.created, one.id), reverse=True)
                self._listed = (state, found)
            # A damaged one is looked at each time: the file may have been put back. Of an active one its owner may die.
            again = [one.id for one in self._listed[1] if self.ID.match(one.id) and (one.damaged or one.active)]
            return [self.get(one.id) if one.id in again else one for one in self._listed[1]]

    def _times(self) -> dict[str, int]:
        """When the record of each was changed, by whichever process."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return {}
        return {name: changed(f"{self.folder}{os.sep}{name}{os.sep}{self.FILE}") for name in names}

    def _walk(self, times: dict[str, int]) -> Iterator[Kept]:
        """Each record; one that is known as of its file's time in `times` is not looked at again."""
        for name in shown_entries(self.folder):
            known = self._records.get(name)
            try:
                yield known[1] if known is not None and known[0] == times.get(name) else self.get(name)
            except WorkbenchError:
                continue  # deleted meanwhile

    def log(self, name: str) -> EventLog:
        """The events of one."""
        with self._lock:
            if name not in self._logs:
                for other in list(self._logs)[:-LOGS_KEPT]:  # they are read again when somebody asks
                    if not self.get(other).active:
                        del self._logs[other]
                self._logs[name] = EventLog(self.path(name) / "events.jsonl")
            return self._logs[name]

    # Writing

    def update(self, name: str, **changes: Any) -> Kept:
        """Replace some fields of a record, atomically. Only for its owner.

        Raises:
            WorkbenchError: the record is damaged, or cannot be written.
        """
        with self._lock:
            path = self.path(name) / self.FILE
            record = replace(self._sound(name), **changes)
            # Kept in memory even when the disk is full, so that the page tells the truth.
            self._records[name] = (changed(path), record)
            self._changes += 1
            write_json(path, asdict(record))
            self._records[name] = (changed(path), record)
            return record

    def move(self, name: str, before: tuple[str, ...], after: str, **changes: Any) -> bool:
        """Change the state if it is one of `before`; False when it was another. Of two who try, one succeeds."""
        with self._lock:
            if self._sound(name).status not in before:
                return False
            self.update(name, status=after, **changes)
            return True

    def end(self, name: str, status: str, before: tuple[str, ...] | None = None, **changes: Any) -> bool:
        """Write a last state, into the events first: who looks in between must not find a record that is ahead of them.

        Args:
            before: states of which it must be in one; False when it is in another.
        """
        with self._lock:
            if before is not None and self._sound(name).status not in before:
                return False
            try:
                self.log(name).append(StatusChanged(status))
            finally:  # also on a full disk: `update` keeps it in memory
                self.update(name, status=status, finished=now_iso(), **changes)
            return True

    def _sound(self, name: str) -> Kept:
        """A record that is to change; what it holds must not be overwritten by what is not known of it."""
        path = self.path(name) / self.FILE
        known = self._records.get(name)
        record = known[1] if known is not None and known[0] == changed(path) else self._read(path)
        if record.damaged and record.error:
            raise kept_error(record.error)
        return record

    def delete(self, name: str) -> None:
        """Remove one with all that belongs to it.

        Raises:
            WorkbenchError: it is still active.
        """
        with self._lock:
            path = self._entry(name)
            if path is None:
                raise self._unknown(name)
            if self.get(name).active:
                raise still_active()
            for known in (self._logs, self._records):
                known.pop(name, None)
            self._changes += 1
            gone = hide(path)
        remove(gone)

    def recover(self, *, alone: bool = True) -> list[str]:
        """Mark what dead processes left active as `interrupted`; where this process is alone, sweep what was half-made.

        Returns:
            the ids of what was marked.
        """
        if alone:
            sweep(self.folder)
        left = []
        for name in filter(self.is_folder, shown_entries(self.folder)):
            if self._read(self.folder / name / self.FILE).active:
                after = self._mark_interrupted(name) if self.owners is None else self.get(name)
                left += [] if after.active else [name]
        return left


def still_active() -> WorkbenchError:
    """The error for something that is to be deleted while it waits or works."""
    return WorkbenchError(
        Text("this run is still active", "这个运行还在进行"),
        Text("Press Stop and save first.", "请先点“停止并保存”。"),
        code="active",
    )


def is_folder(path: Path) -> bool:
    """Whether it is a folder itself; a link is not followed."""
    return path.is_dir() and not path.is_symlink()


def changed(path: Path | str) -> int:
    """What tells that a file was changed or replaced; 0 for none. Its time alone is not enough: a disk's clock is coarse."""
    try:
        found = os.stat(path)
    except OSError:
        return 0
    return hash((found.st_mtime_ns, found.st_ino, found.st_size))


def now_iso() -> str:
    """The time now, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
