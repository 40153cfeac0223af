"""Somebody's own files, as other tools write them: brought in the page, trained on, taken along, used elsewhere."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ROOT, fill, runs_of, show, wait_until
from tests.plain_peft import plain_answer

SHIPPED = ROOT / "workbench" / "data" / "shipped"
STARTER = ROOT / "workbench" / "models" / "starter" / "model"
STEPS = 30


def shipped(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SHIPPED / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def alpaca(name: str) -> list[dict[str, str]]:
    """Question and answer as instruction and output."""
    talks = [row["messages"] for row in shipped(name)]
    return [{"instruction": talk[0]["content"], "input": "", "output": talk[1]["content"]} for talk in talks]


def sharegpt_pairs(name: str) -> list[dict[str, Any]]:
    """Preference pairs with `from` and `value`, as LLaMA-Factory keeps them."""
    return [
        {
            "conversations": [{"from": "human", "value": row["prompt"][0]["content"]}],
            "chosen": {"from": "gpt", "value": row["chosen"][0]["content"]},
            "rejected": {"from": "gpt", "value": row["rejected"][0]["content"]},
        }
        for row in shipped(name)
    ]


def set_steps(page: Any) -> None:
    for section, name in (("optimization", "max_steps"), ("evaluation", "every_steps")):
        if not page.locator(f"#field-{section}-{name} input").is_visible():
            page.locator(f"#fold-{section} > button").click()
        fill(page, f"{section}-{name}", str(STEPS))
    page.wait_for_function(f"() => document.querySelector('#train-forecast').innerText.match(/Steps\\s+{STEPS}\\b/)")


@pytest.mark.parametrize(
    ("name", "rows", "known_as", "method", "question"),
    [
        ("sailors", alpaca("pirate-voice"), "format: Alpaca", "sft", "What colour is the sky?"),
        ("客栈", alpaca("dianxiaoer-voice"), "format: Alpaca", "sft", "天空是什么颜色？"),
        ("manners", sharegpt_pairs("shorter-kinder"), "format: preference pairs", "dpo", "Give me a rhyme about rain."),
    ],
    ids=["alpaca", "alpaca-zh", "pairs"],
)
def test_a_file_is_understood_trained_on_and_its_adapter_answers_the_same_elsewhere(
    app: Any, open_page: Any, tmp_path: Path, name: str, rows: Any, known_as: str, method: str, question: str
) -> None:
    file = tmp_path / f"{name}.json"
    file.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    page = open_page(app.url)
    show(page, "data")
    page.set_input_files("#data-upload input[type=file]", str(file))
    page.wait_for_function("name => document.querySelector('#data-choice input').value === name", arg=name)
    page.wait_for_function("known => document.querySelector('#data-about').innerText.includes(known)", arg=known_as)
    page.wait_for_function("rows => document.querySelector('#data-tiles').innerText.includes(rows)", arg=str(len(rows)))

    show(page, "train")
    page.wait_for_function("name => document.querySelector('#field-data-train input').value === name", arg=name)
    set_steps(page)
    before = len(runs_of(app.home))
    page.locator("#train-start").click()
    wait_until(lambda: len(runs_of(app.home)) > before, 60)
    wait_until(lambda: runs_of(app.home)[0]["status"] not in ("queued", "running"))
    run = runs_of(app.home)[0]
    assert (run["status"], run["method"], run["last_step"]) == ("completed", method, STEPS), run["error"]
    events = (app.home / "runs" / run["id"] / "events.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [event["loss"] for event in map(json.loads, events) if event.get("loss") is not None]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])

    show(page, "export")
    page.locator("#export-zip").click()
    page.wait_for_selector("#export-download")
    with page.expect_download() as downloaded:
        page.locator("#export-download").click()
    with zipfile.ZipFile(downloaded.value.path()) as archive:
        archive.extractall(tmp_path / "taken")

    show(page, "chat")
    page.wait_for_function("() => document.querySelector('#chat-tuned')?.getClientRects().length")
    page.locator("#chat-box textarea, #chat-box input").first.fill(question)
    page.locator("#chat-send").click()
    page.wait_for_function("() => document.querySelector('#chat-tuned .bot')?.innerText.trim()")
    page.wait_for_selector("#chat-stop:disabled")
    said = page.locator("#chat-tuned .bot .message-content, #chat-tuned .bot .prose").last.inner_text()
    assert said.split() == plain_answer(STARTER, tmp_path / "taken", question, 256).split()


def test_what_a_file_is_read_as_is_shown_and_can_be_changed(app: Any, open_page: Any, tmp_path: Path) -> None:
    file = tmp_path / "Gezeiten.jsonl"
    rows = [
        {
            "prompt": f"When is high tide {n}?",
            "passage": f"Tide {n} is at {n}.",
            "completion": f"At {n}.",
            "label": n % 2,
        }
        for n in range(24)
    ]
    lines = [json.dumps(row) for row in [*rows, {"prompt": "", "completion": "Now.", "label": 1}, rows[0]]]
    file.write_text("\n".join(lines), encoding="utf-8")
    page = open_page(app.url)
    show(page, "data")
    page.set_input_files("#data-upload input[type=file]", str(file))
    says = "([id, words]) => document.querySelector(id).innerText.includes(words)"
    page.wait_for_function(says, arg=["#data-columns", "says whether the answer is good"])
    for id_, words in (
        ("#data-about", "rated answers"),
        ("#data-columns", "is put before the question"),
        ("#data-columns", "Tide 0 is at 0.\n\nWhen is high tide 0?"),
        ("#data-problems", "Rows with an empty question: 1"),
        ("#data-problems", "Rows that say the same as an earlier row, and are learned again: 1"),
    ):
        page.wait_for_function(says, arg=[id_, words])
    page.click("#data-reading input")
    page.click("[role=option]:has-text('question and answer')")
    page.wait_for_function(says, arg=["#data-about", "conversations"])
    page.wait_for_function(says, arg=["#data-columns", "not used"])
    show(page, "train")
    page.wait_for_function(says, arg=["#train-forecast", "Rows learned"])
