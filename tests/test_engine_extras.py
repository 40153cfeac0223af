"""Extras that are installed when asked for, and what a public demo refuses."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.homes import make_home
from workbench.config.demo import VARIABLE, is_demo
from workbench.config.errors import WorkbenchError
from workbench.engine import Engine
from workbench.engine.jobs import install


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    made = Engine(make_home(tmp_path))
    yield made
    made.close()


def pip(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A pip that does what `code` says; its arguments come after it."""
    monkeypatch.setattr(install, "COMMAND", [sys.executable, "-c", code])


def over(engine: Engine, job: str) -> Any:
    until = time.monotonic() + 60
    while engine.job(job).active and time.monotonic() < until:
        time.sleep(0.02)
    return engine.job(job)


def test_what_pip_installs_is_the_exact_version_that_is_declared(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip(monkeypatch, f"import sys; open({str(tmp_path / 'asked')!r}, 'w').write(' '.join(sys.argv[1:]))")
    job = over(engine, engine.start("install", {"extra": "modelscope"}))
    assert job.status == "completed" and job.result == {"package": install.EXTRAS["modelscope"]}
    name, _, version = (tmp_path / "asked").read_text().partition("==")
    assert name == "modelscope-hub" and version[0].isdigit()


def test_what_pip_says_is_told_with_a_next_step(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(monkeypatch, "print('Collecting'); print('ERROR: No matching distribution found'); raise SystemExit(1)")
    job = over(engine, engine.start("install", {"extra": "modelscope"}))
    assert job.status == "failed" and "No matching distribution" in job.error.message.to("zh")
    assert "镜像" in job.error.hint.to("zh")


def test_stop_ends_pip(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tmp_path / "begun"
    pip(monkeypatch, f"import time; open({str(begun)!r}, 'w'); time.sleep(600)")
    job = engine.start("install", {"extra": "modelscope"})
    until = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < until:
        time.sleep(0.02)
    engine.stop(job)
    assert over(engine, job).status == "stopped"


@pytest.mark.parametrize("name", ["torch", "../x", "modelscope-hub; rm", ""])
def test_nothing_else_is_installed(engine: Engine, name: str) -> None:
    with pytest.raises(WorkbenchError) as refusal:
        engine.start("install", {"extra": name})
    assert refusal.value.code == "unknown_extra" and not engine.jobs()


@pytest.mark.parametrize(("said", "is_one"), [("1", True), ("yes", True), ("0", False), ("off", False), ("", False)])
def test_a_demo_is_one_where_that_was_said(monkeypatch: pytest.MonkeyPatch, said: str, is_one: bool) -> None:
    monkeypatch.setenv(VARIABLE, said)
    assert is_demo() is is_one


def test_a_public_demo_has_the_recommended_models_and_nothing_else(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    refused = [
        lambda: engine.start("download", {"repo_id": "somebody/model", "model_id": None}),
        lambda: engine.download("somebody/model"),
        lambda: engine.start("install", {"extra": "modelscope"}),
        lambda: engine.start("push", {"run": "x", "repo_id": "somebody/model"}),
        lambda: engine.choose_source("mirror", "https://example.com"),
        lambda: engine.use_token("hf_" + "a" * 34),
    ]
    for ask in refused:
        with pytest.raises(WorkbenchError) as refusal:
            ask()
        assert refusal.value.code == "demo"
    assert not engine.jobs() and engine.tokens.current() is None
    offers = engine.offers("qwen3 0.6b")  # looks in the shipped list alone
    assert [offer.model_id for offer in offers] == ["Qwen3-0.6B", "Qwen3-0.6B-Base"] and len(engine.offers()) > 10


def test_the_page_of_a_demo_has_no_fields_for_source_token_and_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.bootstrap import environment

    environment()
    from tests.ui_double import FakeEngine
    from workbench.ui.page import build

    def fields() -> set[str]:
        return {str(block.elem_id) for block in build(FakeEngine(tmp_path)).blocks.values() if block.elem_id}

    hidden = {"find-token", "find-endpoint", "find-proxy", "find-offline", "push-name", "push-start"}
    assert hidden <= fields()
    monkeypatch.setenv(VARIABLE, "1")
    assert not hidden & fields()
