"""The bar at the top: long names give way, and what else stands there is seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import free_port, show
from tests.browser.traffic import settled
from tests.steps import wait_for
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment
from workbench.config.run import RunConfig

environment()

# In one look: the chips are drawn anew each second.
PLACES = "places => places.map(place => document.querySelector(place).getBoundingClientRect().toJSON())"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    """A double that trains for an hour, whose page stands at `engine.url`."""
    from workbench.ui.page import start

    made = FakeEngine(tmp_path, seconds=3600)
    served = start(made, port=free_port())
    made.url = served.url
    yield made
    served.close()


@pytest.mark.parametrize("width", [1280, 800, 390])
def test_a_loaded_model_with_a_long_name_leaves_memory_and_language_where_they_are_seen(
    engine: Any, open_page: Any, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = engine.status
    monkeypatch.setattr(engine, "status", lambda: replace(status(), loaded_model="我自己的模型 of mine " * 9))
    page = open_page(engine.url, width=width)
    page.wait_for_function("() => document.querySelector('#chip-model').textContent.includes('of mine')")
    free, bar, switch = page.evaluate(PLACES, ["#chip-memory", "#header-chips", ".seg"])
    assert free["right"] <= bar["right"] + 1 and switch["right"] <= width
    assert free["right"] <= switch["left"] or free["top"] >= switch["bottom"] - 1


def test_on_a_phone_the_name_of_what_runs_can_be_read(engine: Any, open_page: Any) -> None:
    engine.submit(RunConfig().changed({"output.name": "My tea shop"}))
    engine._runs[next(iter(engine._runs))].began = time.monotonic() - 1200
    page = open_page(engine.url, width=390)
    page.wait_for_function("() => document.querySelector('#chip-run .far')?.innerText.includes('/ 350')")
    shown = "() => { const name = document.querySelector('#chip-run .chip-text'); return name.clientWidth >= name.scrollWidth }"
    page.wait_for_function(shown)
    assert page.locator("#chip-run .chip-text").inner_text() == "My tea shop"


def test_everything_that_runs_is_listed_in_the_header_and_can_be_cancelled_there(engine: Any, open_page: Any) -> None:
    first = engine.submit(RunConfig.parse({"output": {"name": "Tea shop"}}))
    engine.finish(first)
    second = engine.submit(RunConfig.parse({"output": {"name": "Coffee shop"}}))
    engine.merges_until_stopped = True
    merge = engine.start("merge", {"run": first})
    page = open_page(engine.url)
    page.click("#chip-run")
    page.wait_for_selector("#header-jobs .job")
    page.wait_for_function("() => document.querySelector('#header-jobs').innerText.includes('Merging')")
    assert "Coffee shop" in page.inner_text("#header-jobs") and page.locator("#header-jobs .job").count() == 2
    page.reload()
    page.click("#chip-run")
    page.click(f"#header-jobs [data-deed=cancel][data-key='{merge}']")
    page.click(f"#header-jobs [data-deed=resume][data-key='{merge}']")
    page.wait_for_function("() => document.querySelectorAll('#header-jobs [data-deed=cancel]').length === 2")
    page.click(f"#header-jobs [data-deed=dismiss][data-key='{merge}']")
    page.wait_for_selector(f"#header-jobs [data-key='{merge}']", state="detached")
    page.click(f"#header-jobs [data-deed=cancel][data-key='{second}']")
    wait_for(lambda: engine.run(second).status == "stopped", "it was cancelled")
    page.keyboard.press("Escape")
    page.wait_for_selector("#header-jobs", state="hidden")


@pytest.mark.parametrize(("lang", "there"), [("en", "is here now"), ("zh", "已下载完成")])
def test_a_model_is_found_downloaded_and_cancelled(engine: Any, open_page: Any, lang: str, there: str) -> None:
    page = open_page(engine.url, lang=lang)
    page.click("#find > button")
    page.wait_for_selector("#find-results label")
    assert page.locator("#find-results label").count() > 15 and page.is_disabled("#find-download")
    page.fill("#find-words input, #find-words textarea", "Qwen3-0.6B")
    page.click("#find-search")
    page.wait_for_function("() => document.querySelectorAll('#find-results label').length === 2")
    page.click("#find-results label >> nth=0")
    page.wait_for_selector("#find-download:not([disabled])")
    assert "https://huggingface.co/Qwen/Qwen3-0.6B" in page.inner_text("#find-about")
    engine.merges_until_stopped = True
    page.click("#find-download")
    page.wait_for_selector("#find-progress .prog")
    page.reload()
    page.wait_for_selector("#find-progress .prog")
    page.click("#chip-run")
    page.click("#header-jobs [data-deed=cancel]")
    page.wait_for_selector("#find-progress .prog", state="detached")
    engine.merges_until_stopped = False
    page.click("#header-jobs [data-deed=resume]")
    page.wait_for_function("there => document.querySelector('#find-progress').innerText.includes(there)", arg=there)


def test_the_switch_waits_for_what_was_typed_also_where_something_older_is_kept_first(
    engine: Any, open_page: Any
) -> None:
    page = open_page(engine.url)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    settled(page)
    slow = "*/**/run/predict"
    page.route(slow, lambda route: (time.sleep(0.5), route.continue_()))
    page.fill("#field-optimization-learning_rate input", "0.0123")
    page.evaluate("localStorage.setItem('workbench-form', localStorage.getItem('workbench-form') + ' ')")  # is older
    page.click("[data-set-lang=zh]")
    page.wait_for_selector("html[data-lang=zh]")
    page.unroute(slow)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    assert page.input_value("#field-optimization-learning_rate input") == "0.0123"
