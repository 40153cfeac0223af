"""The page for those who use a keyboard or hear it: axe-core finds nothing, tabs are walked with arrows and open at their top."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from tests.browser.conftest import TABS, free_port, show, unfold
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment

environment()

# All rules of axe-core, and the one on trial that asks whether a name begins with what stands on the screen.
FOUND = """async given => {
  const options = {resultTypes: ['violations'], rules: {'label-content-name-mismatch': {enabled: true}}};
  if (given.only) options.runOnly = given.only;
  // A button that is just fading in has no contrast yet.
  const ends = document.getAnimations().filter(one => one.effect.getComputedTiming().endTime !== Infinity);
  await Promise.allSettled(ends.map(one => one.finished));
  const found = (await axe.run(document, options)).violations.filter(one => one.impact !== 'minor');
  return found.map(one => [given.where, one.id, one.impact, one.nodes.slice(0, 5).map(node => node.html.slice(0, 300))]);
}"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    """A double with a long log, whose page stands at `engine.url`."""
    from workbench.ui.page import start

    made = FakeEngine(tmp_path, seconds=3600)
    made.log = lambda run_id, after_byte=0: "".join(f"step {n}\n" for n in range(200))[after_byte:]
    served = start(made, port=free_port())
    made.url = served.url
    yield made
    served.close()


def settled(page: Any, tab: str) -> None:
    """Open a tab and all that is folded on it, and wait until what belongs there has come."""
    show(page, tab)
    page.wait_for_selector(READY[tab])
    unfold(page, tab)


READY = {
    "model": "#model-about .kpis",
    "data": "#data-rows .row",
    "train": "#train-forecast .facts",
    "run": "#run-log pre, #run-answers .two",
    "export": "#export-facts .kpis",
    "chat": "#chat-target input",
}


def chat(page: Any) -> None:
    """Ask both sides something, so that there is something to look at."""
    page.click("#chat-example-1")
    page.wait_for_function("() => document.querySelector('#chat-tuned')?.innerText.includes('matey')")
    page.wait_for_selector("#chat-stop:disabled")


def test_axe_finds_nothing_in_any_tab_in_both_languages_light_and_dark(engine: Any, open_page: Any) -> None:
    engine.finish(engine.submit(engine.preset("first-run").config()))
    found: list[Any] = []
    for lang, dark in (("en", False), ("zh", True)):
        page = open_page(engine.url, lang=lang, dark=dark)
        page.evaluate(AXE_SCRIPT)
        for tab in TABS:
            settled(page, tab)
            found += page.evaluate(FOUND, {"where": f"{tab} {lang}"})  # the Chat tab: while it is empty
        chat(page)
        found += page.evaluate(FOUND, {"where": f"answers {lang}"})
    assert not found


def test_the_keyboard_walks_the_tabs_and_reads_the_log_while_it_grows(engine: Any, open_page: Any) -> None:
    page = open_page(engine.url)
    engine.submit(engine.preset("first-run").config())
    page.focus("#tab-model-button")
    for key, tab in (("ArrowRight", "data"), ("ArrowLeft", "model"), ("ArrowLeft", "chat"), ("ArrowRight", "model"),
                     ("End", "chat"), ("Home", "model")):  # fmt: skip
        page.keyboard.press(key)
        page.wait_for_selector(f"#tab-{tab}-button[aria-selected=true][tabindex='0']")
        assert page.evaluate("document.activeElement.id") == f"tab-{tab}-button"
        assert page.locator("#tabs [role=tab][tabindex='0']").count() == 1
    show(page, "run")
    page.click("#run-log-fold > button")
    page.wait_for_selector("#run-log pre")
    page.focus("#run-log pre")
    page.evaluate("document.querySelector('#run-log pre').seen = true")
    engine.log = lambda run_id, after_byte=0: "one line more\n"
    page.wait_for_function("() => document.querySelector('#run-log pre').innerText.includes('one line more')")
    assert page.evaluate("document.activeElement.matches('#run-log pre') && !document.activeElement.seen")


def test_a_tab_opens_at_its_top_and_takes_the_focus_along(engine: Any, open_page: Any) -> None:
    engine.finish(engine.submit(engine.preset("first-run").config()))
    page = open_page(engine.url)
    for tab, button, following, width in (
        ("model", "model-next", "data", 390),
        ("data", "data-next", "train", 390),
        ("run", "run-next", "export", 1280),
    ):
        page.set_viewport_size({"width": width, "height": 500})
        show(page, tab)
        page.wait_for_selector(READY[tab])
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_function("() => scrollY > 0")
        page.focus(f"#{button}")
        page.keyboard.press("Enter")
        page.wait_for_selector(READY[following])
        page.wait_for_function("() => scrollY === 0")
        assert page.evaluate("document.activeElement.id") == f"tab-{following}-button"


# Many batches of changes between two frames, as while an answer is written; how often the upload boxes were looked for.
BUSY = """async () => {
  const real = Document.prototype.querySelectorAll;
  let looks = 0;
  document.querySelectorAll = what => { if (what.includes('upload-container')) looks++; return real.call(document, what); };
  await new Promise(requestAnimationFrame);
  for (let n = 0; n < 300; n++) {
    document.body.appendChild(document.createElement('i')).remove();
    await Promise.resolve();
  }
  await new Promise(done => setTimeout(done, 300));
  delete document.querySelectorAll;
  return looks;
}"""
NAMES = """() => [...document.querySelectorAll('button.upload-container')].filter(one => one.getClientRects().length).map(one => [
  one.getAttribute('aria-label').split(':')[0], one.innerText.trim().replace(/\\s+/g, ' ')])"""


def test_names_are_mended_once_a_frame_and_where_no_frame_is_drawn(engine: Any, open_page: Any) -> None:
    page = open_page(engine.url)
    settled(page, "data")
    assert 1 <= page.evaluate(BUSY) < 30  # the page changes by itself, too, and a second has 60 frames
    named = page.evaluate(NAMES)
    assert named and all(said == stands for said, stands in named)
    page.evaluate("window.requestAnimationFrame = () => 0")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<button class=label-wrap id=late>More</button>')")
    page.wait_for_selector("#late[aria-expanded=false]")


def test_the_first_answer_that_changed_is_on_the_screen_without_scrolling(engine: Any, open_page: Any) -> None:
    run = engine.submit(engine.preset("first-run").config())
    engine.finish(run)
    page = open_page(engine.url)
    page.wait_for_selector("#guide-next")  # it takes some of the room
    show(page, "run")
    # Looked at within the page: from here an answer may be put anew between finding it and asking for its place.
    page.wait_for_function(
        """() => {
            const place = document.querySelector("#run-answers .two")?.getBoundingClientRect();
            return place && place.height > 0 && place.bottom <= 900;
        }"""
    )
