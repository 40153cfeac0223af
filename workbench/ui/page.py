"""The page: puts header, guide and tabs together, and serves them, hardened.

`build` makes the page for an engine, `start` serves it and returns, `serve` is the whole life of the program with a page.
Nothing heavy (torch, transformers) is imported before the page answers; a background thread does that afterwards.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import bootstrap, proxies

bootstrap.environment()  # before gradio is imported: analytics are read at import, the proxy list at launch

gc.disable()  # of some 300,000 objects that are made now, none is garbage
import gradio as gr  # noqa: E402
from gradio.routes import App, ORJSONResponse  # noqa: E402

from workbench.config import signals  # noqa: E402
from workbench.config.errors import WorkbenchError  # noqa: E402
from workbench.config.text import Text  # noqa: E402
from workbench.engine.session import Session  # noqa: E402
from workbench.ui import access, guide, header, live, tabs  # noqa: E402
from workbench.ui.compression import Compressed  # noqa: E402
from workbench.ui.frontend import Quickened  # noqa: E402
from workbench.ui.guard import UPLOAD_FILE_BYTES, Guard, Rules, is_loopback  # noqa: E402
from workbench.ui.language import PAGE_TITLE, head_script, language_asked  # noqa: E402
from workbench.ui.lean import LeanBlocks  # noqa: E402
from workbench.ui.login import Login  # noqa: E402
from workbench.ui.shell import Shell  # noqa: E402
from workbench.ui.tabtools import OPEN_TAB  # noqa: E402
from workbench.ui.theme import css, theme  # noqa: E402

gc.enable()

PORTS_TRIED = 20
LOOK_SECONDS = 0.3  # between two looks whether it was asked to end
SWITCH_SECONDS = 0.0005
LOGIN = "WORKBENCH_LOGIN"  # name:password, for a page that others may reach
HOSTS = "WORKBENCH_HOSTS"  # further host names, comma separated, for a reverse proxy
_KEPT_VARIABLES = ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR")
# Everything that gradio would otherwise read from the environment, or switch on by itself.
_LAUNCH: dict[str, Any] = {
    "inbrowser": False,
    "share": False,
    "auth_message": None,
    "prevent_thread_lock": True,
    "show_error": False,
    "quiet": True,
    "footer_links": [],
    "run_history": False,
    "allowed_paths": [],
    "blocked_paths": [],
    "root_path": "",
    "max_file_size": UPLOAD_FILE_BYTES,
    "enable_monitoring": False,
    "strict_cors": True,
    "ssr_mode": False,
    "pwa": False,
    "mcp_server": False,
}


@dataclass
class Served:
    """A page that answers: its address (with the token, where there is one) and how to end it."""

    page: gr.Blocks
    url: str
    port: int

    def close(self) -> None:
        """Stop answering; the engine stays."""
        self.page.close(verbose=False)


def build(engine: Session, default_lang: str = "en") -> gr.Blocks:
    """The page for `engine`; `page.shell` is what its tabs share.

    Args:
        engine: an `Engine`, or a double with its methods.
        default_lang: for readers whose browser names neither English nor Chinese.
    """
    found = tabs.discover()
    with LeanBlocks(title=PAGE_TITLE.to(default_lang), analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        shell = Shell(engine, page, default_lang)
        header.build(shell)
        guide.build(shell)
        with gr.Tabs(selected=found[0].ID if found else None, elem_id="tabs", overflow_behavior="wrap") as shell.tabs:
            for tab in found:
                with gr.Tab(shell.text(tab.TITLE), id=tab.ID, elem_id=f"tab-{tab.ID}"):
                    tab.build(shell)
        parts: list[Any] = [header, guide, *found]
        for part in parts:
            bind = getattr(part, "bind", None)
            if bind is not None:
                bind(shell)
        shell.place_unseen()
        _remember_tab(shell, {tab.ID for tab in found})
        # Gradio sets the title after the head script has run.
        titles = json.dumps(PAGE_TITLE.as_dict())
        page.load(None, js=f"() => {{ document.title = {titles}[document.documentElement.dataset.lang] }}")
        shell.start_clock()
    for block in page.blocks.values():
        # A box that shows no label still has one for screen readers, which else is gradio's "Textbox".
        if isinstance(block, gr.Textbox) and not block.label and block.placeholder:
            block.label = block.placeholder
    # For each page that opens Gradio asks how every component is made, which took a fifth of the server's work; this is where
    # Python looks before it finds that out again.
    for kind in {type(block) for block in page.blocks.values()}:
        kind.__init__.__signature__ = inspect.signature(kind.__init__)
    page.shell = shell
    return page


# Nobody has chosen while the first tab, with which a page begins, is open.
_OPEN_UNLESS_CHOSEN = """meant => {
  const [first] = document.querySelectorAll('#tabs [role=tab]');
  if (meant && first.ariaSelected === 'true') document.getElementById(`tab-${meant}-button`)?.click();
}"""


def _remember_tab(shell: Shell, known: set[str]) -> None:
    """A reload opens the tab that was open, or the Run tab where a first look comes while something trains.

    Not where somebody has opened another one before the answer is there.
    """

    def reopen(last: str) -> str:
        if last in known:
            return last
        return "run" if shell.engine.status().running is not None else ""

    meant = gr.Textbox("", visible=False)  # no `gr.State`: a script reads it
    shell.on_load(reopen, [shell.tab], [meant])
    shell.after_load(_OPEN_UNLESS_CHOSEN, [meant])
    shell.tabs.change(None, None, shell.tab, js=OPEN_TAB)


def start(engine: Session, host: str = "127.0.0.1", port: int = 7860, lang: str | None = None) -> Served:
    """Serve the page and return as soon as it answers.

    Args:
        engine: what the page shows.
        host: the address to bind; anything but this machine's own asks for a login or makes a token.
        port: the first one to try; the next free one is taken when it is busy.
        lang: the language for readers who have not chosen one; None asks their browser.

    Raises:
        WorkbenchError: no port is free, the address can't be bound, or `WORKBENCH_LOGIN` is malformed.
    """
    space = "SPACE_ID" in os.environ
    login = _login()
    port = free_port(host, port)
    proxies.spare(os.environ, (*proxies.LOCAL, host))  # gradio asks there whether the page answers
    token = None if space or login or is_loopback(host) else secrets.token_urlsafe(24)
    more = tuple(name.strip().lower() for name in os.environ.get(HOSTS, "").split(",") if name.strip())
    rules = Rules(host, token, head_script(lang) + live.script() + access.script(), space, more)
    if login:
        rules.login = Login(*login, cookie_name=f"workbench-login-{port}", framed=space, default_lang=lang or "en")
    for name in [name for name in os.environ if name.startswith("GRADIO_") and name not in _KEPT_VARIABLES]:
        del os.environ[name]  # they would open the page to a network, share it, or publish folders
    # A training in this process takes Python's lock thousands of times a second; with the usual 5 ms, every page that is
    # being answered would hold it up each time.
    sys.setswitchinterval(SWITCH_SECONDS)
    with _no_application():
        page = build(engine, lang or "en")
        page.queue(api_open=False, max_size=64)
    page.launch(
        server_name=_in_address(host),
        server_port=port,
        auth=None,
        i18n=page.shell.words.i18n,
        theme=theme(),
        css=css(),
        _app=_guarded(rules, page.shell),
        **_LAUNCH,
    )
    name = {"0.0.0.0": _own_address(), "::": "[::1]"}.get(host, _in_address(host))
    return Served(page, f"http://{name}:{port}/" + (f"?token={token}" if token else ""), port)


def serve(home: Path, host: str, port: int, open_browser: bool, lang: str | None = None) -> None:
    """Open the workbench in `home`, serve its page, and return when something asks to end: Ctrl-C, or one of its like.

    A run that trains is saved before it returns. Asked twice, the process ends at once.

    Raises:
        WorkbenchError: see `start`; or another workbench has this folder open.
    """
    from workbench.engine.engine import Engine

    with signals.heard() as asked:
        engine = Engine(home)
        try:
            served = start(engine, host, port, lang)
            gc.freeze()  # the page stays as long as the program: no collection has to look at it again
            try:
                _open(engine, served, port, open_browser, lang or bootstrap.language())
                while not asked():
                    time.sleep(LOOK_SECONDS)
                _say(Text("Closing ...", "正在关闭……"), lang or bootstrap.language())
            finally:
                served.close()
        finally:
            engine.close()


def _open(engine: Session, served: Served, port: int, open_browser: bool, lang: str) -> None:
    """Say where the page is, and open it."""
    if served.port != port:
        _say(
            Text("Port {port} is taken; using another one.", "端口 {port} 已被占用，已换用其他端口。"), lang, port=port
        )
    _say(Text("The workbench is open at {url}", "工作台已启动：{url}"), lang, url=served.url)
    _say(Text("Press Ctrl-C to end it.", "按 Ctrl-C 结束。"), lang)
    engine.warm_up()
    if open_browser and "SPACE_ID" not in os.environ:
        threading.Thread(target=webbrowser.open, args=(served.url,), name="browser", daemon=True).start()


@contextmanager
def _no_application() -> Iterator[None]:
    """Gradio makes an application, with 80 routes and the page's config, when a page is built, when its queue is set, and when
    it is launched. Only the last one answers anybody; each of the others would take a twentieth of the time to the page.
    """
    make = App.create_app
    App.create_app = staticmethod(lambda *args, **kwargs: None)
    try:
        yield
    finally:
        App.create_app = staticmethod(make)


def _guarded(rules: Rules, shell: Shell) -> App:
    """Gradio's application and the live pieces, with the guard around all of it, and compressed.

    As an ordinary middleware the guard would stand inside gradio's own, which answers preflights of foreign pages.
    """

    class Guarded(App):
        def build_middleware_stack(self) -> Any:
            def lang(headers: Mapping[str, str]) -> str:
                return language_asked(headers, shell.default_lang)

            routes = live.Route(Quickened(super().build_middleware_stack()), shell.live, lang)
            return Compressed(Guard(routes, rules))

    return Guarded(docs_url=None, redoc_url=None, openapi_url=None, default_response_class=ORJSONResponse)


def free_port(host: str, first: int) -> int:
    """The first free port from `first` on.

    Raises:
        WorkbenchError: none of them can be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if os.name != "nt":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host.strip("[]"), port))
            except socket.gaierror:
                break
            except OSError:
                continue
            return port
    raise WorkbenchError(
        Text(
            "The page cannot be opened at {host}, ports {first} to {last}: all are taken, or the address is not this computer's",
            "无法在 {host} 的端口 {first} 到 {last} 打开页面：端口都被占用，或该地址不属于这台电脑",
        ).with_(host=host, first=first, last=first + PORTS_TRIED - 1),
        Text(
            "Close the other workbench, or choose another port with --port.",
            "请关闭另一个工作台，或用 --port 指定其他端口。",
        ),
        code="no_port",
    )


def _login() -> tuple[str, str] | None:
    given = os.environ.get(LOGIN)
    if not given:
        return None
    name, colon, password = given.partition(":")
    if not (name and colon and len(password) >= 8):
        raise WorkbenchError(
            Text(
                "{variable} must be name:password with a password of at least 8 characters",
                "{variable} 应写作“用户名:密码”，密码至少 8 个字符",
            ).with_(variable=LOGIN),
            code="login",
        )
    return name, password


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _own_address() -> str:
    """This computer's address in the network, for the printed line; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def _say(text: Text, lang: str, **values: Any) -> None:
    with suppress(OSError):  # the terminal may be gone
        print(text.with_(**values).to(lang), file=sys.stderr, flush=True)
