"""Stop, kill and Resume, at every phase of a run: nothing is lost, and the end is the one of a run that was never stopped."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.homes import WAIT, done, largest_difference, losses, tiny_config, weights
from tests.steps import Hold, at_step
from tests.tiny_models import make_base
from workbench.config.errors import WorkbenchError
from workbench.engine import Engine, callback


def went_on(engine, run):
    """From which step the run went on when it was resumed last, and the steps that it did then."""
    events = engine.events(run)
    start = max(n for n, event in enumerate(events) if event["type"] == "status" and event["status"] == "running")
    steps = [event["step"] for event in events[start:] if event["type"] == "metrics" and "loss" in event]
    return events[start].get("from_step"), steps


def status_events(engine, run):
    return [event["status"] for event in engine.events(run) if event["type"] == "status"]


@pytest.mark.parametrize("kind", ["lora", "dora", "none"])
def test_stopped_and_resumed_it_ends_with_the_same_weights(engine, monkeypatch, kind):
    sections = {
        "adapter": {"kind": kind} | ({} if kind == "none" else {"dropout": 0.1}),
        "optimization": {"max_steps": 30},
    }
    whole = done(engine, tiny_config(**sections))
    at_step(monkeypatch, 7, engine.stop)
    run = engine.submit(tiny_config(**sections))
    assert engine.wait(run, WAIT)
    stopped = engine.run(run)
    assert stopped.status == "stopped" and stopped.last_step == 8, "the step under way is finished, no other begun"
    assert engine.result(run).is_dir(), "what was learned until the stop can be used"
    engine.resume(run)
    assert engine.wait(run, WAIT)
    assert engine.run(run).status == "completed"
    assert went_on(engine, run) == (8, list(range(9, 31)))
    assert losses(engine.events(run)) == losses(engine.events(whole.id))
    assert largest_difference(weights(engine.store.path(run)), weights(engine.store.path(whole.id))) == 0.0


@pytest.mark.parametrize(("changed", "field"), [("data", "data.train"), ("base", "model.base")])
def test_a_run_does_not_go_on_with_other_data_or_another_base_than_it_began_with(
    engine, home, monkeypatch, changed, field
):
    at_step(monkeypatch, 4, engine.stop)
    run = engine.submit(tiny_config())
    assert engine.wait(run, WAIT)
    file = engine.data.resolve("talk") if changed == "data" else home / "models" / "tiny"
    kept = home / "kept"
    if changed == "data":
        kept.write_text(file.read_text())
        file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    else:
        file.rename(kept)
        make_base(file, seed=1)
    engine.resume(run)
    assert engine.wait(run, WAIT)
    record = engine.run(run)
    assert record.status == "failed" and record.error["field"] == field
    if changed == "data":
        file.write_text(kept.read_text())
    else:
        shutil.rmtree(file)
        kept.rename(file)
    engine.resume(run)
    assert engine.wait(run, WAIT)
    assert engine.run(run).status == "completed"
    assert went_on(engine, run)[0] == 4, "with what it began with it goes on"


@pytest.mark.parametrize("moment", [("step", "8"), ("save", "6")])
def test_killed_and_resumed_it_ends_with_the_same_weights(home, moment):
    engine = Engine(home)
    whole = done(engine, tiny_config())
    expected, expected_losses = weights(engine.store.path(whole.id)), losses(engine.events(whole.id))
    file = home / "run.yaml"
    file.write_text((engine.store.path(whole.id) / "config.yaml").read_text())
    engine.close()

    command = [sys.executable, "-m", "tests.steps", *moment, "train", str(file), "--home", str(home)]
    killed = subprocess.run(command, capture_output=True, timeout=WAIT)
    assert killed.returncode not in (0, 1), killed.stderr.decode()

    engine = Engine(home)
    try:
        run = next(record for record in engine.runs() if record.id != whole.id)
        assert run.status == "interrupted" and run.resumable
        whole_ones = {"step": "checkpoint-6", "save": "checkpoint-3"}
        assert engine.store.last_checkpoint(run.id).name == whole_ones[moment[0]]
        engine.resume(run.id)
        assert engine.wait(run.id, WAIT)
        assert engine.run(run.id).status == "completed"
        step = int(whole_ones[moment[0]].rpartition("-")[2])
        assert went_on(engine, run.id) == (step, list(range(step + 1, 13)))
        assert losses(engine.events(run.id)) == expected_losses
        assert largest_difference(weights(engine.store.path(run.id)), expected) == 0.0
    finally:
        engine.close()


def test_a_run_that_waits_can_be_stopped_before_it_begins(engine):
    first = engine.submit(tiny_config())
    second = engine.submit(tiny_config(output={"name": "second"}))
    engine.stop(second)
    engine.stop(first)
    assert engine.wait(second, WAIT)
    assert engine.run(second).status == "stopped"
    assert engine.run(second).last_step == 0


def test_stopped_in_an_evaluation_it_keeps_the_step_and_goes_on_exactly(engine, monkeypatch):
    whole = done(engine, tiny_config())
    checked = callback.RunCallback.on_prediction_step

    def press_stop(self, args, state, control, **rest):
        if state.global_step == 4:
            engine.stop(run)
        checked(self, args, state, control, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(callback.RunCallback, "on_prediction_step", press_stop)
        hold = Hold(patch, 1)  # until `run` is known
        run = engine.submit(tiny_config())
        hold.reached()
        hold.release()
        assert engine.wait(run, WAIT)
    stopped = engine.run(run)
    assert (stopped.status, stopped.last_step) == ("stopped", 4)
    assert [event["step"] for event in engine.events(run) if event["type"] == "checkpoint"] == [3, 4]
    assert not [event for event in engine.events(run) if "eval_loss" in event], "it was not finished"
    engine.resume(run)
    assert engine.wait(run, WAIT)
    assert went_on(engine, run)[0] == 4
    assert largest_difference(weights(engine.store.path(run)), weights(engine.store.path(whole.id))) == 0.0


def test_resumed_at_its_last_step_it_only_finishes(engine, monkeypatch):
    at_step(monkeypatch, 7, engine.stop)
    run = engine.submit(tiny_config())
    assert engine.wait(run, WAIT)
    with pytest.raises(WorkbenchError) as caught:
        engine.resume(run, {"optimization.max_steps": 5})
    assert caught.value.field == "optimization.max_steps" and "8" in caught.value.message.to("zh")
    before = weights(engine.store.path(run))
    engine.resume(run, {"optimization.max_steps": 8})
    assert engine.wait(run, WAIT)
    record = engine.run(run)
    assert (record.status, record.last_step, record.total_steps) == ("completed", 8, 8)
    assert went_on(engine, run) == (8, [])
    assert largest_difference(before, weights(engine.store.path(run))) == 0.0


def test_a_resume_that_is_refused_while_it_trains_disturbs_nothing(engine, monkeypatch):
    mark, told = callback.mark_whole, []

    def press_resume(folder, step):
        with pytest.raises(WorkbenchError) as caught:
            engine.resume(folder.parent.parent.name, {"checkpoints.keep": 1})
        told.append(caught.value.code)
        mark(folder, step)

    monkeypatch.setattr(callback, "mark_whole", press_resume)
    record = done(engine, tiny_config())
    assert record.status == "completed", record.error
    assert set(told) == {"not_resumable"}


def test_a_run_that_waits_is_stopped_at_once_and_takes_its_turn_when_it_is_resumed(engine, monkeypatch):
    hold = Hold(monkeypatch, 2)
    first, second = engine.submit(tiny_config()), engine.submit(tiny_config(output={"name": "second"}))
    hold.reached()
    engine.stop(second)
    assert engine.run(second).status == "stopped" and engine.wait(second, 0)
    assert engine.status().queued == 0 and engine.status().running.id == first
    engine.resume(second)
    assert engine.run(second).status == "queued"
    hold.release()
    assert engine.wait(second, WAIT)
    assert [engine.run(run).status for run in (first, second)] == ["completed", "completed"]
    assert status_events(engine, second) == ["queued", "stopped", "queued", "running", "completed"]


def test_a_run_resumed_while_its_memory_is_still_given_back_gets_another_turn(engine, monkeypatch):
    from workbench.engine import run_jobs

    free, ended = run_jobs.free_memory, []

    def press_resume():
        if not ended:
            ended.append(engine.run(run).status)
            engine.resume(run)
        free()

    monkeypatch.setattr(run_jobs, "free_memory", press_resume)
    at_step(monkeypatch, 4, engine.stop)
    run = engine.submit(tiny_config())
    while not ended:
        assert engine.wait(run, WAIT)
    assert engine.wait(run, WAIT)
    assert ended == ["stopped"] and engine.run(run).status == "completed"


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_a_run_that_fails_or_is_killed_says_how_far_it_came(engine, home, monkeypatch, share):
    def trip(run_id):
        raise RuntimeError("a cable was pulled")

    at_step(monkeypatch, 7, trip)
    record = done(engine, tiny_config(data={"eval_share": share}))
    assert (record.status, record.last_step, record.total_steps) == ("failed", 7, 12)
    engine.store.update(record.id, status="running", last_step=0)
    engine.store.recover()
    assert (engine.run(record.id).status, engine.run(record.id).last_step) == ("interrupted", 7)
