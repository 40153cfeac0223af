"""Trial steps: how long a run takes is measured with it as it will be, and nothing of them stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.homes import WAIT, chat_rows, tiny_config, write_jsonl
from tests.steps import wait_for
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.engine import Engine
from workbench.engine.plan import Measured, work_of_a_step


def stored(engine: Engine, seconds_per_answer: float | None = None, **changes: Any) -> str:
    """A measurement that a job's record holds, as if trial steps had been made."""
    config = tiny_config(**changes)
    job = engine.measure(config)
    engine.stop(job)
    engine.wait(job)
    data = engine.data.load(config.data.train).fingerprint
    values = {"seconds_to_begin": 3.0, "seconds_per_step": 0.5, "steps": 11, "memory_bytes": 10**9}
    values |= {"seconds_per_answer": seconds_per_answer} if seconds_per_answer else {}
    path = engine.home / "jobs" / job / "job.json"
    record = json.loads(path.read_text())
    record |= {"status": "completed", "error": None, "result": {**values, "of": work_of_a_step(config), "data": data}}
    path.write_text(json.dumps(record))
    return job


def test_trial_steps_are_steps_of_that_run_and_leave_nothing(engine, monkeypatch):
    from workbench.engine import measuring

    seen: list[Any] = []
    before = measuring.prepare
    monkeypatch.setattr(measuring, "prepare", lambda job: seen.append((job, ready := before(job))) or ready)
    config = tiny_config(optimization={"max_steps": 0, "epochs": 3}, evaluation={"questions": ["Who are you?"]})
    assert engine.forecast(config).basis == "guess"
    job = engine.measure(config)
    result = engine.finish(job)

    ((trial, ready),) = seen
    trainer = ready.trainer
    assert trainer.state.global_step == measuring.STEPS == result["steps"] + 1, "the first one only warms up"
    assert len(trainer.train_dataset) == min(measuring.STEPS * 4, 48) and trainer.eval_dataset is None
    assert trainer.args.per_device_train_batch_size == 4
    assert trial.config.adapter == config.adapter and trial.config.precision == config.precision
    folder = engine.home / "jobs" / job
    assert sorted(path.name for path in folder.iterdir()) == ["events.jsonl", "job.json", "log.txt"]
    assert not engine.runs()

    expected = engine.forecast(config)
    assert expected.basis == "measured" and expected.measured is not None
    assert expected.measured.seconds_per_step == result["seconds_per_step"] > 0
    assert expected.measured.memory_bytes > 10**8
    assert expected.measured.seconds_per_answer > 0
    quiet = config.changed({"evaluation.questions": []})
    whole = expected.measured.seconds_to_begin + expected.steps * expected.measured.seconds_per_step
    assert whole <= engine.forecast(quiet).seconds < 1.5 * whole, "evaluating costs something, too"
    answers = 1 + expected.steps // 4
    added = expected.seconds - engine.forecast(quiet).seconds
    assert added == pytest.approx(answers * expected.measured.seconds_per_answer)


