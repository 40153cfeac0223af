"""What stands between the network and Gradio: a plain ASGI middleware.

Gradio alone executes requests that a foreign web page sends (DNS rebinding, cross-site uploads), has no content policy and
no total limit on uploads. `Guard` refuses foreign Hosts and Origins, asks for the token where the page is open to a
network, limits uploads, and adds the headers. It also puts the language script at the top of the page. It is no
`BaseHTTPMiddleware`, which would hold back the event streams.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from workbench.config.text import Text
from workbench.ui import html

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

TOKEN_COOKIE = "workbench-token"
UPLOAD_FILE_BYTES = 200 * 1000 * 1000  # the largest data set that is read
UPLOAD_DAY_BYTES = 2 * 1000 * 1000 * 1000  # of all uploads together; Gradio's cache is emptied after a day
_DAY = 24 * 3600.0
_LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_UNASKED = ("/gradio_api/startup-events",)  # Gradio's own question to itself at start-up; it does nothing else

_REFUSED = Text("This request came from another web site and was refused.", "该请求来自其他网站，已被拒绝。")
_WRONG_HOST = Text(
    "The workbench does not answer under this address. Use the address that it printed when it started.",
    "工作台不在该地址下提供服务。请使用启动时显示的地址。",
)
_NO_TOKEN = Text(
    "Open the workbench with the whole address that it printed when it started; it ends with a token.",
    "请使用启动时显示的完整地址打开工作台，地址末尾带有令牌。",
)
_TOO_MUCH = Text(
    "Too much was uploaded today. Delete data sets that you no longer need, or restart the workbench.",
    "今天上传的数据过多。请删除不再需要的数据集，或重启工作台。",
)
_NO_LENGTH = Text("An upload has to say how large it is.", "上传请求必须注明大小。")


@dataclass
class Rules:
    """Who may ask, and for what.

    Args:
        host: the address that the server is bound to.
        token: asked for when set; printed as part of the address.
        head: put right after `<head>` of the page.
        space: whether this is a Hugging Face Space, which shows the page in a frame of its own site.
        more_hosts: further host names, for a reverse proxy.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    head: str = ""
    space: bool = False
    more_hosts: tuple[str, ...] = ()
    upload_day_bytes: int = UPLOAD_DAY_BYTES
    _uploads: deque[tuple[float, int]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def knows_host(self, header: str) -> bool:
        """Whether a page under this Host is ours. Rebinding needs a name, so addresses are fine where we are bound wide."""
        name = (urlsplit(f"//{header}").hostname or "").lower()
        if name in _LOCAL_NAMES or name in self.more_hosts:
            return True
        if is_loopback(self.host):
            return False
        if self.space:
            return name == os.environ.get("SPACE_HOST", "").lower()
        return _is_address(name) or name == socket.gethostname().lower() or name == self.host.lower()

    def same_origin(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` is the page under `host`."""
        return bool(origin) and urlsplit(origin).netloc.lower() == host.lower()

    def room_for(self, length: int) -> bool:
        """Count an upload against the last day's quota."""
        now = time.monotonic()
        with self._lock:
            while self._uploads and now - self._uploads[0][0] > _DAY:
                self._uploads.popleft()
            if sum(size for _, size in self._uploads) + length > self.upload_day_bytes:
                return False
            self._uploads.append((now, length))
            return True

    def headers(self) -> dict[str, str]:
        """What every answer carries."""
        frames = "https://huggingface.co" if self.space else "'none'"
        policy = (
            "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; connect-src 'self'; "
            f"worker-src 'self' blob:; frame-src 'none'; object-src 'none'; form-action 'self'; frame-ancestors {frames}"
        )
        found = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
        }
        if not self.space:
            found["x-frame-options"] = "DENY"
        return found


class Guard:
    """The middleware: `Guard(app, rules=Rules(...))`."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], rules: Rules) -> None:
        self.app = app
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] == "websocket":  # Gradio uses none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = headers_of(scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await self._answer(send, scope, *refusal)
            return
        if self.rules.token and not self._has_token(headers) and scope["path"] not in _UNASKED:
            await self._ask_for_token(scope, send)
            return
        refusal = self._too_much(scope, headers)  # only now: who has no token must not use up what others may upload
        if refusal is not None:
            await self._answer(send, scope, *refusal)
            return
        is_page = scope["method"] == "GET" and scope["path"] in ("/", "")
        if is_page:  # the script is put into the text as it is, so it must not come compressed
            kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
            scope = {**scope, "headers": kept}
        await self.app(scope, receive, _Reply(send, self.rules, is_page))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, Text] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.rules.knows_host(host):
            return 403, _WRONG_HOST
        if origin is not None and not self.rules.same_origin(origin, host):
            return 403, _REFUSED
        if not self.rules.space and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            # A link on another page may open ours; nothing else there may reach it.
            opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            if not (opened and scope["method"] == "GET" and scope["path"] in ("/", "")):
                return 403, _REFUSED
        return None

    def _too_much(self, scope: Scope, headers: dict[str, str]) -> tuple[int, Text] | None:
        if scope["method"] == "POST" and scope["path"].rstrip("/").endswith("/upload"):
            length = headers.get("content-length", "")
            if not length.isdigit():
                return 411, _NO_LENGTH
            if not self.rules.room_for(int(length)):
                return 413, _TOO_MUCH
        return None

    def _has_token(self, headers: dict[str, str]) -> bool:
        return _equal(cookie(headers, TOKEN_COOKIE) or "", self.rules.token or "")

    async def _ask_for_token(self, scope: Scope, send: Send) -> None:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["path"] in ("/", "") and _equal(given, self.rules.token or ""):
            cookie = f"{TOKEN_COOKIE}={self.rules.token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000"
            await _send(send, 303, "", {"location": "./", "set-cookie": cookie, **self.rules.headers()})
            return
        await self._answer(send, scope, 401, _NO_TOKEN)

    async def _answer(self, send: Send, scope: Scope, status: int, text: Text) -> None:
        page = f"<!doctype html><meta charset=utf-8><p>{html.esc(text.en)}</p><p lang=zh>{html.esc(text.zh)}</p>"
        await _send(send, status, page, self.rules.headers(), head_only=scope["method"] == "HEAD")


class _Reply:
    """Passes an answer on with our headers; on the page itself, the head script is put in."""

    def __init__(self, send: Send, rules: Rules, is_page: bool) -> None:
        self.send, self.rules, self.is_page = send, rules, is_page
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = self.rules.headers()
            kept = [(name, value) for name, value in message["headers"] if name.decode("latin-1").lower() not in ours]
            message = {**message, "headers": [*kept, *_encoded(ours)]}
            kind = next((value for name, value in kept if name.lower() == b"content-type"), b"")
            if self.is_page and self.rules.head and kind.startswith(b"text/html"):
                self.start = message  # held back until the length is known
                return
        elif message["type"] == "http.response.body" and self.start is not None:
            self.body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = self.body.replace(b"<head>", b"<head>" + self.rules.head.encode(), 1)
            headers = [item for item in self.start["headers"] if item[0].lower() != b"content-length"]
            headers += [(b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
            await self.send({**self.start, "headers": headers})
            message, self.start = {"type": "http.response.body", "body": body}, None
        await self.send(message)


def headers_of(scope: Scope) -> dict[str, str]:
    """A request's headers, their names in lower case."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def cookie(headers: Mapping[str, str], name: str) -> str | None:
    """A cookie of a request; None where it has none.

    Not by `http.cookies`, which reads nothing after a pair that it does not understand: other programs on this computer set
    cookies for the same host, and Gradio, which reads on, would take for logged in whom we do not.
    """
    found = None
    for pair in headers.get("cookie", "").split(";"):
        key, equals, value = pair.partition("=")
        if equals and key.strip() == name:
            found = value.strip()
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _equal(given: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def _send(send: Send, status: int, page: str, headers: dict[str, str], head_only: bool = False) -> None:
    body = page.encode()
    sent = {**headers, "content-type": "text/html; charset=utf-8", "content-length": str(len(body))}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(sent)})
    await send({"type": "http.response.body", "body": b"" if head_only else body})
