"""A command that trains in the home of an open page: the page shows it at once, and stops it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from tests.browser.conftest import ROOT, App, runs_of, show, wait_until

LATEST = 10.0  # seconds from the first line of numbers to the screen; on a quiet computer it is one or two

POINTS = """() => (document.querySelector('#run-chart path.train')?.getAttribute('d') || '').split(/[ML]/).length - 1"""


def test_a_run_of_another_process_is_on_the_open_page_at_once_and_is_stopped_there(app: App, open_page: Any) -> None:
    page = open_page(app.url)
    show(page, "run")
    page.wait_for_selector("#run-empty")
    settings = ("optimization.max_steps=100000", "evaluation.questions=[]", "checkpoints.every_steps=50")
    command = [sys.executable, "-m", "workbench", "train", "first-run", *settings, "--home", str(app.home)]
    other = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8")
    try:
        wait_until(lambda: any('"metrics"' in path.read_text() for path in app.home.glob("runs/*/events.jsonl")))
        began = time.monotonic()
        page.wait_for_selector("#run-chart path.train", state="attached")
        took = time.monotonic() - began
        print(f"from the first line of numbers to the curve: {took:.1f} s")
        assert took < LATEST
        first = page.evaluate(POINTS)
        page.wait_for_function(f"before => ({POINTS})() > before", arg=first)
        assert runs_of(app.home)[0]["status"] == "running"
        page.click("#run-stop:not([disabled])")
        said, _ = other.communicate(timeout=240)
    finally:
        other.kill()
        other.wait()
    assert said.split() == [runs_of(app.home)[0]["id"], "stopped"]
    page.wait_for_selector("#run-stop[disabled]")
    page.wait_for_selector("#run-resume:not([disabled])")
