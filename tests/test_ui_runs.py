"""How runs are listed, and what is said of their answers and numbers before, during and after; without a browser."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from tests.test_ui_tabs import metrics, record
from tests.ui_double import FakeEngine
from workbench.config.text import Text
from workbench.engine.names import KEPT_BACK_LOSS, RECENT_LOSS, TRAINING_LOSS
from workbench.engine.runview import RunView
from workbench.ui import chart, runhtml
from workbench.ui.conversation import BASE, TUNED, Conversation, Turn
from workbench.ui.tabs import chat, export

DATA = {"pirate-voice": Text("A pirate's voice", "海盗口吻"), "polite": Text("Polite", "礼貌")}


@pytest.fixture
def training(tmp_path: Path) -> Any:
    """A page's shell and the id of a run with a long name that trains, at step 70 of 350."""
    from workbench.ui.page import build

    engine = FakeEngine(tmp_path, seconds=360_000)
    config = engine.preset("first-run").config().changed({"output.name": "a long name " * 6})
    run = engine.submit(config)
    engine._get(run).began = time.monotonic() - 360_000 / 350 * 70.5
    return SimpleNamespace(shell=build(engine).shell, engine=engine, run=run)


@pytest.mark.parametrize(
    ("lang", "now", "after"), [("en", "step 70 of 350 answers", "Tuned: a"), ("zh", "第 70 / 350 步", "训练后：a")]
)
def test_the_chat_says_which_step_answers_while_it_trains_and_nothing_of_it_afterwards(
    training: Any, lang: str, now: str, after: str
) -> None:
    made = training.shell.live.make("chat-tuned-name", training.run, lang)
    assert now in made and after not in made
    talk = Conversation()
    request = SimpleNamespace(headers={"accept-language": lang})
    asked = (talk, training.run, "Sky?", "", 0.0, 1.0, 64, request)
    told = [frame[2] for frame in chat._answerer(training.shell)(*asked)]
    assert "70" in told[-1] and "350" in told[-1] and talk.turns
    training.engine.finish(training.run)
    made = training.shell.live.make("chat-tuned-name", training.run, lang)
    assert "350" not in made and after in made
    left_out = [frame[2] for frame in chat._answerer(training.shell)(*asked)][-1]
    assert "350" not in left_out and chat._LEFT_OUT.to(lang)[:20] in left_out
    chat._clear(talk)
    assert [frame[2] for frame in chat._answerer(training.shell)(*asked)][-1] == ""


def test_a_trained_model_does_not_go_on_from_what_it_said_in_the_middle_of_its_training_and_its_base_does() -> None:
    talk = Conversation()
    talk.turns = [
        Turn("Sky?", {BASE: "Blue.", TUNED: "Arrr blu"}, in_training=True),
        Turn("Sea?", {TUNED: "Arr, blue."}),
        Turn("Wind?", {BASE: "West.", TUNED: ""}, in_training=True),
    ]
    asked = {
        (side, now): [said["content"] for said in talk.messages(side, "And?", in_training=now)]
        for side in (BASE, TUNED)
        for now in (True, False)
    }
    assert asked[TUNED, True] == ["Sky?", "Arrr blu", "Sea?", "Arr, blue.", "And?"]
    assert asked[TUNED, False] == ["Sea?", "Arr, blue.", "And?"]
    assert asked[BASE, True] == asked[BASE, False] == ["Sky?", "Blue.", "Wind?", "West.", "And?"]
    assert talk.left_out(TUNED, in_training=False) == talk.turns[:1], "a side that said nothing has nothing to lose"
    assert not talk.left_out(TUNED, in_training=True) and not talk.left_out(BASE, in_training=False)


