"""A run that goes on with other settings: what is said of it, what is refused, and what a run that learned nothing says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.homes import WAIT, done, largest_difference, losses, tiny_config, weights
from tests.steps import at_step
from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.engine import changes
from workbench.engine.runview import RunView
from workbench.methods.course import Course, Pace
from workbench.ui import runhtml

SHORT = {"max_steps": 0, "epochs": 0.5, "batch_size": 8, "learning_rate": 5e-3}  # 3 steps of 43 rows


def said(engine, run, lang="en"):
    """The run's problems since it was worked on last, as the page shows them."""
    view = RunView(run)
    view.feed(engine.events(run))
    return "\n".join(problem["message"][lang] for problem in view.problems)


def rates(engine, run):
    return {event["step"]: event["learning_rate"] for event in engine.events(run) if event.get("loss") is not None}


def short_config(**sections):
    sections["optimization"] = {**SHORT, **sections.get("optimization", {})}
    return tiny_config(data={"eval_share": 0.1}, evaluation={"every_steps": 100}, **sections)


@pytest.mark.parametrize("scheduler", ["linear", "cosine"])
def test_a_finished_run_that_gets_more_epochs_has_a_schedule_for_them_and_says_so(engine, scheduler):
    run = done(engine, short_config(optimization={"scheduler": scheduler})).id
    assert engine.run(run).status == "completed" and engine.run(run).last_step == 3
    before = weights(engine.store.path(run))
    engine.resume(run, {"optimization.epochs": 1.0})
    assert engine.wait(run, WAIT)
    record = engine.run(run)
    assert (record.status, record.last_step, record.total_steps) == ("completed", 6, 6)
    assert sorted(losses(engine.events(run))) == [1, 2, 3, 4, 5, 6]
    late = [rates(engine, run)[step] for step in (4, 5, 6)]
    assert late == [rates(engine, run)[step] for step in (1, 2, 3)], "the same schedule again: as many steps"
    assert min(late) > 0
    assert largest_difference(before, weights(engine.store.path(run))) > 1e-3
    sentence = said(engine, run)
    assert "schedule of its own" in sentence and "(3 steps)" in sentence and "learned once" in sentence
    assert "新的学习率曲线" in said(engine, run, "zh")
    assert sentence.splitlines()[0] in engine.log(run)


@pytest.mark.parametrize(
    ("scheduler", "ratio", "fallen", "warms_up"),
    [
        ("linear", 0.1, True, True),
        ("linear", 0.0, True, False),
        ("cosine", 0.0, True, False),
        ("polynomial", 0.1, True, True),
        ("constant", 0.1, False, False),
        ("constant_with_warmup", 0.1, False, True),
        ("constant_with_warmup", 0.0, False, False),
        ("inverse_sqrt", 0.1, False, True),
    ],
)
def test_what_is_said_of_the_schedule_is_true_of_each(scheduler, ratio, fallen, warms_up):
    config = RunConfig().changed({"optimization.scheduler": scheduler, "optimization.warmup_ratio": ratio})
    pace = Pace(batch_size=8, accumulation=1, epochs=1.0)
    before = Course(rows=80, pace=pace, total=10, step=10, epoch=1, scale=10)
    for epochs, added in ((2.0, "10 steps"), (1.1, "1 step")):
        sentence = changes.told(before, before.changed(replace(pace, epochs=epochs)), config)
        english, chinese = sentence.to("en"), sentence.to("zh")
        assert ("had come to its end" in english) == fallen == ("走到终点" in chinese)
        assert ("warm-up to" in english) == warms_up == ("预热到" in chinese)
        assert f"What was added ({added}) gets a schedule of its own" in english and "新的学习率曲线" in chinese
        assert config.optimization.learning_rate == 2e-4 and "0.0002" in english and "0.0002" in chinese
        assert ("learned 2 times" if epochs == 2 else "learned 1.1 times") in english


