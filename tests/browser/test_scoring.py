"""Models that sort and judge, from a file to the answer: the table of confusions, and margins that move."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import fill, runs_of, show, wait_until

STEPS = 30
WORDS = {
    "en": (("wonderful", "great", "dull", "awful"), "The film was {word}, said guest {n}.", ("liked", "disliked")),
    "zh": (("精彩", "好看", "无聊", "糟糕"), "第{n}位观众说这部电影很{word}。", ("喜欢", "不喜欢")),
}


def reviews(lang: str, path: Path) -> Path:
    """Ninety labelled texts, of which one word makes the label."""
    words, text, labels = WORDS[lang]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for n in range(90):
            writer.writerow((text.format(word=words[n % 4], n=n), labels[n % 4 // 2]))
    return path


def set_steps(page: Any) -> None:
    for section, name, value in (("optimization", "max_steps", STEPS), ("evaluation", "every_steps", 10)):
        if not page.locator(f"#field-{section}-{name} input").is_visible():
            page.locator(f"#fold-{section} > button").click()
        fill(page, f"{section}-{name}", str(value))
    page.wait_for_function(f"() => document.querySelector('#train-forecast .facts')?.innerText.match(/\\b{STEPS}\\b/)")


def started(app: Any, page: Any) -> None:
    before = len(runs_of(app.home))
    page.locator("#train-start").click()
    wait_until(lambda: len(runs_of(app.home)) > before, 60)


def ended(app: Any, page: Any, method: str) -> None:
    wait_until(lambda: runs_of(app.home)[0]["status"] not in ("queued", "running"), 240)
    run = runs_of(app.home)[0]
    assert (run["status"], run["method"], run["last_step"]) == ("completed", method, STEPS), run["error"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_reviews_are_sorted_from_an_upload_to_the_table_of_confusions(
    app: Any, open_page: Any, tmp_path: Path, lang: str
) -> None:
    words, text, labels = WORDS[lang]
    page = open_page(app.url, lang=lang)
    show(page, "data")
    page.set_input_files("#data-upload input[type=file]", str(reviews(lang, tmp_path / f"guests-{lang}.csv")))
    page.wait_for_function("name => document.querySelector('#data-choice input').value === name", arg=f"guests-{lang}")
    show(page, "train")
    page.wait_for_function(
        "name => document.querySelector('#field-data-train input').value === name", arg=f"guests-{lang}"
    )
    method = {"en": "Sort texts by label (classification)", "zh": "给文本分类"}[lang]
    page.wait_for_function("name => document.querySelector('#field-method-kind input').value === name", arg=method)
    set_steps(page)
    started(app, page)
    accuracy = {"en": "accuracy", "zh": "准确率"}[lang]
    page.wait_for_function("word => document.querySelector('#run-tiles')?.innerText.includes(word)", arg=accuracy)
    page.wait_for_selector(f"#run-chart svg[aria-label*='{accuracy}']", timeout=120_000)
    ended(app, page, "classify")
    page.wait_for_selector(".confusions td.right")
    heads = page.locator(".confusions thead th").all_inner_texts()
    assert heads[1:3] == sorted(labels)
    assert sum(int(cell) for cell in page.locator(".confusions td[class]").all_inner_texts()) == 9  # a tenth of 90
    page.wait_for_function("word => document.querySelector('#run-note').innerText.includes(word)", arg=accuracy)

    show(page, "chat")
    page.wait_for_function("() => document.querySelector('#chat-tuned')?.getClientRects().length")
    page.locator("#chat-box textarea, #chat-box input").first.fill(text.format(word=words[0], n=501))
    page.locator("#chat-send").click()
    page.wait_for_function("() => document.querySelector('#chat-tuned .bot')?.innerText.includes('%')")
    page.wait_for_selector("#chat-stop:disabled")
    assert labels[0] in page.locator("#chat-tuned .bot").last.inner_text()


@pytest.mark.parametrize(
    ("preset", "method", "name"), [("reward-starter", "reward", "margin"), ("own-pairs", "dpo", "margin")]
)
def test_margins_move_while_pairs_are_learned(app: Any, open_page: Any, preset: str, method: str, name: str) -> None:
    page = open_page(app.url)
    show(page, "train")
    page.wait_for_selector("#train-forecast .facts")
    title = {"reward-starter": "Judge answers: the starter model", "own-pairs": "Your own pairs: the starter model"}[
        preset
    ]
    page.click("#train-preset input")
    page.click(f"[role=option]:has-text('{title}')")
    page.wait_for_function("word => document.querySelector('#train-preset-note').innerText.length > 0", arg=title)
    page.wait_for_function(
        "kind => document.querySelector('#field-method-kind input').value.includes(kind)",
        arg={"reward": "reward model", "dpo": "DPO"}[method],
    )
    if preset == "own-pairs":
        page.click("#field-data-train input")
        page.click("[role=option]:has-text('shorter and kinder')")
    set_steps(page)
    started(app, page)
    drawn = f"#run-chart svg[aria-label*='{name}']"
    page.wait_for_selector(drawn, timeout=120_000)
    first = page.locator(drawn).first.get_attribute("aria-label")
    page.wait_for_function(
        "([place, said]) => document.querySelector(place)?.getAttribute('aria-label') !== said", arg=[drawn, first]
    )
    ended(app, page, method)
    events = (app.home / "runs" / runs_of(app.home)[0]["id"] / "events.jsonl").read_text(encoding="utf-8").splitlines()
    numbers = [event["more"] for event in map(json.loads, events) if event.get("eval_loss") is not None]
    key = "eval_margin" if method == "reward" else "eval_rewards/margins"
    assert numbers[-1][key] > 0.2 and len({one[key] for one in numbers}) > 1
    page.wait_for_function(
        "word => document.querySelector('#run-tiles').innerText.includes(word)", arg="better answer wins"
    )
