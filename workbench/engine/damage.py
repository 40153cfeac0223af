"""What of a run's folder cannot be read, beside its record. Looks at beginnings and headers, loads nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.reading import NO_FOLDER, Damaged, opened
from workbench.config.text import Text
from workbench.engine.events import EventLog
from workbench.engine.records import RunRecord
from workbench.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter
from workbench.models.files import WEIGHTS, check_folder

RESULTS: dict[str, Callable[[Path], Any]] = {"adapter": check_adapter, "model": check_folder}
ENDED = ("completed", "stopped", "failed")  # states that a run's events end with
_FILES = ("events.jsonl", "config.yaml", "log.txt", "samples.jsonl")
_FOLDERS = ("checkpoints", "exports")
_INSIDE = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, "config.json", WEIGHTS)


def looked_at(folder: Path) -> list[Path]:
    """The places whose times tell that something was changed."""
    results = [folder / result for result in RESULTS]
    return [folder / name for name in (*_FILES, *_FOLDERS)] + [
        path for result in results for path in (result, *(result / name for name in _INSIDE))
    ]


def checks(folder: Path, *, result: bool) -> list[Callable[[], Any]]:
    """What to call with `found`, for the files of which nobody else keeps what is wrong with them.

    Args:
        folder: the run's.
        result: whether it made something.
    """
    calls: list[Callable[[], Any]] = [partial(_check_file, folder / name) for name in ("log.txt", "samples.jsonl")]
    calls += [partial(_check_folder, folder / name) for name in _FOLDERS]
    made = [name for name in RESULTS if os.path.lexists(folder / name)]
    calls += [partial(RESULTS[name], folder / name) for name in made]
    if result and not made:
        calls.append(partial(_missing, next(iter(RESULTS))))
    return calls


def missing(folder: Path, record: RunRecord) -> list[Callable[[], Any]]:
    """What to call with `found`, for the parts of which the folder alone tells that they are not there."""
    wanted = ["config.yaml", *["events.jsonl"] * (record.status in ENDED)]
    made = [name for name in RESULTS if os.path.lexists(folder / name)]
    wanted += [next(iter(RESULTS))] * (record.has_result and not made)
    calls: list[Callable[[], Any]] = [partial(_missing, name) for name in wanted if not os.path.lexists(folder / name)]
    return calls + [partial(_check_folder, folder / name) for name in (*_FOLDERS, *made)]


def of_events(log: EventLog, record: RunRecord) -> list[Text]:
    """What of a run's events cannot be read, or is not there any more."""
    said = log.damage()
    if said is not None:
        return [said]
    last = log.last("status")
    ended = record.status in ENDED and (last is None or last["status"] != record.status)
    if ended or (record.last_step and log.last("metrics") is None and not record.damaged):
        return [Text("the end of {file} is missing", "{file} 的末尾缺失").with_(file=log.path.name)]
    return []


def found(calls: Iterable[Callable[[], Any]]) -> list[Text]:
    """What the calls raise, as sentences."""
    said = []
    for call in calls:
        try:
            call()
        except WorkbenchError as error:
            said.append(error.message)
    return said


def _check_file(path: Path) -> None:
    if os.path.lexists(path):
        opened(path, lambda file: file.read(1))


def _check_folder(path: Path) -> None:
    if os.path.lexists(path) and not path.is_dir():
        raise Damaged(path.name, NO_FOLDER)


def _missing(name: str) -> None:
    raise Damaged(name, Text("it is missing", "文件缺失"))