def test_a_finished_run_is_resumed_only_for_more_than_it_has_learned(engine):
    run = done(engine, short_config(optimization={"max_steps": 2})).id
    for overrides in (None, {}, {"optimization.epochs": 9.0}, {"optimization.max_steps": 2}, {"output.name": "other"}):
        with pytest.raises(WorkbenchError) as caught:
            engine.resume(run, overrides)
        assert caught.value.code == "not_resumable" and "optimization.max_steps" in caught.value.hint.to("zh")
    assert engine.run(run).status == "completed" and engine.store.config(run).optimization.max_steps == 2
    with pytest.raises(WorkbenchError) as caught:
        engine.resume(run, {"optimization.max_steps": 0, "optimization.epochs": 0.1})
    assert caught.value.field == "optimization.epochs" and "0.38 epochs or more" in caught.value.hint.to("en")


def test_another_batch_is_said_and_every_row_is_learned_once(engine, monkeypatch):
    at_step(monkeypatch, 2, engine.stop)
    run = engine.submit(short_config(optimization={"epochs": 1.0}))
    assert engine.wait(run, WAIT)
    assert (engine.run(run).status, engine.run(run).last_step) == ("stopped", 3)
    engine.resume(run, {"optimization.batch_size": 2, "optimization.accumulation": 2})
    assert engine.wait(run, WAIT)
    sentence = said(engine, run)
    assert "4 rows from here on, instead of 8" in sentence and "24 of the 43 rows" in sentence
    assert "ends after step 8 (before: 6)" in sentence and "goes on from where it was" in sentence
    record = engine.run(run)
    assert (record.status, record.last_step, record.total_steps) == ("completed", 8, 8), "3 of 8 rows, 5 of 4"
    seen = rates(engine, run)
    assert seen[3] > seen[4] > seen[8] > 0
    assert [event["epoch"] for event in engine.events(run) if event.get("step") == 8 and "loss" in event] == [1.0]


def test_going_on_as_it_was_says_nothing(engine, monkeypatch):
    at_step(monkeypatch, 1, engine.stop)
    run = engine.submit(short_config())
    assert engine.wait(run, WAIT)
    engine.resume(run, {"optimization.epochs": 0.5, "checkpoints.keep": 1})
    assert engine.wait(run, WAIT)
    assert engine.run(run).status == "completed" and said(engine, run) == ""


def test_another_count_of_rows_is_refused(engine, monkeypatch):
    at_step(monkeypatch, 1, engine.stop)
    run = engine.submit(short_config())
    assert engine.wait(run, WAIT)
    monkeypatch.setattr("workbench.engine.training.split", lambda examples, *_: (examples[:40], examples[40:]))
    engine.resume(run)
    assert engine.wait(run, WAIT)
    record = engine.run(run)
    assert record.status == "failed" and "43" in record.error["message"]["en"] and "40" in record.error["message"]["zh"]


@pytest.mark.parametrize("share", [0.03, 1.0])
def test_a_run_of_one_step_learns(engine, share):
    record = done(engine, short_config(optimization={"max_steps": 1, "warmup_ratio": share}))
    assert record.status == "completed" and record.learned and said(engine, record.id) == ""
    assert 0 < rates(engine, record.id)[1] <= SHORT["learning_rate"]
    lora_b = [value for name, value in weights(engine.store.path(record.id)).items() if "lora_B" in name]
    assert all(float(value.abs().max()) > 0 for value in lora_b)


@pytest.mark.parametrize(("method", "adapter"), [("sft", "none"), ("sft", "dora"), ("dpo", "lora")])
def test_a_run_that_changed_no_weight_says_so(engine, method, adapter):
    config = tiny_config(
        data={"train": "pairs" if method == "dpo" else "talk"},
        method={"kind": method},
        adapter={"kind": adapter} | ({} if adapter == "none" else {"dropout": 0.0}),
        optimization={"max_steps": 2, "learning_rate": 1e-20},
    )
    record = done(engine, config)
    assert (record.status, record.learned) == ("completed", False), record.error
    kept = json.loads((engine.store.path(record.id) / "run.json").read_text(encoding="utf-8"))
    assert kept["learned"] is False
    view = RunView(record.id)
    view.feed(engine.events(record.id))
    for lang, sentence in (("en", "No weight of the model was changed"), ("zh", "没有改变模型的任何权重")):
        page = runhtml.sentence(record, view, lang)
        assert sentence in page and "verdict warn" in page
    engine.resume(record.id, {"optimization.max_steps": 4})
    assert engine.wait(record.id, WAIT)
    assert engine.run(record.id).learned is False, "nor in the steps that were added"
