"""What stands between the network and Gradio: a plain ASGI middleware.

Gradio alone executes requests that a foreign web page sends (DNS rebinding, cross-site uploads), has no content policy and
no total limit on uploads. `Guard` refuses foreign Hosts and Origins, asks for the token or the login where the page is open
to a network, limits what is sent, and adds the headers. It also puts the language script at the top of the page. It is no
`BaseHTTPMiddleware`, which would hold back the event streams.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from workbench.config.text import Text
from workbench.ui import html, login
from workbench.ui.asgi import Application, Message, Receive, Scope, Send, cookie, encoded, headers_of, send_page
from workbench.ui.uploads import Body, Interrupted, Quota

TOKEN_COOKIE = "workbench-token"
UPLOAD_FILE_BYTES = 200 * 1000 * 1000  # the largest data set that is read
UPLOAD_DAY_BYTES = 2 * 1000 * 1000 * 1000  # of all uploads together; Gradio's cache is emptied after a day
BODY_BYTES = 50 * 1000 * 1000  # of any other request: a form, or a long conversation
_LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_PAGE = ("/", "")
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
_TOO_LONG = Text("This request is too large and was refused.", "该请求过大，已被拒绝。")
_NO_LOGIN = Text(
    "Log in first: open the workbench again and give name and password.", "请先登录：重新打开工作台，输入用户名和密码。"
)
_MALFORMED = Text(
    "This request names no address that can be read, and was refused.", "该请求中的地址格式不正确，已被拒绝。"
)
# A name or an address, and maybe a port.
_HOST = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


@dataclass
class Rules:
    """Who may ask, and for what.

    Args:
        host: the address that the server is bound to.
        token: asked for when set; printed as part of the address.
        login: asks for a name and a password, when set.
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
    login: login.Login | None = None
    quota: Quota = field(init=False)

    def __post_init__(self) -> None:
        self.quota = Quota(self.upload_day_bytes)

    def knows_host(self, header: str) -> bool:
        """Whether a page under this Host is ours. Rebinding needs a name, so addresses are fine where we are bound wide."""
        name = host_name(header)
        if name is None:
            return False
        if name in _LOCAL_NAMES or name in self.more_hosts:
            return True
        if is_loopback(self.host):
            return False
        if self.space:
            return name == os.environ.get("SPACE_HOST", "").lower()
        return _is_address(name) or name == socket.gethostname().lower() or name == self.host.lower()

    def same_origin(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` is the page under `host`."""
        scheme, mark, rest = origin.lower().partition("://")
        return bool(mark) and scheme in ("http", "https") and rest == host.lower()

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

    def __init__(self, app: Application, rules: Rules) -> None:
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
        elif await self._lets_in(scope, headers, receive, send):
            await self._pass_on(scope, headers, receive, send)

    async def _lets_in(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> bool:
        """Whether who asks has the token or has logged in; if not, they have been asked for it.

        Nothing that they send is read before, and none of it counts against what may be uploaded.
        """
        path, asks = scope["path"], self.rules.login
        if path in _UNASKED:
            return True
        if self.rules.token and not _equal(cookie(headers, TOKEN_COOKIE) or "", self.rules.token):
            await self._ask_for_token(scope, send)
            return False
        if asks is None:
            return True
        known = asks.knows(headers)
        if path.rstrip("/") in login.PATHS or (path in _PAGE and not known):
            await asks.answer(scope, receive, send, self.rules.headers())
            return False
        if not known:
            await self._answer(send, scope, 401, _NO_LOGIN)
        return known

    async def _pass_on(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        """Let Gradio answer, as long as what is sent is not too much."""
        is_upload = scope["method"] == "POST" and scope["path"].rstrip("/").endswith("/upload")
        quota = self.rules.quota if is_upload else Quota(BODY_BYTES)
        too_much = 413, _TOO_MUCH if is_upload else _TOO_LONG
        if _announced(headers) > quota.left():
            await self._answer(send, scope, *too_much)
            return
        body = Body(receive, quota.take, whole=is_upload)
        is_page = scope["method"] == "GET" and scope["path"] in _PAGE
        if is_page:  # the script is put into the text as it is, so it must not come compressed
            kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
            scope = {**scope, "headers": kept}
        reply = _Reply(send, self.rules, is_page, body)
        try:
            await self.app(scope, body, reply)
        except Interrupted:
            pass
        finally:
            if is_upload and not reply.is_good:
                quota.give_back(body.count)
        if body.too_large and not reply.begun:
            await self._answer(send, scope, *too_much)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, Text] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        given = [name.lower() for name, _ in scope["headers"]]
        # Gradio takes the second one where it is set, and fails over what it can't read.
        named = [name for name in (host, headers.get("x-forwarded-host", "").split(",")[0].strip()) if name]
        if given.count(b"host") > 1 or given.count(b"origin") > 1 or None in map(host_name, named):
            return 400, _MALFORMED
        if not self.rules.knows_host(host):
            return 403, _WRONG_HOST
        if origin is not None and not self.rules.same_origin(origin, host):
            return 403, _REFUSED
        if not self.rules.space and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            # A link on another page may open ours; nothing else there may reach it.
            opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            if not (opened and scope["method"] == "GET" and scope["path"] in _PAGE):
                return 403, _REFUSED
        return None

    async def _ask_for_token(self, scope: Scope, send: Send) -> None:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["path"] in _PAGE and _equal(given, self.rules.token or ""):
            kept = f"{TOKEN_COOKIE}={self.rules.token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000"
            await send_page(send, 303, "", {"location": "./", "set-cookie": kept, **self.rules.headers()})
            return
        await self._answer(send, scope, 401, _NO_TOKEN)

    async def _answer(self, send: Send, scope: Scope, status: int, text: Text) -> None:
        page = f"<!doctype html><meta charset=utf-8><p>{html.esc(text.en)}</p><p lang=zh>{html.esc(text.zh)}</p>"
        await send_page(send, status, page, self.rules.headers(), head_only=scope["method"] == "HEAD")


class _Reply:
    """Passes an answer on with our headers; on the page itself, the head script is put in."""

    def __init__(self, send: Send, rules: Rules, is_page: bool, sent: Body) -> None:
        self.send, self.rules, self.is_page, self.sent = send, rules, is_page, sent
        self.begun = False
        self.is_good = False
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if self.sent.too_large and not self.begun:
            return  # what Gradio says to a request that was ended in the middle; the guard has better words
        if message["type"] == "http.response.start":
            self.begun, self.is_good = True, message["status"] < 400
            ours = self.rules.headers()
            kept = [(name, value) for name, value in message["headers"] if name.decode("latin-1").lower() not in ours]
            message = {**message, "headers": [*kept, *encoded(ours)]}
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


def host_name(header: str) -> str | None:
    """The name or address in a Host, in lower case and without its port; None where it is malformed."""
    parts = _HOST.fullmatch(header.lower())
    if parts is None or int(parts["port"] or 0) > 65535:
        return None
    name = parts["name"]
    if not name.startswith("["):
        return name
    return name[1:-1] if ":" in name and _is_address(name[1:-1]) else None


def _announced(headers: Mapping[str, str]) -> float:
    """How many bytes a request says that it will send; what it sends is counted anyway."""
    said = headers.get("content-length", "")
    if not said.isdecimal():
        return 0
    return int(said) if len(said) < 20 else math.inf


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
