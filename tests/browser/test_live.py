"""What an open page does by itself, in a browser: it stays fresh, asks little, and finds its server again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import fill, free_port, show, wait_until
from tests.browser.traffic import settled
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment

environment()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Any]:
    """Starts a page for an engine double; all are closed after the test."""
    from workbench.ui.page import start

    started = []

    def serve(engine: FakeEngine, port: int | None = None) -> Any:
        started.append(start(engine, port=port or free_port()))
        return started[-1]

    yield serve
    for one in started:
        one.close()


def step(page: Any) -> int:
    """The step that the Run tab shows."""
    return page.evaluate("() => +(document.querySelector('#run-status')?.innerText.match(/step (\\d+)/)?.[1] ?? 0)")


def test_a_page_that_watches_a_run_stays_fresh_with_one_small_request_a_second(
    served: Any, open_page: Any, tmp_path: Path
) -> None:
    engine = FakeEngine(tmp_path, seconds=60)
    page = open_page(served(engine).url)
    engine.submit(engine.preset("first-run").config())
    show(page, "run")
    page.wait_for_selector("#run-chart path.train")
    page.click("#run-log-fold > button")
    wait_until(lambda: "training" in page.inner_text("#run-log"))
    settled(page, quiet=3.0)  # what the clicks set off is over, also where the browser is late
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def shown() -> list[Any]:
        return [step(page), page.get_attribute("#run-chart path.train", "d"), page.inner_text("#chip-run")]

    before, began = shown(), time.monotonic()
    wait_until(lambda: all(now != then for now, then in zip(shown(), before, strict=True)) and len(asked) >= 3)
    assert all("/live?" in url for url in asked) and len(asked) <= time.monotonic() - began + 2, asked
    assert step(page) > before[0]


def test_the_end_of_a_run_reaches_a_page_on_which_nobody_does_anything(
    served: Any, open_page: Any, tmp_path: Path
) -> None:
    engine = FakeEngine(tmp_path, seconds=60)
    page = open_page(served(engine).url)
    run = engine.submit(engine.preset("first-run").config())
    show(page, "run")
    page.wait_for_selector("#run-stop:not([disabled])")
    settled(page, quiet=1.5)  # the click on the tab is long over
    engine.finish(run)
    page.wait_for_selector("#run-stop[disabled]")
    assert "Finished" in page.inner_text("#run-status") and "finished" in page.input_value("#run-choice input")


@pytest.mark.parametrize(("lang", "said"), [("en", "does not answer"), ("zh", "工作台没有响应")])
def test_a_page_says_that_its_server_is_gone_and_finds_it_when_it_was_started_again(
    served: Any, open_page: Any, tmp_path: Path, lang: str, said: str
) -> None:
    engine = FakeEngine(tmp_path, seconds=60)
    first = served(engine)
    page = open_page(first.url, lang=lang)
    engine.submit(engine.preset("first-run").config())
    show(page, "run")
    page.wait_for_selector("#run-status .state")
    page.evaluate("window.before = true")
    first.close()
    page.wait_for_function("said => document.querySelector('.toast-wrap')?.innerText.includes(said)", arg=said)
    served(engine, first.port)
    page.wait_for_function("() => !window.before && document.querySelector('#run-status .state')")
    before = page.inner_text("#run-status .state")
    wait_until(lambda: page.inner_text("#run-status .state") != before)


def test_the_form_says_nothing_before_it_shows_what_was_typed_last_time(
    served: Any, open_page: Any, tmp_path: Path
) -> None:
    workbench = served(FakeEngine(tmp_path))
    page = open_page(workbench.url)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    wait_until(lambda: page.evaluate("!!localStorage.getItem('workbench-form')"))
    restores = {number for number, event in workbench.page.fns.items() if getattr(event.fn, "__name__", "") == "load"}
    late: list[Any] = []

    def slow_network(route: Any) -> None:
        if route.request.post_data_json["fn_index"] in restores:
            late.append(route)
        else:
            route.continue_()

    page.route("**/run/predict", slow_network)
    page.reload()
    show(page, "train")
    wait_until(lambda: page.wait_for_timeout(50) or late)
    settled(page, held=len(late))
    assert page.query_selector("#train-forecast .facts") is None
    for route in late:
        route.continue_()
    page.wait_for_selector("#train-forecast .facts")


def test_an_answer_about_older_values_does_not_outlive_a_newer_one(served: Any, open_page: Any, tmp_path: Path) -> None:
    workbench = served(FakeEngine(tmp_path))
    page = open_page(workbench.url)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    looks = {number for number, event in workbench.page.fns.items() if getattr(event.fn, "__name__", "") == "check"}
    late: list[Any] = []

    def slow_network(route: Any) -> None:
        if not late and route.request.post_data_json["fn_index"] in looks:
            late.append(route)
        else:
            route.continue_()

    page.route("**/run/predict", slow_network)
    show(page, "model")
    page.locator("#model-choice label").filter(has_text="Qwen3").click()  # the form follows, and is looked through
    page.wait_for_function("() => document.querySelector('#model-about').innerText.includes('596M')")
    wait_until(lambda: page.wait_for_timeout(50) or late)
    show(page, "train")
    page.click("#fold-adapter > button")
    fill(page, "adapter-rank", "0")
    settled(page, held=1)  # what was asked first is still out
    late[0].continue_()
    page.wait_for_selector("#problem-adapter-rank [role=alert]")
    settled(page)
    assert page.query_selector("#problem-adapter-rank [role=alert]")
    fill(page, "adapter-rank", "8")
    page.wait_for_selector("#problem-adapter-rank [role=alert]", state="detached")
