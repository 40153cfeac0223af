"""What asks the program to end: Ctrl-C, a service or container that stops, a terminal that closes. Nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.homes import WAIT, done, largest_difference, losses, make_home, tiny_config, weights
from workbench.bootstrap import ROOT
from workbench.config import signals
from workbench.config.presets import dump
from workbench.engine import Engine

STEP = 4  # at which the training is asked to stop
SECONDS = 30.0  # in which a program that has nothing to save is gone, on a busy machine
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals for other processes")


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """With which codes the process would have ended at once."""
    codes: list[int] = []
    monkeypatch.setattr(signals.os, "_exit", codes.append)
    return codes


def send(name: str) -> None:
    signal.raise_signal(getattr(signal, name))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_each_is_noted_the_second_time_ends_at_once_and_afterwards_all_is_as_before(
    ended: list[int], name: str
) -> None:
    before = {each: signal.getsignal(getattr(signal, each)) for each in ("SIGINT", "SIGTERM", "SIGHUP")}
    with signals.heard() as asked:
        assert not asked()
        send(name)
        assert asked() and ended == []
        send("SIGTERM")
        assert ended == [signals.GIVEN_UP]
    assert {each: signal.getsignal(getattr(signal, each)) for each in before} == before


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_terminal_that_closes_may_say_so_more_than_once(ended: list[int], first: str) -> None:
    with signals.heard() as asked:
        for name in (first, "SIGHUP", "SIGHUP"):
            send(name)
        assert asked() and ended == []


def test_what_nohup_switched_off_stays_off(ended: list[int]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        for handled in (signals.heard, signals.as_interrupts):
            with handled() as asked:
                send("SIGHUP")
                assert not (asked and asked()) and ended == []
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_where_nothing_is_to_be_saved_it_is_an_interrupt(name: str) -> None:
    with pytest.raises(KeyboardInterrupt), signals.as_interrupts():
        send(name)


def test_without_signals_of_unix_there_are_the_others(monkeypatch: pytest.MonkeyPatch, ended: list[int]) -> None:
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.setattr(signals, "_HANG_UP", None)
    with signals.heard() as asked:
        send("SIGINT")
        assert asked() and ended == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, dict[int, float]]:
    """A home with a run that nobody stopped, what it learned, and its losses."""
    home = make_home(tmp_path_factory.mktemp("signals") / "home")
    (home / "run.yaml").write_text(dump(tiny_config()), encoding="utf-8")
    engine = Engine(home)
    run = done(engine, tiny_config())
    found = weights(engine.store.path(run.id)), losses(engine.events(run.id))
    engine.close()
    return home, *found


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "tests.steps", *map(str, words)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def resumed_as_if_never_stopped(whole: tuple[Path, Any, dict[int, float]], run: str) -> None:
    """Resume a run that was stopped by a signal, and compare its end with the one that nobody stopped."""
    home, expected, expected_losses = whole
    engine = Engine(home)
    try:
        stopped = engine.run(run)
        assert (stopped.status, stopped.last_step) in (("stopped", STEP), ("stopped", STEP + 1))
        assert engine.store.last_checkpoint(run).name == f"checkpoint-{stopped.last_step}"
        engine.resume(run)
        assert engine.wait(run, WAIT) and engine.run(run).status == "completed"
        assert losses(engine.events(run)) == expected_losses
        assert largest_difference(weights(engine.store.path(run)), expected) == 0.0
    finally:
        engine.close()


def test_train_that_is_asked_to_end_saves_and_resumes_exactly(whole: Any) -> None:
    home = whole[0]
    said = subprocess.run(
        command("SIGTERM", STEP, "train", home / "run.yaml", "--home", home),
        capture_output=True, text=True, timeout=WAIT, cwd=ROOT,
    )  # fmt: skip
    assert said.returncode == 1, said.stderr
    run, status = re.fullmatch(r"(\S+) (\w+)\n", said.stdout).groups()
    assert status == "stopped"
    resumed_as_if_never_stopped(whole, run)


def test_the_page_that_is_asked_to_end_saves_what_trains_and_what_waits_and_resumes_exactly(whole: Any) -> None:
    home = whole[0]
    before = set(os.listdir(home / "runs"))
    page = ("--home", home, "--port", free_port(), "--no-browser", "--lang", "en")
    said = subprocess.run(
        command("SIGTERM", STEP, "app", home / "run.yaml", home / "run.yaml", "--", *page),
        capture_output=True, text=True, timeout=WAIT, cwd=ROOT,
    )  # fmt: skip
    assert said.returncode == 0 and "Closing ..." in said.stderr, said.stderr
    engine = Engine(home)
    runs = {run.id: run for run in engine.runs() if run.id not in before}
    engine.close()
    trained, waited = sorted(runs.values(), key=lambda run: -run.last_step)
    assert (waited.status, waited.last_step, waited.resumable) == ("stopped", 0, True)
    resumed_as_if_never_stopped(whole, trained.id)


def test_a_page_whose_terminal_closes_while_it_answers_is_gone_soon(whole: Any) -> None:
    page = ("--home", whole[0], "--port", free_port(), "--no-browser")
    running = subprocess.Popen(
        command("none", 0, "app", "--", *page), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert running.stdout.readline() == "an answer is being made\n", running.stderr.read()
        running.stdout.close()
        running.stderr.close()  # what it says now meets a terminal that is gone
        began = time.monotonic()
        running.send_signal(signal.SIGHUP)
        assert running.wait(SECONDS) == 0
        assert time.monotonic() - began < SECONDS
    finally:
        running.kill()
        running.wait()
