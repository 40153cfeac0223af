"""Gradio's own script, made quicker where it spends most of the time in which a page opens: a plain ASGI middleware.

Gradio (6.31.0, `core-*.js`) looks for a component by walking the page's whole tree, from the root and through Svelte's proxies.
With each event it does so for every component that was ever the output of one, some 15,000 times while this page opens:
half of the browser's computing then. Here it keeps the way to each component that it found, and walks again where that
leads to another one: the answer is always the same. Where the function is not as it was written for, it stays.
"""

from __future__ import annotations

import re

from workbench.ui.asgi import Application, Message, Receive, Scope, Send

SCRIPT = re.compile(r"/assets/core-[\w-]+\.js$")
BEFORE = b"function Z(e,t){if(e.id===t)return e;if(e.children)for(let n of e.children){let e=Z(n,t);if(e)return e}return null}"
AFTER = (
    b"function Z(e,t){let w=Z.w||(Z.w=new Map),p=w.get(t);"
    b"if(p){let n=e;for(let i of p){n=n.children&&n.children[i];if(!n)break}if(n&&n.id===t)return n}"
    b"p=[];let f=n=>{if(n.id===t)return n;if(n.children){let i=0;for(let c of n.children){"
    b"p.push(i++);let r=f(c);if(r)return r;p.pop()}}return null},r=f(e);r&&w.set(t,p);return r}"
)


class Quickened:
    """The middleware: `Quickened(app)`."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "GET" or not SCRIPT.search(scope["path"]):
            await self.app(scope, receive, send)
            return
        start: Message = {}
        pieces: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                pieces.append(message.get("body", b""))
                if not message.get("more_body"):
                    await _send(send, start, b"".join(pieces).replace(BEFORE, AFTER))

        # Whole and as it is: neither compressed (whoever stands outside does that) nor a part of it.
        kept = [(name, value) for name, value in scope["headers"] if name not in (b"accept-encoding", b"range")]
        await self.app({**scope, "headers": kept}, receive, collect)


async def _send(send: Send, start: Message, body: bytes) -> None:
    headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    if start["status"] == 200:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": body})
