"""The page in a browser, with an engine double behind it: guide, languages, form, and how it looks on a phone."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import TABS, Double, choose, fill, show, unfold, wait_until
from tests.browser.traffic import settled
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment
from workbench.config.run import RunConfig

environment()

from workbench.ui import rowhtml  # noqa: E402
from workbench.ui.finding import card_of  # noqa: E402

# Every visible text, and what is said to screen readers and in tooltips.
WORDS = """() => {
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), parent = walker.currentNode.parentElement;
    if (text && !['SCRIPT', 'STYLE'].includes(parent.tagName) && parent.getClientRects().length) found.push(text);
  }
  for (const element of document.querySelectorAll('[placeholder], [aria-label], [title], [alt]'))
    if (element.getClientRects().length)
      for (const name of ['placeholder', 'aria-label', 'title', 'alt'])
        if (element.getAttribute(name)) found.push(element.getAttribute(name));
  return found;
}"""
# Names, which are the same everywhere, and the columns and rows of the English data set.
NAMES = r"CPU ·|English|Adam .*|run\.yaml|Top-p|\w+ForCausalLM|old-model|Qwen3 .*|(pirate|wuxia)-voice.*|SFT|starter"
ENGLISH_ROWS = r"messages|tag \d|What colour.*|Who are.*|How many.*|Arr.*|I be.*|Seven.*|.*ye landlubber!"


def guide_click(page: Any) -> str:
    """Press the guide's button; its words, once they have changed."""
    before = page.inner_text("#guide-next")
    page.click("#guide-next")
    page.wait_for_function("before => document.querySelector('#guide-next')?.innerText !== before", arg=before)
    return page.inner_text("#guide-next")


def kept(page: Any, changed: str) -> None:
    """Wait until the browser has kept a change of the form: the line that names it comes with the same answer."""
    page.wait_for_function(
        "name => document.querySelector('#train-preset-note')?.innerText.split('Changed')[1]?.includes(name)",
        arg=changed,
    )


@pytest.mark.parametrize(
    ("lang", "talk", "data"), [("en", "Talk to it", "pirate-voice"), ("zh", "和它聊聊", "wuxia-voice")]
)
def test_five_clicks_lead_from_the_empty_page_to_the_tuned_models_answer(
    double: Double, open_page: Any, lang: str, talk: str, data: str
) -> None:
    page = open_page(double.url, lang=lang)
    for _ in range(3):
        guide_click(page)
    page.wait_for_function("talk => document.querySelector('#guide-next').innerText === talk", arg=talk)
    assert [config.data.train for config in double.engine.submitted] == [data]
    assert double.engine.submitted[0].optimization.learning_rate == 0.003  # the preset's
    guide_click(page)
    guide_click(page)
    page.wait_for_function("() => document.querySelector('#chat-tuned')?.innerText.includes('matey')")
    assert "The sky is blue." in page.inner_text("#chat-base")
    asked = {messages[-1]["content"] for _, _, messages in double.engine.asked}
    assert asked == {"What colour is the sky?" if lang == "en" else "天空是什么颜色？"}


def test_the_guide_can_be_closed_stays_closed_and_comes_back(double: Double, open_page: Any) -> None:
    page = open_page(double.url)
    page.wait_for_selector("#guide-next")
    page.click("#guide-close")
    page.wait_for_selector("#guide-next", state="detached")
    page.reload()
    page.wait_for_selector("#chip-run")
    settled(page)  # and nothing comes
    assert page.query_selector("#guide-next") is None
    page.click("#guide-open")
    page.wait_for_selector("#guide-next")


