"""Requests to a middleware without a server: what a header says and what is sent may differ, as they can on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.ui.asgi import Application, Message, Receive, Scope, Send

Headers = Sequence[tuple[bytes, bytes]]
HOST = (b"host", b"127.0.0.1:7860")


@dataclass
class Answer:
    """What came back, and how many messages of the request's body were read."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    read: int = 0


def ask(
    app: Application,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Headers = (HOST,),
    pieces: Sequence[bytes] = (),
    leaves: bool = False,
    client: str = "192.168.1.9",
) -> Answer:
    """One request.

    Args:
        pieces: the body, as it arrives.
        leaves: who asks goes away after them, before the body has come to its end.
    """
    return asyncio.run(_ask(app, path, method, headers, pieces, leaves, client))


async def _ask(
    app: Application, path: str, method: str, headers: Headers, pieces: Sequence[bytes], leaves: bool, client: str
) -> Answer:
    answer = Answer()
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if not leaves:
        messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        answer.read += 1
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert not answer.status, "two answers to one request"
            answer.status = message["status"]
            answer.headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http"}
    await app({**scope, "headers": list(headers), "client": (client, 5)}, receive, send)
    return answer


def replies(status: int = 200, reads: bool = True) -> Application:
    """An application that reads what is sent, to its end, and answers with `status`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while reads:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"answered"})

    return app
