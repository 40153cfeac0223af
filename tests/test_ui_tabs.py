"""What the tabs data, run, export and chat show, without a browser: condensed runs, escaped HTML, conversations."""

from __future__ import annotations

import copy
import math
import random
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from tests.ui_double import FakeEngine, Piece
from workbench.config.errors import Problem, WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.engine.names import STATUS_NAMES, status_name
from workbench.engine.runview import MAX_POINTS, Curve, RunView
from workbench.ui import chart, html, rowhtml, runhtml
from workbench.ui.conversation import BASE, TUNED, Conversation, Turn, plain
from workbench.ui.uploading import _Uploads

ATTACK = '<img src=x onerror="window.__x=1"><script>alert(1)</script>'


def metrics(seq: int, step: int, **values: Any) -> dict[str, Any]:
    return {"seq": seq, "time": 0.0, "type": "metrics", "step": step, "total_steps": 1000, **values}


def record(**values: Any) -> Any:
    known: dict[str, Any] = {
        "id": "r", "name": "pirate", "status": "running", "method": "sft", "adapter": "lora", "base_model": "starter",
        "last_step": 0, "total_steps": 0, "started": None, "finished": None, "error": None,
        "created": "2026-11-20T12:00:00+00:00", "train_loss": None, "dataset": "pirate-voice", **values,
    }  # fmt: skip
    known["active"] = known["status"] in ("queued", "running", "stopping")
    return SimpleNamespace(**known)


# -- curves ---------------------------------------------------------------------------------------------------------


def test_a_short_curve_keeps_every_value() -> None:
    curve = Curve()
    for step in range(MAX_POINTS):
        curve.add(step, step / 2)
    assert curve.points() == [(step, step / 2) for step in range(MAX_POINTS)]


@pytest.mark.parametrize("count", [401, 799, 800, 801, 1603, 25_000])
def test_a_long_curve_stays_short_in_order_and_keeps_its_mean_and_its_ends(count: int) -> None:
    curve, noise = Curve(), random.Random(count)
    values = [5 * math.exp(-step / count) + noise.uniform(-0.1, 0.1) for step in range(count)]
    for step, value in enumerate(values, 1):
        curve.add(step, value)
    points = curve.points()
    assert MAX_POINTS // 2 <= len(points) <= MAX_POINTS
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps)) and steps[-1] == count
    mean = sum(bucket.mean * bucket.count for bucket in curve._buckets) / count
    assert mean == pytest.approx(sum(values) / count)


def test_a_curve_leaves_out_what_is_no_number() -> None:
    curve = Curve()
    for value in (1.0, math.nan, None, math.inf, 2.0):
        curve.add(1, value)
    assert [value for _, value in curve.points()] == [1.0, 2.0]


def test_a_curve_that_went_back_to_a_checkpoint_is_drawn_on_from_there() -> None:
    curve = Curve(limit=8)
    for step in range(1, 33):
        curve.add(step, 1.0)
    curve.cut_after(10)
    assert curve.points()[-1][0] == 10
    for step in range(11, 41):
        curve.add(step, 2.0)
    steps = [step for step, _ in curve.points()]
    assert steps == sorted(set(steps)) and steps[-1] == 40 and len(steps) <= 8


# -- condensed runs ---------------------------------------------------------------------------------------------------


def test_a_view_fed_in_pieces_is_the_view_fed_at_once(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path)
    run_id = engine.submit(RunConfig.parse({"evaluation": {"questions": ["Who are you?"]}}))
    engine.finish(run_id)
    whole, piecewise = RunView(run_id), RunView(run_id)
    whole.feed(engine.events(run_id))
    for _ in range(1000):
        if not piecewise.feed(engine.events(run_id, after=piecewise.cursor)[:7]):
            break
    assert piecewise.loss.points() == whole.loss.points()
    assert (piecewise.last, piecewise.cursor, piecewise.status) == (whole.last, whole.cursor, "completed")
    assert piecewise.answers["Who are you?"] == whole.answers["Who are you?"]


def test_events_that_were_seen_change_nothing() -> None:
    view = RunView()
    assert view.feed([metrics(1, 1, loss=2.0)])
    assert not view.feed([metrics(1, 1, loss=2.0)])
    assert view.loss.points() == [(1, 2.0)]


