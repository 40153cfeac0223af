"""Finds a Chromium for the browser tests, or gets one.

Nothing here starts a test; `tests/__main__.py` and the fixture `browser_path` ask.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from workbench.config.text import Text

VARIABLE = "WORKBENCH_BROWSER"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "msedge", "chrome")
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "%ProgramFiles%/Google/Chrome/Application/chrome.exe",
    "%ProgramFiles(x86)%/Google/Chrome/Application/chrome.exe",
    "%LocalAppData%/Google/Chrome/Application/chrome.exe",
    "%ProgramFiles(x86)%/Microsoft/Edge/Application/msedge.exe",
    "%ProgramFiles%/Microsoft/Edge/Application/msedge.exe",
)
_DEBIAN = ("chromium", "fonts-noto-cjk")  # without the fonts, Chinese is boxes on every screenshot
MISSING = Text(
    "The browser tests need Chromium, and it could be neither found nor installed. Type: {command} - or set {variable} "
    "to a browser's path, or leave these tests out: python -m tests -m 'not browser'",
    "浏览器测试需要 Chromium，但既没有找到，也无法安装。请运行：{command}；或将 {variable} 设为浏览器路径；"
    "也可以跳过这些测试：python -m tests -m 'not browser'",
)


def find() -> str | None:
    """The path of a browser that starts, or None: WORKBENCH_BROWSER, the usual names and places, playwright's own."""
    named = os.environ.get(VARIABLE)
    if named:
        return named if _starts(named) else None
    places = [shutil.which(name) for name in _NAMES] + [os.path.expandvars(place) for place in _PLACES]
    for place in places:
        if place and _starts(place):
            return place
    own = _playwrights_own()
    return own if own and _starts(own) else None


def get() -> str | None:
    """Install a browser, the way this system likes it, and return its path; None when that fails too."""
    ways = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if _is_debian() and os.geteuid() == 0:
        ways.insert(0, ["apt-get", "install", "-y", "--no-install-recommends", *_DEBIAN])
    for way in ways:
        print("Getting a browser:", " ".join(way), file=sys.stderr, flush=True)
        if way[0] == "apt-get":
            _run(["apt-get", "update"])
        if _run(way):
            found = find()
            if found:
                return found
    return None


def missing() -> Text:
    """What to type when there is no browser."""
    by_hand = f"sudo apt-get install {' '.join(_DEBIAN)}" if _is_debian() else "python -m playwright install chromium"
    return MISSING.with_(command=by_hand, variable=VARIABLE)


def _run(command: list[str]) -> bool:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=quiet, check=False)
    except OSError:
        return False
    if done.returncode:
        print(done.stdout.decode(errors="replace")[-500:], file=sys.stderr)
    return done.returncode == 0


def _is_debian() -> bool:
    try:
        release = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    # Ubuntu's package of that name only asks for a snap, which containers don't have.
    return "ID=debian" in release and shutil.which("apt-get") is not None


def _starts(path: str) -> bool:
    """Whether this is a browser and not a shim without one behind it."""
    if not Path(path).is_file():
        return False
    if os.name == "nt":
        return True  # there, --version opens a window
    try:
        asked = subprocess.run([path, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _playwrights_own() -> str | None:
    if importlib.util.find_spec("playwright") is None:
        return None
    from playwright.sync_api import Error, sync_playwright

    try:
        with sync_playwright() as playwright:
            return playwright.chromium.executable_path
    except Error:
        return None
