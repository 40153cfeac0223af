"""Sends the page's texts compressed: a plain ASGI middleware, for those who ask for gzip.

Gradio compresses files by the ending of their names, and so neither the page itself, which is the largest of all, nor what is
answered as JSON. It stands outside the guard, which puts its script into the page's text. What is sent as an event stream, as
a file to keep, or compressed already goes through as it is, piece by piece.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware

from workbench.ui.asgi import Application, Message, Receive, Scope, Send, headers_of

TEXTS = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/manifest+json",
        "image/svg+xml",
        "text/css",
        "text/html",
        "text/javascript",
    }
)
SMALLEST = 2000  # bytes; below that a packet is a packet
LEVEL = 5  # of 9: the last two percent of the page's size would cost half of the time again


class Compressed:
    """The middleware: `Compressed(app)`."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or "gzip" not in headers_of(scope).get("accept-encoding", ""):
            await self.app(scope, receive, send)
            return

        async def app(scope: Scope, receive: Receive, zipped: Send) -> None:
            chosen = send  # past the middleware of starlette, which would compress more than texts

            async def pass_on(message: Message) -> None:
                nonlocal chosen
                if message["type"] == "http.response.start" and _is_text(Headers(raw=message["headers"])):
                    chosen = zipped
                await chosen(message)

            await self.app(scope, receive, pass_on)

        await GZipMiddleware(app, minimum_size=SMALLEST, compresslevel=LEVEL)(scope, receive, send)


def _is_text(headers: Headers) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in TEXTS and "attachment" not in headers.get("content-disposition", "").lower()
