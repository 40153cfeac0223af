"""Downloading a model: into a hidden folder beside its place, file by file, and as a whole into the list of models.

What lies in `models/.downloads/NAME/` survives a kill at any moment and is in no list: files that are whole and verified are
never fetched again, and a file that was cut off goes on where it ended. At the end the folder is looked through as every
model's is and moved to its place in one step.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.config.disk import disk_errors, disk_full, entries, free_bytes, hide, remove
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.problems import short
from workbench.config.reading import Damaged
from workbench.config.text import Text
from workbench.hub.errors import hub_error, offline
from workbench.hub.listing import DownloadPlan, check_id
from workbench.hub.needed import FILE_NAME
from workbench.hub.provenance import RECORD, Provenance, begun, read_provenance, write_provenance
from workbench.hub.sources import Source
from workbench.hub.tokens import Token
from workbench.hub.transfer import PART, Gauge, Wanted, fetch_file
from workbench.models.files import WEIGHTS_INDEX, check_folder, check_small_files, promised_weights

__all__ = ["Transfer", "Unfinished", "discard", "download", "unfinished"]

DOWNLOADS = ".downloads"  # beside the models; no ending that is swept when a home is opened
SPARE = 64 * 1024**2  # bytes that are left free for all else
_LOCK = ".lock"
_EACH = 0.2  # seconds between two reports
_WINDOW = 5.0  # seconds of which the speed is the mean


@dataclass(frozen=True)
class Transfer:
    """How far a download is.

    Attributes:
        done: bytes that are on the disk, of `total`.
        file: the one that comes now, "" at the end.
        bytes_per_second: mean of the last seconds.
        seconds_left: None while no speed is known.
        note: what it waits for, such as the next try after a lost connection.
    """

    done: int
    total: int
    file: str
    files_done: int
    files_total: int
    bytes_per_second: float = 0.0
    seconds_left: float | None = None
    note: Text | None = None


@dataclass(frozen=True)
class Unfinished:
    """A download that was begun and isn't over: which, where its model will lie, and how much of it is there."""

    record: Provenance
    folder: Path
    done: int


