"""What can go wrong beside the work itself: clicks at the wrong time, a full disk, a worker that trips."""

from __future__ import annotations

import threading

import pytest

from tests.homes import make_home, tiny_config
from workbench.config.errors import WorkbenchError
from workbench.engine import Engine
from workbench.engine.boundary import explain, is_disk_full
from workbench.engine.chats import Chats, Target
from workbench.engine.desk import Desk
from workbench.engine.lease import Lease
from workbench.engine.worker import Worker


@pytest.fixture
def engine(tmp_path, monkeypatch):
    engine = Engine(make_home(tmp_path / "home"))
    monkeypatch.setattr(engine._worker, "put", lambda run_id: None)  # nothing trains here
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


def test_the_same_start_from_two_tabs_is_one_run(engine):
    assert engine.submit(tiny_config()) == engine.submit(tiny_config())
    assert len(engine.runs()) == 1


def test_the_same_start_after_the_first_is_over_is_another_run(engine):
    first = engine.submit(tiny_config())
    engine.store.update(first, status="completed")
    assert engine.submit(tiny_config()) != first


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


def test_a_worker_that_trips_over_one_run_takes_the_next():
    done = []

    def work(run_id: str, stop: threading.Event) -> None:
        if run_id == "bad":
            raise RuntimeError("not expected")
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
