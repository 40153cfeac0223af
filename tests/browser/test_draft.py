"""The draft of a run in the browser: what a person set stays, says who set it, and is the same in two tabs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import SOON, Double, choose, fill, show, wait_until
from tests.browser.traffic import settled

RATE = "#field-optimization-learning_rate"
PRESETS = {
    "en": ("First run in Chinese", "LoRA on a card", "First run (2"),
    "zh": ("第一次运行：中文", "8 GB", "第一次运行（2"),
}
WHO = "place => getComputedStyle(document.querySelector(place + ' [data-testid=block-info]'), '::after').content"


def opened(page: Any) -> None:
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")


def value(page: Any, place: str) -> str:
    return page.input_value(f"{place} input")


@pytest.mark.parametrize(
    ("lang", "width", "data", "you", "preset"),
    [
        ("en", 1280, "Better answers", "set by you", "from the preset"),
        ("zh", 390, "更好的回答", "你设置的", "来自预设"),
    ],
)
def test_data_and_rate_stay_with_three_presets_and_another_method_and_back(
    double: Double, open_page: Any, lang: str, width: int, data: str, you: str, preset: str
) -> None:
    page = open_page(double.url, lang=lang, width=width, dark=lang == "zh")
    opened(page)
    wait_until(lambda: preset in page.evaluate(WHO, RATE))
    page.click("#field-data-train input")
    page.locator("[role=option]").filter(has_text=data).first.click()
    wait_until(lambda: you in page.evaluate(WHO, "#field-data-train"))
    chosen = value(page, "#field-data-train")
    for title in PRESETS[lang]:
        choose(page, "train-preset", title)
        wait_until(lambda title=title: title in value(page, "#train-preset"))
        settled(page)
        assert value(page, "#field-data-train") == chosen
    fill(page, "optimization-learning_rate", "0.0123")
    wait_until(lambda: you in page.evaluate(WHO, RATE))
    for method in ("SFT", "DPO"):
        choose(page, "field-method-kind", method)
        settled(page)
        assert value(page, RATE) == "0.0123"
    page.locator("#train-preset-note button[data-deed=undo]").filter(has_text="↩").last.wait_for()
    rate = page.locator(
        "#train-preset-note button[data-deed=undo]", has_text="Learning rate" if lang == "en" else "学习率"
    )
    rate.first.click()
    wait_until(lambda: value(page, RATE) == "0.003")
    wait_until(lambda: preset in page.evaluate(WHO, RATE))
    assert value(page, "#field-data-train") == chosen
    kept = [*(double.engine.home / "drafts").glob("*.json")]
    assert len(kept) == 1  # this visitor's


def test_two_tabs_of_one_browser_agree_and_a_reload_too(double: Double, open_page: Any) -> None:
    one = open_page(double.url)
    opened(one)
    other = one.context.new_page()
    other.set_default_timeout(SOON)
    other.goto(double.url)
    other.wait_for_selector("#chip-run")
    opened(other)
    fill(one, "optimization-learning_rate", "0.0077")
    wait_until(lambda: value(other, RATE) == "0.0077", 60)
    fill(other, "optimization-epochs", "7")
    wait_until(lambda: value(one, "#field-optimization-epochs") == "7", 60)
    assert value(one, RATE) == "0.0077"
    choose(one, "train-preset", "LoRA on a card")
    wait_until(lambda: "LoRA on a card" in value(other, "#train-preset"), 60)
    one.reload()
    one.wait_for_selector("#train-forecast .facts")
    wait_until(lambda: "LoRA on a card" in value(one, "#train-preset"), 60)
    one.evaluate("() => { if (localStorage.getItem('workbench-form').length > 400) throw 'more than an id'; }")


def test_a_wrong_value_is_still_there_and_marked_after_a_reload(double: Double, open_page: Any) -> None:
    page = open_page(double.url)
    opened(page)
    fill(page, "optimization-learning_rate", "-1")
    page.wait_for_selector("#problem-optimization-learning_rate [role=alert]")
    page.reload()
    page.wait_for_selector("#problem-optimization-learning_rate [role=alert]")
    assert value(page, RATE) == "-1"
    assert "DraftForm" not in page.inner_text("body")
