"""What changes by itself while people look at it, once a second, beside Gradio's events.

A live piece is an element `<div data-live="name" data-key="key">`: HTML that the server makes for a key (a run's id, say)
and a language. `live.js` asks for all pieces that are on the screen in one small request; the answer holds those that
became different, and a stamp that is another one when runs came, went or changed their state: then the page asks its tick
handlers (`Shell.on_tick`), through Gradio, for everything else. An answer takes about a tenth of the time of a Gradio
event, which matters because Python runs one thread at a time: what pages ask for is taken from the training. Pages that
ask within `FRESH` share what is made.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.ui import html
from workbench.ui.asgi import Application, Receive, Scope, Send, headers_of

log = logging.getLogger(__name__)

PATH = "/live"
FRESH = 0.2  # seconds in which a piece that was made for one page is good for another
KEPT = 256  # pieces
ASKED = 32  # pieces of one request
LONGEST_DEED = 4096  # bytes
LONGEST = 300  # characters of a key: a run's folder may have been given any name that a disk can hold

Maker = Callable[[str, str], Any]
Doer = Callable[[str], Any]


class Live:
    """The pieces of a page, and the answers to those who show them. Any thread may ask.

    Args:
        state: something printable that is another one when the page's tick handlers have to look again.
    """

    def __init__(self, state: Callable[[], Any]) -> None:
        self._state = state
        self._makers: dict[str, Maker] = {}
        self._doers: dict[str, Doer] = {}
        self._made: OrderedDict[tuple[str, str, str], tuple[float, str, Any]] = OrderedDict()
        self._broken: set[str] = set()
        self._lock = threading.Lock()
        self._server = secrets.token_hex(8)  # a page that hears another one belongs to a process that has ended

    def piece(self, name: str, maker: Maker) -> None:
        """Declare a piece: `maker(key, lang)` returns its HTML, or a dictionary for an element that draws itself.

        A `WorkbenchError` of the maker (the run was deleted) leaves what is on the screen until a tick handler speaks.
        """
        self._makers[name] = maker

    def deed(self, name: str, doer: Doer) -> None:
        """Declare what a button of a piece does, `<button data-deed="name" data-key="key">`: it calls `doer(key)`.

        A `Text` that it returns is shown beside the button.
        """
        self._doers[name] = doer

    def do(self, asked: Any, lang: str) -> dict[str, Any]:
        """Do what a button says.

        Args:
            asked: [name, key].

        Returns:
            `said`: what to tell of it, or why it was `refused`; "" for nothing.

        Raises:
            ValueError: `asked` has another shape.
        """
        (name, key, _) = _checked([[*asked, ""] if isinstance(asked, list) else asked])[0]
        if name not in self._doers:
            raise ValueError("no such deed")
        try:
            said = self._doers[name](key)
        except WorkbenchError as error:
            return {"said": error.to(lang), "refused": True}
        with self._lock:
            self._made.clear()  # what is shown next is what it made of it
        return {"said": said.to(lang) if isinstance(said, Text) else "", "refused": False}

    def make(self, name: str, key: str, lang: str) -> Any:
        """A piece as it is now."""
        return self._makers[name](key, lang)

    def slot(self, name: str, key: str, lang: str) -> html.Markup:
        """The piece's element, filled."""
        made = self.make(name, key, lang)
        return html.Markup(f'<div data-live="{html.esc(name)}" data-key="{html.esc(key)}">{html.esc(made)}</div>')

    def answer(self, asked: Any, lang: str) -> dict[str, Any]:
        """What is new for a page.

        Args:
            asked: a list of [name, key, mark of what the page shows of it, or ""].

        Returns:
            `server`, `stamp`, and `pieces`: for each one asked for, in order, None or [mark, what to show].

        Raises:
            ValueError: `asked` has another shape.
        """
        wanted = _checked(asked)
        with self._lock:
            _, stamp, _ = self._at("", "", "", lambda key, lang: repr(self._state()))
            pieces = [self._news(*one, lang) for one in wanted]
        return {"server": self._server, "stamp": stamp, "pieces": pieces}

    def _news(self, name: str, key: str, seen: str, lang: str) -> list[Any] | None:
        maker = self._makers.get(name)
        if maker is None:
            return None
        try:
            _, mark, made = self._at(name, key, lang, maker)
        except WorkbenchError:
            return None
        except Exception:  # the boundary: this piece stays as it is, the others go on; the log has the traceback, once
            if name not in self._broken:
                self._broken.add(name)
                log.exception("the live piece %s", name)
            return None
        return None if mark == seen else [mark, made]

    def _at(self, name: str, key: str, lang: str, maker: Maker) -> tuple[float, str, Any]:
        place, now = (name, key, lang), time.monotonic()
        known = self._made.get(place)
        if known is None or now - known[0] > FRESH:
            made = maker(key, lang)
            made = html.esc(made) if isinstance(made, str) else made
            text = made if isinstance(made, str) else json.dumps(made)
            known = self._made[place] = (now, blake2b(text.encode(), digest_size=8).hexdigest(), made)
            self._made.move_to_end(place)
            if len(self._made) > KEPT:
                self._made.popitem(last=False)
        return known


def script() -> str:
    """What the page's head needs to show live pieces."""
    return f"<script>{Path(__file__).with_name('live.js').read_text(encoding='utf-8')}</script>"


class Route:
    """Answers at `PATH` and passes on everything else: a plain ASGI middleware, since the layers of Gradio's own routes cost
    more than the answer.

    Args:
        app: what answers everything else.
        live: the pieces.
        lang: the language of a request with these headers.
    """

    def __init__(self, app: Application, live: Live, lang: Callable[[Mapping[str, str]], str]) -> None:
        self.app, self.live, self.lang = app, live, lang

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self.app(scope, receive, send)
            return
        status, body = await (self._do(scope, receive) if scope["method"] == "POST" else self._respond(scope))
        names = {"content-type": "application/json", "content-length": str(len(body)), "cache-control": "no-store"}
        headers = [(name.encode(), value.encode()) for name, value in names.items()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _do(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        """What a button of a piece asks for. The guard in front has refused what comes from other web sites."""
        body = b""
        while len(body) <= LONGEST_DEED:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        try:
            asked = json.loads(body[: LONGEST_DEED + 1])
            answer = await asyncio.to_thread(self.live.do, asked, self.lang(headers_of(scope)))
        except (ValueError, RecursionError):
            return 400, b""
        except Exception:  # the boundary: the page goes on as it is, the log has the traceback
            log.exception("a deed of a live piece")
            return 500, b""
        return 200, json.dumps(answer).encode()

    async def _respond(self, scope: Scope) -> tuple[int, bytes]:
        headers = headers_of(scope)
        if scope["method"] != "GET":
            return 405, b""
        try:
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=4)
            asked = json.loads(query.get("ask", ["[]"])[0])
            # In a thread of its own: the events of a run that nobody looked at so far are read from the disk.
            answer = await asyncio.to_thread(self.live.answer, asked, self.lang(headers))
        except (ValueError, RecursionError):
            return 400, b""
        except Exception:  # the boundary: the page goes on as it is, the log has the traceback
            log.exception("live pieces")
            return 500, b""
        return 200, json.dumps(answer).encode()


def _checked(asked: Any) -> list[tuple[str, str, str]]:
    good = isinstance(asked, list) and len(asked) <= ASKED
    for one in asked if good else ():
        good = good and isinstance(one, list) and len(one) == 3
        good = good and all(isinstance(part, str) and len(part) <= LONGEST for part in one)
    if not good:
        raise ValueError("not a list of [name, key, mark]")
    return [tuple(one) for one in asked]