def download(
    plan: DownloadPlan,
    source: Source,
    folder: Path,
    token: Token | None = None,
    progress: Callable[[Transfer], None] | None = None,
    stop: threading.Event | None = None,
) -> Path:
    """Bring a model onto this computer; goes on with what an earlier try of the same version left.

    Args:
        folder: where the model will lie (`HOME/models/NAME`); nothing is there until it is whole.
        progress: is told on this thread, some five times a second at most.
        stop: when it is set, the download ends within a second; what came stays for another try.

    Returns:
        `folder`.

    Raises:
        WorkbenchError: (`model_exists`, `hub_busy`, `disk_full`, `hub_file`, those of `errors.py` and of `check_folder`).
        StopRequested: `stop` was set.
    """
    _check(plan, source, folder)
    place = folder.parent / DOWNLOADS / folder.name
    with disk_errors(place):
        if place.parent.is_symlink() or place.is_symlink():
            remove(place if place.is_symlink() else place.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
    with _alone(place):
        with disk_errors(place):
            record = _taken_up(plan, source, place)
        try:
            _work(record, source, place, token, progress, stop)
            with _looking():
                check_folder(place)
        except _NoModel as none:
            remove(place)  # every file is the listed one: another try would bring the same
            raise WorkbenchError(none.error.message, none.error.hint, code=none.error.code) from None
        with disk_errors(folder):
            if os.path.lexists(folder):
                raise _exists(folder)
            place.rename(folder)
    return folder


class _NoModel(Exception):
    """What was fetched is no model that can be used; not about a setting of a run, as the error inside it."""

    def __init__(self, error: WorkbenchError) -> None:
        super().__init__(error.code)
        self.error = error


@contextlib.contextmanager
def _looking() -> Iterator[None]:
    try:
        yield
    except WorkbenchError as error:
        raise _NoModel(error) from None


def unfinished(models: Path) -> list[Unfinished]:
    """The downloads in a home's folder of models that were begun and aren't over, be somebody at them or not."""
    found = []
    for place in entries(models / DOWNLOADS):
        with contextlib.suppress(Damaged, OSError):
            record = None if place.is_symlink() or not place.is_dir() else read_provenance(place)
            if record is not None:
                found.append(Unfinished(record, models / place.name, _on_disk(record, place)))
    return found


def discard(folder: Path) -> int:
    """Throw away what is there of a download that isn't over; the bytes that this freed.

    Args:
        folder: where its model would have come to lie.

    Raises:
        WorkbenchError: (`hub_busy`) it is going on.
    """
    place = folder.parent / DOWNLOADS / folder.name
    if not place.is_dir() or place.is_symlink() or not FILE_NAME.fullmatch(folder.name):
        return 0
    with _alone(place):
        freed = sum(path.lstat().st_size for path in entries(place))
        remove(hide(place))
    return freed


def _check(plan: DownloadPlan, source: Source, folder: Path) -> None:
    """Refuse what no plan of ours says, since plans also come out of files, and a place that is taken."""
    check_id(plan.repo_id)
    names = [file.name for file in plan.files]
    bad = [name for name in names if not FILE_NAME.fullmatch(name) or name == RECORD or name.endswith(PART)]
    twice = len({name.lower() for name in names}) < len(names)  # one file, where small and large letters are the same
    if bad or twice or not names:
        raise hub_error(
            Text("the list of files of {model} is none that can be downloaded", "{model} 的文件清单无法下载").with_(
                model=plan.repo_id
            ),
            Text("Choose another model.", "请换一个模型。"),
            code="hub_unusable",
        )
    if source.offline:
        raise offline()
    if os.path.lexists(folder):
        raise _exists(folder)


def _exists(folder: Path) -> WorkbenchError:
    return hub_error(
        Text("there already is a model {name}", "已有名为 {name} 的模型").with_(name=folder.name),
        Text("Use it, or delete it first.", "请直接使用，或先删除它。"),
        code="model_exists",
    )


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Nobody else, in no other process, works on the same download meanwhile. A dead process holds nothing."""
    from filelock import FileLock
    from filelock import Timeout as Taken

    lock = FileLock(place.with_name(place.name + _LOCK), timeout=0)
    try:
        with disk_errors(place):
            lock.acquire()
    except Taken:
        raise hub_error(
            Text("{name} is being downloaded already", "{name} 正在下载中").with_(name=place.name),
            Text("Wait for it, or cancel it where it was started.", "请等待，或在开始下载的地方取消它。"),
            code="hub_busy",
        ) from None
    try:
        yield
    finally:
        lock.release()
        if not place.exists():
            with contextlib.suppress(OSError):
                Path(lock.lock_file).unlink()
                place.parent.rmdir()  # where nothing else is downloaded


def _taken_up(plan: DownloadPlan, source: Source, place: Path) -> Provenance:
    """The record of what is there already of the same version; a new one, and an empty folder, where that is nothing."""
    try:
        record = read_provenance(place)
    except Damaged:
        record = None
    if record is None or (record.repo_id, record.sha, record.files) != (plan.repo_id, plan.sha, plan.files):
        if os.path.lexists(place):
            remove(place)
        place.mkdir()
        record = begun(plan, source)
    whole = {
        file.name for file in record.files if file.name in record.verified and _is_whole(place / file.name, file.bytes)
    }
    parts = {f"{file.name}{PART}" for file in record.files if file.name not in whole}
    for path in entries(place):
        if path.name not in whole | parts | {RECORD} or path.is_symlink():
            remove(path)
    record = replace(record, verified=frozenset(whole))
    write_provenance(place, record)
    return record


def _is_whole(path: Path, size: int) -> bool:
    return not path.is_symlink() and path.is_file() and path.stat().st_size == size


def _on_disk(record: Provenance, place: Path) -> int:
    """Bytes of a download that are there, whole or in part."""
    done = 0
    for file in record.files:
        part = place / f"{file.name}{PART}"
        if file.name in record.verified:
            done += file.bytes
        elif part.is_file() and not part.is_symlink():
            done += min(part.stat().st_size, file.bytes)
    return done


def _work(
    record: Provenance,
    source: Source,
    place: Path,
    token: Token | None,
    progress: Callable[[Transfer], None] | None,
    stop: threading.Event | None,
) -> None:
    """Fetch what is missing, in a thread of its own, so that Stop is heard whatever that thread waits for."""
    missing = record.bytes - _on_disk(record, place)
    if missing and free_bytes(place) < missing + SPARE:
        raise disk_full(place, missing + SPARE)
    gauge = Gauge(files_done=len(record.verified))
    gauge.done = sum(file.bytes for file in record.files if file.name in record.verified)
    result: Future[None] = Future()

    def run() -> None:
        try:
            _fetch_all(record, source, place, token, gauge)
            result.set_result(None)
        except BaseException as error:
            result.set_exception(error)

    meter = _Meter(record, gauge, progress)
    threading.Thread(target=run, name="download", daemon=True).start()
    try:
        while not result.done():
            if stop is not None and stop.is_set():
                raise StopRequested
            meter.report()
            with contextlib.suppress(TimeoutError):
                result.exception(0.05)
        result.result()
        meter.report(last=True)
    finally:
        gauge.halt()
        with contextlib.suppress(TimeoutError):  # it ends at the next byte or wait, and writes nothing any more
            result.exception(0.5)


def _fetch_all(record: Provenance, source: Source, place: Path, token: Token | None, gauge: Gauge) -> None:
    looked = False
    for file in record.files:
        if file.name in record.verified:
            continue
        if file.name.endswith(".safetensors") and not looked:
            looked = True
            with _looking():
                _look_before_the_weights(record, place)
        gauge.file = file.name
        fetch_file(Wanted(source, record.repo_id, record.sha, file, token), place, gauge)
        gauge.check()
        record = record.with_verified(file.name)
        write_provenance(place, record)
        gauge.files_done += 1
    gauge.file = ""


def _look_before_the_weights(record: Provenance, place: Path) -> None:
    """Find out by the small files, which come first, what would be found when all is here."""
    check_small_files(place)
    names = {file.name for file in record.files}
    if WEIGHTS_INDEX in names:
        missing = sorted(promised_weights(place / WEIGHTS_INDEX).keys() - names)
        if missing:
            raise hub_error(
                Text(
                    "{model} lacks {file}, which its list of weights names",
                    "{model} 缺少权重清单中列出的 {file}",
                ).with_(model=record.repo_id, file=short(missing[0])),
                Text("Choose another model or version.", "请换一个模型或版本。"),
                code="missing_shard",
            )


class _Meter:
    """Tells how far a download is: not too often, and with the speed of the last seconds."""

    def __init__(self, record: Provenance, gauge: Gauge, tell: Callable[[Transfer], None] | None) -> None:
        self._gauge, self._tell = gauge, tell
        self._total, self._files = record.bytes, len(record.files)
        self._seen: deque[tuple[float, int]] = deque()
        self._told = 0.0

    def report(self, last: bool = False) -> None:
        now = time.monotonic()
        if self._tell is None or (not last and now - self._told < _EACH):
            return
        self._told = now
        gauge = self._gauge
        done = gauge.done
        self._seen.append((now, done))
        while now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        (start, before), passed = self._seen[0], now - self._seen[0][0]
        speed = max(done - before, 0) / passed if passed > 0 and start < now else 0.0
        left = (self._total - done) / speed if speed > 0 else None
        self._tell(
            Transfer(
                done=done,
                total=self._total,
                file=gauge.file,
                files_done=gauge.files_done,
                files_total=self._files,
                bytes_per_second=speed,
                seconds_left=0.0 if last else left,
                note=gauge.note,
            )
        )
