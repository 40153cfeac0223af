"""One engine a folder: a second one on the same home is refused with a sentence, not with damaged files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from filelock import FileLock, Timeout

from workbench.config.disk import disk_errors, hide, remove
from workbench.config.errors import WorkbenchError
from workbench.config.reading import Damaged, read_text
from workbench.config.text import Text


class HomeLock:
    """Held from construction to `release`; the operating system frees it when the process dies."""

    def __init__(self, home: Path) -> None:
        with disk_errors(home / "x"):
            home.mkdir(parents=True, exist_ok=True)
            place, owner = home / ".lock", home / ".lock.pid"
            if os.path.lexists(place) and (place.is_symlink() or not place.is_file()):
                remove(hide(place))  # no lock of ours, and nobody can hold it
            self._lock = FileLock(place, thread_local=False)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise WorkbenchError(
                    Text(
                        "another workbench (process {pid}) is using the folder {home}",
                        "另一个工作台（进程 {pid}）正在使用文件夹 {home}",
                    ).with_(pid=_read(owner), home=home),
                    Text(
                        "Use the one that is open, close it first, or start this one with --home and another folder.",
                        "请使用已打开的那个，或先关闭它，或用 --home 指定另一个文件夹。",
                    ),
                    code="locked",
                ) from None
            with contextlib.suppress(OSError):  # only to tell others who holds the folder
                owner.write_text(str(os.getpid()))

    def release(self) -> None:
        """Let others in."""
        self._lock.release()


def _read(path: Path) -> str:
    try:
        return read_text(path).strip()[:20] or "?"
    except Damaged:
        return "?"
