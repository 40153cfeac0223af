"""The page's texts are sent compressed to those who take it; streams, files and small answers go through as they are."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.asgi import HOST, ask
from tests.browser.conftest import free_port
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment
from workbench.ui.asgi import Application, Receive, Scope, Send

environment()

from workbench.ui import compression  # noqa: E402
from workbench.ui import page as pages  # noqa: E402
from workbench.ui.compression import Compressed  # noqa: E402

ZIPPED = (HOST, (b"accept-encoding", b"gzip, deflate, br, zstd"))
TEXT = ("春眠不觉晓 and so on; " * 400).encode()


def answers(kind: str, pieces: Sequence[bytes], *more: tuple[bytes, bytes]) -> Application:
    """An application that answers in pieces."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", kind.encode()), *more]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, piece in enumerate(pieces, start=1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    return app


@pytest.mark.parametrize("pieces", [[TEXT], [TEXT[:900], TEXT[900:3000], TEXT[3000:]]], ids=["whole", "in pieces"])
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "text/css", "Text/JavaScript"])
def test_texts_come_compressed_and_are_the_same(kind: str, pieces: list[bytes]) -> None:
    length = (b"content-length", str(len(TEXT)).encode())
    answer = ask(Compressed(answers(kind, pieces, length)), headers=ZIPPED)
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"].lower()
    assert gzip.decompress(answer.body) == TEXT
    assert len(answer.body) < len(TEXT) / 5
    assert answer.headers.get("content-length") in (None, str(len(answer.body)))


def test_who_does_not_ask_gets_it_as_it_is() -> None:
    answer = ask(Compressed(answers("text/html", [TEXT])))
    assert answer.body == TEXT
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("kind", "body", "more"),
    [
        ("text/html", b"<p>small</p>", []),
        ("application/zip", TEXT, []),
        ("application/octet-stream", TEXT, []),
        ("text/plain", TEXT, []),
        ("application/json", TEXT, [(b"content-disposition", b'attachment; filename="rows.json"')]),
        ("text/javascript", TEXT, [(b"content-encoding", b"br")]),
    ],
    ids=["small", "zip", "weights", "unknown file", "download", "compressed"],
)
def test_everything_else_is_left_as_it_is(kind: str, body: bytes, more: list[tuple[bytes, bytes]]) -> None:
    answer = ask(Compressed(answers(kind, [body], *more)), headers=ZIPPED)
    assert answer.body == body
    assert answer.headers.get("content-encoding") == (
        b"".join(v for n, v in more if n.endswith(b"encoding")).decode() or None
    )


def test_of_what_compresses_nothing_is_used_but_that_it_is_a_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its inner parts change from one version of starlette to the next, which comes with Gradio and is not pinned."""
    seen: list[str] = []

    def middleware(app: Application, minimum_size: int, compresslevel: int) -> Application:
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            async def marked(message: Any) -> None:
                seen.append(message["type"])
                await send({**message, "body": b"small"} if message["type"] == "http.response.body" else message)

            await app(scope, receive, marked)

        return call

    monkeypatch.setattr(compression, "GZipMiddleware", middleware)
    assert ask(Compressed(answers("application/zip", [TEXT])), headers=ZIPPED).body == TEXT and not seen
    assert ask(Compressed(answers("text/html", [TEXT])), headers=ZIPPED).body == b"small" and len(seen) == 2


def test_an_event_of_a_stream_arrives_before_the_next_one_is_made() -> None:
    arrived: list[bytes] = []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(3):
            event = b'data: {"step": %d}\n\n' % number
            await send({"type": "http.response.body", "body": event, "more_body": True})
            assert arrived[-1] == event
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        arrived.append(message.get("body", b"begun"))

    scope = {"type": "http", "method": "GET", "path": "/gradio_api/queue/data", "headers": list(ZIPPED)}
    asyncio.run(Compressed(stream)(scope, lambda: asyncio.sleep(0), send))
    assert len(arrived) == 5


def test_the_page_itself_and_its_streams(tmp_path: Path) -> None:
    """Of a page that is served: its HTML comes compressed and whole, and Gradio's stream comes as it is."""
    served = pages.start(FakeEngine(tmp_path), port=free_port())
    try:
        with httpx.Client(base_url=served.url, trust_env=False, timeout=30) as client:
            plain = client.get("/", headers={"accept-encoding": "identity"})
            with client.stream("GET", "/", headers={"accept-encoding": "gzip"}) as small:
                sent = b"".join(small.iter_raw())
            assert small.headers["content-encoding"] == "gzip"
            assert len(sent) < len(plain.content) / 4
            page = gzip.decompress(sent).decode()
            assert "data-live" in page and page.count("<head>") == 1
            assert len(page) == len(plain.text)
            with client.stream("GET", "/gradio_api/queue/data?session_hash=two") as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                assert "content-encoding" not in stream.headers
    finally:
        served.close()
