"""The page that asks for a name and a password, where `WORKBENCH_LOGIN` sets them, and who has given them.

It stands in the guard, before anything that a request sends is read: Gradio's own login comes after that, and can be tried
without a pause. Whoever failed five times waits longer before every further try, each address by itself and all together,
since behind a proxy all have one address. Nothing here is written to disk: a restart asks everybody again.
"""

from __future__ import annotations

import hmac
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from workbench.config.text import Text
from workbench.ui import html
from workbench.ui.asgi import Receive, Scope, Send, cookie, headers_of, send_page
from workbench.ui.language import PAGE_TITLE, language_asked
from workbench.ui.theme import FONT, PALETTE

PATHS = LOGIN, LOGOUT = "/login", "/logout"
FORM_BYTES = 4096  # of a login that is sent
SESSIONS = 1000  # browsers that are logged in at a time; the oldest is asked again
FREE_TRIES = 5
ADDRESSES = 1000  # whose failures are remembered
LONGEST_WAIT = 60.0  # seconds of one address
LONGEST_FOR_ALL = 5.0  # of everybody: others' failures must not keep the right person out for long
FORGOTTEN = 15 * 60.0  # seconds without a failure after which one begins anew

_NAME = Text("Name", "用户名")
_PASSWORD = Text("Password", "密码")
_LOG_IN = Text("Log in", "登录")
_WRONG = Text("The name or the password is wrong. Try again.", "用户名或密码不正确，请重试。")
_NO_FORM = Text("This was no name and password. Try again.", "未收到用户名和密码，请重试。")
_WAIT = Text("Too many attempts have failed. Try again in {seconds} s.", "登录失败次数过多，请在 {seconds} 秒后重试。")
_WELCOME = Text("You are logged in. Open the workbench", "已登录。打开工作台")


@dataclass
class _Failures:
    count: int = 0
    last: float = -math.inf

    def wait(self, now: float, longest: float) -> float:
        if self.count < FREE_TRIES or now - self.last > FORGOTTEN:
            return 0.0
        return max(0.0, self.last + min(2.0 ** min(self.count - FREE_TRIES, 30), longest) - now)

    def add(self, now: float) -> None:
        self.count = 1 if now - self.last > FORGOTTEN else self.count + 1
        self.last = now


class Tries:
    """Failed logins, and how long the next try has to wait: 1, 2, 4 ... seconds after the fifth failure.

    A try that came too early counts for nothing, so that the wait ends by itself.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = _Failures()
        self._by_address: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until somebody at this address may try again; 0 for now."""
        now = self._clock()
        own = self._by_address.get(address)
        return max(self._all.wait(now, LONGEST_FOR_ALL), own.wait(now, LONGEST_WAIT) if own else 0.0)

    def failed(self, address: str) -> None:
        """Count a failure."""
        now = self._clock()
        self._all.add(now)
        self._by_address.setdefault(address, _Failures()).add(now)
        self._by_address.move_to_end(address)
        if len(self._by_address) > ADDRESSES:
            self._by_address.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Somebody at this address knows the password: what was counted is forgotten."""
        self._all = _Failures()
        self._by_address.pop(address, None)


class Login:
    """Asks for a name and a password, and knows who has given them.

    Args:
        name, password: what is asked for.
        cookie_name: of its own for each workbench on a computer, since browsers share cookies among ports.
        framed: whether the page stands in a frame of another site (a Space), where browsers send few cookies.
        default_lang: for readers whose browser names neither English nor Chinese.
    """

    def __init__(
        self,
        name: str,
        password: str,
        cookie_name: str = "workbench-login",
        framed: bool = False,
        default_lang: str = "en",
    ) -> None:
        self._name, self._password = name, password
        self._cookie_name, self._framed, self._default_lang = cookie_name, framed, default_lang
        self._sessions: OrderedDict[str, None] = OrderedDict()
        self.tries = Tries()

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether who asks has logged in."""
        return cookie(headers, self._cookie_name) in self._sessions

    async def answer(self, scope: Scope, receive: Receive, send: Send, more: Mapping[str, str]) -> None:
        """Answer at `PATHS`, and in the place of the page for who has not logged in; `more` are headers of every answer."""
        # Without a referrer, browsers send the form with "Origin: null".
        more = {**more, "referrer-policy": "same-origin"}
        headers = headers_of(scope)
        lang, path = language_asked(headers, self._default_lang), scope["path"].rstrip("/")
        if path == LOGOUT:
            self._sessions.pop(cookie(headers, self._cookie_name) or "", None)
            await send_page(send, 303, "", {**more, "location": "./", "set-cookie": self._cookie("", scope, 0)})
        elif scope["method"] == "POST":
            await self._try(scope, receive, send, lang, more)
        elif self.knows(headers):
            await send_page(send, 303, "", {**more, "location": "./"})
        else:
            await send_page(send, 401, _form(lang), more, head_only=scope["method"] == "HEAD")

    async def _try(self, scope: Scope, receive: Receive, send: Send, lang: str, more: Mapping[str, str]) -> None:
        given = await _read_form(receive)
        address = (scope.get("client") or ("",))[0]
        # From here to the count nothing is awaited: tries that come together are counted one after the other.
        wait = math.ceil(self.tries.wait(address))
        if wait:
            page = _form(lang, _WAIT.with_(seconds=wait))
            await send_page(send, 429, page, {**more, "retry-after": str(wait)})
        elif given is None:
            await send_page(send, 400, _form(lang, _NO_FORM), more)
        elif self._is_right(*given):
            self.tries.succeeded(address)
            session = secrets.token_urlsafe(24)
            self._sessions[session] = None
            if len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
            await send_page(send, 200, _welcome(lang), {**more, "set-cookie": self._cookie(session, scope)})
        else:
            self.tries.failed(address)
            await send_page(send, 400, _form(lang, _WRONG), more)

    def _is_right(self, name: str, password: str) -> bool:
        right_name = hmac.compare_digest(name.strip().encode(), self._name.strip().encode())
        return hmac.compare_digest(password.encode(), self._password.encode()) and right_name

    def _cookie(self, session: str, scope: Scope, seconds: int | None = None) -> str:
        manners = "SameSite=None; Secure" if self._framed else "SameSite=Lax"
        if scope.get("scheme") == "https" and not self._framed:
            manners += "; Secure"
        end = "" if seconds is None else f"; Max-Age={seconds}"
        return f"{self._cookie_name}={session}; Path=/; HttpOnly; {manners}{end}"


