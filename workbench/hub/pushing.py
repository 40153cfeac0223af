"""The process that uploads, and how it is led: what it is told stands on its input, what it tells on its output.

    python -m workbench.hub.pushing     reads one line of JSON, uploads, writes lines of JSON

It ends when its input does, so that it never outlives who started it. The token stands in no argument and no environment.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.text import Text
from workbench.hub.client import adopt
from workbench.hub.downloads import Transfer
from workbench.hub.errors import hub_error, translated, unreachable
from workbench.hub.sources import Source, make_source
from workbench.hub.tokens import Token

if TYPE_CHECKING:
    from workbench.hub.push import PushPlan

SILENT_SECONDS = 120.0  # without a byte more: given up; the client tries again within it
NOTED_SECONDS = 8.0  # without a byte more: said
_EACH, _NOTE_EACH = 0.2, 1.0  # seconds between two reports
_ROOT = Path(__file__).resolve().parents[2]
# What the process doesn't inherit: tokens, and that nobody is to hear of progress.
_NOT_FOR_IT = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_OFFLINE")
_LOG = logging.getLogger(__name__)


def send(
    plan: PushPlan,
    source: Source,
    token: Token,
    progress: Callable[[Transfer], None] | None,
    stop: threading.Event | None,
) -> None:
    """Let a process upload a plan, and wait for its end. See `push`."""
    order = {
        "source": [source.kind, source.endpoint if source.kind == "mirror" else "", source.proxy],
        "token": token.reveal(),
        "repo_id": plan.repo_id,
        "folder": str(plan.folder.resolve()),
        "files": [
            [file.name, file.bytes, None if file.content is None else base64.b64encode(file.content).decode()]
            for file in plan.files
        ],
        "create": not plan.exists,
        "private": plan.private,
    }
    with _child(source) as process:
        lines: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        threading.Thread(target=_read, args=(process, lines), name="push", daemon=True).start()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        _follow(plan, source, token, lines, progress, stop)


@contextlib.contextmanager
def _child(source: Source) -> Iterator[Any]:
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_IT}
    path = os.pathsep.join(filter(None, [str(_ROOT), environment.get("PYTHONPATH", "")]))
    environment |= {
        "PYTHONPATH": path,
        "HF_ENDPOINT": source.endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if source.proxy:
        environment |= {"HTTPS_PROXY": source.proxy, "HTTP_PROXY": source.proxy, "NO_PROXY": "127.0.0.1,localhost,::1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.hub.pushing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


def _read(process: Any, lines: SimpleQueue[dict[str, Any] | None]) -> None:
    with contextlib.suppress(ValueError, OSError):  # closed by who killed it
        for line in process.stdout:
            lines.put(json.loads(line))
    lines.put(None)


def _follow(
    plan: PushPlan,
    source: Source,
    token: Token,
    lines: SimpleQueue[dict[str, Any] | None],
    progress: Callable[[Transfer], None] | None,
    stop: threading.Event | None,
) -> None:
    heard, told, began = time.monotonic(), 0.0, time.monotonic()
    last = Transfer(0, plan.bytes, "", 0, len(plan.files))
    while True:
        if stop is not None and stop.is_set():
            raise StopRequested
        try:
            said = lines.get(timeout=0.1)
        except Empty:
            now = time.monotonic()
            if now - heard > SILENT_SECONDS:
                raise unreachable(source, Text("it takes nothing any more", "它不再接收数据")) from None
            if progress is not None and now - heard > NOTED_SECONDS and now - told >= _NOTE_EACH:
                told = now
                progress(replace(last, bytes_per_second=0.0, seconds_left=None, note=_waiting(source, now - heard)))
            continue
        now = time.monotonic()
        heard = now
        if said is None:
            raise unreachable(source, Text("the upload broke off", "上传中断"))
        if "error" in said:
            raise _error(said["error"], token)
        over = said.get("over", False)
        if progress is not None and (over or now - told >= _EACH):
            told, done = now, plan.bytes if over else min(int(said["done"]), plan.bytes)
            speed = done / (now - began) if now > began else 0.0
            last = Transfer(
                done=done,
                total=plan.bytes,
                file=said["file"],
                files_done=len(plan.files) if over else said["files_done"],
                files_total=len(plan.files),
                bytes_per_second=speed,
                seconds_left=(plan.bytes - done) / speed if speed > 0 else None,
            )
            progress(last)
        if over:
            return


def _waiting(source: Source, seconds: float) -> Text:
    return Text(
        "{source} has taken nothing for {seconds} s. It is tried again; Stop ends it.",
        "{source} 已有 {seconds} 秒没有接收数据，正在重试；可点“停止”结束。",
    ).with_(source=source.name, seconds=round(seconds))


def _error(said: dict[str, Any], token: Token) -> Exception:
    if "bug" in said:
        _LOG.error("pushing: %s", token.hidden_in(said["bug"]))
        return RuntimeError(f"the upload failed: {token.hidden_in(said['kind'])}")
    hint = said["hint"]
    return WorkbenchError(Text(*said["message"]), Text(*hint) if hint else None, code=said["code"])


# In the process that uploads


class _Uploader:
    """Uploads one order. Large files go one by one, so that each that has arrived is there for good."""

    def __init__(self, order: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
        from huggingface_hub import HfApi

        kind, endpoint, proxy = order["source"]
        self._source, self._tell, self._order = make_source(kind, endpoint, False, proxy), tell, order
        adopt(self._source)  # with limits of time, and the proxy
        self._api = HfApi(endpoint=self._source.endpoint, token=order["token"], library_name="workbench")
        self._base = self._files = 0
        self._file = ""

    def run(self) -> None:
        order = self._order
        try:
            if order["create"]:
                self._create()
            self._upload()
        except Exception as error:
            known = error if isinstance(error, WorkbenchError) else _explained(error, self._source, order["repo_id"])
            if known is None:
                raise
            raise known from None

    def _create(self) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        try:
            self._api.create_repo(self._order["repo_id"], private=self._order["private"], exist_ok=False)
        except HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
            raise hub_error(
                Text("{repo} was made meanwhile", "{repo} 已被创建").with_(repo=self._order["repo_id"]),
                Text(
                    "Look at what will be pushed once more: it shows who sees that repository.",
                    "请重新查看将要推送的内容，其中会显示该仓库的可见性。",
                ),
                code="hub_exists",
            ) from None

    def _upload(self) -> None:
        from huggingface_hub import CommitOperationAdd

        from workbench.hub.push import changed

        operations = []
        repo_id = self._order["repo_id"]
        for name, size, content in self._order["files"]:
            path = Path(self._order["folder"], name)
            try:
                if content is None and path.stat().st_size != size:
                    raise changed(name)
                given = str(path) if content is None else base64.b64decode(content)
                operation = CommitOperationAdd(path_in_repo=name, path_or_fileobj=given)
            except (OSError, ValueError) as error:
                raise changed(name) from error
            self._file = name
            self.at(0)
            if name.endswith(".safetensors"):
                try:
                    self._api.preupload_lfs_files(repo_id, additions=[operation], num_threads=1, free_memory=False)
                except FileNotFoundError as error:
                    raise changed(name) from error
            operations.append(operation)
            self._base, self._files = self._base + size, self._files + 1
        self._file = ""
        self.at(0)
        self._api.create_commit(repo_id, operations, commit_message="Upload from the fine-tuning workbench")
        self._tell({"over": True, "file": ""})

    def at(self, done: int) -> None:
        """So many bytes of the current file are through."""
        self._tell({"done": self._base + done, "file": self._file, "files_done": self._files})


def _explained(error: BaseException | None, source: Source, repo_id: str) -> WorkbenchError | None:
    """The sentence for an error of the client, or for what caused it; uploads wrap theirs in errors of other kinds."""
    seen = 0
    while error is not None and seen < 5:
        known = translated(error, source, repo_id, True) if isinstance(error, Exception) else None
        if known is not None:
            return known
        error, seen = error.__cause__, seen + 1
    return None


def _watch_bytes(uploader: _Uploader) -> None:
    """Hear of every byte. This process uploads and does nothing else, so the client's bars can be replaced."""
    from huggingface_hub import utils
    from huggingface_hub.utils import _xet_progress_reporting

    class Reporter:
        """What the client tells of an upload through Xet."""

        def __init__(self, *arguments: Any, **options: Any) -> None: ...

        def update_progress(self, group: Any, items: Any) -> None:
            uploader.at(int(group.total_bytes_completed))

        def close(self, *arguments: Any) -> None: ...

    @contextlib.contextmanager
    def stream(path: Any) -> Iterator[Any]:
        """A file that tells how far it was read, as the client's own with a bar."""
        with open(path, "rb") as file:
            read = file.read

            def noted(size: int | None = -1) -> bytes:
                data = read(size)
                uploader.at(file.tell())
                return data

            file.read = noted  # type: ignore[method-assign, assignment]
            yield file

    _xet_progress_reporting.XetUploadProgressReporter = Reporter  # type: ignore[misc, assignment]
    utils.tqdm_stream_file = stream


def main() -> None:
    """Upload what the input orders, and tell how it went."""
    out, lock = sys.stdout.buffer, threading.Lock()

    def tell(said: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(said).encode() + b"\n")
            out.flush()

    order = json.loads(sys.stdin.buffer.readline())

    def end_with_input() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=end_with_input, daemon=True).start()
    try:
        uploader = _Uploader(order, tell)
        _watch_bytes(uploader)
        uploader.run()
    except WorkbenchError as error:
        texts = {"message": error.message, "hint": error.hint}
        both = {key: [text.to("en"), text.to("zh")] if text else None for key, text in texts.items()}
        tell({"error": {**both, "code": error.code}})
    except BaseException as error:
        tell({"error": {"bug": traceback.format_exc(), "kind": type(error).__name__}})
    os._exit(0)  # not waiting for threads of the client


if __name__ == "__main__":
    main()
