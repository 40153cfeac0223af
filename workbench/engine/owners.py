"""Who works on what in a home that several processes may use at once: the page, and commands beside it.

A process that waits with a run or works on it holds a lock of the operating system under its id. The system lets it go when
the process dies, however it dies, so what a dead process left is told from what a living one does by asking for the lock.
What is no run has a lock of its own kind: the device, the moment in which something begins, each process that is there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from workbench.config.disk import disk_errors, entries, hide, remove
from workbench.config.errors import WorkbenchError
from workbench.config.text import Text

FOLDER = ".locks"
_ENGINE = "engine-"
_BEGINNING = "beginning"
_ASKED_SECONDS = 0.5  # for which an answer about another process is good
_CLAIM_SECONDS = 2.0  # somebody who asks whether a lock is held holds it for a moment
_BEGIN_SECONDS = 60.0


class Owners:
    """The locks of one home. Any thread may use it.

    Args:
        home: the folder; its locks lie in `.locks`, where nothing but empty files is kept.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._held: dict[str, FileLock] = {}
        self._asked: dict[str, tuple[float, bool]] = {}
        self._lock = threading.Lock()
        self._beginning = threading.Lock()
        self._presence = ""

    def enter(self) -> bool:
        """Be there as a process that works in the home; True for the first, who may sweep what dead ones left half-made.

        Raises:
            WorkbenchError: the home cannot be written.
        """
        with disk_errors(self._folder / "x"):
            if os.path.lexists(self._folder) and (self._folder.is_symlink() or not self._folder.is_dir()):
                remove(hide(self._folder))  # no locks of ours
            self._folder.mkdir(parents=True, exist_ok=True)
            with self.beginning():
                others = [path.stem for path in entries(self._folder) if path.name.startswith(_ENGINE)]
                first = not any(self._is_held(name) for name in others)
                if first:  # no lock here is held, and nobody can ask for one meanwhile
                    for path in entries(self._folder):
                        if path.stem != _BEGINNING:
                            remove(path)
                self._presence = f"{_ENGINE}{os.getpid()}-{secrets.token_hex(3)}"
                self.claim(self._presence)
        return first

    def leave(self) -> None:
        """Let go of everything."""
        with self._lock:
            names = list(self._held)
        for name in names:
            self.release(name)
        if self._presence:
            remove(self._path(self._presence))

    def claim(self, name: str) -> bool:
        """Become the owner of something; False where another process is. What one owns already stays one's own."""
        with self._lock:
            if name in self._held:
                return True
            lock = FileLock(self._path(name), thread_local=False)
            try:
                lock.acquire(timeout=_CLAIM_SECONDS, poll_interval=0.02)
            except Timeout:
                return False
            self._held[name] = lock
            return True

    def release(self, name: str) -> None:
        """Own it no more."""
        with self._lock:
            lock = self._held.pop(name, None)
            self._asked.pop(name, None)
        if lock is not None:
            lock.release()

    def mine(self, name: str) -> bool:
        """Whether this process owns it."""
        return name in self._held

    def alive(self, name: str) -> bool:
        """Whether any process that lives owns it. Cheap: of others it is asked twice a second at most."""
        if name in self._held:
            return True
        now = time.monotonic()
        with self._lock:
            asked = self._asked.get(name)
        if asked is not None and now - asked[0] < _ASKED_SECONDS:
            return asked[1]
        held = self._is_held(name)
        with self._lock:
            self._asked[name] = (now, held)
        return held

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Held where something begins, and where what it needs is taken away: by one thread of one process at a time.

        Raises:
            WorkbenchError: another process does not come to an end with it.
        """
        with self._beginning:
            lock = FileLock(self._path(_BEGINNING), thread_local=False)
            try:
                lock.acquire(timeout=_BEGIN_SECONDS)
            except Timeout:
                raise WorkbenchError(
                    Text("another workbench is busy with this folder", "另一个工作台正在使用这个文件夹"),
                    Text("Try again in a minute.", "请过一分钟再试。"),
                    code="busy",
                ) from None
            try:
                yield
            finally:
                lock.release()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"

    def _is_held(self, name: str) -> bool:
        path = self._path(name)
        if not os.path.lexists(path):
            return False
        lock = FileLock(path, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # somebody else's file, in a home that may only be looked at
            return True
        with contextlib.suppress(OSError):
            lock.release()
        return False