def test_a_resumed_run_forgets_the_steps_that_it_does_again() -> None:
    view = RunView()
    view.feed([metrics(n, n, loss=1.0) for n in range(1, 21)])
    view.feed([metrics(21, 10, eval_loss=0.9), metrics(22, 20, eval_loss=0.5)])
    view.feed([{"seq": 23, "type": "status", "status": "running", "from_step": 12}])
    assert view.loss.points()[-1][0] == 12
    assert view.eval_loss.points() == [(10, 0.9)] and view.best_eval == (10, 0.9)


def test_a_run_that_starts_over_without_a_checkpoint_forgets_all_its_steps() -> None:
    view = RunView()
    sample = {"type": "sample", "step": 0, "question": "?", "answer": "!"}
    view.feed([{"seq": 1, **sample}, metrics(2, 26, loss=1.0, eval_loss=2.0, seconds_left=9.0)])
    view.feed([{"seq": 3, "type": "status", "status": "running"}])
    assert view.loss.points() == [] and view.last == {"total_steps": 1000, "step": 0}
    view.feed([{"seq": 4, **sample}])
    assert "now, step 0" not in runhtml.answers(record(), view, "en")
    view.feed([{"seq": 5, "type": "status", "status": "stopped"}])
    assert "before the first step" in runhtml.sentence(record(status="stopped", last_step=20), view, "en")


def test_first_and_latest_answer_stand_side_by_side() -> None:
    view = RunView()
    for seq, (step, answer) in enumerate([(0, "The sky is blue."), (100, "Arr."), (200, "Arr, blue!")], 1):
        view.feed([{"seq": seq, "type": "sample", "step": step, "question": "Sky?", "answer": answer}])
    made = runhtml.answers(record(), view, "en")
    assert "before training" in made and "The sky is blue." in made
    assert "now, step 200" in made and "Arr, blue!" in made and "Arr.<" not in made
    assert "训练后，第 200 步" in runhtml.answers(record(status="completed"), view, "zh")


def test_unknown_events_of_a_newer_version_are_passed_over() -> None:
    view = RunView()
    assert view.feed([{"seq": 1, "type": "later", "word": "learning"}]) and view.cursor == 1


def test_an_event_without_new_numbers_keeps_the_last_ones() -> None:
    view = RunView()
    view.feed([metrics(1, 5, loss=1.5, learning_rate=2e-4, memory_bytes=310_000_000), metrics(2, 5, eval_loss=1.25)])
    made = runhtml.tiles(record(), view, "en")
    for shown in ("1.500", "1.250", "2e-4", "310 MB"):
        assert shown in made


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("status", [*STATUS_NAMES, "paused"])
def test_every_state_has_a_headline_and_a_sentence(status: str, lang: str) -> None:
    view = RunView()
    view.feed([metrics(1, 5, loss=1.5, seconds_left=30.0)])
    shown = record(status=status)
    assert status_name(status).to(lang).lower() in runhtml.headline(shown, view, lang).lower()
    assert "verdict" in runhtml.sentence(shown, view, lang)


@pytest.mark.parametrize(
    ("lang", "said"), [("en", "None of the 3 answers changed. Try more."), ("zh", "没有变化。多试。")]
)
def test_the_end_of_a_run_says_what_it_shows_and_what_to_try(lang: str, said: str) -> None:
    event = {
        "seq": 1, "type": "verdict", "words": ["unchanged"],
        "message": {"en": "None of the 3 answers changed.", "zh": "没有变化。"}, "hint": {"en": "Try more.", "zh": "多试。"},
    }  # fmt: skip
    view = RunView()
    view.feed([event])
    made = runhtml.sentence(record(status="completed"), view, lang)
    assert said in re.sub(r"<[^>]+>", "", made) and "verdict warn" in made and ("Finished" in made) == (lang == "en")
    stopped = runhtml.sentence(record(status="stopped", last_step=3), view, lang)
    assert said in re.sub(r"<[^>]+>", "", stopped) and stopped.count('class="verdict') == 2
    assert stopped.count("<b>") == 1 and said[:4] not in stopped.split("</b>")[0], "one thing is said loudly"
    view.feed([{"seq": 2, "type": "status", "status": "running"}])
    assert said[:9] not in runhtml.sentence(record(), view, lang), "it goes on, and will be judged anew"
    good = RunView()
    good.feed([event | {"words": ["learning"]}])
    assert "warn" not in runhtml.sentence(record(status="completed"), good, lang)


def test_a_failed_run_shows_its_error_once_with_what_to_do_and_without_traceback() -> None:
    error = {
        "message": {"en": "out of memory", "zh": "内存不足"},
        "hint": {"en": "Use smaller batches.", "zh": "减小批大小。"},
    }
    view = RunView()
    view.feed([{"seq": 1, "type": "problem", **error}])
    made = runhtml.sentence(record(status="failed", error=error), view, "en")
    assert made.count("Out of memory") == 1 and "Use smaller batches." in made and "verdict no" in made
    assert "内存不足" in runhtml.sentence(record(status="failed", error=error), view, "zh")