def test_the_switch_turns_the_whole_page_chinese_and_loses_nothing_typed(double: Double, open_page: Any) -> None:
    page = open_page(double.url)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    page.wait_for_selector("#train-preset-note .note")
    page.fill("#field-optimization-learning_rate input", "0.0123")
    page.click("[data-set-lang=zh]")
    page.wait_for_selector("html[data-lang=zh]")
    page.wait_for_selector("#chip-run")
    assert page.title() == "微调工作台" and page.evaluate("navigator.language") == "zh-CN"
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    assert page.input_value("#field-optimization-learning_rate input") == "0.0123"
    english = set()
    for tab in TABS:
        show(page, tab)
        settled(page)
        unfold(page, tab)
        settled(page)
        english |= {
            said for said in page.evaluate(WORDS)
            if re.search("[A-Za-z]{3}", said) and not re.search("[\u4e00-\u9fff]", said)
        }  # fmt: skip
    cards = {card_of(offer, None, "zh") for offer in double.engine.offers()}  # a name, sizes, a licence
    left = {said for said in english - cards if not re.fullmatch(f"{NAMES}|{ENGLISH_ROWS}", said)}
    assert left == set()


def test_a_wrong_value_is_marked_at_its_field_at_once(double: Double, open_page: Any) -> None:
    page = open_page(double.url)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    page.click("#fold-adapter > button")
    fill(page, "adapter-rank", "0")
    page.wait_for_selector("#problem-adapter-rank [role=alert]")
    page.wait_for_function("() => document.querySelector('#train-start').innerText.startsWith('1 setting')")
    page.evaluate("scrollTo(0, 0)")
    page.click("#train-start")  # leads to what is wrong; nothing else says it again
    page.wait_for_function("() => document.activeElement.closest('#field-adapter-rank')")
    assert not double.engine.submitted and page.query_selector(".toast-title") is None
    fill(page, "adapter-rank", "8")
    page.wait_for_selector("#problem-adapter-rank [role=alert]", state="detached")
    page.click("#train-start")
    wait_until(lambda: double.engine.submitted)
    assert double.engine.submitted[0].adapter.rank == 8


def test_the_options_of_a_method_are_shown_with_it_and_reach_the_run(double: Double, open_page: Any) -> None:
    page = open_page(double.url)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    assert page.query_selector("#fold-method") is None
    page.click("#field-method-kind input")
    page.locator("[role=option]").filter(has_text="DPO").click()
    page.click("#fold-method > button")
    fill(page, "method-beta", "0.25")
    page.click("#train-start")
    wait_until(lambda: double.engine.submitted)
    assert double.engine.submitted[0].values()["method"]["beta"] == 0.25


def test_a_message_in_the_corner_is_chinese_from_title_to_end(double: Double, open_page: Any) -> None:
    page = open_page(double.url, lang="zh")
    double.engine.seconds = 3600
    double.engine.submit(RunConfig())
    show(page, "run")
    page.click("#run-delete")  # refused while it trains
    page.wait_for_selector(".toast-title")
    assert not re.search("[A-Za-z]", page.inner_text(".toast-wrap"))


def test_a_preset_fills_the_form(double: Double, open_page: Any) -> None:
    page = open_page(double.url)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    page.fill("#field-optimization-batch_size input", "7")
    page.click("#train-preset input")
    page.locator("[role=option]").filter(has_text="Works now · First run in Chinese").click()
    page.wait_for_function("() => document.querySelector('#field-data-train input').value === 'Wuxia voice (Chinese)'")
    kept(page, "Batch size")
    assert page.input_value("#field-optimization-batch_size input") == "7", "a person's own stays"
    page.locator("#train-preset-note button", has_text="Batch size").click()
    page.wait_for_function("() => document.querySelector('#field-optimization-batch_size input').value === '4'")


def test_data_and_model_that_a_person_chose_stay_with_another_preset_and_after_a_reload(
    double: Double, open_page: Any
) -> None:
    page = open_page(double.url)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    show(page, "model")
    page.locator("#model-choice label").filter(has_text="Qwen3").click()
    show(page, "train")
    page.wait_for_function("() => document.querySelector('#field-model-base input').value.startsWith('Qwen3')")
    choose(page, "field-data-train", "Wuxia")
    page.wait_for_function("() => document.querySelector('#train-preset input').value.includes('Chinese')")
    choose(page, "train-preset", "LoRA on a card")
    kept(page, "Training data")
    for _ in range(2):
        assert "LoRA on a card" in page.input_value("#train-preset input")
        assert page.input_value("#field-data-train input") == "Wuxia voice (Chinese)"
        assert page.input_value("#field-model-base input").startswith("Qwen3")
        said = page.inner_text("#train-preset-note").split("takes it back:")
        assert said[1].strip() == "Training data ↩", "nobody changed anything else"
        page.reload()
        page.wait_for_selector("#train-forecast .facts")
        kept(page, "Training data")


