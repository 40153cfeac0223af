"""A workbench that runs as people start it, and a browser that looks at it."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import traffic
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment

ROOT = Path(__file__).resolve().parents[2]
SOON = 60_000  # milliseconds that the browser waits for something that is quick on a quiet computer


class App:
    """`python app.py` in a process of its own.

    Args:
        home: its folder.
        port: where it answers; the same one again after a restart, so that an open page finds it.
        environment: of its process; None is this one's.
    """

    def __init__(self, home: Path, port: int | None = None, environment: dict[str, str] | None = None) -> None:
        self.home = home
        self.port = port or free_port()
        self.environment = environment
        self.process: subprocess.Popen[str] | None = None
        self.url = ""
        self.said: list[str] = []
        """Its lines on stderr, up to the one with the address."""
        self.printed: list[str] = []
        """All its lines so far."""

    def start(self) -> App:
        """Start it and wait until it answers."""
        command = [sys.executable, "app.py", "--no-browser", "--port", str(self.port), "--home", str(self.home)]
        piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, **piped)
        lines: queue.Queue[str] = queue.Queue()
        for stream, hear in ((self.process.stdout, None), (self.process.stderr, lines.put)):
            threading.Thread(target=self._listen, args=(stream, hear), daemon=True).start()
        self.said, deadline = [], time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.said.append(lines.get(timeout=0.2))
            except queue.Empty:
                if self.process.poll() is not None:
                    break
                continue
            found = re.search(r"http://\S+/\S*", self.said[-1])
            if found:
                self.url = found.group()
                return self
        raise AssertionError("the page did not open:\n" + "".join(self.said))

    def _listen(self, stream: Any, hear: Any) -> None:
        for line in stream:
            self.printed.append(line)
            if hear is not None:
                hear(line)

    def kill(self) -> None:
        """As a power cut would do it."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """As Ctrl-C does it."""
        if self.process is not None and self.process.poll() is None:
            if os.name == "nt":  # has no Ctrl-C for another process
                self.process.terminate()
            else:
                self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=90)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="package")  # ends with these tests: other tests run event loops of their own
def browser(browser_path: str) -> Iterator[Any]:
    """The browser, started once."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Opens pages as a reader of a language on a screen of a width would; all are closed after the test."""
    contexts = []

    def opened(url: str, lang: str = "en", width: int = 1280, dark: bool = False) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            locale="zh-CN" if lang == "zh" else "en-US",
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SOON)
        traffic.watch(page)
        page.goto(url)
        page.wait_for_selector("button[role=tab]")
        page.wait_for_selector("#chip-run")
        return page

    yield opened
    for context in contexts:
        for page in context.pages:
            traffic.forget(page)
        context.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One workbench for the tests of a file."""
    running = App(tmp_path_factory.mktemp("app") / "home").start()
    yield running
    running.close()


class Double:
    """A page with an engine double behind it, in this process."""

    def __init__(self, home: Path) -> None:
        environment()
        from workbench.ui.page import start

        self.engine = FakeEngine(home, seconds=3.0)
        self.served = start(self.engine, port=free_port())
        self.url = self.served.url


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    """One for this test."""
    made = Double(tmp_path)
    yield made
    made.served.close()


TABS = ("model", "data", "train", "run", "export", "chat")


def show(page: Any, tab: str) -> None:
    """Open a tab."""
    page.locator("#tabs button[role=tab]").nth(TABS.index(tab)).click()


def fill(page: Any, field: str, value: str) -> None:
    """Type into a field of the Train tab, named by its setting (`adapter-rank`), and leave it."""
    type_into(page, f"#field-{field} input", value).press("Tab")


def type_into(page: Any, place: str, value: str) -> Any:
    """Type into a field, and give it back.

    Gradio takes back what is typed in the first hundredth of a second after it has drawn a field, where a section was
    opened just now. Nobody is that quick but a script; so this one looks whether it stays.
    """
    field = page.locator(place).first

    def stays() -> bool:
        field.fill(value)
        page.wait_for_timeout(100)
        return field.input_value() == value

    wait_until(stays, 60)
    return field


def choose(page: Any, elem_id: str, option: str) -> None:
    """Choose an entry of a dropdown by the beginning of its words."""
    page.locator(f"#{elem_id} input").click()
    page.locator("[role=option]").filter(has_text=option).first.click()


def runs_of(home: Path) -> list[dict[str, Any]]:
    """The records in a home, newest first."""
    import json

    found = [json.loads(path.read_text(encoding="utf-8")) for path in (home / "runs").glob("*/run.json")]
    return sorted(found, key=lambda record: record["created"], reverse=True)


def wait_until(found: Any, seconds: float = 240.0) -> Any:
    """Wait until `found()` gives something true, and give it back."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError("this did not happen in time")


def unfold(page: Any, tab: str) -> None:
    """Open all that is folded on the open tab. One inside another is drawn when that one is opened."""
    closed = f"#tab-{tab} button.label-wrap:not(.open)"
    while folds := [fold for fold in page.query_selector_all(closed) if fold.is_visible()]:
        for fold in folds:
            fold.click()
        page.wait_for_timeout(100)
    page.wait_for_function(
        "tab => ![...document.querySelectorAll(`#tab-${tab} button.label-wrap`)]"
        ".some(fold => fold.getClientRects().length && fold.getAttribute('aria-expanded') !== 'true')",
        arg=tab,
    )
    if tab == "model":
        page.wait_for_selector("#find-results label")
