"""What lies among the runs and is none is listed all the same; and listing reads no more than it needs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.test_commands import say
from tests.test_engine_needs import press
from workbench.config.disk import remove
from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.engine import Engine, damage
from workbench.engine.events import EventLog, Metrics, StatusChanged
from workbench.engine.records import kept_error
from workbench.engine.runs import RUN_ID, RunStore
from workbench.ui import runhtml
from workbench.ui.page import build
from workbench.ui.tabs.run import RunPage
from workbench.ui.tabtools import run_names

NAMES = (
    "my best run",
    "Copy",
    "20260101-000000",
    "20260101-000000-a-b-zzzz",
    "20260101-000000 (2)",
    "<b>&",
    "名字",
    "x" * 250,
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def made(store: RunStore) -> str:
    """A run that has ended, with a result."""
    run = store.create(RunConfig(), model_id="starter", dataset="pirate-voice").id
    for event in (StatusChanged("running"), Metrics(step=1, total_steps=1, loss=1.0), StatusChanged("completed")):
        store.log(run).append(event)
    store.update(run, status="completed", last_step=1, total_steps=1, has_result=True)
    (store.path(run) / "adapter").mkdir()
    return run


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_of_a_run_under_any_name_is_listed_with_what_to_call_it(store: RunStore, name: str) -> None:
    run = made(store)
    shutil.copytree(store.path(run), store.folder / name)
    listed = {record.id: record for record in store.all()}
    stray = listed[name]
    assert listed.keys() == {run, name} and stray.damaged and stray.name == name and not stray.active
    told = kept_error(stray.error)
    assert name in told.to("en") and name in told.to("zh")
    assert store.damage(name) == store.missing(name) == []
    for call in (store.path, store.config, store.log):
        with pytest.raises(WorkbenchError):
            call(name)
    # Renamed as told, it is a run like any other.
    free = next(word for word in told.hint.to("en").split() if RUN_ID.match(word))
    assert free != run and free[:-4] == run[:-4]
    (store.folder / name).rename(store.folder / free)
    assert {record.id: record.status for record in store.all()} == {run: "completed", free: "completed"}


def test_one_that_was_renamed_gets_its_name_back(store: RunStore) -> None:
    run = made(store)
    store.path(run).rename(store.folder / "renamed")
    (stray,) = store.all()
    assert f"to {run} to" in kept_error(stray.error).to("en")


@pytest.mark.parametrize("what", ["an empty folder", "a file", "no record", "a hostile record"])
def test_whatever_is_no_run_can_be_deleted_and_nothing_else(store: RunStore, what: str) -> None:
    run, place = made(store), store.folder / "stray"
    if what == "a file":
        place.write_text("notes", encoding="utf-8")
    else:
        place.mkdir()
    if what == "no record":
        (place / "run.json").write_text("[]", encoding="utf-8")
    if what == "a hostile record":
        record = json.loads((store.path(run) / "run.json").read_text("utf-8"))
        (place / "run.json").write_text(json.dumps({**record, "id": "../../etc"}), encoding="utf-8")
    stray = next(record for record in store.all() if record.id != run)
    assert stray.id == stray.name == "stray" and "etc" not in kept_error(stray.error).to("en")
    for name in ("../stray", "./stray", "stray/", ".stray", f"{run}/../stray", f"{run}\n"):
        with pytest.raises(WorkbenchError):
            store.delete(name)
    store.delete("stray")
    assert [record.id for record in store.all()] == [run] and os.listdir(store.folder) == [run]


def test_what_the_system_leaves_and_what_is_half_made_is_not_listed(store: RunStore) -> None:
    run = made(store)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", ".half.making"):
        (store.folder / name).write_text("", encoding="utf-8")
    assert [record.id for record in store.all()] == [run]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_two_names_that_look_alike_are_two(store: RunStore) -> None:
    for name in (b"a\xfe", b"a\xff"):
        os.makedirs(os.path.join(os.fsencode(store.folder), name))
    first, second = (record.id for record in store.all())
    assert first != second
    store.delete(second)
    assert len(store.all()) == 1 and len(os.listdir(store.folder)) == 1


def test_both_doors_list_it_and_delete_it(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    run = made(store)
    for name in ("my best run", "another"):
        shutil.copytree(store.path(run), store.folder / name)
    for lang, words in (("en", "Rename the folder"), ("zh", "重命名")):
        lines = dict(line.split("  ", 1) for line in say("runs", "--home", tmp_path, "--lang", lang).out.splitlines())
        assert lines.keys() == {run, "my best run", "another"} and words in lines["my best run"]
        assert words in say("runs", "show", "my best run", "--home", tmp_path, "--lang", lang).out
    assert say("runs", "delete", "my best run", "--home", tmp_path).code == 0
    engine = Engine(tmp_path)
    page = build(engine)
    choices = runhtml.choices(engine.runs(), run_names(engine, "zh"), "zh")
    assert {name for _, name in choices} == {run, "another"} and any(
        "another · 已损坏" in label for label, _ in choices
    )
    press(page, "run-delete-yes", RunPage(run_id="another"), "another")
    assert [record.id for record in engine.runs()] == [run]
    engine.close()


# What listing costs, and what it says


def test_listing_reads_no_events_and_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(RunStore(tmp_path / "runs"))
    read = []
    monkeypatch.setattr(EventLog, "_read", lambda self: read.append(self.path) or [])
    monkeypatch.setattr(damage, "RESULTS", {"adapter": lambda folder: read.append(folder)})
    assert say("runs", "--home", tmp_path).out.startswith(run) and read == []
    say("runs", "show", run, "--home", tmp_path)
    assert len(read) == 2


@pytest.mark.parametrize("part", ["adapter", "config.yaml", "events.jsonl"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_is_missing_is_listed_and_what_is_damaged_inside_is_shown(tmp_path: Path, part: str, lang: str) -> None:
    run = made(RunStore(tmp_path / "runs"))
    place = tmp_path / "runs" / run / part
    whole = say("runs", "--home", tmp_path, "--lang", lang).out
    assert part not in whole
    if part != "adapter":
        place.write_text("{", encoding="utf-8")
        assert say("runs", "--home", tmp_path, "--lang", lang).out == whole
        assert "damaged: " in say("runs", "show", run, "--home", tmp_path, "--lang", lang).out
    remove(place)
    assert part in say("runs", "--home", tmp_path, "--lang", lang).out
    place.write_text("", encoding="utf-8")
    if part == "adapter":
        assert part in say("runs", "--home", tmp_path, "--lang", lang).out, "it is no folder"