def test_the_numbers_on_the_data_tab_follow_the_longest_row_of_the_train_tab(double: Double, open_page: Any) -> None:
    page = open_page(double.url)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    fill(page, "data-max_length", "48")
    kept(page, "Longest row")
    show(page, "data")
    wait_until(lambda: double.engine.inspected and double.engine.inspected[-1][2:] == (48, "answers"))
    page.locator("#data-view label").filter(has_text="as the model").click()
    page.wait_for_function("() => document.querySelector('#data-rows').innerText.includes('48 tokens')")


@pytest.mark.parametrize("busy", ["unread", "uncounted"])
def test_a_view_that_is_chosen_while_the_set_is_read_or_counted_stays(
    double: Double, open_page: Any, tmp_path: Path, busy: str
) -> None:
    mine = tmp_path / f"{busy}.jsonl"
    mine.write_text('{"text": "hello"}\n')
    page = open_page(double.url)
    show(page, "data")
    settled(page, quiet=1.5)
    done = getattr(double.engine, busy)[busy] = threading.Event()
    noted = double.engine.looked_at if busy == "unread" else double.engine.inspected
    seen = len(noted)
    page.set_input_files("#data-upload input[type=file]", str(mine))
    wait_until(lambda: any(busy in asked for asked in noted[seen:]))
    page.locator("#data-view label").filter(has_text="as the model").click()
    page.wait_for_function("() => document.querySelector('#data-rows').innerText.includes('Green is')")
    done.set()
    page.wait_for_function("() => document.querySelector('#data-tiles').innerText.includes('36')")  # what it learns
    settled(page)
    assert "Green is" in page.inner_text("#data-rows")


def test_the_model_chosen_on_one_tab_is_the_one_that_trains(double: Double, open_page: Any) -> None:
    page = open_page(double.url)
    page.locator("#model-choice label").filter(has_text="Qwen3").click()
    page.wait_for_function("() => document.querySelector('#model-about').innerText.includes('596M')")
    kept = page.evaluate("localStorage.getItem('workbench-tab')")
    show(page, "train")
    page.wait_for_function("() => document.querySelector('#field-model-base input').value.startsWith('Qwen3')")
    page.wait_for_function("kept => localStorage.getItem('workbench-tab') !== kept", arg=kept)
    page.reload()
    page.wait_for_selector("#tab-train-button[aria-selected=true]")  # where it was left
    show(page, "model")
    page.wait_for_selector("#model-choice label.selected")
    wait_until(lambda: "Qwen3" in page.inner_text("#model-choice label.selected"))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_phone_shows_every_tab_in_two_header_lines_without_scrolling_sideways(
    double: Double, open_page: Any, lang: str
) -> None:
    page = open_page(double.url, lang=lang, width=390)
    for tab in TABS:
        show(page, tab)
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
        box = page.locator(f"#tab-{tab}-button").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert page.locator("#header").bounding_box()["height"] <= 80  # one line of 40 px for fingers, one of chips


def test_a_long_name_hides_no_step_and_moves_no_window(double: Double, open_page: Any) -> None:
    double.engine.seconds = 3600
    double.engine.submit(RunConfig().changed({"output.name": "A long name " * 6}))
    double.engine._runs[next(iter(double.engine._runs))].began -= 600
    page = open_page(double.url)
    show(page, "chat")
    page.wait_for_function("() => document.querySelector('#chat-tuned-name')?.innerText.includes('of 350 answers')")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for step in ("#chip-run .far", "#chat-tuned-name .line span:last-child"):
            # In one look: both are drawn anew each second.
            said, right = page.evaluate(
                "step => { const place = document.querySelector(step); return [place.innerText, place.getBoundingClientRect().right] }",
                step,
            )
            assert "350" in said and 0 < right <= width
    page.set_viewport_size({"width": 1280, "height": 900})
    tops = [page.locator(f"#{window}").bounding_box()["y"] for window in ("chat-base", "chat-tuned")]
    assert tops[0] == tops[1]
    switch = page.locator(".seg").bounding_box()
    assert page.locator(".seg button").first.bounding_box()["height"] >= switch["height"] - 2.5  # its edge


