"""How much may be uploaded: what arrives counts, whatever a request says of its size."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.asgi import HOST, Answer, ask, replies
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment

environment()

from tests.browser.conftest import free_port, wait_until  # noqa: E402
from workbench.ui import guard as guards  # noqa: E402
from workbench.ui import page as pages  # noqa: E402
from workbench.ui.asgi import Receive, Scope, Send  # noqa: E402
from workbench.ui.guard import Guard, Rules  # noqa: E402
from workbench.ui.uploads import Quota  # noqa: E402

UPLOAD = "/gradio_api/upload"


def upload(guard: Guard, sent: int, *more: tuple[bytes, bytes], path: str = UPLOAD, leaves: bool = False) -> Answer:
    """Upload `sent` bytes in pieces of 100."""
    pieces = [b"x" * 100] * (sent // 100)
    return ask(guard, path, method="POST", headers=[HOST, *more], pieces=pieces, leaves=leaves)


@pytest.mark.parametrize(
    "said",
    [
        (),
        ((b"transfer-encoding", b"chunked"),),
        ((b"content-length", b"5"),),
        ((b"content-length", b"5"), (b"transfer-encoding", b"chunked")),
        ((b"content-length", b"5"), (b"content-length", b"7")),
        ((b"content-length", b"-1"),),
        ((b"content-length", b"0x10"),),
        ((b"content-length", b"\xb2"),),
        ((b"content-length", b""),),
    ],
    ids=str,
)
def test_what_arrives_is_counted_and_not_what_is_said(said: tuple[tuple[bytes, bytes], ...]) -> None:
    guard = Guard(replies(), Rules(upload_day_bytes=1000))
    assert upload(guard, 600, *said).status == 200
    assert guard.rules.quota.left() == 400
    refused = upload(guard, 3000, *said)
    assert refused.status == 413 and b"<p lang=zh>" in refused.body
    assert refused.read <= 5  # and not all 30
    assert upload(guard, 400, *said).status == 200  # the refused one cost nothing
    assert upload(guard, 100, *said, path=UPLOAD + "/").status == 413


@pytest.mark.parametrize("length", [b"1001", b"9" * 19, b"9" * 30, b"9" * 6000])
def test_an_upload_that_says_it_is_too_large_is_not_begun(length: bytes) -> None:
    guard = Guard(replies(), Rules(upload_day_bytes=1000))
    refused = upload(guard, 100, (b"content-length", length))
    assert refused.status == 413 and refused.read == 0 and guard.rules.quota.left() == 1000


@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_an_upload_that_failed_costs_nothing(status: int) -> None:
    guard = Guard(replies(status), Rules(upload_day_bytes=1000))
    assert upload(guard, 900).status == status
    assert guard.rules.quota.left() == 1000


def test_an_upload_whose_sender_leaves_costs_nothing() -> None:
    guard = Guard(replies(), Rules(upload_day_bytes=1000))
    assert upload(guard, 900, leaves=True).status == 0
    assert guard.rules.quota.left() == 1000


def test_an_upload_in_which_the_page_fails_costs_nothing() -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise RuntimeError("disk full")

    guard = Guard(breaks, Rules(upload_day_bytes=1000))
    with pytest.raises(RuntimeError):
        upload(guard, 900)
    assert guard.rules.quota.left() == 1000


def test_no_other_request_may_be_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "BODY_BYTES", 1000)
    guard = Guard(replies(), Rules())
    for said in ((), ((b"content-length", b"5"),), ((b"content-length", b"1001"),)):
        refused = upload(guard, 5000, *said, path="/gradio_api/queue/join")
        assert refused.status == 413 and refused.read <= 11
        assert upload(guard, 900, path="/gradio_api/queue/join").status == 200
    assert guard.rules.quota.left() == guards.UPLOAD_DAY_BYTES


def test_who_asks_and_leaves_ends_no_stream_with_an_error() -> None:
    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    assert ask(Guard(streams, Rules()), "/gradio_api/queue/data", leaves=True).status == 0


def test_the_quota_is_that_of_a_day_and_takes_little_memory() -> None:
    now = 0.0
    quota = Quota(1000, lambda: now)
    for _ in range(1000):
        assert quota.take(1)
    assert not quota.take(1) and len(quota._hours) == 1
    now = 23 * 3600
    assert not quota.take(1)
    quota.give_back(10)
    assert quota.take(10) and not quota.take(1)
    now = 26 * 3600
    assert quota.left() == 990
    now = 80 * 3600
    assert quota.left() == 1000


# -- the real page ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pages.Served]:
    """A page that takes half a megabyte a day, with a store of uploads of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.delenv("WORKBENCH_LOGIN", raising=False)
        patch.setattr(pages, "Rules", lambda *rest: Rules(*rest, upload_day_bytes=500_000))
        made = pages.start(FakeEngine(tmp_path_factory.mktemp("home")), port=free_port())
        yield made
        made.close()


def stored() -> int:
    """Bytes on the disk."""
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_nothing_stays_of_an_upload_that_went_over_the_limit_or_was_broken_off(served: pages.Served) -> None:
    before = stored()
    part = b'--b\r\ncontent-disposition: form-data; name="files"; filename="a.csv"\r\n\r\n'

    def pieces() -> Iterator[bytes]:
        yield part
        for _ in range(100):
            yield b"x" * 10_000
        yield b"\r\n--b--\r\n"

    for _ in range(3):
        headers = {"content-type": "multipart/form-data; boundary=b"}
        try:
            answer = httpx.post(served.url + UPLOAD[1:], content=pieces(), headers=headers, trust_env=False, timeout=20)
            assert answer.status_code == 413
        except httpx.TransportError:
            pass  # the answer came before everything was sent, and the connection was closed
    with socket.create_connection(("127.0.0.1", served.port), 20) as line:
        head = f"POST {UPLOAD} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Length: 400000\r\n"
        line.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + part + b"x" * 100_000)
        wait_until(lambda: stored() > before, 20)
    wait_until(lambda: stored() == before, 20)
    small = httpx.post(served.url + UPLOAD[1:], files={"files": ("a.csv", b"x" * 450_000)}, trust_env=False, timeout=20)
    assert small.status_code == 200  # what was refused and broken off cost nothing
    assert stored() - before == 450_000
