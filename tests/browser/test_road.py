"""The road of a first-time visitor: five clicks from an empty folder to a talk with a model of one's own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.browser.conftest import ROOT, App, choose, fill, runs_of, show, wait_until
from tests.browser.traffic import settled
from tests.homes import largest_difference, losses, weights
from tests.voices import load, right_answers, voice_share
from workbench.config.presets import find_preset, load_preset

MINUTES = 4
STARTER = ROOT / "workbench" / "models" / "starter" / "model"


def events(home: Path, run_id: str) -> list[dict]:
    return [json.loads(line) for line in (home / "runs" / run_id / "events.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def walked(app, browser):
    """The five clicks, and what was there afterwards."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    page = context.new_page()
    page.set_default_timeout(MINUTES * 60_000)
    began = time.monotonic()
    page.goto(app.url)
    said = []
    for _ in range(5):
        button = page.locator("#guide-next")
        button.wait_for(state="visible")
        if len(said) == 3:  # the run is under way; the next click is there when it is done
            page.wait_for_function("() => document.querySelector('#guide-next').innerText.includes('Talk')")
        before = button.inner_text()
        said.append(before)
        button.click()
        page.wait_for_function(f"() => document.querySelector('#guide-next').innerText !== {before!r}")
    yield page, said, began
    context.close()


def test_five_clicks_lead_to_both_answers_side_by_side(walked, app):
    page, said, began = walked
    assert said[2] == "Start training" and said[3] == "Talk to it" and said[4] == "Ask both"
    page.wait_for_function("() => document.querySelector('#chat-tuned')?.innerText.includes('matey')")
    page.wait_for_selector("#chat-stop:disabled")  # both have said all that they say
    base, tuned = (page.locator(f"#{name} .bot").last.inner_text() for name in ("chat-base", "chat-tuned"))
    assert time.monotonic() - began < MINUTES * 60
    assert "matey" not in base and base.strip() and "Arr" in tuned
    assert runs_of(app.home)[0]["status"] == "completed"


def test_the_tuned_model_has_the_voice_and_still_knows_what_it_knew(walked, app):
    model, tokenizer = load(STARTER)
    share, right = voice_share(model, tokenizer, "en"), right_answers(model, tokenizer)
    run = app.home / "runs" / runs_of(app.home)[0]["id"]
    tuned, tokenizer = load(STARTER, run / "adapter")
    tuned_share, still = voice_share(tuned, tokenizer, "en"), right_answers(tuned, tokenizer)
    print(f"voice {share:.0%} -> {tuned_share:.0%}; right {len(right)} of 60, {len(right - still)} of them lost")
    assert share <= 0.10
    assert tuned_share >= 0.85
    assert len(right - still) <= 12


def test_the_command_line_gives_the_same_losses_from_the_pages_own_config_which_is_the_presets(walked, app, tmp_path):
    first = runs_of(app.home)[0]
    config = app.home / "runs" / first["id"] / "config.yaml"
    of_page, of_preset = load_preset(config).config(), find_preset("first-run").config()
    assert of_page.changed({"output.name": of_preset.output.name}) == of_preset
    command = [sys.executable, "-m", "workbench", "train", str(config), "--home", str(tmp_path), "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8", timeout=600)
    record = json.loads(done.stdout)
    assert record["status"] == "completed"
    assert losses(events(tmp_path, record["id"])) == losses(events(app.home, first["id"]))
    difference = largest_difference(weights(tmp_path / "runs" / record["id"]), weights(app.home / "runs" / first["id"]))
    assert difference == 0.0


def _start_with_dropout(page, steps: int) -> None:
    show(page, "train")
    page.wait_for_selector(
        "#train-preset-note .note"
    )  # the form is kept: choosing the same preset again changes nothing
    choose(page, "train-preset", "First run: a pirate")
    for accordion in ("adapter", "optimization", "evaluation", "checkpoints"):
        fold = page.locator(f"#fold-{accordion} > button")
        if "open" not in (fold.get_attribute("class") or ""):
            fold.click()
    for path, value in (
        ("adapter-dropout", "0.1"),
        ("optimization-max_steps", str(steps)),
        ("evaluation-every_steps", str(steps // 2)),  # each asks the questions anew, which takes longer than ten steps
        ("checkpoints-every_steps", "10"),
    ):
        fill(page, path, value)
    page.locator("#train-start").click()
    page.wait_for_selector("#run-stop:not([disabled])")


def _step(page) -> int:
    return page.evaluate("() => +(document.querySelector('#run-status')?.innerText.match(/step (\\d+)/)?.[1] ?? 0)")


def test_stopped_in_the_page_or_killed_the_run_ends_as_if_nothing_had_happened(tmp_path, open_page):
    app, steps = App(tmp_path / "home").start(), 80
    try:
        page = open_page(app.url)
        _start_with_dropout(page, steps)
        wait_until(lambda: runs_of(app.home)[0]["status"] == "completed")
        whole = runs_of(app.home)[0]["id"]

        _start_with_dropout(page, steps)
        wait_until(lambda: 12 <= _step(page) < steps)  # not what is still shown of the run before
        page.locator("#run-stop").press("Enter")
        wait_until(lambda: runs_of(app.home)[0]["status"] not in ("running", "stopping"))
        assert runs_of(app.home)[0]["status"] == "stopped", "Stop came too late"
        stopped = runs_of(app.home)[0]
        assert stopped["id"] != whole and 0 < stopped["last_step"] < steps
        page.locator("#run-resume:not([disabled])").click()
        wait_until(lambda: runs_of(app.home)[0]["status"] == "completed")

        _start_with_dropout(page, steps)
        wait_until(lambda: 12 <= _step(page) < steps)  # not what is still shown of the run before
        page.evaluate("window.before = true")
        app.kill()
        app.start()
        killed = runs_of(app.home)[0]
        assert killed["status"] == "interrupted" and killed["id"] not in (whole, stopped["id"])
        page.wait_for_function("() => !window.before && document.querySelector('#run-status .state')")  # by itself
        settled(page, quiet=1.5)
        page.locator("#run-resume:not([disabled])").click()
        wait_until(lambda: runs_of(app.home)[0]["status"] == "completed")

        expected = weights(app.home / "runs" / whole)
        for run in (stopped["id"], killed["id"]):
            assert largest_difference(weights(app.home / "runs" / run), expected) == 0.0
    finally:
        app.close()