async def _read_form(receive: Receive) -> tuple[str, str] | None:
    """Name and password that a browser's form sends; None where it is something else, or too long."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or len(body) > FORM_BYTES:
            return None
        if not message.get("more_body"):
            break
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return None
    if not {"username", "password"} <= fields.keys():
        return None
    return fields["username"][0], fields["password"][0]


def _form(lang: str, problem: Text | None = None) -> str:
    said = f'<p role="alert">{html.esc(problem.to(lang))}</p>' if problem else ""
    fields = "".join(
        f'<label>{html.esc(label.to(lang))}<input name="{name}" type="{kind}" autocomplete="{known}" required></label>'
        for label, name, kind, known in (
            (_NAME, "username", "text", "username"),
            (_PASSWORD, "password", "password", "current-password"),
        )
    )
    return _page(
        lang,
        f'<h1>{html.esc(PAGE_TITLE.to(lang))}</h1>{said}<form method="post" action="{LOGIN[1:]}">{fields}'
        f"<button>{html.esc(_LOG_IN.to(lang))}</button></form>",
    )


def _welcome(lang: str) -> str:
    """What follows a login: goes to the page by itself, and back leads to no form that would be sent again."""
    link = f'<p><a href="./">{html.esc(_WELCOME.to(lang))}</a></p>'
    return _page(lang, link + '<script>location.replace("./")</script>')


def _page(lang: str, content: str) -> str:
    font = ",".join(f"'{name}'" if " " in name else name for name in FONT)
    light, dark = ("".join(f"--{name}:{pair[index]};" for name, pair in PALETTE.items()) for index in (0, 1))
    return (
        f'<!doctype html><html lang="{"zh-CN" if lang == "zh" else "en"}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.esc(PAGE_TITLE.to(lang))}</title><style>:root{{{light}--font:{font}}}"
        f"@media (prefers-color-scheme: dark){{:root{{{dark}}}}}{_STYLE}</style></head><body><main>{content}</main></body></html>"
    )


_STYLE = """
body { margin: 0; background: var(--ground); color: var(--text); font: 16px var(--font); }
main { max-width: 320px; margin: 12vh auto 0; padding: 0 16px; }
h1 { font-size: 1.2rem; }
label { display: block; margin: 14px 0; font-weight: 600; }
input { display: block; width: 100%; box-sizing: border-box; margin-top: 5px; padding: 9px 11px; font: inherit;
  color: inherit; background: var(--surface); border: 1px solid var(--input-line); border-radius: 8px; }
button { padding: 9px 20px; font: inherit; font-weight: 600; cursor: pointer; color: var(--on-fill); background: var(--fill);
  border: 0; border-radius: 8px; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
[role=alert] { color: var(--no); }
"""