def test_what_comes_from_outside_is_escaped_everywhere_on_the_run_tab() -> None:
    view = RunView()
    both = {"en": ATTACK, "zh": ATTACK}
    view.feed([
        {"seq": 1, "type": "stage", "stage": "x", "text": both},
        {"seq": 2, "type": "sample", "step": 0, "question": ATTACK, "answer": ATTACK},
        {"seq": 3, "type": "problem", "message": both, "hint": both},
    ])  # fmt: skip
    shown = record(
        name=ATTACK, base_model=ATTACK, method=ATTACK, adapter=ATTACK, status="failed", error={"message": both}
    )
    for made in (
        runhtml.headline(record(name=ATTACK, base_model=ATTACK), view, "en"),
        runhtml.headline(shown, view, "en"),
        runhtml.sentence(shown, view, "en"),
        runhtml.answers(shown, view, "en"),
    ):
        assert "<img" not in made and "<script" not in made and "&lt;img" in made.lower()


# -- chart ------------------------------------------------------------------------------------------------------------


def test_the_chart_gets_few_points_and_the_readers_words() -> None:
    view = RunView()
    view.feed([metrics(n, n, loss=3.0 / n) for n in range(1, 5001)])
    drawn = chart.drawing(view, "zh")
    assert [line["name"] for line in drawn["series"]] == ["训练损失", "留出样本的损失"]
    assert len(drawn["series"][0]["x"]) <= MAX_POINTS and drawn["end"] == 1000
    assert "5000" in drawn["summary"]


def test_the_chart_draws_text_as_text_only() -> None:
    script = chart._file("chart.js")
    assert "textContent" in script and "innerHTML" not in script and "insertAdjacentHTML" not in script


# -- rows of a data set -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "example",
    [
        {"messages": [{"role": "user", "content": ATTACK}, {"role": ATTACK, "content": ATTACK}]},
        {"text": ATTACK},
        {"text": "x", "label": ATTACK},
        {"prompt": [{"role": "user", "content": ATTACK}]},
        {"prompt": [], "completion": [{"role": "assistant", "content": ATTACK}], "label": True},
        {
            "prompt": [{"role": "user", "content": "?"}],
            "chosen": [{"role": "assistant", "content": ATTACK}],
            "rejected": [{"role": "assistant", "content": ATTACK}],
        },
    ],
)
def test_rows_of_every_kind_are_shown_and_escaped(example: dict[str, Any]) -> None:
    made = rowhtml.conversations([example], 41, "en")
    assert "Example 42" in made and "&lt;img" in made and "<img" not in made and "<script" not in made


def test_a_pair_stands_side_by_side_with_its_names() -> None:
    pair = {key: [{"role": "assistant", "content": key}] for key in ("chosen", "rejected")}
    made = rowhtml.conversations([{"prompt": [], **pair}], 0, "en")
    assert 'class="two"' in made and "chosen (better)" in made and "said rejected" in made


def test_a_very_long_row_is_cut_for_the_screen_and_says_so() -> None:
    made = rowhtml.conversations([{"text": "x" * 50_000}], 0, "en")
    assert len(made) < 6_000 and "46,000 more characters" in made
    many = rowhtml.coloured([[Piece("a", True, False)] * 9_000], 0, "en")
    assert many.count("<span") == rowhtml.MAX_PIECES + 1


def test_tokens_are_coloured_and_escaped() -> None:
    made = rowhtml.coloured(
        [[Piece("<|user|>", False, False), Piece(ATTACK, True, False), Piece("z", True, True)]], 0, "en"
    )
    assert '<span class="i">&lt;|user|&gt;</span>' in made and '<span class="c">z</span>' in made and "<img" not in made


