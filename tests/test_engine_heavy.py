"""While one thread imports the heavy libraries, no other begins to."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ROOT
from workbench.config.run import RunConfig
from workbench.engine import heavy
from workbench.engine.engine import Engine

# What failed: a training began while its libraries were still being imported. Each turn is a process of its own.
RACE = """
import sys, threading, time
from pathlib import Path
from workbench.bootstrap import environment
environment()
from workbench.config.run import RunConfig
from workbench.engine.engine import Engine
engine = Engine(Path(sys.argv[1]))
engine.warm_up()
time.sleep(float(sys.argv[2]))
run = engine.submit(RunConfig.parse({"data": {"train": "pirate-voice"}, "optimization": {"max_steps": 1}}))
answers = []
talk = threading.Thread(target=lambda: answers.append(engine.inspect("pirate-voice", "starter", 512, "answers")["tokens"]))
talk.start()
engine.wait(run)
talk.join()
print(engine.run(run).status, answers[0] > 0)
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who waited until the libraries are there."""
    made: list[str] = []
    monkeypatch.setattr(heavy, "ready", lambda: made.append(threading.current_thread().name))
    return made


def test_without_a_page_nothing_is_imported_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy, "_begun", threading.Event())
    monkeypatch.setattr(heavy, "_load", lambda: pytest.fail("a command imports what it needs"))
    heavy.ready()


def test_who_needs_them_waits_for_the_one_that_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy, "_begun", threading.Event())
    heavy.warm_up()
    with heavy._importing:
        waiting = threading.Thread(target=heavy.ready)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
    waiting.join(60)
    assert not waiting.is_alive()


def test_every_door_to_them_asks(tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tmp_path)
    try:
        engine.inspect("pirate-voice", "starter", 512, "answers")
        assert len(calls) == 1
        next(engine.chat("starter", [{"role": "user", "content": "Hello?"}], max_new_tokens=1), "")
        assert len(calls) == 2
        run = engine.submit(RunConfig.parse({"data": {"train": "pirate-voice"}, "optimization": {"max_steps": 1}}))
        engine.wait(run)
        assert calls[2:] == ["training"] and engine.run(run).status == "completed"
        engine.merge(run)
        assert calls[3:] == ["training"]
    finally:
        engine.close()


@pytest.mark.parametrize("pause", [0.3])
def test_a_run_may_begin_while_they_are_imported(tmp_path: Path, pause: float) -> None:
    command: list[Any] = [sys.executable, "-c", RACE, tmp_path, str(pause)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.split() == ["completed", "True"], done.stderr[-2000:]
