"""Words to a job that runs or waits, from whichever process: one JSON line each in the `control.jsonl` of its folder.

Only who owns a job writes its record; everybody else leaves a word here, and the owner's process obeys.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from workbench.config.disk import disk_errors
from workbench.config.reading import Damaged, Number, parse_record

FILE = "control.jsonl"
STOP = "stop"
LISTEN_SECONDS = 0.25
_LONGEST = 65536  # bytes of words that are read at once


@dataclass(frozen=True)
class _Line:
    time: Number
    word: str


_SHAPE = TypeAdapter(_Line)


def say(folder: Path, word: str) -> None:
    """Leave a word for the job in `folder`."""
    line = json.dumps({"time": round(time.time(), 3), "word": word}) + "\n"
    with disk_errors(folder / FILE), (folder / FILE).open("ab") as file:
        file.write(line.encode())


class Listener:
    """Hears the words to the jobs of this process and passes them on.

    Args:
        obey: called with (id, word), on the listener's thread.
    """

    def __init__(self, obey: Callable[[str, str], None]) -> None:
        self._obey = obey
        self._heard: dict[str, tuple[Path, int]] = {}  # how many bytes of each job's words were heard
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, job_id: str, folder: Path) -> None:
        """Listen for a job from now on; what was said before was meant for an earlier turn of it."""
        with self._changed:
            self._heard[job_id] = (folder / FILE, _length(folder / FILE))
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="control", daemon=True)
                self._thread.start()
            self._changed.notify()

    def drop(self, job_id: str) -> None:
        """Listen no more: it is over."""
        with self._changed:
            self._heard.pop(job_id, None)

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._heard:
                    self._changed.wait()
                known = dict(self._heard)
            for job_id, (path, heard) in known.items():
                if _length(path) <= heard:
                    continue
                words, length = _words(path, heard)
                with self._changed:
                    if self._heard.get(job_id) == (path, heard):
                        self._heard[job_id] = (path, length)
                for word in words:
                    self._obey(job_id, word)
            time.sleep(LISTEN_SECONDS)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _words(path: Path, start: int) -> tuple[list[str], int]:
    """The words from a byte on, and where the last whole line ends; a line that is none is passed over."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            text = file.read(_LONGEST)
    except OSError:
        return [], start
    whole = text[: text.rfind(b"\n") + 1]
    if not whole and len(text) == _LONGEST:
        return [], start + len(text)
    words = []
    for line in whole.splitlines():
        try:
            words.append(parse_record(line, _SHAPE, FILE).word)
        except Damaged:
            continue
    return words, start + len(whole)
