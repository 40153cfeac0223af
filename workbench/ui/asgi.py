"""What the middlewares share: the types of ASGI, a request's headers and cookies, a short answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def headers_of(scope: Scope) -> dict[str, str]:
    """A request's headers, their names in lower case; of one that comes several times, the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def cookie(headers: Mapping[str, str], name: str) -> str | None:
    """A cookie of a request; None where it has none.

    Not by `http.cookies`, which reads nothing after a pair that it does not understand: other programs on this computer set
    cookies for the same host.
    """
    found = None
    for pair in headers.get("cookie", "").split(";"):
        key, equals, value = pair.partition("=")
        if equals and key.strip() == name:
            found = value.strip()
    return found


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI takes them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def send_page(send: Send, status: int, page: str, headers: Mapping[str, str], head_only: bool = False) -> None:
    """Answer with a page of HTML."""
    body = page.encode()
    sent = {**headers, "content-type": "text/html; charset=utf-8", "content-length": str(len(body))}
    await send({"type": "http.response.start", "status": status, "headers": encoded(sent)})
    await send({"type": "http.response.body", "body": b"" if head_only else body})
