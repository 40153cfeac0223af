"""Runs, from submit to result: what is learned, what is kept, and that stopping changes nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.homes import largest_difference, losses, make_home, tiny_config, weights
from tests.steps import at_step
from tests.tiny_models import make_base
from workbench.config.errors import WorkbenchError
from workbench.config.presets import load_preset
from workbench.config.run import RunConfig
from workbench.engine import Engine

WAIT = 120


@pytest.fixture
def home(tmp_path):
    return make_home(tmp_path / "home")


@pytest.fixture
def engine(home):
    engine = Engine(home)
    yield engine
    engine.close()


def done(engine, config):
    run = engine.submit(config)
    assert engine.wait(run, WAIT)
    return engine.run(run)


def test_a_run_learns_and_leaves_everything_in_its_folder(engine):
    record = done(engine, tiny_config(optimization={"max_steps": 40}, evaluation={"questions": ["7. red?"]}))
    assert record.status == "completed", record.error
    events = engine.events(record.id)
    by_step = losses(events)
    assert by_step[40] < 0.6 * by_step[1]
    assert record.last_step == record.total_steps == 40 and record.eval_loss is not None
    folder = engine.store.path(record.id)
    for name in (
        "run.json",
        "config.yaml",
        "events.jsonl",
        "log.txt",
        "samples.jsonl",
        "adapter/adapter_model.safetensors",
    ):
        assert (folder / name).stat().st_size > 0, name
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert samples[0]["step"] == 0 and samples[-1]["step"] == 40
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = {event["type"] for event in events}
    assert {"status", "stage", "metrics", "checkpoint", "sample"} <= kinds
    assert str(folder) not in (folder / "adapter" / "adapter_config.json").read_text()


def test_full_tuning_learns_and_leaves_a_model(engine):
    config = tiny_config(
        adapter={"kind": "none", "dropout": 0.0}, optimization={"learning_rate": 1e-3, "max_steps": 30}
    )
    record = done(engine, config)
    assert record.status == "completed", record.error
    by_step = losses(engine.events(record.id))
    assert by_step[30] < 0.7 * by_step[1]
    assert (engine.store.path(record.id) / "model" / "model.safetensors").is_file()


def test_the_same_config_gives_the_same_losses_also_when_read_back_from_the_run(engine):
    first = done(engine, tiny_config())
    config = RunConfig.parse(load_preset(engine.store.path(first.id) / "config.yaml").values)
    second = done(engine, config)
    assert first.id != second.id
    assert losses(engine.events(first.id)) == losses(engine.events(second.id))


@pytest.mark.parametrize("kind", ["lora", "none"])
def test_stopped_and_resumed_it_ends_with_the_same_weights(engine, monkeypatch, kind):
    sections = {"adapter": {"kind": kind, "dropout": 0.1 if kind == "lora" else 0.0}, "optimization": {"max_steps": 30}}
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
    assert engine.run(run).status == "completed", "with what it began with it goes on"


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


def test_dpo_prefers_as_it_was_taught(engine):
    config = tiny_config(
        data={"train": "pairs"}, method={"kind": "dpo"}, optimization={"max_steps": 30, "learning_rate": 1e-2}
    )
    record = done(engine, config)
    assert record.status == "completed", record.error
    margins = [event["more"]["rewards/margins"] for event in engine.events(record.id) if event.get("loss") is not None]
    assert abs(margins[0]) < 1e-4, "the reference is the model itself with its adapter off"
    assert margins[-1] > 1.0


def test_a_run_that_diverges_fails_with_a_sentence_and_gives_the_device_back(engine):
    config = tiny_config(
        adapter={"kind": "none", "dropout": 0.0},
        optimization={
            "learning_rate": 1.0,
            "optimizer": "sgd",
            "max_grad_norm": 0,
            "max_steps": 200,
            "scheduler": "constant",
        },
    )
    config = config.changed({"optimization.weight_decay": 10.0})
    record = done(engine, config)
    if record.status == "completed":
        pytest.fail("this run was made to diverge")
    assert record.status == "failed"
    assert record.error["field"] == "optimization.learning_rate" and "发散" in record.error["message"]["zh"]
    assert done(engine, tiny_config(optimization={"max_steps": 2})).status == "completed"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model.base": "nothing"}, "model.base"),
        ({"model.base": "../../etc"}, "model.base"),
        ({"data.train": "nothing"}, "data.train"),
        ({"data.train": "/etc/passwd"}, "data.train"),
        ({"data.train": "pairs"}, "data.train"),
        ({"data.eval": "nothing"}, "data.eval"),
        ({"data.max_length": 4096}, "data.max_length"),
        ({"precision.dtype": "fp16"}, "precision.dtype"),
    ],
)
def test_what_cannot_work_is_refused_at_its_field_before_anything_is_written(engine, changes, field):
    with pytest.raises(WorkbenchError) as caught:
        engine.submit(tiny_config().changed(changes))
    assert field in [problem.field for problem in caught.value.problems]
    assert engine.runs() == []


def test_a_data_set_is_counted_as_the_run_will_read_it(engine):
    roomy, tight = (engine.inspect("talk", "tiny", length, "answers") for length in (64, 16))
    assert roomy["rows"] == tight["rows"] == 48
    assert roomy["cut"] == 0 and 0 < tight["learned_tokens"] < roomy["learned_tokens"]
    assert engine.inspect("talk", "tiny", 64, "all")["learned_tokens"] > roomy["learned_tokens"]
    for length, learn, field in ((-1, "answers", "data.max_length"), (64, "nothing", "data.learn")):
        for look in (engine.inspect, lambda data, *rest: engine.coloured(data, 0, *rest)):
            with pytest.raises(WorkbenchError) as caught:
                look("talk", "tiny", length, learn)
            assert caught.value.field == field


def test_a_model_without_chat_template_is_refused_for_conversations(engine, home):
    (home / "models" / "tiny" / "chat_template.jinja").unlink(missing_ok=True)
    config = home / "models" / "tiny" / "tokenizer_config.json"
    values = json.loads(config.read_text())
    values.pop("chat_template", None)
    config.write_text(json.dumps(values))
    with pytest.raises(WorkbenchError) as caught:
        engine.submit(tiny_config())
    assert caught.value.field == "model.base" and "template" in caught.value.message.en


def test_a_disk_without_room_is_told_before_the_start(engine, monkeypatch):
    from workbench.engine import checks

    monkeypatch.setattr(checks, "free_bytes", lambda path: 1000)
    with pytest.raises(WorkbenchError) as caught:
        engine.submit(tiny_config())
    assert "disk" in caught.value.message.en
    assert engine.runs() == []


def test_forecast_counts_steps_as_the_run_then_does_them(engine):
    config = tiny_config(optimization={"max_steps": 0, "epochs": 1.0})
    expected = engine.forecast(config)
    record = done(engine, config)
    assert record.total_steps == expected.steps
    assert expected.disk_bytes > 0 and expected.memory_bytes > 0
