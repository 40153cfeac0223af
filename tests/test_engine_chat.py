"""Talking and taking along: one copy of the weights, streaming, stopping, and the same words outside the workbench."""

from __future__ import annotations

import json
import threading
import zipfile

import pytest

from tests.homes import losses, make_home, tiny_config
from tests.plain_peft import plain_answer
from tests.steps import Hold
from workbench.config.errors import WorkbenchError
from workbench.engine import Engine

ASK = [{"role": "user", "content": "3. white?"}]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    engine = Engine(make_home(tmp_path_factory.mktemp("chat") / "home"))
    run = engine.submit(tiny_config(optimization={"max_steps": 60}))
    assert engine.wait(run, 120)
    assert engine.run(run).status == "completed", engine.run(run).error
    yield engine, run
    engine.close()


def answer(engine, target, **options):
    return list(engine.chat(target, ASK, max_new_tokens=24, **options))[-1]


def test_base_and_tuned_answer_from_one_copy_of_the_weights(trained):
    engine, run = trained
    tuned = answer(engine, run)
    held = engine._chats._held[1]
    base = answer(engine, run, tuned=False)
    assert engine._chats._held[1] is held, "switching sides must not load anything"
    assert base == answer(engine, "tiny")
    assert tuned != base and tuned.startswith("aye")


def test_the_answer_grows_and_can_be_stopped(trained):
    engine, run = trained
    stop = threading.Event()
    stream = engine.chat("tiny", ASK, max_new_tokens=100, stop=stop)
    first = next(stream)
    stop.set()
    rest = list(stream)
    assert len(rest[-1] if rest else first) <= len(first) + 8


def test_leaving_in_the_middle_frees_the_device(trained):
    engine, _ = trained
    stream = engine.chat("tiny", ASK, max_new_tokens=100)
    next(stream)
    stream.close()
    assert answer(engine, "tiny")


@pytest.mark.parametrize(
    "options", [{"temperature": -1}, {"temperature": float("nan")}, {"top_p": 2}, {"max_new_tokens": 0}]
)
def test_sampling_out_of_bounds_is_refused_by_the_engine(trained, options):
    engine, run = trained
    with pytest.raises(WorkbenchError):
        list(engine.chat(run, ASK, **options))


def test_a_talk_that_is_too_long_gets_a_sentence(trained):
    engine, run = trained
    with pytest.raises(WorkbenchError) as caught:
        list(engine.chat(run, [{"role": "user", "content": "x" * 500}]))
    assert caught.value.code == "too_long"


def test_the_exported_adapter_gives_the_chats_greedy_answer_in_plain_peft(trained, tmp_path):
    engine, run = trained
    archive = engine.export_adapter(run)
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "generation_config.json").read_text())
    assert settings["eos_token_id"] == 257, "where answers end travels with it"
    assert "GenerationConfig.from_pretrained(adapter)" in (tmp_path / "adapter" / "README.md").read_text()
    base = engine.models.resolve("tiny").folder
    assert plain_answer(base, tmp_path / "adapter", ASK[0]["content"], 24) == answer(engine, run)


def test_the_merged_folder_is_a_plain_model_with_the_same_answer(trained):
    engine, run = trained
    folder = engine.merge(run, dtype="fp32")
    assert folder.is_relative_to(engine.store.path(run) / "exports")
    assert (folder / "README.md").is_file()
    again = engine.merge(run, dtype="fp32")
    assert again != folder, "merging again keeps the earlier folder"
    engine.models.add(folder)
    added = next(info.id for info in engine.models.list() if info.folder == folder)
    assert answer(engine, added) == answer(engine, run)


def test_while_a_run_trains_its_own_model_alone_answers_and_training_is_not_disturbed(trained, monkeypatch):
    engine, _ = trained
    config = tiny_config(optimization={"max_steps": 8})
    quiet = engine.submit(config)
    assert engine.wait(quiet, 120)
    before, after = Hold(monkeypatch, 2), Hold(monkeypatch, 4)
    ask = engine._desk.ask
    monkeypatch.setattr(engine._desk, "ask", lambda request: (ask(request), before.release()))
    asked = engine.submit(config.changed({"output.name": "asked"}))
    before.reached()
    with pytest.raises(WorkbenchError) as caught:
        answer(engine, "tiny")
    assert caught.value.code == "busy"
    text = answer(engine, asked, temperature=1.0)
    after.reached()
    assert engine.run(asked).status == "running", "the answer came while it trained"
    after.release()
    assert engine.wait(asked, 120)
    assert isinstance(text, str)
    assert losses(engine.events(quiet)) == losses(engine.events(asked))
