"""The runs that are being made up, one for each visitor: a file in the home's `drafts/`, under an id that nobody can guess.

Each change gets a number. A page says with what it sends which number it showed, so that what its reader changed is told from
what it does not know yet: another tab may have changed something meanwhile, or an answer may still be on its way.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.config.disk import disk_errors, shown_entries, write_atomically
from workbench.config.reading import LARGEST, Damaged, parse_json, read_bytes
from workbench.engine.draft import Draft

ID = re.compile(r"[0-9a-f]{32}")
SUFFIX = ".json"
MOST = 1000  # visitors of whom the newest are kept
KNOWN = 64  # visitors whose last changes are remembered
CHANGES = 32  # of each


@dataclass(frozen=True)
class Kept:
    """A draft, and the number of the change that made it; numbers only grow."""

    number: int
    draft: Draft


class Drafts:
    """Any thread may use it.

    Args:
        folder: where they lie; made when the first is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._changing: dict[str, threading.RLock] = {}
        """By visitor: what one chooses may read a large data set, and nobody else waits for that."""
        self._known: OrderedDict[str, list[Kept]] = OrderedDict()
        """By visitor, the last changes, the newest last."""

    @staticmethod
    def new_id() -> str:
        """An id for a new visitor."""
        return secrets.token_hex(16)

    def get(self, visitor: str) -> Kept | None:
        """A visitor's draft as it is now; None for who has none, or whose file holds none."""
        with self._lock:
            if not isinstance(visitor, str) or not ID.fullmatch(visitor):
                return None
            if visitor not in self._known and (found := self._read(visitor)) is not None:
                self._remember(visitor, found)
            changes = self._known.get(visitor)
            return changes[-1] if changes else None

    def at(self, visitor: str, number: int) -> Draft | None:
        """The draft as it was after a change; the newest where that is long ago."""
        with self._lock:
            newest = self.get(visitor)
            known = {kept.number: kept.draft for kept in self._known.get(visitor, [])}
            return known.get(number, newest.draft if newest else None)

    def change(self, visitor: str, how: Callable[[Draft | None], Draft]) -> Kept:
        """Put what `how` makes of a visitor's draft in its place; unchanged, it keeps its number.

        Raises:
            WorkbenchError: the disk refuses it. Also what `how` raises; nothing is changed then.
            ValueError: no id.
        """
        if not ID.fullmatch(visitor):
            raise ValueError("this is no visitor's id")
        with self._lock:
            alone = self._changing.setdefault(visitor, threading.RLock())
        with alone:
            before = self.get(visitor)
            draft = how(before.draft if before else None)
            if before is not None and draft == before.draft:
                return before
            kept = Kept(before.number + 1 if before else 1, draft)
            path = self.folder / f"{visitor}{SUFFIX}"
            with disk_errors(path):
                self.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(
                    path, json.dumps(_plain({"number": kept.number, **draft.as_dict()}), ensure_ascii=False)
                )
            with self._lock:
                if before is None:
                    self._trim()
                self._remember(visitor, kept)
            return kept

    def _read(self, visitor: str) -> Kept | None:
        try:
            found = parse_json(read_bytes(self.folder / f"{visitor}{SUFFIX}"), visitor)
        except Damaged:  # a kill leaves it whole; whoever changed it begins anew
            return None
        draft = Draft.parse(found)
        number = found.get("number") if isinstance(found, dict) else None
        return Kept(number, draft) if draft is not None and isinstance(number, int) and number > 0 else None

    def _remember(self, visitor: str, kept: Kept) -> None:
        self._known[visitor] = [*self._known.get(visitor, []), kept][-CHANGES:]
        self._known.move_to_end(visitor)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _trim(self) -> None:
        """Let the oldest go: in a public demo everybody who looks leaves one."""
        paths = shown_entries(self.folder).values()
        found = [path for path in paths if ID.fullmatch(path.stem) and path.suffix == SUFFIX and not path.is_symlink()]
        with contextlib.suppress(OSError):  # another process may do the same
            for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[MOST:]:
                path.unlink(missing_ok=True)
                for known in (self._known, self._changing):
                    known.pop(path.stem, None)


def _plain(value: Any) -> Any:
    """What a person may have typed, as JSON can hold it: a number with thousands of digits is as wrong as one without end."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, int) and abs(value) > LARGEST:
        return math.inf if value > 0 else -math.inf
    return value