@pytest.mark.parametrize("ends", ["before it is asked", "before its first word", "after its first word"])
def test_a_turn_belongs_to_the_model_that_answered_also_where_the_run_ends_meanwhile(
    training: Any, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, talk, real = training.engine, Conversation(), training.engine.chat
    request = SimpleNamespace(headers={"accept-language": "en"})
    asked = (talk, training.run, "Sky?", "", 0.0, 1.0, 64, request)
    earlier = Turn("Sea?", {BASE: "Grey.", TUNED: "Arr, gr"}, in_training=True)
    talk.target, talk.turns = training.run, [earlier]

    def chat_while_it_ends(target: str, messages: Any, tuned: bool, **sampling: Any) -> Any:
        for number, text in enumerate(real(target, messages, tuned=tuned, **sampling)):
            if tuned and number == (ends == "after its first word"):
                engine.finish(training.run)
            yield text
        if not tuned and ends == "before it is asked":
            engine.finish(training.run)

    monkeypatch.setattr(engine, "chat", chat_while_it_ends)
    told = [frame[2] for frame in chat._answerer(training.shell)(*asked)][-1]
    base, tuned = ([said["content"] for said in messages] for _, _, messages in engine.asked)
    assert base == ["Sea?", "Grey.", "Sky?"]
    assert tuned == (["Sky?"] if ends == "before it is asked" else ["Sea?", "Arr, gr", "Sky?"])
    assert ("left out" in told) == (ends == "before it is asked")
    assert talk.turns[-1].in_training == ("350" in told) == (ends == "after its first word")


def test_a_long_name_is_shortened_and_the_step_stands_beside_it(training: Any) -> None:
    for piece, step in (("chips", "70 / 350"), ("chat-tuned-name", "step 70 of 350")):
        made = training.shell.live.make(piece, training.run, "en")
        shortened = re.findall(r'<span class="chip-text"[^>]*>([^<]*)', made)
        assert "a long name" in shortened[0] and step in made and not any(step in part for part in shortened)


@pytest.mark.parametrize(
    ("lang", "before", "after"), [("en", "in training", "before and after"), ("zh", "训练中", "训练前后对比")]
)
def test_whom_one_talks_to_is_listed_as_it_is_now_where_a_run_ends_or_begins_meanwhile(
    training: Any, lang: str, before: str, after: str
) -> None:
    talk = Conversation()
    assert chat._relisted(training.shell, talk, lang) == gr.skip()  # the tab was never opened
    talk.target, talk.listed = training.run, training.run
    assert before in dict(map(reversed, chat.targets(training.engine, lang)))[training.run]
    assert chat._relisted(training.shell, talk, lang) == gr.skip()  # nothing is different
    training.engine.finish(training.run)
    made = chat._relisted(training.shell, talk, lang)
    assert made.value == training.run and after in dict(map(reversed, made.choices))[training.run]
    assert chat._relisted(training.shell, talk, lang) == gr.skip()
    other = training.engine.submit(training.engine.preset("first-run").config())
    made = chat._relisted(training.shell, talk, lang)
    assert made.value == training.run and before in dict(map(reversed, made.choices))[other]


def test_a_loss_on_rows_kept_back_is_promised_only_where_some_are() -> None:
    view, label = RunView(), KEPT_BACK_LOSS.to("en")
    view.feed([metrics(1, 7, loss=1.0)])
    assert label in runhtml.tiles(record(), view, "en") and label not in runhtml.tiles(record(), view, "en", False)
    view.feed([metrics(2, 7, eval_loss=1.5)])
    assert "1.500" in runhtml.tiles(record(), view, "en", False)


def answered(*answers: tuple[int, str, str]) -> RunView:
    view = RunView()
    view.feed(
        {"seq": seq, "type": "sample", "step": step, "question": question, "answer": answer}
        for seq, (step, question, answer) in enumerate(answers, 1)
    )
    return view


def test_runs_of_the_same_name_are_told_apart_by_number_method_and_data() -> None:
    runs = [
        record(id="c", name="Pirate", method="dpo", dataset="polite", created="2026-11-20T12:00:00+00:00"),
        record(id="b", name="Pirate", adapter="none", created="2026-11-20T12:00:00+00:00"),
        record(id="a", name="Pirate", created="2026-11-20T12:00:00+00:00"),
        record(id="d", name="Other", dataset="gone"),
    ]
    assert runhtml.name_each(runs, DATA, "en") == {
        "a": "Pirate (1) · SFT LoRA · A pirate's voice",
        "b": "Pirate (2) · SFT · A pirate's voice",
        "c": "Pirate (3) · DPO LoRA · Polite",
        "d": "Other",
    }
    names = runhtml.name_each(runs, DATA, "zh")
    assert "海盗口吻" in names["a"]
    called_so = [record(id=one, name="Polite", dataset="polite") for one in "ab"]
    assert runhtml.name_each(called_so, DATA, "en")["a"] == "Polite (1) · SFT LoRA"
    labels = [label for label, _ in runhtml.choices(runs[1:], names, "zh")]
    assert labels[0].startswith("Pirate (2) · ") and "训练中" in labels[0]


@pytest.mark.parametrize(("every", "at"), [(100, 100), (0, 33), (None, 324), (400, 324)])
def test_answers_that_are_not_there_yet_say_when_they_come(every: int | None, at: int) -> None:
    view = answered((0, "Sky?", "Blue."))
    view.feed([metrics(2, 7, loss=1.0) | {"total_steps": 324}])
    made = runhtml.answers(record(), view, "en", ("Sky?", "Sea?"), every)
    assert made.count(f"at step {at}<") == 2 and "Blue." in made and "Sea?" in made
    assert "comes in a moment" in made.split("Sea?")[1]
    assert f"第 {at} 步时" in runhtml.answers(record(), view, "zh", ("Sky?",), every)


def test_before_the_first_step_every_question_is_there_and_nothing_is_after_a_run_that_asked_none() -> None:
    made = runhtml.answers(record(), RunView(), "en", ("Sky?", "Sea?"), 0)
    assert made.count("comes in a moment") == 4 and made.index("Sky?") < made.index("Sea?")
    assert runhtml.answers(record(), RunView(), "en") == ""
    assert runhtml.answers(record(status="failed"), RunView(), "en", ("Sky?",), 0) == ""


def test_at_the_end_of_a_run_the_changed_answers_come_first() -> None:
    view = answered((0, "One?", "1"), (0, "Two?", "2"), (9, "One?", "1"), (9, "Two?", "Two, matey!"))
    during, after = (runhtml.answers(record(status=status), view, "en") for status in ("running", "completed"))
    assert during.index("One?") < during.index("Two?") and after.index("Two?") < after.index("One?")


def test_each_loss_has_one_name_on_every_tab() -> None:
    view, run = RunView(), record(status="completed", train_loss=0.991, eval_loss=1.25, total_steps=15)
    view.feed([metrics(n, n, loss=float(n)) for n in range(1, 16)])
    for lang in ("en", "zh"):
        tiles = runhtml.tiles(run, view, lang)
        shown = dict(export.losses(run, lang))
        assert shown == {RECENT_LOSS.to(lang): "0.991", KEPT_BACK_LOSS.to(lang): "1.250"}
        for name in shown:
            assert f"<small>{name}</small>" in tiles
        assert "<b>0.991</b>" in tiles  # the one that Export shows, not another mean
        names = [line["name"] for line in chart.drawing(view, lang)["series"]]
        assert names == [TRAINING_LOSS.to(lang), KEPT_BACK_LOSS.to(lang)]


@pytest.mark.parametrize("where", ["elsewhere", "run", "exports/deeper", "exports/.."])
def test_a_record_that_names_another_place_has_no_file_to_download(tmp_path: Path, where: str) -> None:
    run = tmp_path / "runs" / "r"
    (run / "exports" / "deeper").mkdir(parents=True)
    place = {
        "elsewhere": tmp_path,
        "run": run,
        "exports/deeper": run / "exports/deeper",
        "exports/..": run / "exports/..",
    }
    (place[where] / "x.zip").write_bytes(b"PK")
    (run / "exports" / "x.zip").write_bytes(b"PK")

    def job(file: Path) -> Any:
        return SimpleNamespace(status="completed", result={"file": str(file)})

    assert export._made(job(place[where] / "x.zip"), "file", run / "exports") is None
    assert export._made(job(run / "exports" / "x.zip"), "file", run / "exports") == run / "exports" / "x.zip"
