"""What can go wrong beside the work itself: clicks at the wrong time, a full disk, a worker that trips."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.homes import WAIT, make_home, tiny_config
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.text import Text
from workbench.engine import Engine, checks, run_jobs
from workbench.engine.boundary import explain, is_disk_full
from workbench.engine.chats import Chats, Target
from workbench.engine.desk import Desk
from workbench.engine.events import EventLog
from workbench.engine.lease import Lease
from workbench.engine.worker import Worker


@pytest.fixture
def engine(tmp_path, monkeypatch):
    engine = Engine(make_home(tmp_path / "home"))
    monkeypatch.setattr(engine._board._lanes["device"], "put", lambda run_id: None)  # nothing trains here
    yield engine
    engine.close()


def stopped(engine, *, checkpoint: bool) -> str:
    run = engine.submit(tiny_config())
    engine.store.update(run, status="stopped")
    if checkpoint:
        folder = engine.store.path(run) / "checkpoints" / "checkpoint-3"
        folder.mkdir(parents=True)
        (folder / "whole.json").write_text("{}")
    return run


def test_the_same_click_from_many_threads_is_one_run(engine, monkeypatch):
    check, everybody = checks.check, threading.Barrier(6)

    def slow_check(*given, **rest):
        everybody.wait(WAIT)  # all have asked before the first is answered
        return check(*given, **rest)

    monkeypatch.setattr(checks, "check", slow_check)
    with ThreadPoolExecutor(6) as pool:
        started = [pool.submit(engine.submit, tiny_config(), "a click") for _ in range(6)]
    assert len({start.result() for start in started}) == 1 == len(engine.runs())


@pytest.mark.parametrize("clicks", [("one", "another"), ("", "")])
def test_two_clicks_are_two_runs_even_at_once(engine, clicks):
    assert len({engine.submit(tiny_config(), click) for click in clicks}) == 2


def test_a_click_that_asks_for_something_else_is_another_run(engine):
    first = engine.submit(tiny_config(), "a click")
    assert engine.submit(tiny_config(output={"name": "changed"}), "a click") != first


def test_a_click_is_known_while_its_run_is_there(engine):
    first = engine.submit(tiny_config(), "a click")
    engine.store.update(first, status="completed")
    assert engine.submit(tiny_config(), "a click") == first, "its answer was lost on the way"
    engine.delete(first)
    assert engine.submit(tiny_config(), "a click") != first


def test_of_two_who_resume_at_once_one_succeeds(engine, monkeypatch):
    run, told, both = stopped(engine, checkpoint=False), [], threading.Barrier(2)
    update = engine.store.update

    def slow_update(*args, **facts):
        try:
            both.wait(1)  # whoever writes gives the other one time to get here, too
        except threading.BrokenBarrierError:
            pass
        return update(*args, **facts)

    monkeypatch.setattr(engine.store, "update", slow_update)

    def resume() -> None:
        try:
            told.append(engine.resume(run))
        except WorkbenchError as error:
            told.append(error.code)

    threads = [threading.Thread(target=resume) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == sorted([run, "not_resumable"])


@pytest.mark.parametrize(
    "override",
    [
        {"optimization.learning_rate": 1e-5},
        {"optimization.seed": 7},
        {"model.base": "starter"},
        {"optimization.epochs": -1},
    ],
)
def test_an_override_that_is_refused_changes_nothing(engine, override):
    run = stopped(engine, checkpoint=True)
    before = engine.store.config(run)
    with pytest.raises(WorkbenchError) as caught:
        engine.resume(run, override)
    assert caught.value.field == next(iter(override))
    assert engine.store.config(run) == before and engine.run(run).status == "stopped"


def test_a_run_may_be_made_longer_when_it_is_resumed(engine):
    run = stopped(engine, checkpoint=True)
    engine.resume(run, {"optimization.max_steps": 99})
    assert engine.store.config(run).optimization.max_steps == 99
    assert engine.run(run).status == "queued"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried 8 GB"),
    ],
)
def test_memory_that_ran_out_is_named_with_the_field_to_change(error):
    problem = explain(error)
    assert (
        problem.field == "optimization.batch_size" and "内存" in problem.message.to("zh") and problem.hint is not None
    )


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        Exception("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_named_whoever_reports_it(error):
    assert is_disk_full(error)
    problem = explain(error)
    assert "disk is full" in problem.message.to("en") and "磁盘已满" in problem.message.to("zh")
    assert problem.hint is not None


def test_the_room_that_is_told_is_that_of_the_disk_that_is_full(tmp_path, monkeypatch):
    from workbench.config import disk

    monkeypatch.setattr(disk, "free_bytes", lambda path: 3 * 10**9 if path == tmp_path else 7 * 10**9)
    assert "3.0 GB" in explain(OSError(28, "No space left on device"), tmp_path).message.to("en")


def test_what_nobody_expected_is_still_a_sentence_in_both_languages():
    problem = explain(KeyError("x"))
    assert "KeyError" in problem.message.to("zh") and problem.hint is not None


@pytest.mark.parametrize("mb", [(3, 9.4), (1240, 1260), (0, 20), (999.96, 1000), (0.0001, 0.0009)])
def test_the_room_that_is_missing_is_told_in_sizes_that_differ(tmp_path, monkeypatch, mb):
    from workbench.config import disk

    free, needed = (int(value * 1e6) for value in mb)
    monkeypatch.setattr(disk, "free_bytes", lambda path: free)
    for lang in ("en", "zh"):
        said = disk.disk_full(tmp_path, needed).message.to(lang)
        sizes = re.findall(r"[0-9.]+ [KMG]?B", said)
        assert len(sizes) == 3 and not sizes[2].startswith("0.0"), said
        assert "0.0 GB" not in said


ENDINGS = [RuntimeError("not expected"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: type(ending).__name__)
def test_what_ends_a_training_fails_that_run_and_the_next_one_trains(home, monkeypatch, ending):
    from workbench.engine import training

    train = training.train

    def trip(job):
        if job.config.output.name == "bad":
            raise ending
        return train(job)

    monkeypatch.setattr(training, "train", trip)
    engine = Engine(home)
    try:
        bad = engine.submit(tiny_config(output={"name": "bad"}))
        good = engine.submit(tiny_config(optimization={"max_steps": 1}))
        assert engine.wait(bad, WAIT) and engine.wait(good, WAIT)
        failed = engine.run(bad)
        assert failed.status == "failed" and type(ending).__name__ in failed.error["message"]["zh"]
        assert engine.run(good).status == "completed"
    finally:
        engine.close()


def trained(monkeypatch, ended):
    """A training that takes no time: it raises what it is given, or ends with it."""
    from workbench.engine import training

    def train(job):
        if isinstance(ended, BaseException):
            raise ended
        return training.Outcome(ended == "stopped", 0, 9, 1.5, None, True)

    monkeypatch.setattr(training, "train", train)


@pytest.mark.parametrize(
    ("judge", "error", "ended"),
    [
        ("judge", KeyError("x"), "completed"),
        ("judge", WorkbenchError(Text("no", "不")), "stopped"),
        ("taught_answers", MemoryError(), "completed"),
    ],
)
def test_a_run_whose_verdict_fails_has_come_to_its_end(engine, monkeypatch, judge, error, ended):
    def trip(*given, **rest):
        raise error

    trained(monkeypatch, ended)
    monkeypatch.setattr(run_jobs, judge, trip)
    run = engine.submit(tiny_config())
    engine._board._runs.work(run, threading.Event())
    record = engine.run(run)
    assert (record.status, record.error, record.has_result, record.train_loss) == (ended, None, True, 1.5)
    events = engine.events(run)
    assert events[-1]["status"] == ended and not any(event["type"] == "verdict" for event in events)
    assert type(error).__name__ in engine.log(run)


@pytest.mark.parametrize("ended", ["completed", "stopped", RuntimeError("x"), StopRequested(), "never begun"], ids=str)
def test_nobody_who_looks_while_a_run_ends_finds_its_events_cut_off(engine, monkeypatch, ended):
    run, looks = engine.submit(tiny_config()), []

    def looked_at(change):
        def changed(*given, **rest):
            result = change(*given, **rest)
            looks.append([text.to("en") for text in engine.damage(run) if "events.jsonl" in text.to("en")])
            return result

        return changed

    monkeypatch.setattr(engine.store, "update", looked_at(engine.store.update))
    monkeypatch.setattr(EventLog, "append", looked_at(EventLog.append))
    if ended == "never begun":
        monkeypatch.setattr(engine._board, "_cancel", lambda run_id: True)
        engine.stop(run)
    else:
        trained(monkeypatch, ended)
        engine._board._runs.work(run, threading.Event())
    last = "failed" if isinstance(ended, RuntimeError) else "completed" if ended == "completed" else "stopped"
    assert engine.run(run).status == last and len(looks) > 1
    assert not any(looks), "the record was ahead of the events"


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: type(ending).__name__)
def test_a_worker_that_trips_over_one_run_takes_the_next(ending):
    done = []

    def work(run_id: str, stop: threading.Event) -> None:
        if run_id == "bad":
            raise ending
        done.append(run_id)

    worker = Worker(work)
    worker.put("bad")
    worker.put("good")
    assert worker.wait("good", 10) and done == ["good"]
    assert worker.close(10)


def test_stop_ends_a_question_that_the_training_has_not_heard_yet(tmp_path):
    desk, stop = Desk(), threading.Event()
    desk.run_id = "run"
    sampling = {"temperature": 0.0, "top_p": 1.0, "max_new_tokens": 8}
    talk = Chats(Lease(), desk).answer(
        Target("run", tmp_path), "run", [{"role": "user", "content": "?"}], tuned=True, sampling=sampling, stop=stop
    )
    threading.Timer(0.2, stop.set).start()
    assert list(talk) == []
