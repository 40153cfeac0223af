"""One file from a source onto the disk: going on where the last try ended, verified at its end.

Over plain HTTP, and by the client's own connections, not by its `hf_hub_download`: that throws away what it has when it is
stopped, killed or reset, so that the gigabytes of a large file come again from the first. It also fetches through Xet
where the server offers that, and Xet does not hear a Stop (an error in its progress is printed and passed over; aborting its
session ends every other transfer of the process). What the Hub keeps in Xet it gives out by HTTP too, up to 50 GB a file.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from workbench.config.disk import disk_errors, remove, sync
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.text import Text
from workbench.hub.client import answered, headers, session
from workbench.hub.errors import hub_error, retry_after, wrong_content
from workbench.hub.listing import PlannedFile
from workbench.hub.sources import Source
from workbench.hub.tokens import Token

__all__ = ["PART", "Answer", "Gauge", "Wanted", "fetch_file"]

PART = ".part"  # ending of a file that is not whole
WAITS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 30.0, 60.0, 60.0, 60.0)  # seconds before each further try without a new byte
CONNECT_SECONDS, READ_SECONDS = 10.0, 20.0
LARGEST = 50_000_000_000  # bytes of a file that the Hub gives out by plain HTTP
_BLOCK = 4 * 1024**2
_AGAIN = ("hub_unreachable", "hub_server", "hub_rate", "hub_proxy")  # what passes by itself


@dataclass
class Gauge:
    """How far a download is; written by the thread that fetches, read by the one that waits.

    Attributes:
        done: bytes that are on the disk.
        note: what it waits for, where it does.
        halted: set when nobody waits any more: nothing is written from then on.
    """

    done: int = 0
    file: str = ""
    files_done: int = 0
    note: Text | None = None
    halted: threading.Event = field(default_factory=threading.Event)
    cut: Callable[[], None] | None = None  # ends what is waited for on the line

    def halt(self) -> None:
        """Nobody waits any more: the thread that fetches is woken, and writes nothing from now on."""
        self.halted.set()
        with contextlib.suppress(Exception):  # the line may be gone already
            if self.cut is not None:
                self.cut()

    def check(self) -> None:
        if self.halted.is_set():
            raise StopRequested


@dataclass(frozen=True)
class Wanted:
    """A file, and where it is."""

    source: Source
    repo_id: str
    sha: str
    file: PlannedFile
    token: Token | None = None


class Answer(Protocol):
    """What a server sends for a file: `start` is the byte with which it begins."""

    start: int

    def cut(self) -> None: ...

    def chunks(self) -> Iterator[bytes]: ...


def fetch_file(wanted: Wanted, folder: Path, gauge: Gauge) -> None:
    """Bring a file into a folder, whole and verified. What is there of it already (`NAME.part`) is gone on with.

    Raises:
        WorkbenchError: (`hub_file`) what is sent is another file, twice; (`disk_full`); those of `errors.py` that don't
            pass, or that haven't after some minutes without a byte.
        StopRequested: the gauge was halted.
    """
    file = wanted.file
    if file.bytes > LARGEST:
        raise hub_error(
            Text("{file} has more than 50 GB, which can't be fetched here", "{file} 超过 50 GB，无法在此下载").with_(
                file=file.name
            ),
            Text("Choose another model.", "请换一个模型。"),
            code="hub_unusable",
        )
    path = folder / f"{file.name}{PART}"
    start = gauge.done
    for last in (False, True):
        with disk_errors(path):
            digest = _bring(wanted, path, gauge)
            gauge.check()
            if path.stat().st_size == file.bytes and digest == file.expected:
                sync(path)
                os.replace(path, folder / file.name)
                return
            remove(path)
            gauge.done = start
        if last:
            raise wrong_content(file.name, wanted.source)


def _bring(wanted: Wanted, path: Path, gauge: Gauge) -> str:
    """Append to a part until it is as long as the file, or the server has no more; the hash of what is there then."""
    base = gauge.done
    with _opened(path) as part:
        hasher = _Hasher(wanted.file)
        have = hasher.read(part, gauge)
        best, fruitless = have, 0
        while True:
            gauge.done = base + have
            try:
                with answered(wanted.source, wanted.repo_id, wanted.token):
                    if have < wanted.file.bytes:
                        have = _stream(wanted, part, hasher, gauge, base)
                return hasher.hexdigest()
            except _Broken as broken:
                have = hasher.count
                fruitless = 0 if have > best else fruitless + 1
                best = max(best, have)
                _pause(broken, fruitless, gauge)


class _Broken(Exception):
    """A connection that ended early, of which another try may make more."""

    def __init__(self, error: WorkbenchError, wait: int | None = None) -> None:
        super().__init__()
        self.error, self.wait = error, wait


class _Hasher:
    """The hash of what was written so far, which a try that goes on needn't read again."""

    def __init__(self, file: PlannedFile) -> None:
        self._file = file
        self.restart()

    def restart(self) -> None:
        self._hash, self.count = self._file.hasher(), 0

    def update(self, data: bytes) -> None:
        self._hash.update(data)
        self.count += len(data)

    def read(self, part: IO[bytes], gauge: Gauge) -> int:
        """Take in what a part holds from earlier; all of it is given up where it is longer than the file."""
        if os.fstat(part.fileno()).st_size > self._file.bytes:
            part.truncate(0)
        part.seek(0)
        while data := part.read(_BLOCK):
            gauge.check()
            self.update(data)
        return self.count

    def hexdigest(self) -> str:
        return str(self._hash.hexdigest())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A part, open for reading and writing, without a buffer of ours; never what a link leads to."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink() or (os.path.lexists(path) and not path.is_file()):
        remove(path)
    with os.fdopen(os.open(path, flags, 0o644), "r+b", buffering=0) as part:
        yield part