@pytest.mark.parametrize(
    "changes, known",
    [
        ({}, True),
        ({"optimization": {"max_steps": 900, "learning_rate": 1e-4}, "output": {"name": "another"}}, True),
        ({"evaluation": {"questions": ["Who?"]}}, True),
        ({"optimization": {"batch_size": 2}}, False),
        ({"optimization": {"accumulation": 4}}, False),
        ({"adapter": {"rank": 16}}, False),
        ({"data": {"max_length": 32}}, False),
        ({"precision": {"dtype": "bf16"}}, False),
        ({"model": {"quantization": "nf4"}}, False),
    ],
)  # fmt: skip
def test_what_was_measured_holds_where_a_step_is_the_same_work(engine, changes, known):
    stored(engine)
    expected = engine.forecast(tiny_config(**changes))
    assert (expected.basis == "measured") is known
    if known:
        assert expected.measured == Measured(3.0, 0.5, 11, 10**9)
        evaluations = expected.evaluation_rows * (expected.steps // 4) / 3 / 4
        assert expected.seconds == pytest.approx(3.0 + 0.5 * (expected.steps + evaluations))


@pytest.mark.parametrize("share, rounds", [(0.25, 1 + 3), (0, 2)], ids=["evaluated", "nothing-kept-back"])
def test_questions_are_counted_as_often_as_they_will_be_asked(engine, share, rounds):
    asks = {"questions": ["Who are you?", "Where do you live?"], "every_steps": 4}
    changes = {"data": {"eval_share": share}, "optimization": {"max_steps": 12}}
    stored(engine, 2.0, **changes)
    asking, quiet = tiny_config(**changes, evaluation=asks), tiny_config(**changes, evaluation={"every_steps": 4})
    added = engine.forecast(asking).seconds - engine.forecast(quiet).seconds
    assert added == pytest.approx(rounds * 2 * 2.0)

    run = engine.submit(asking)
    engine.wait(run)
    assert len({event["step"] for event in engine.events(run) if event["type"] == "sample"}) == rounds


def test_other_data_under_the_same_name_is_measured_anew(engine):
    stored(engine)
    assert engine.forecast(tiny_config()).basis == "measured"
    engine.delete_data("talk")
    engine.data.add(write_jsonl(engine.home / "talk.jsonl", chat_rows(40)), "talk")
    assert engine.forecast(tiny_config()).basis == "guess"


@pytest.mark.parametrize("damage", [{"seconds_per_step": "soon"}, {"seconds_to_begin": -1}, {"memory_bytes": None}])
def test_a_damaged_measurement_is_none(engine, damage):
    path = engine.home / "jobs" / stored(engine) / "job.json"
    record = json.loads(path.read_text())
    record["result"] |= damage
    path.write_text(json.dumps(record))
    assert engine.forecast(tiny_config()).basis == "guess"


def test_a_trial_can_be_stopped_at_any_step(engine, monkeypatch):
    from workbench.engine import measuring

    monkeypatch.setattr(measuring, "STEPS", 10_000)
    monkeypatch.setattr(measuring, "ENOUGH_SECONDS", 1e9)
    job = engine.measure(tiny_config())
    assert engine.measure(tiny_config()) == job, "pressed twice is one trial"
    wait_for(lambda: engine.job(job).done >= 2, "no step was tried")
    engine.stop(job)
    with pytest.raises(StopRequested):
        engine.finish(job)
    assert engine.job(job).status == "stopped" and engine.job(job).resumable
    assert not (engine.home / "jobs" / job / "trial").exists()
    assert engine.forecast(tiny_config()).basis == "guess"


def test_a_trial_ends_when_enough_is_measured(engine, monkeypatch):
    from workbench.engine import measuring

    monkeypatch.setattr(measuring, "ENOUGH_SECONDS", 0.0)
    assert engine.finish(engine.measure(tiny_config()))["steps"] == 1


def test_what_a_run_refuses_a_trial_refuses(engine):
    with pytest.raises(WorkbenchError) as caught:
        engine.measure(tiny_config(data={"train": "nothing-here"}))
    assert caught.value.field == "data.train"
    assert not engine.jobs()


def test_a_trial_for_which_memory_does_not_suffice_says_so_and_leaves_nothing(engine, monkeypatch):
    from workbench.engine import measuring

    def prepare(job: Any) -> Any:
        (job.folder / "checkpoints").mkdir(parents=True)
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(measuring, "prepare", prepare)
    job = engine.measure(tiny_config())
    with pytest.raises(WorkbenchError) as caught:
        engine.finish(job)
    assert "memory" in caught.value.message.en and caught.value.hint is not None
    assert engine.job(job).status == "failed" and not (engine.home / "jobs" / job / "trial").exists()
    assert engine.forecast(tiny_config()).basis == "guess"


def test_a_run_waits_for_the_trial_before_it(engine):
    job = engine.measure(tiny_config())
    run = engine.submit(tiny_config(optimization={"max_steps": 2}))
    assert engine.wait(run, WAIT) and engine.run(run).status == "completed"
    assert engine.job(job).status == "completed"
    assert engine.job(job).finished <= engine.run(run).started
