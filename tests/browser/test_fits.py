"""A run that is too large for the computer: the page says so, and its buttons make it fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import fill, free_port, show
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment

environment()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    """A double on a computer with little memory; its page stands at `engine.url`."""
    from workbench.ui.page import start

    made = FakeEngine(tmp_path)
    made.memory = 2_700_000_000
    served = start(made, port=free_port())
    made.url = served.url
    yield made
    served.close()


@pytest.mark.parametrize(
    ("lang", "short", "halves"),
    [("en", "more memory than there is", "Learn {} rows at"), ("zh", "超过了现有内存", "每次只学 {} 条样本")],
)
def test_a_run_that_does_not_fit_is_made_to_fit_by_a_button(
    engine: Any, open_page: Any, lang: str, short: str, halves: str
) -> None:
    page = open_page(engine.url, lang=lang)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    assert not page.locator("#train-advice button").count()
    fill(page, "optimization-batch_size", "64")
    page.wait_for_function("said => document.querySelector('#train-forecast').innerText.includes(said)", arg=short)
    page.wait_for_selector("#train-forecast .memory-parts.no")
    button = page.locator("#train-advice button", has_text=halves.format(32))
    button.click()
    page.wait_for_function("() => document.querySelector('#field-optimization-batch_size input').value === '32'")
    # One press is one change, and what is offered next follows from it.
    for before, rows in (("no", "16"), ("tight", "8")):
        page.wait_for_selector(f"#train-forecast .memory-parts.{before}")
        page.locator("#train-advice button").filter(has_text=halves.format(rows)).click()
        page.wait_for_function(
            "rows => document.querySelector('#field-optimization-batch_size input').value === rows", arg=rows
        )
    page.wait_for_selector("#train-forecast .memory-parts:not(.no):not(.tight)")
    page.wait_for_function("() => !document.querySelector('#train-advice button')")