def _stream(wanted: Wanted, part: IO[bytes], hasher: _Hasher, gauge: Gauge, base: int) -> int:
    """One try: ask for what is missing, and write it as it comes."""
    gauge.check()
    try:
        with _asked(wanted, hasher.count) as answer:
            gauge.cut = answer.cut
            gauge.check()
            if answer.start != hasher.count:  # who doesn't know of parts sends all of it
                hasher.restart()
                part.truncate(0)
            part.seek(hasher.count)
            for data in answer.chunks():
                gauge.check()
                _write(part, data)
                hasher.update(data)
                gauge.done, gauge.note = base + hasher.count, None
                if hasher.count > wanted.file.bytes:
                    break
    except StopRequested:
        raise
    except Exception as error:
        raise _broken(error, wanted) from None
    return hasher.count


def _write(part: IO[bytes], data: bytes) -> None:
    """All of it: without a buffer, one call may write less."""
    left = memoryview(data)
    while left:
        left = left[part.write(left) :]


def _broken(error: Exception, wanted: Wanted) -> Exception:
    """The error itself (a full disk's, too), or that another try may help."""
    from workbench.hub.errors import translated

    known = error if isinstance(error, WorkbenchError) else None
    if known is None:
        known = translated(error, wanted.source, wanted.repo_id, wanted.token is not None)
    if known is None or known.code not in _AGAIN:
        return known or error
    response = getattr(error, "response", None)
    return _Broken(known, retry_after(error) if response is not None else None)


@contextlib.contextmanager
def _asked(wanted: Wanted, start: int) -> Iterator[Answer]:
    if wanted.source.kind == "modelscope":
        from workbench.hub import modelscope

        with modelscope.asked(wanted, start) as answer:
            yield answer
        return
    import httpx2
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import hf_raise_for_status

    url = hf_hub_url(wanted.repo_id, wanted.file.name, revision=wanted.sha, endpoint=wanted.source.endpoint)
    said = {**headers(wanted.source, wanted.token), "Accept-Encoding": "identity"}
    if start:
        said["Range"] = f"bytes={start}-"
    limits = httpx2.Timeout(CONNECT_SECONDS, read=READ_SECONDS)
    with contextlib.ExitStack() as stack:
        ask = session(wanted.source).stream
        response = stack.enter_context(ask("GET", url, headers=said, timeout=limits))
        if response.status_code == 416:  # the file there is shorter than what is here: all of it, to see
            del said["Range"]
            response = stack.enter_context(ask("GET", url, headers=said, timeout=limits))
        hf_raise_for_status(response)
        yield _HttpAnswer(response)


class _HttpAnswer:
    """An answer over HTTP: all of the file, or a part that says where it begins."""

    def __init__(self, response: Any) -> None:
        span = response.headers.get("Content-Range", "") if response.status_code == 206 else ""
        self._response = response
        self.start = first_byte(span)

    def chunks(self) -> Iterator[bytes]:
        yield from self._response.iter_bytes()

    def cut(self) -> None:
        """End the connection under who reads from it, which closing it would not."""
        self._response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def first_byte(span: str) -> int:
    """Where the part of a file begins that a Content-Range header is about; 0 where it is about none."""
    found = re.match(r"bytes (\d{1,16})-", span)
    return int(found[1]) if found else 0


def _pause(broken: _Broken, fruitless: int, gauge: Gauge) -> None:
    """Wait before another try, longer each time, and say so; the error where enough was tried."""
    if fruitless > len(WAITS):
        raise broken.error
    wait = max(WAITS[max(fruitless - 1, 0)], broken.wait or 0)
    if broken.wait is not None and broken.wait > 600:
        raise broken.error
    gauge.note = Text(
        "{problem}. Going on in {seconds} s (try {number} of {most}).",
        "{problem}。{seconds} 秒后继续（第 {number} 次，共 {most} 次）。",
    ).with_(problem=broken.error.message, seconds=round(wait), number=max(fruitless, 1), most=len(WAITS))
    if gauge.halted.wait(wait):
        raise StopRequested
