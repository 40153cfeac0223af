"""Events, records and locks: what is on the disk is whole, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

import workbench.methods  # noqa: F401
from tests.steps import wait_for
from workbench.config import disk as disk_module
from workbench.config.disk import write_atomically
from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.engine.checkpoints import CHECKPOINT_WHOLE
from workbench.engine.events import EventLog, Metrics, StatusChanged
from workbench.engine.owners import Owners
from workbench.engine.runs import RunStore


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def made(store):
    return store.create(RunConfig(), model_id="starter", dataset="pirate-voice").id


def test_events_are_numbered_and_read_after_a_cursor(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.append(StatusChanged("running"))
    log.append(Metrics(step=1, total_steps=2, loss=2.5))
    assert [event["seq"] for event in log.after()] == [1, 2]
    assert [event["type"] for event in log.after(1)] == ["metrics"]
    assert EventLog(tmp_path / "events.jsonl").after(1)[0]["loss"] == 2.5


def test_a_torn_last_line_is_ignored_and_the_next_event_starts_clean(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.append(StatusChanged("running"))
    with path.open("a") as file:
        file.write('{"seq": 2, "type": "metr')
    again = EventLog(path)
    again.append(StatusChanged("stopped"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2]
    assert lines[1]["status"] == "stopped"


def test_a_loss_that_is_no_number_is_written_as_valid_json(tmp_path):
    path = tmp_path / "events.jsonl"
    EventLog(path).append(Metrics(step=1, total_steps=2, loss=float("nan")))
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["loss"] is None


def test_a_run_keeps_its_record_and_its_exact_config(store):
    config = RunConfig.parse({"optimization": {"learning_rate": 1e-3}})
    record = store.create(config, model_id="starter", dataset="pirate-voice")
    assert store.get(record.id).status == "queued"
    assert store.config(record.id) == config
    assert {"schema_version", "id", "name", "status", "created", "finished", "method", "base_model", "error"} <= set(
        json.loads((store.path(record.id) / "run.json").read_text())
    )


def test_the_list_of_runs_shows_every_change_and_walks_the_folder_for_changes_only(store, monkeypatch):
    walks, walk = [], store._walk
    monkeypatch.setattr(store, "_walk", lambda known: walks.append(1) or walk(known))
    assert store.all() == []
    first = made(store)
    assert [run.id for run in store.all()] == [first]
    store.update(first, status="completed")
    assert [run.status for run in store.all()] == ["completed"]
    second, third = made(store), made(store)
    assert {run.id for run in store.all()} == {first, second, third}
    shutil.rmtree(store.path(third))  # by hand
    assert {run.id for run in store.all()} == {first, second}
    store.delete(first)
    assert [run.id for run in store.all()] == [second]
    seen = len(walks)
    for _ in range(5):
        store.all().clear()
    assert len(walks) == seen and [run.id for run in store.all()] == [second]


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "", "a\x00", "..", "C:\\x", "20260101-000000-a-b-zzzz", "x" * 300]
)
def test_a_run_is_named_by_its_id_and_by_nothing_else(store, name):
    made(store)
    with pytest.raises(WorkbenchError) as caught:
        store.delete(name)
    assert caught.value.code == "no_run"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_in_the_runs_folder_is_not_followed(store, tmp_path):
    run = made(store)
    outside = tmp_path / "outside"
    store.path(run).rename(outside)
    (store.folder / run).symlink_to(outside)
    with pytest.raises(WorkbenchError):
        store.path(run)


def test_what_a_dead_process_left_becomes_interrupted_and_half_made_folders_go(store):
    run, other = made(store), made(store)
    store.update(run, status="running")
    store.update(other, status="completed")
    (store.folder / ".half.making").mkdir()
    assert store.recover() == [run]
    assert store.get(run).status == "interrupted" and store.get(run).resumable
    assert store.get(other).status == "completed"
    assert not list(store.folder.glob(".*"))


def test_a_result_that_was_about_to_be_replaced_is_put_back(store):
    run = made(store)
    store.update(run, status="running")
    (store.path(run) / ".adapter.old").mkdir()
    (store.path(run) / ".adapter.old" / "weights").write_text("before")
    (store.path(run) / ".adapter.making").mkdir()
    store.recover()
    assert (store.path(run) / "adapter" / "weights").read_text() == "before"
    assert sorted(path.name for path in store.path(run).iterdir() if path.is_dir()) == ["adapter"]


def test_an_active_run_is_not_deleted(store):
    run = made(store)
    store.update(run, status="running")
    with pytest.raises(WorkbenchError):
        store.delete(run)
    store.update(run, status="stopped")
    store.delete(run)
    assert store.all() == []


def test_only_a_checkpoint_that_is_whole_is_resumed_from(store):
    run = made(store)
    folder = store.path(run) / "checkpoints"
    for step, whole in ((5, True), (10, True), (15, False)):
        (folder / f"checkpoint-{step}").mkdir(parents=True)
        if whole:
            (folder / f"checkpoint-{step}" / CHECKPOINT_WHOLE).write_text("{}")
    assert store.last_checkpoint(run).name == "checkpoint-10"
    assert (folder / "checkpoint-15").exists(), "asking changes nothing: somebody may be writing it"
    store.drop_half_checkpoints(run)
    assert not (folder / "checkpoint-15").exists()


def test_what_another_process_owns_cannot_be_claimed_until_it_dies(tmp_path):
    code = f"""
from pathlib import Path
from workbench.engine.owners import Owners
owners = Owners(Path({str(tmp_path)!r}))
print(owners.enter(), owners.claim("run"), flush=True)
input()
"""
    one = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert one.stdout.readline() == "True True\n", "the first one is alone"
    mine = Owners(tmp_path)
    assert not mine.enter(), "the other one is there"
    assert mine.alive("run") and not mine.mine("run") and not mine.claim("run") and not mine.alive("another")
    one.kill()
    one.wait()
    wait_for(lambda: not mine.alive("run"), "the lock of a dead process is free")
    assert mine.claim("run") and mine.mine("run")
    mine.leave()
    assert Owners(tmp_path).enter(), "nobody is there any more"


def test_what_begins_begins_one_after_the_other(tmp_path):
    owners, inside, most = Owners(tmp_path), [], []
    owners.enter()

    def begin() -> None:
        with Owners(tmp_path).beginning():
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    path.write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk_module.os, "fsync", full)
    with pytest.raises(WorkbenchError) as caught:
        write_atomically(path, "new")
    assert caught.value.code == "disk_full"
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


def test_what_cannot_be_written_is_told_with_its_place(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    for name, words in (
        ("file/x", f"{tmp_path / 'file'} is no folder"),
        ("none/deep/x", f"{tmp_path / 'none'} does not exist"),
        ("folder", f"{tmp_path / 'folder'} is a folder"),
        ("a" * 300, "is too long"),
    ):
        with pytest.raises(WorkbenchError) as caught:
            write_atomically(tmp_path / name, "words")
        assert words in str(caught.value) and caught.value.to("zh") != caught.value.to("en")
        assert caught.value.code == "bad_path"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"], "nothing half-written stays"
