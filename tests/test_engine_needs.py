"""What a run that waits or trains needs stays as it is, at every door; and a run learns what it was started with, or says why not."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from tests.homes import WAIT, make_home, tiny_config, write_jsonl
from tests.test_commands import say
from tests.test_damaged_home import Asked
from tests.tiny_models import make_base
from workbench.config.errors import WorkbenchError
from workbench.engine import Engine, checks, takeaway
from workbench.engine.run_jobs import _check_unchanged
from workbench.ui.page import build
from workbench.ui.tabs import data as data_tab

RATED = [{"prompt": f"{n}. red?", "completion": f"aye {n}", "label": n % 2} for n in range(8)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """One with the set `rated`, read as conversations, and a second model."""
    home = make_home(tmp_path / "home")
    make_base(home / "models" / "other", seed=1)
    return home


@pytest.fixture
def engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    engine = Engine(home, allow_paths=True)
    engine.data.add(write_jsonl(home / "rated.jsonl", RATED), "rated")
    engine.data.read_as("rated", "prompt_completion")
    lane = engine._board._lanes["device"]
    put = lane.put
    monkeypatch.setattr(lane, "put", lambda name: None if engine.is_run(name) else put(name))  # runs wait
    yield engine
    engine.close()


def code_of(call: Callable[..., Any], *given: Any) -> str:
    with pytest.raises(WorkbenchError) as caught:
        call(*given)
    assert caught.value.hint is not None
    return caught.value.code


def base(home: Path) -> str:
    return str(home / "models" / "tiny")


WAYS: dict[str, Callable[[Path], dict[str, Any]]] = {
    # how a run names what it needs
    "by id": lambda home: {"data": {"train": "rated", "eval": "talk"}},
    "by path": lambda home: {
        "model": {"base": base(home)},
        "data": {
            "train": str(home / "datasets" / "rated" / "data.jsonl"),
            "eval": str(home / "datasets" / "talk" / "data.jsonl"),
        },
    },
    "by an entry": lambda home: {"model": {"base": "linked"}, "data": {"train": "rated", "eval": "talk"}},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", ["queued", "running", "stopping"])
def test_what_an_active_run_needs_is_neither_deleted_nor_read_in_another_way(
    engine: Engine, home: Path, way: str, status: str
) -> None:
    (home / "models" / "linked.json").write_text(json.dumps({"folder": base(home), "name": "linked"}), "utf-8")
    run = engine.submit(tiny_config(**WAYS[way](home)))
    engine.store.update(run, status=status)
    needed = ["tiny", *["linked"] * (way == "by an entry")]
    before = sorted(home.rglob("*"))
    assert {code_of(engine.delete_model, name) for name in needed} == {"active"}
    assert {code_of(engine.delete_data, name) for name in ("rated", "talk")} == {"active"}
    assert code_of(engine.read_as, "rated", "kto") == "active"
    assert sorted(home.rglob("*")) == before and engine.data.info("rated").kind == "chat"
    # What it does not need may go, and everything once it is over.
    engine.delete_model("other")
    engine.delete_data("pairs")
    if way == "by path":  # only the note of a place; the folder stays
        engine.delete_model("linked")
    engine.store.update(run, status="stopped")
    assert engine.read_as("rated", "kto").kind == "feedback"
    for name in ("rated", "talk"):
        engine.delete_data(name)
    for name in needed[::-1]:
        engine.delete_model(name)


def test_a_run_whose_settings_are_damaged_still_keeps_its_model(engine: Engine) -> None:
    run = engine.submit(tiny_config())
    (engine.store.path(run) / "config.yaml").write_text("{", encoding="utf-8")
    assert code_of(engine.delete_model, "tiny") == "active"


def test_the_base_of_a_merge_that_goes_on_stays(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run = engine.submit(tiny_config())
    engine.store.update(run, status="stopped")
    (engine.store.path(run) / "adapter").mkdir()
    told = []

    def merging(*given: Any, **rest: Any) -> Path:
        told.extend([code_of(engine.delete_model, "tiny"), code_of(engine.delete, run)])
        return Path("made")

    monkeypatch.setattr(takeaway, "merge_run", merging)
    engine.merge(run)
    assert told == ["in_use", "in_use"]
    engine.delete_model("tiny")


@pytest.mark.parametrize("how", ["delete_model", "delete_data", "read_as"])
def test_what_was_taken_away_while_it_was_checked_starts_no_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    check, config = checks.check, tiny_config(data={"train": "rated"})
    stopped = engine.submit(config)
    engine.store.update(stopped, status="stopped")

    def checked(*given: Any, **rest: Any) -> Any:
        found = check(*given, **rest)
        {
            "delete_model": lambda: engine.delete_model("tiny"),
            "delete_data": lambda: engine.delete_data("rated"),
            "read_as": lambda: engine.read_as("rated", "kto"),
        }[how]()
        return found

    monkeypatch.setattr(checks, "check", checked)
    for start in (lambda: engine.submit(config), lambda: engine.resume(stopped)):
        with pytest.raises(WorkbenchError):
            start()
        assert [run.status for run in engine.runs()] == ["stopped"]
        if how == "read_as":
            engine.data.read_as("rated", "prompt_completion")
        else:
            monkeypatch.setattr(checks, "check", check)


@pytest.mark.parametrize("how", ["delete_model", "delete_data", "read_as"])
def test_nothing_is_taken_away_while_a_run_begins(engine: Engine, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    create, told, threads = engine.store.create, [], []
    ask = {"delete_model": ("tiny",), "delete_data": ("rated",), "read_as": ("rated", "kto")}[how]

    def slow_create(*given: Any, **facts: Any) -> Any:
        thread = threading.Thread(target=lambda: told.append(code_of(getattr(engine, how), *ask)))
        thread.start()
        thread.join(0.2)
        threads.append(thread)
        return create(*given, **facts)

    monkeypatch.setattr(engine.store, "create", slow_create)
    engine.submit(tiny_config(data={"train": "rated"}))
    threads[0].join(WAIT)
    assert told == ["active"]


# Both doors


def test_the_page_refuses_it_with_the_reason(engine: Engine) -> None:
    run = engine.submit(tiny_config(data={"train": "rated"}))
    page = build(engine)
    state = data_tab.DataPage(dataset="rated")
    for word, call in (
        ("rated", lambda: press(page, "data-delete-yes", state, "rated")),
        ("rated", lambda: press(page, "data-damaged-yes", "rated", "rated")),
        ("tiny", lambda: press(page, "model-damaged-yes", "tiny", "tiny")),
        ("rated", lambda: press(page, "data-reading", state, "kto", event="input")),
    ):
        with pytest.raises(gr.Error) as caught:
            call()
        assert "needs this" in str(caught.value), word
    engine.stop(run)
    engine.store.update(run, status="stopped")
    press(page, "data-reading", state, "kto", event="input")
    assert engine.data.info("rated").kind == "feedback"
    press(page, "data-delete-yes", state, "rated")
    assert "rated" not in {info.id for info in engine.data.list()}


def press(page: gr.Blocks, elem_id: str, *values: Any, event: str = "click") -> None:
    """Call what a click or a choice calls."""
    (handler,) = {
        function.fn
        for function in page.fns.values()
        for block, name in function.targets
        if name == event and function.fn is not None and page.blocks[block].elem_id == elem_id
    }
    takes = "request" in inspect.signature(handler).parameters
    handler(*values, **({"request": Asked("en")} if takes else {}))


@pytest.mark.parametrize(("command", "name"), [("models", "tiny"), ("data", "talk")])
def test_the_command_line_deletes_beside_the_page_what_no_run_of_that_needs(
    engine: Engine, home: Path, command: str, name: str
) -> None:
    run = engine.submit(tiny_config(data={"train": "talk"}))  # waits, as all do here
    said = say(command, "delete", name, "--home", home, "--json")
    assert said.code == 2 and engine.run(run).name in said.data["error"]["message"]
    engine.store.update(run, status="stopped")
    assert say(command, "delete", name, "--home", home, "--json").data["deleted"] == name
    assert not (home / ("models" if command == "models" else "datasets") / name).exists()


# What a run was started with


def started(engine: Engine) -> tuple[str, Any]:
    run = engine.submit(tiny_config(data={"train": "rated"}))
    return run, engine.data.load("rated")


def unchanged(engine: Engine, run: str) -> None:
    record = engine.run(run)
    _check_unchanged(record, engine.data.load("rated"), record.base_fingerprint)


def test_a_run_whose_data_is_read_in_another_way_says_which_to_choose_again(engine: Engine) -> None:
    run, _ = started(engine)
    unchanged(engine, run)
    engine.store.update(run, status="stopped")
    engine.read_as("rated", "kto")
    with pytest.raises(WorkbenchError) as caught:
        unchanged(engine, run)
    assert caught.value.code == "data_changed"
    for lang, name, other in (
        ("en", "question and answer", "Put the old data back"),
        ("zh", "问题与回答", "请恢复原来的数据"),
    ):
        assert f"“{name}”" in caught.value.hint.to(lang) and other not in caught.value.to(lang)
    engine.read_as("rated", "prompt_completion")
    unchanged(engine, run)


def test_one_that_began_with_the_usual_reading_is_told_its_name(engine: Engine) -> None:
    run, _ = started(engine)
    loaded = engine.data.load("rated")
    content = loaded.fingerprint.partition("-")[0]
    for before in (content, f"{content}-kto"):  # the second is how earlier versions noted it
        engine.store.update(run, dataset_fingerprint=before)
        with pytest.raises(WorkbenchError) as caught:
            unchanged(engine, run)
        assert "“good or bad answers (KTO)”" in caught.value.hint.to("en")
    engine.store.update(run, status="stopped")
    engine.read_as("rated", "kto")
    for before in (content, f"{content}-kto", None):
        engine.store.update(run, dataset_fingerprint=before)
        unchanged(engine, run)


def test_other_rows_are_other_data(engine: Engine) -> None:
    run, _ = started(engine)
    write_jsonl(engine.data.resolve("rated"), RATED[::-1])
    with pytest.raises(WorkbenchError) as caught:
        unchanged(engine, run)
    assert "Put the old data back" in caught.value.hint.to("en")


def test_every_start_compares_and_a_resume_from_the_beginning_takes_what_there_is_now(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = started(engine)
    write_jsonl(engine.data.resolve("rated"), RATED[::-1])
    engine._board._runs.work(run, SimpleNamespace(is_set=lambda: False, wait=lambda *_: False))
    record = engine.run(run)
    assert record.status == "failed" and record.error["field"] == "data.train"
    engine.resume(run)
    assert engine.run(run).status == "queued"
    unchanged(engine, run)


def test_a_start_looks_up_its_model_and_its_data_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    config, asked = tiny_config(data={"train": "rated"}), []
    for owner, name in ((type(engine.models), "resolve"), (type(engine.data), "load"), (type(engine.data), "_read")):
        real = getattr(owner, name)

        def counted(self: Any, *given: Any, real: Any = real, name: str = name, **rest: Any) -> Any:
            asked.append(name)
            return real(self, *given, **rest)

        monkeypatch.setattr(owner, name, counted)
    engine.check(config)  # as the form's look before it did
    assert sorted(asked) == ["_read", "load", "resolve"]
    asked.clear()
    engine.submit(config)
    assert sorted(asked) == ["load", "resolve"]
