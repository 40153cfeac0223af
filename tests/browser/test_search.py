"""Any setting is found by its name, in either language or another tool's, and one press leads to its field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import fill, free_port, show, type_into
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment

environment()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    from workbench.ui.page import start

    served = start(FakeEngine(tmp_path), port=free_port())
    yield served.url
    served.close()


@pytest.mark.parametrize(
    ("lang", "longest", "only"),
    [("en", "Longest row", "only where"), ("zh", "最大长度", "仅当“方法”为")],
)
def test_a_setting_is_found_by_another_tools_name_and_led_to(
    url: str, open_page: Any, lang: str, longest: str, only: str
) -> None:
    page = open_page(url, lang=lang, width=1280 if lang == "en" else 390)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    cards = page.locator("#train-search-results label")

    def look_for(words: str, first: str) -> None:
        type_into(page, "#train-search-words input", words)
        cards.filter(has_text=first).first.wait_for()

    def leads_to(field: str) -> None:
        cards.first.click()
        page.wait_for_function("id => document.activeElement?.closest(`#field-${id}`)", arg=field)

    look_for("cutoff", longest)
    assert cards.count() == 1
    leads_to("data-max_length")
    look_for("lora_alpha", "adapter.alpha")  # in a section that is folded
    assert not page.locator("#field-adapter-alpha").is_visible()
    leads_to("adapter-alpha")
    page.locator("#train-search-words input").scroll_into_view_if_needed()
    leads_to("adapter-alpha")  # the same one again
    fill(page, "adapter-alpha", "48")
    look_for("pref_beta", only)  # an option of a method that is not chosen: to where it is chosen
    cards.first.click()
    page.wait_for_function("() => document.activeElement?.closest('#field-method-kind')")
    type_into(page, "#train-search-words input", "nothing like that")
    page.wait_for_selector("#train-search-results", state="hidden")
    assert page.input_value("#field-adapter-alpha input") == "48"