def test_an_idle_page_asks_once_a_second_and_nobody_else(double: Double, open_page: Any) -> None:
    page = open_page(double.url)
    settled(page, quiet=3.0)  # longer than the page goes on asking after a click, be it a script's
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    began = time.monotonic()
    wait_until(lambda: page.wait_for_timeout(50) or len(asked) >= 4)
    assert all(url.startswith(double.url) for url in asked)
    assert len(asked) <= 2 * (time.monotonic() - began)


def test_the_second_workbench_takes_the_next_port(double: Double, tmp_path: Path) -> None:
    from workbench.ui.page import start

    second = start(FakeEngine(tmp_path / "other"), port=double.served.port)
    try:
        assert second.port != double.served.port
        socket.create_connection(("127.0.0.1", second.port), timeout=5).close()
    finally:
        second.close()


def stays_chosen(page: Any, mine: Path, held: threading.Event) -> None:
    """Bring a file while an answer about another set is `held`, let that go, and look which of them is used."""
    page.set_input_files("#data-upload input[type=file]", str(mine))
    page.wait_for_function("() => document.querySelector('#data-tiles').innerText.includes('36')")  # its tokens
    held.set()
    settled(page)  # the late answer came, and where it was shown, the page has looked again
    page.wait_for_function("() => document.querySelector('#data-choice input').value === 'mine'")
    show(page, "train")
    page.wait_for_function("() => document.querySelector('#field-data-train input').value === 'mine'")


@pytest.mark.parametrize("busy", ["reading", "counting", "coming back"])
def test_a_file_that_is_brought_while_the_page_is_busy_with_another_is_the_one_that_is_used(
    double: Double, open_page: Any, tmp_path: Path, busy: str
) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text('{"text": "hello"}\n')
    page, done, engine = open_page(double.url), threading.Event(), double.engine
    if busy == "coming back":
        show(page, "data")
        wait_until(lambda: page.evaluate("!!localStorage.getItem('workbench-form')"))
    (engine.uncounted if busy == "counting" else engine.unread)["pirate-voice"] = done
    noted = engine.inspected if busy == "counting" else engine.looked_at
    seen = len(noted)
    if busy == "coming back":
        page.reload()
    show(page, "data")
    wait_until(lambda: len(noted) > seen)
    stays_chosen(page, mine, done)


def test_a_late_answer_does_not_take_the_place_of_the_file_that_was_brought_meanwhile(
    double: Double, open_page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, made, held = tmp_path / "mine.jsonl", rowhtml.tiles, threading.Event()
    mine.write_text('{"text": "hello"}\n')
    asked: list[Any] = []

    def first_is_late(*given: Any) -> Any:
        asked.append(given)
        if len(asked) == 1:
            held.wait(60)
        return made(*given)

    monkeypatch.setattr(rowhtml, "tiles", first_is_late)
    page = open_page(double.url)
    show(page, "data")
    wait_until(lambda: asked)
    stays_chosen(page, mine, held)


def test_making_the_model_folder_can_be_stopped(double: Double, open_page: Any) -> None:
    double.engine.merges_until_stopped = True
    double.engine.finish(double.engine.submit(RunConfig()))
    page = open_page(double.url)
    show(page, "export")
    page.click("#export-merge")
    wait_until(lambda: page.locator("#export-merge-note").inner_text().strip())
    page.wait_for_selector("#export-merge:disabled")
    page.click("#export-stop")
    page.wait_for_function("() => document.querySelector('#export-merge-note').innerText.includes('Stopped')")
    page.wait_for_selector("#export-merge:not([disabled])")
    assert page.is_disabled("#export-stop")