def test_problems_name_the_rows_and_say_which_are_left_out() -> None:
    counts = {
        "rows": 40, "learned_tokens": 9, "longest": 3, "cut": 4, "dropped": 1,
        "problems": [
            {"code": "empty", "rows": list(range(1, 31)), "message": Text("Rows: {d}", "行：{d}").with_(d=ATTACK), "left_out": True},
            {"code": "note", "rows": [3], "message": Text("Noted", "注意"), "left_out": False},
        ],
    }  # fmt: skip
    made = rowhtml.problems(counts, 512, None, "en")
    assert "rows 1, 2, 3" in made and "18 more" in made and made.count("left out") == 1
    assert "4 rows are longer than 512" in made and "<img" not in made
    assert "<small>rows left out</small><b>31</b>" in rowhtml.tiles(counts, "en")
    assert "…" in rowhtml.tiles({"rows": 40}, "zh")
    assert "only 9 rows to learn from" in made
    assert "没有发现问题" in rowhtml.problems({"rows": 20}, 512, None, "zh")
    unfit = rowhtml.problems({"rows": 20}, 512, Text("Add a column.", "请加一列。"), "zh")
    assert "请加一列" in unfit and "没有发现问题" not in unfit


def test_an_error_with_quotes_and_further_problems_is_escaped_once() -> None:
    problems = tuple(Problem(Text(f'"{n}" is wrong', f"“{n}”不对"), Text('Use "UTF-8".', "请用 UTF-8。")) for n in "ab")
    made = rowhtml.error(WorkbenchError(problems[0].message, problems[0].hint, problems=problems), "en")
    assert "&amp;" not in made and "&lt;br" not in made and made.count("<br>") == 1


def test_a_refused_file_is_told_in_place_with_all_sentences() -> None:
    made = rowhtml.error(
        WorkbenchError(Text("line 3 of {f} is no JSON", "x").with_(f=ATTACK), Text("Fix it.", "y")), "en"
    )
    assert "Line 3 of" in made and "Fix it." in made and "<img" not in made


# -- conversations ------------------------------------------------------------------------------------------------------


def test_each_side_hears_its_own_answers_and_no_unanswered_question() -> None:
    talk = Conversation()
    talk.turns = [Turn("one", {BASE: "b1", TUNED: "t1"}), Turn("two", {BASE: "b2"})]
    assert [message["content"] for message in talk.messages(BASE, "three", " be kind ")] == [
        "be kind", "one", "b1", "two", "b2", "three",
    ]  # fmt: skip
    assert [message["role"] for message in talk.messages(TUNED, "three")] == ["user", "assistant", "user"]


def test_an_engine_that_ends_an_answer_by_its_event_does_not_end_the_other_side() -> None:
    talk = Conversation()
    talk.next_answer().set()
    assert not talk.next_answer().is_set()
    talk.halt()
    assert talk.next_answer().is_set()


def test_every_session_has_a_conversation_of_its_own() -> None:
    first = Conversation()
    first.turns.append(Turn("mine"))
    second = copy.deepcopy(first)
    second.stop.set()
    assert second.turns == [] and not first.stop.is_set()


def test_clearing_ends_the_answer_that_is_being_made() -> None:
    talk = Conversation()
    talk.turns.append(Turn("one"))
    talk.clear()
    assert talk.stop.is_set() and talk.shown(BASE) == []


@pytest.mark.parametrize(
    "said",
    ["![](http://10.0.0.1/leak.png)", ATTACK, "<b>hi</b>", "![x][ref]\n\n[ref]: http://10.0.0.1/x.png", "<!-- x -->"],
)
def test_answers_hold_no_markup_that_a_browser_would_obey(said: str) -> None:
    shown = plain(said)
    assert "![" not in shown and "<i" not in shown and "<b" not in shown and "<s" not in shown and "<!" not in shown
    assert shown.replace("\u200b", "") == said


def test_code_in_answers_stays_as_it_was_written() -> None:
    said = "Use <b>:\n```html\n<b>hi</b>\n![x](y)\n```\nand <i>."
    shown = plain(said)
    assert "```html\n<b>hi</b>\n![x](y)\n```" in shown and "<i>" not in shown


def test_a_large_count_is_never_a_thousand_of_its_unit() -> None:
    said = {count: html.amount(count) for count in (999, 999_600, 999_885_952, 9_960_000, 1.5e9)}
    assert list(said.values()) == ["999", "1.0M", "1.0B", "10.0M", "1.5B"]


def test_what_would_be_uploaded_stays_shown_when_word_of_its_own_fields_comes_late() -> None:
    uploads = _Uploads(None)  # type: ignore[arg-type]
    fields = ["run", "tuned", "adapter", False, True]
    shown = {"fields": list(fields), "wanted": {"run": "run"}}
    assert uploads.forget(*fields, shown) == gr.skip()
    for other in ({}, {**shown, "fields": ["run", "other", "adapter", False, True]}):
        said, planned, button = uploads.forget(*fields, other)
        assert (said, planned, button.interactive) == ("", {}, False)
