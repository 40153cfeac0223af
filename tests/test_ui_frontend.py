"""Of Gradio's own scripts one is served with a quicker function in it; everything else goes through as it is."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import gradio
import pytest

from tests.asgi import HOST, ask
from workbench.bootstrap import environment
from workbench.ui.asgi import Receive, Scope, Send
from workbench.ui.compression import Compressed
from workbench.ui.frontend import AFTER, BEFORE, SCRIPT, Quickened

environment()


def served(path: str, body: bytes, status: int = 200, *wanted: tuple[bytes, bytes]) -> Any:
    """An answer through both middlewares."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert b"range" not in dict(scope["headers"])
        headers = [(b"content-type", b"text/javascript"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body[:50], "more_body": True})
        await send({"type": "http.response.body", "body": body[50:]})

    return ask(Compressed(Quickened(app)), path=path, headers=(HOST, *wanted))


def test_the_pinned_gradio_is_served_with_the_quick_one() -> None:
    scripts = Path(gradio.__file__).parent.glob("templates/frontend/assets/core-*.js")
    held = {path.name: path.read_bytes() for path in scripts if BEFORE in path.read_bytes()}
    assert len(held) == 1, "another Gradio: see workbench/ui/frontend.py"
    ((name, body),) = held.items()
    assert SCRIPT.search(f"/assets/{name}") and body.count(BEFORE) == 1
    quick = body.replace(BEFORE, AFTER)
    plain = served(f"/assets/{name}", body)
    assert plain.body == quick and plain.headers["content-length"] == str(len(quick))
    zipped = served(f"/assets/{name}", body, 200, (b"accept-encoding", b"gzip"), (b"range", b"bytes=0-9"))
    assert zipped.headers["content-encoding"] == "gzip" and gzip.decompress(zipped.body) == quick


@pytest.mark.parametrize("path", ["/assets/other-Abc1.js", "/core-Abc1.js", "/assets/core-Abc1.css"])
def test_everything_else_goes_through_as_it_is(path: str) -> None:
    body = b"x" * 60 + BEFORE
    assert served(path, body).body == body


def test_a_script_that_is_not_as_expected_goes_through_as_it_is() -> None:
    body = b"function Z(e,t){return null}" + b" " * 100
    assert served("/assets/core-Abc1.js", body).body == body
    assert served("/assets/core-Abc1.js", b"", 304).status == 304
