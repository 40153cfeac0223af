"""A data set: its entry in the lists, and its rows in memory."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.data.columns import Column
from workbench.data.duplicates import key_of
from workbench.data.formats import DataProblem, Example

Stamp = tuple[int, int]
Seen = tuple[Stamp, tuple[int, int, int]]  # of a set's data file, and of its meta.json


@dataclass(frozen=True)
class DatasetInfo:
    """What the lists show about a set.

    `rows` counts the rows of the file and `usable` those that can be learned from. A set whose file is broken or gone
    is listed too, with `problem` set and an empty kind.
    """

    id: str
    name: Text
    about: Text | None
    kind: str
    format: str
    rows: int
    shipped: bool
    path: Path
    usable: int = 0
    size: int = 0
    lang: str | None = None
    problem: WorkbenchError | None = None
    lost: WorkbenchError | None = None  # what was noted of a set that is usable all the same


@dataclass(frozen=True)
class Loaded:
    """A set in memory: its usable examples (shared, not to be changed) with their row numbers in the file.

    `columns` are the file's, each with its use, and `readings` the formats that the rows fit, the one in use first; `usual`
    is the format where nobody chooses one.
    """

    info: DatasetInfo
    examples: list[Example]
    problems: list[DataProblem]
    fingerprint: str
    numbers: list[int]
    columns: tuple[Column, ...] = ()
    readings: tuple[str, ...] = ()
    usual: str = ""

    @cached_property
    def keys(self) -> array[int]:
        """One number for each example, the same for examples that say the same. Made once, and only when asked for."""
        return array("q", map(key_of, self.examples))


def stamp_of(path: Path) -> Stamp:
    """Size and time of a file: what tells that it was changed."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_size, found.st_mtime_ns)


def meta_stamp(file: Path | None) -> tuple[int, int, int]:
    """The same for a small file that is replaced as a whole, also by one of the same size in the same moment."""
    try:
        found = None if file is None else file.stat()
    except OSError:
        found = None
    return (found.st_size, found.st_mtime_ns, found.st_ino) if found else (0, 0, 0)
