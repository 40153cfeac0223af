"""How long a run takes is measured when asked: a button, a bar, and then the forecast says what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import fill, free_port, show, wait_until
from workbench.bootstrap import environment

environment()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Any]:
    """A page of a real engine, in this process."""
    from workbench.engine import Engine
    from workbench.ui.page import start

    engine = Engine(tmp_path / "home")
    page = start(engine, port=free_port())
    page.engine = engine
    yield page
    page.close()
    engine.close()


def forecast_says(page: Any, words: str) -> None:
    page.wait_for_function("said => document.querySelector('#train-forecast').innerText.includes(said)", arg=words)


def test_the_time_is_measured_when_asked_and_thrown_away_when_it_is_another_run(
    served: Any, open_page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.engine import measuring

    page = open_page(served.url)
    show(page, "train")
    forecast_says(page, "very roughly")
    page.click("#train-measure")
    page.wait_for_selector("#train-measure-progress [data-live='job-row']")
    forecast_says(page, ", measured")
    forecast_says(page, "Measured with")
    page.wait_for_selector("#train-measure", state="hidden")
    assert not page.locator("#train-measure-progress .job").count()
    assert not served.engine.runs() and len(served.engine.jobs()) == 1

    other = open_page(served.url, lang="zh")
    show(other, "train")
    forecast_says(other, "粗略估计")  # the Chinese first run has other data

    # Another batch is other work: it is guessed again, and a trial of it can be stopped.
    fill(page, "optimization-batch_size", "3")
    forecast_says(page, "very roughly")
    monkeypatch.setattr(measuring, "STEPS", 100_000)
    monkeypatch.setattr(measuring, "ENOUGH_SECONDS", 1e9)
    page.click("#train-measure")
    page.click("#train-measure-progress [data-deed=cancel]")
    wait_until(lambda: not any(job.active for job in served.engine.jobs()))
    page.wait_for_selector("#train-measure-progress [data-deed=resume]")
    assert [job.status for job in served.engine.jobs()] == ["stopped", "completed"]
    assert "very roughly" in page.inner_text("#train-forecast")
    # What was measured before holds again.
    fill(page, "optimization-batch_size", "8")
    forecast_says(page, ", measured")
