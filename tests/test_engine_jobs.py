"""Jobs: a kind in a file of its own, lanes, words from other processes, and what a process leaves that is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.homes import WAIT, done, make_home, tiny_config
from tests.steps import Hold, wait_for
from tests.test_commands import say
from workbench.bootstrap import ROOT
from workbench.config.disk import write_json
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.presets import dump
from workbench.config.text import Text
from workbench.engine import Engine, control, jobs
from workbench.engine.lease import Lease
from workbench.engine.owners import FOLDER, Owners
from workbench.ui.jobs import JobPieces
from workbench.ui.live import Live

KIND = '''
"""Counts slowly."""

import time

from workbench.config.text import Text
from workbench.engine.jobs import base


class Request(base.Request):
    """How far, and where it says that it goes on."""

    far: int
    mark: str = ""


class Count(base.JobKind):
    """One after the other."""

    kind = "count"
    lane = "network"
    stopping = Text("It forgets where it was.", "会忘记数到哪里。")
    asks = Request

    def title(self, tools, request):
        return Text("Counting to {far}", "数到 {far}").with_(far=request.far)

    def work(self, job):
        for number in range(job.request.far):
            job.progress(Text("Counting", "正在数"), number + 1, job.request.far)
            if number == 3 and job.request.mark == "wait":
                while True:
                    job.check()
                    time.sleep(0.02)
            if number == 3 and job.request.mark == "fail":
                raise OSError("with hf_" + "a" * 34)
        return {"counted": job.request.far}
'''


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home")


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a kind is looked for, too."""
    folder = tmp_path / "kinds"
    folder.mkdir()
    (folder / "count.py").write_text(KIND, encoding="utf-8")
    monkeypatch.setattr(jobs, "__path__", [*jobs.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, "workbench.engine.jobs.count", raising=False)
    return folder


@pytest.fixture
def engine(home: Path, kinds: Path) -> Iterator[Engine]:
    engine = Engine(home, allow_paths=True)
    yield engine
    engine.close()


def beside(home: Path, *words: object, step: str = "") -> subprocess.Popen[str]:
    """A command in a process of its own; `step` makes it die there."""
    module = ["tests.steps", "step", step] if step else ["workbench"]
    command = [sys.executable, "-m", *module, *map(str, words), "--home", str(home)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def the_run(engine: Engine, before: int = 0) -> str:
    wait_for(lambda: len(engine.runs()) > before, "the other process has begun its run")
    return engine.runs()[0].id


def yaml(home: Path, name: str = "run", **sections: Any) -> Path:
    path = home / f"{name}.yaml"
    path.write_text(dump(tiny_config(output={"name": name}, **sections)), encoding="utf-8")
    return path


LONG = {"optimization": {"max_steps": 100_000}, "checkpoints": {"every_steps": 50}}


# A kind


def test_a_kind_in_a_file_of_its_own_is_on_the_page_and_on_the_command_line(engine: Engine, home: Path) -> None:
    assert len(KIND.splitlines()) <= 40
    job = engine.start("count", {"far": 9, "mark": "wait"})
    wait_for(lambda: engine.job(job).done == 4, "it counts")
    written = home / "jobs" / job / "job.json"
    wait_for(lambda: json.loads(written.read_text(encoding="utf-8"))["done"] == 4, "others can see that, too")
    listed = json.loads(say("jobs", "--home", home, "--json").out)["jobs"]
    assert [(one["id"], one["title"], one["done"], one["total"]) for one in listed] == [(job, "Counting to 9", 4, 9)]
    assert say("jobs", "--home", home, "--lang", "zh").out.split("  ")[1:4] == ["进行中", "数到 9", "4/9"]
    pieces = JobPieces(engine, Live(lambda: 0))
    shown = pieces.list("", "en")
    assert (
        "Counting to 9" in shown and 'aria-valuenow="44"' in shown and f'data-deed="cancel" data-key="{job}"' in shown
    )
    asked = say("jobs", "cancel", job, "--home", home)
    assert (asked.code, asked.out) == (0, "It forgets where it was.\n")
    assert engine.wait(job, WAIT) and engine.job(job).status == "stopped"
    assert 'data-deed="resume"' in pieces.list("", "en") and pieces.one(job, "en") == ""
    assert say("jobs", "cancel", job, "--home", home).code == 2, "it is over"
    again = engine.resume_job(job)
    assert again == job
    wait_for(lambda: engine.job(job).status == "running", "it counts again")
    engine.stop(job)
    engine.wait(job, WAIT)
    engine.dismiss(job)
    assert pieces.list("", "zh") == '<p class="note">没有进行中或等待中的任务。</p>'


def test_what_a_job_comes_to_is_kept_and_its_failure_is_a_sentence_without_secrets(engine: Engine, home: Path) -> None:
    job = engine.start("count", {"far": 5})
    assert engine.finish(job) == {"counted": 5} and engine.job(job).status == "completed"
    failed = engine.start("count", {"far": 5, "mark": "fail"})
    with pytest.raises(WorkbenchError) as caught:
        engine.finish(failed)
    assert "OSError: with hf_***" in caught.value.message.to("en") and caught.value.code == "unexpected"
    assert b"hf_aaa" not in b"".join(path.read_bytes() for path in (home / "jobs").rglob("*") if path.is_file())
    shown = Engine(home, read_only=True)
    assert [(one.id, one.status) for one in shown.jobs()] == [(failed, "failed"), (job, "completed")]
    assert shown.job(failed).error is not None and shown.job(job).result == {"counted": 5}


@pytest.mark.parametrize(
    ("kind", "request_"),
    [("nothing", {}), ("count", {}), ("count", {"far": "many"}), ("count", {"far": 2, "more": 1}), ("merge", {"run": "../x"}),
     ("zip", {"run": "no"})],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_is_written(engine: Engine, kind: str, request_: Any) -> None:
    with pytest.raises(WorkbenchError):
        engine.start(kind, request_)
    assert engine.jobs() == [] and not (engine.home / "jobs").exists()


def test_the_page_writes_no_model_into_a_folder_of_its_choice(home: Path, tmp_path: Path) -> None:
    page = Engine(home)
    run = done(page, tiny_config())
    with pytest.raises(WorkbenchError) as caught:
        page.start("merge", {"run": run.id, "folder": str(tmp_path / "there")})
    assert caught.value.field == "folder"
    page.close()


@pytest.mark.parametrize("content", ["{", "[]", '{"id": 1}', '{"status": "running"}', "folder", "stray"])
def test_a_damaged_job_is_listed_beside_the_others_and_is_gone_when_it_is_dismissed(
    engine: Engine, home: Path, content: str
) -> None:
    good = engine.start("count", {"far": 2})
    engine.finish(good)
    bad = home / "jobs" / ("a copy" if content == "stray" else "20260101-000000-count-0000")
    if content == "folder":
        bad.write_text("no folder")
    else:
        bad.mkdir()
        (bad / "job.json").write_text(content)
    listed = {one.id: one for one in engine.jobs()}
    assert listed[good].status == "completed" and listed[bad.name].status == "damaged"
    assert listed[bad.name].error is not None and not listed[bad.name].resumable
    assert say("jobs", "--home", home).code == 0
    engine.dismiss(bad.name)
    assert [one.id for one in engine.jobs()] == [good] and not bad.exists()


def test_a_job_whose_request_cannot_be_read_keeps_nobody_from_deleting(engine: Engine, home: Path) -> None:
    run = done(engine, tiny_config())
    job = engine.start("count", {"far": 9, "mark": "wait"})
    wait_for(lambda: engine.job(job).status == "running", "it counts")
    record = home / "jobs" / job / "job.json"
    values = json.loads(record.read_text(encoding="utf-8"))
    write_json(record, {**values, "kind": "merge", "request": {"far": 9}})  # as a later version may write it
    engine.delete(run.id)
    engine.stop(job)
    engine.wait(job, WAIT)


# Words


def test_words_are_heard_once_and_only_by_the_turn_that_they_were_meant_for(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    listener = control.Listener(lambda job, word: heard.append((job, word)))
    control.say(tmp_path, "stop")
    listener.add("a", tmp_path)
    with (tmp_path / control.FILE).open("ab") as file:
        file.write(b'\xff\n{"word": 1}\n[]\n{"time": 1, "word": "half')
    wait_for(lambda: listener._heard["a"][1] > 50, "the damaged lines are read")
    assert heard == []
    with (tmp_path / control.FILE).open("ab") as file:
        file.write(b' a word"}\n')
    control.say(tmp_path, "stop")
    wait_for(lambda: len(heard) == 2, "both words are heard")
    assert heard == [("a", "half a word"), ("a", "stop")]
    listener.drop("a")


# Processes


def test_a_run_of_another_process_is_seen_live_and_stopped_from_here(engine: Engine, home: Path) -> None:
    other = beside(home, "train", yaml(home, **LONG))
    run = the_run(engine)
    wait_for(lambda: any(event["type"] == "metrics" for event in engine.events(run)), "its curve is seen")
    seen = engine.events(run)[-1]["seq"]
    wait_for(lambda: engine.events(run, seen) != [], "and grows")
    assert engine.run(run).status == "running" and engine.status().running.id == run
    assert [(one.id, one.status) for one in engine.jobs()] == [(run, "running")]
    with pytest.raises(WorkbenchError) as caught:
        engine.delete(run)
    assert caught.value.code == "active"
    with pytest.raises(WorkbenchError):
        engine.resume(run)
    engine.stop(run)
    out, _ = other.communicate(timeout=WAIT)
    assert out == f"{run} stopped\n"
    record = engine.run(run)
    assert record.status == "stopped" and record.last_step > 0 and engine.store.last_checkpoint(run) is not None
    engine.resume(run, {"optimization.max_steps": record.last_step + 1})
    assert engine.wait(run, WAIT) and engine.run(run).status == "completed"


def test_a_run_that_waits_for_another_process_says_so_and_begins_when_that_ends(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = Hold(monkeypatch, 2)
    first = engine.submit(tiny_config(output={"name": "tea"}))
    hold.reached()
    other = beside(home, "train", yaml(home, "coffee"))
    second = the_run(engine, 1)
    wait_for(lambda: any(event["type"] == "stage" for event in engine.events(second)), "it waits")
    assert engine.run(second).status == "queued"
    assert [one.id for one in engine.jobs()] == [first, second]
    with pytest.raises(WorkbenchError) as caught, Lease(home / FOLDER).held_by(Text("chat", "聊天"), seconds=0):
        pass
    assert caught.value.code == "busy" and "tea" in caught.value.message.to("en")
    told = [event["text"]["en"] for event in engine.events(second) if event["type"] == "stage"]
    assert told == ["Waiting for the device: training of tea, in another window or terminal"]
    hold.release()
    out, said = other.communicate(timeout=WAIT)
    assert told[0] in said, "the terminal says so, too"
    assert out == f"{second} completed\n" and engine.run(first).status == "completed"


def test_what_a_killed_process_left_is_told_from_what_a_living_one_does(engine: Engine, home: Path) -> None:
    other = beside(home, "train", yaml(home, **LONG), step="120")
    run = the_run(engine)
    assert engine.run(run).status in ("queued", "running")
    other.communicate(timeout=WAIT)
    assert other.returncode == -signal.SIGKILL
    wait_for(lambda: engine.run(run).status == "interrupted", "nobody works on it any more")
    record = engine.run(run)
    assert record.last_step == 120 and engine.jobs() == []
    engine.resume(run, {"optimization.max_steps": 130})
    assert engine.wait(run, WAIT) and engine.run(run).status == "completed"


def test_a_job_of_a_process_that_died_is_offered_again(engine: Engine, home: Path) -> None:
    job = engine.start("count", {"far": 3})
    engine.finish(job)
    record = home / "jobs" / job / "job.json"
    for left in ("queued", "running", "stopping"):
        values = json.loads(record.read_text(encoding="utf-8"))
        write_json(record, {**values, "status": left, "result": {}})  # as a dead process would have left it
        assert engine.job(job).status == "interrupted" and engine.job(job).resumable
        assert json.loads(record.read_text(encoding="utf-8"))["status"] == "interrupted"
        engine.resume_job(job)
        assert engine.finish(job) == {"counted": 3}


def test_who_only_looks_changes_nothing_and_who_comes_second_sweeps_nothing(engine: Engine, home: Path) -> None:
    half = home / "runs" / ".x.making"
    half.mkdir(parents=True)
    second = Engine(home)
    assert half.exists(), "somebody may be making it"
    second.close()
    run = done(engine, tiny_config())
    record = home / "runs" / run.id / "run.json"
    write_json(record, {**json.loads(record.read_text(encoding="utf-8")), "status": "running"})
    before = record.read_bytes()
    assert Engine(home, read_only=True).run(run.id).status == "interrupted" and record.read_bytes() == before
    engine.close()
    Engine(home).close()
    assert not half.exists(), "nobody else is there"


def test_the_device_goes_to_a_process_that_waits_before_the_next_of_the_same_queue(tmp_path: Path) -> None:
    owners = Owners(tmp_path)
    owners.enter()
    mine, order = Lease(tmp_path / FOLDER), []
    code = f"""
    from pathlib import Path
    from workbench.config.text import Text
    from workbench.engine.lease import Lease
    def waits(holder):
        print(holder.to("en"), flush=True)
    with Lease(Path({str(tmp_path / FOLDER)!r})).held_by(Text("b", "b"), waiting=waits):
        print("has it", flush=True)
        input()
    """
    with mine.held_by(Text("first", "一")):
        other = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout.readline() == "first, in another window or terminal\n"
        wait_for(lambda: (tmp_path / FOLDER / "device.waiting").exists(), "it waits in the queue")

    def next_one() -> None:
        with mine.held_by(Text("second", "二")):
            order.append("second")

    thread = threading.Thread(target=next_one)
    thread.start()
    assert other.stdout.readline() == "has it\n"
    assert order == []
    other.communicate("\n", timeout=WAIT)
    thread.join(WAIT)
    assert order == ["second"]
    stop = threading.Event()
    stop.set()
    with mine.held_by(Text("a", "a")), pytest.raises(StopRequested), mine.held_by(Text("b", "b"), stop=stop):
        pass
