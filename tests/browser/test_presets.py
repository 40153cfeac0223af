"""Presets of one's own in the browser: kept, there after a restart, brought from another tool, deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import App, fill, show, wait_until

LLAMA_FACTORY = "stage: sft\nfinetuning_type: lora\nlora_rank: 12\nlearning_rate: 1.0e-4\nmask_history: true\n"


@pytest.mark.parametrize(("lang", "width", "name"), [("en", 1280, "Short answers"), ("zh", 390, "简短的回答")])
def test_settings_are_kept_as_a_preset_and_used_after_a_restart(
    tmp_path: Path, open_page: Any, lang: str, width: int, name: str
) -> None:
    app = App(tmp_path / "home").start()
    try:
        page = open_page(app.url, lang=lang, width=width)
        show(page, "train")
        page.wait_for_selector("#train-forecast .facts")
        fill(page, "optimization-learning_rate", "0.0015")
        page.click("#fold-presets > button")
        page.fill("#preset-name input, #preset-name textarea", name)
        page.click("#preset-save")
        wait_until(lambda: name in page.inner_text("#preset-note"))
        with page.expect_download() as taken:
            page.click("#preset-take")
        assert "learning_rate: 0.0015" in Path(taken.value.path()).read_text(encoding="utf-8")
    finally:
        app.close()

    app = App(tmp_path / "home", port=app.port).start()
    try:
        page = open_page(app.url, lang=lang, width=width, dark=True)
        show(page, "train")
        page.wait_for_selector("#train-forecast .facts")
        assert page.input_value("#field-optimization-learning_rate input") != "0.0015"
        page.click("#train-preset input")
        page.locator("[role=option]").filter(has_text=name).click()
        wait_until(lambda: page.input_value("#field-optimization-learning_rate input") == "0.0015")

        page.click("#fold-presets > button")
        file = tmp_path / "theirs.yaml"
        file.write_text(LLAMA_FACTORY, encoding="utf-8")
        with page.expect_file_chooser() as chooser:
            page.click("#preset-bring")
        chooser.value.set_files(str(file))
        wait_until(lambda: "mask_history" in page.inner_text("#preset-note"))
        assert "theirs" in page.inner_text("#preset-note")  # the file's name, as it says none itself
        wait_until(lambda: page.input_value("#field-optimization-learning_rate input") == "0.0001")

        page.click("#preset-delete")
        fill(page, "optimization-epochs", "7")
        page.click("#preset-delete-yes")
        wait_until(lambda: len([*(tmp_path / "home" / "presets").glob("*.yaml")]) == 1)
        wait_until(lambda: page.locator("#preset-delete").count() == 0 or not page.is_visible("#preset-delete"))
        for name, value in (("optimization-learning_rate", "0.0001"), ("optimization-epochs", "7")):
            assert page.input_value(f"#field-{name} input") == value  # only the preset went
    finally:
        app.close()
