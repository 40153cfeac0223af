"""Runs, from submit to result: what is learned, what is kept, and that stopping changes nothing."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.homes import chat_rows, done, largest_difference, losses, make_home, tiny_config, weights
from tests.steps import Hold, at_step
from tests.tiny_models import TEMPLATE
from workbench.config.errors import WorkbenchError
from workbench.config.presets import load_preset
from workbench.config.run import RunConfig
from workbench.engine import Engine, takeaway
from workbench.engine.callback import RunCallback, _Pace
from workbench.engine.events import EventLog
from workbench.engine.jobs.base import Job
from workbench.engine.names import recent_steps
from workbench.engine.runview import RunView
from workbench.ui import runhtml


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """An engine with one finished run of the tiny config, for tests that only look at such a run or begin others."""
    engine = Engine(make_home(tmp_path_factory.mktemp("plain") / "home"))
    yield engine, done(engine, tiny_config())
    engine.close()


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
    assert engine.asking(record.id) == (("7. red?",), 4) and samples[1]["step"] == 4
    log = engine.log(record.id)
    # What happened; the settings come last.
    assert log.index("begins at step 0") < log.index("ended at step 40") < log.index("learning_rate: 0.005")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = {event["type"] for event in events}
    assert {"status", "stage", "metrics", "checkpoint", "sample"} <= kinds
    verdict, last = events[-2:]
    assert (verdict["type"], last["status"]) == ("verdict", "completed") and "learning" in verdict["words"]
    assert "The answer changed" in verdict["message"]["en"] and EventLog(folder / "events.jsonl").after() == events
    for path in (folder / "adapter").iterdir():
        assert str(engine.home).encode() not in path.read_bytes(), f"{path.name} tells where this computer keeps things"


@pytest.mark.parametrize(("steps", "total"), [(1, 1), (5, 5), (15, 15), (27, 27), (1, 100), (11, 100), (60, 100)])
def test_the_loss_at_the_end_is_the_mean_of_the_same_steps_in_the_record_and_on_the_page(steps, total):
    callback, view = RunCallback(lambda event: None, threading.Event(), 1), RunView()
    for step in range(1, steps + 1):
        loss = float(step * step)
        callback.on_log(
            None, SimpleNamespace(global_step=step, max_steps=total, num_input_tokens_seen=0), None, logs={"loss": loss}
        )
        view.feed([{"seq": step, "type": "metrics", "step": step, "total_steps": total, "loss": loss}])
    late = [float(step * step) for step in range(1, steps + 1)][-recent_steps(steps) :]
    assert view.loss.recent(recent_steps(steps)) == callback.last["loss"] == sum(late) / len(late)
    record = SimpleNamespace(method="sft", active=True, train_loss=None, total_steps=total, last_step=steps)
    assert runhtml.number("loss", sum(late) / len(late)) in runhtml.tiles(record, view, "en")


def test_full_tuning_learns_and_leaves_a_model(engine):
    config = tiny_config(adapter={"kind": "none"}, optimization={"learning_rate": 1e-3, "max_steps": 30})
    record = done(engine, config)
    assert record.status == "completed", record.error
    by_step = losses(engine.events(record.id))
    assert by_step[30] < 0.7 * by_step[1]
    assert (engine.store.path(record.id) / "model" / "model.safetensors").is_file()


def test_the_same_config_gives_the_same_losses_also_when_read_back_from_the_run(plain):
    engine, first = plain
    config = RunConfig.parse(load_preset(engine.store.path(first.id) / "config.yaml").values)
    second = done(engine, config)
    assert first.id != second.id
    assert losses(engine.events(first.id)) == losses(engine.events(second.id))


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
        adapter={"kind": "none"},
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


# Models that lack something: which file, how it is spoiled, and what the sentence must name.
SPOILED = {
    "cut-off": ("tokenizer.json", lambda text: text[:1000], "tokenizer.json"),
    "garbled": ("tokenizer.json", lambda text: text[:1000] + "}", "tokenizer.json"),
    "unknown": ("config.json", lambda text: text.replace('"llama"', '"nosuch"'), "nosuch"),
    "impossible": ("config.json", lambda text: text.replace('"hidden_size": 64', '"hidden_size": 0'), "hidden_size"),
}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model.base": "nothing"}, "model.base"),
        ({"model.base": "../../etc"}, "model.base"),
        ({"model.base": "cut-off"}, "model.base"),
        ({"model.base": "garbled"}, "model.base"),
        ({"model.base": "unknown"}, "model.base"),
        ({"model.base": "impossible"}, "model.base"),
        ({"data.train": "nothing"}, "data.train"),
        ({"data.train": "/etc/passwd"}, "data.train"),
        ({"data.train": "pairs"}, "data.train"),
        ({"data.eval": "nothing"}, "data.eval"),
        ({"data.max_length": 4096}, "data.max_length"),
        ({"precision.dtype": "fp16"}, "precision.dtype"),
        ({"adapter.target_modules": ["q_proj", "nosuch"]}, "adapter.target_modules"),
        ({"adapter.target_modules": ["norm"]}, "adapter.target_modules"),
        ({"adapter.modules_to_save": ["nosuch"]}, "adapter.modules_to_save"),
    ],
)
def test_what_cannot_work_is_refused_at_its_field_before_anything_is_written(engine, home, changes, field):
    base = changes.get("model.base")
    file, spoil, named = SPOILED.get(base, (None, None, ""))
    if file:
        folder = shutil.copytree(home / "models" / "tiny", home / "models" / base)
        (folder / file).write_text(spoil((folder / file).read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(WorkbenchError) as caught:
        engine.submit(tiny_config().changed(changes))
    found = {problem.field: problem.message.to("en") for problem in caught.value.problems}
    assert named in found[field]
    assert engine.runs() == []


def test_questions_that_fail_are_told_and_the_training_goes_on_exactly_as_without_them(
    engine, home, plain, monkeypatch
):
    import torch
    from transformers import GenerationMixin

    other, quiet = plain
    settings = {"num_beams": 4, "num_return_sequences": 2, "penalty_alpha": 0.6, "eos_token_id": 257}
    (home / "models" / "tiny" / "generation_config.json").write_text(json.dumps(settings))
    errors = [RuntimeError("no beams"), torch.OutOfMemoryError("CUDA out of memory"), SystemExit("2"), None]
    generate, asked = GenerationMixin.generate, iter(errors)

    def failing(*arguments, **options):
        error = next(asked)
        if error is None:
            return generate(*arguments, **options)
        torch.rand(3)
        raise error

    monkeypatch.setattr(GenerationMixin, "generate", failing)
    record = done(engine, tiny_config(evaluation={"questions": ["x" * 300, "7. red?"]}))
    assert record.status == "completed", record.error
    events = engine.events(record.id)
    assert losses(events) == losses(other.events(quiet.id))
    assert largest_difference(weights(engine.store.path(record.id)), weights(other.store.path(quiet.id))) == 0
    failed = [event for event in events if event["type"] == "unanswered"]
    assert [event["step"] for event in failed if event["question"] == "7. red?"] == [0, 4, 8]
    why = [event["why"]["zh"] for event in failed if event["question"] == "7. red?"]
    assert "no beams" in why[0] and why[1] == "内存不够了" and "SystemExit" in why[2]
    assert all("对话太长" in event["why"]["zh"] for event in failed if event["question"] != "7. red?")
    assert [event["step"] for event in events if event["type"] == "sample"] == [12]
    told = [event["message"]["en"] for event in events if event["type"] == "problem"]
    assert len(told) == 1 and "num_beams, num_return_sequences, penalty_alpha" in told[0]
    assert "no beams" in engine.log(record.id), "the details are in the log"
    view = RunView()
    view.feed(events)
    for lang, words in (("en", "the conversation is too long"), ("zh", "没有回答：对话太长")):
        shown = str(runhtml.answers(record, view, lang))
        assert words in shown and "x" * 300 in shown and "no beams" in shown
    assert engine.answers_notice(record.id) == engine.answers_notice("tiny")


def test_what_looks_like_a_token_does_not_get_into_the_runs_log(engine, monkeypatch):
    secret = "hf_" + "aB3" * 9
    at_step(monkeypatch, 2, lambda run: logging.getLogger("workbench").warning("asked with %s", secret))
    record = done(engine, tiny_config())
    log = (engine.store.path(record.id) / "log.txt").read_text()
    assert "asked with hf_***" in log and secret not in log


def test_a_model_folder_waits_until_another_run_has_trained(plain, monkeypatch):
    engine, first = plain
    hold = Hold(monkeypatch, 1)
    second = engine.submit(tiny_config(output={"name": "second"}))
    hold.reached()
    job = engine.start("merge", {"run": first.id})
    assert engine.job(job).status == "queued" and not (engine.store.path(first.id) / "exports").exists()
    assert [(one.kind, one.status) for one in engine.jobs()] == [("train", "running"), ("merge", "queued")]
    hold.release()
    assert (Path(engine.finish(job)["folder"]) / "model.safetensors").is_file()
    assert engine.run(second).status == "completed" and engine.job(job).status == "completed"


def test_a_run_is_not_deleted_while_its_model_folder_is_made(engine, monkeypatch):
    run = done(engine, tiny_config())
    refused = []

    def meanwhile(*_):
        if not refused:
            with pytest.raises(WorkbenchError) as caught:
                engine.delete(run.id)
            refused.append(caught.value.code)

    monkeypatch.setattr(Job, "progress", meanwhile)
    folder = engine.merge(run.id)
    assert refused == ["in_use"] and (folder / "model.safetensors").is_file()
    engine.delete(run.id)
    assert engine.runs() == []


def test_the_speed_is_that_of_the_steps_and_the_time_left_that_of_all():
    now = [0.0]
    pace = _Pace(lambda: now[0])
    for step in (1, 2, 3):
        pace.step_begins()
        now[0] += 2.0
        pace.step_ends()
        speed = pace.step(step, 100.0 * step)
        now[0] += 8.0  # an evaluation
    assert speed == pytest.approx(50.0)
    assert pace.seconds_left(13) == pytest.approx((3 * 2 + 2 * 8) / 3 * 10)


def test_the_loss_that_is_told_of_a_run_is_the_mean_of_its_end(engine):
    record = done(engine, tiny_config(optimization={"max_steps": 40}))
    by_step = losses(engine.events(record.id))
    assert record.train_loss == pytest.approx(sum(by_step[step] for step in range(33, 41)) / 8)


@pytest.mark.parametrize("name", ["tea shop", "茶馆问答"])
def test_a_run_without_a_name_is_called_as_its_data_set_is(engine, home, name):
    (home / "mine.jsonl").write_text("\n".join(json.dumps(row) for row in chat_rows(8)))
    dataset = engine.data.add(home / "mine.jsonl", name).id
    assert dataset != name
    for given, called in (("", name), ("my own", "my own")):
        run = engine.submit(tiny_config(data={"train": dataset}, output={"name": given}))
        assert engine.run(run).name == called
        engine.stop(run)
        card = takeaway.card(engine.store, run, engine.models.resolve("tiny"), engine.data, "adapter", home)
        assert f"# {called}" in card and f"Training data: {name}." in card


def test_the_time_that_is_foreseen_follows_runs_of_the_same_kind_that_were_long_enough(engine):
    config = tiny_config(optimization={"max_steps": 100})
    runs = {}
    for name, steps, speed, method in (
        ("short", 3, 1.0, "sft"),
        ("other", 50, 2.0, "dpo"),
        ("like", 50, 1000.0, "sft"),
    ):
        record = engine.store.create(tiny_config(output={"name": name}), model_id="tiny", dataset="talk")
        engine.store.update(record.id, status="completed", last_step=steps, tokens_per_second=speed, method=method)
        runs[name] = record.id
    slow = engine.forecast(config).seconds
    engine.store.update(runs["like"], tokens_per_second=2000.0)
    assert slow == pytest.approx(2 * engine.forecast(config).seconds)
    tokens = engine.forecast(config).tokens
    assert tokens / 1000.0 <= slow < 1.5 * tokens / 1000.0, "evaluating costs something, too"


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


def test_a_base_model_whose_chat_template_never_ends_is_refused_before_the_start(engine, home):
    template = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    (home / "models" / "tiny" / "chat_template.jinja").write_text(template)
    for ask in (lambda: engine.submit(tiny_config()), lambda: engine.inspect("talk", "tiny", 64, "answers")):
        with pytest.raises(WorkbenchError) as caught:
            ask()
        assert caught.value.field == "model.base" and "对话模板" in caught.value.message.to("zh")
    assert engine.runs() == []


def test_a_row_that_the_chat_template_refuses_is_named_by_its_place_in_the_file(engine, home):
    rows = [json.dumps(row) for row in chat_rows(48)]
    rows[3:3] = ["{}"] * 4  # left out, and counted all the same
    system = {"role": "system", "content": "Be brief."}
    rows[40] = json.dumps({"messages": [system, *json.loads(rows[40])["messages"]]})
    (home / "mine.jsonl").write_text("\n".join(rows))
    engine.data.add(home / "mine.jsonl", "mine")
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE
    (home / "models" / "tiny" / "chat_template.jinja").write_text(template)
    record = done(engine, tiny_config(data={"train": "mine"}))
    assert record.status == "failed" and "41" in record.error["message"]["en"]
    with pytest.raises(WorkbenchError) as caught:
        engine.inspect("mine", "tiny", 64, "answers")
    assert "第 41 条样本" in caught.value.message.to("zh")


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
    assert expected.disk_bytes > 0 and expected.fit.peak_bytes > 0
