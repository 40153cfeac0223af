"""What a run has learned goes to the Hub by a job: what is sent, who sees it, and what goes wrong on the way."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.homes import WAIT, done, make_home, tiny_config
from tests.hub import Hub
from tests.steps import wait_for
from tests.test_commands import say
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.engine import Engine
from workbench.hub import make_source, save_source

TOKEN = "hf_" + "PlantedPlantedPlantedPlantedPlante"
ASKED = "Who are you?"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a finished run."""
    home = make_home(tmp_path_factory.mktemp("trained") / "home")
    engine = Engine(home)
    done(engine, tiny_config(output={"name": "Tea shop"}, evaluation={"questions": [ASKED]}))
    engine.close()
    return home


@pytest.fixture
def engine(trained: Path, tmp_path: Path, hub: Hub) -> Iterator[Engine]:
    """One with a finished run; its token is known to the Hub as ben's."""
    home = tmp_path / "home"
    shutil.copytree(trained, home)
    save_source(home, make_source("mirror", hub.url))
    hub.account("ben", token=TOKEN)
    engine = Engine(home)
    engine.tokens.use(TOKEN)
    yield engine
    engine.close()


def run_of(engine: Engine) -> str:
    return engine.runs()[0].id


def test_an_adapter_is_pushed_privately_with_a_card_that_has_curves_and_answers(engine: Engine, hub: Hub) -> None:
    run = run_of(engine)
    plan = engine.push_plan(run, "tea-shop")
    assert (plan.repo_id, plan.exists, plan.visible) == ("ben/tea-shop", False, False)
    assert not hub.repos, "so far nothing was sent"
    job = engine.start("push", {"run": run, "repo_id": "tea-shop"})
    result = engine.finish(job)
    assert result == {"address": f"{hub.url}/ben/tea-shop", "repo_id": "ben/tea-shop"}
    repo = hub.repo("ben/tea-shop")
    assert repo.private and {file.name for file in plan.files} == set(repo.files) - {".gitattributes"}
    adapter = engine.result(run) / "adapter_model.safetensors"
    assert repo.files["adapter_model.safetensors"] == adapter.read_bytes()
    card = bytes(repo.files["README.md"]).decode()
    assert ASKED in card and "library_name: peft" in card and ".svg)" in card and str(engine.home) not in card
    assert any(name.endswith(".svg") for name in repo.files)
    shown = engine.job(job)
    assert shown.done == shown.total == plan.bytes and shown.unit == "bytes"
    planted = [path for path in engine.home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert planted == []


def test_a_model_folder_is_pushed_when_it_was_made_and_questions_stay_here_on_request(engine: Engine, hub: Hub) -> None:
    run = run_of(engine)
    asked = {"run": run, "repo_id": "ben/whole", "what": "merged", "answers": False}
    with pytest.raises(WorkbenchError) as caught:
        engine.finish(engine.start("push", asked))
    assert caught.value.code == "no_result" and "ben/whole" not in {repo for _, repo in hub.repos}
    folder = engine.merge(run)
    engine.finish(engine.start("push", asked))
    files = hub.repo("ben/whole").files
    assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert ASKED not in bytes(files["README.md"]).decode()


def test_a_push_that_broke_off_sends_no_weights_twice(engine: Engine, hub: Hub) -> None:
    fault = hub.fault("/api/models/ben/tea/commit/*", status=500)
    job = engine.start("push", {"run": run_of(engine), "repo_id": "ben/tea"})
    with pytest.raises(WorkbenchError):
        engine.finish(job)
    sent = len(hub.requests("/xet/v1/xorbs/*", "POST"))
    assert sent and "README.md" not in hub.repo("ben/tea").files
    planted = [path for path in engine.home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert planted == []
    hub.faults.lift(fault)
    engine.resume_job(job)
    engine.finish(job)
    assert len(hub.requests("/xet/v1/xorbs/*", "POST")) == sent
    assert "adapter_model.safetensors" in hub.repo("ben/tea").files


def test_a_push_that_is_cancelled_shows_nothing_and_is_done_when_it_is_resumed(engine: Engine, hub: Hub) -> None:
    fault = hub.fault("/api/models/ben/tea/commit/*", silent=True, times=1)
    job = engine.start("push", {"run": run_of(engine), "repo_id": "ben/tea"})
    wait_for(lambda: bool(hub.requests("/api/models/ben/tea/commit/*")), "all but the commit was sent")
    engine.stop(job)
    with pytest.raises(StopRequested):
        engine.finish(job)
    assert engine.job(job).status == "stopped" and "README.md" not in hub.repo("ben/tea").files
    hub.faults.lift(fault)
    engine.resume_job(job)
    assert engine.finish(job)["repo_id"] == "ben/tea" and "README.md" in hub.repo("ben/tea").files


def test_what_was_to_be_private_is_not_sent_where_everybody_sees_it(engine: Engine, hub: Hub) -> None:
    hub.add("ben/open", {"README.md": "mine"})
    with pytest.raises(WorkbenchError) as caught:
        engine.finish(engine.start("push", {"run": run_of(engine), "repo_id": "ben/open"}))
    assert caught.value.code == "hub_exists" and set(hub.repo("ben/open").files) <= {"README.md", ".gitattributes"}
    shown = {"run": run_of(engine), "repo_id": "ben/open", "public_before": True}
    engine.finish(engine.start("push", shown))
    assert "adapter_model.safetensors" in hub.repo("ben/open").files


def test_without_a_token_or_under_another_name_it_is_a_sentence(engine: Engine, hub: Hub) -> None:
    for repo_id, code in (("../x", "hub_id"), ("ann/tea", "hub_write")):
        with pytest.raises(WorkbenchError) as caught:
            engine.finish(engine.start("push", {"run": run_of(engine), "repo_id": repo_id}))
        assert caught.value.code == code and caught.value.hint is not None
    engine.tokens.forget()
    with pytest.raises(WorkbenchError) as caught:
        engine.push_plan(run_of(engine), "tea")
    assert caught.value.code == "hub_token" and caught.value.hint is not None


def test_the_commands_make_a_model_folder_and_push_it(
    engine: Engine, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    run = run_of(engine)
    made = Path(say("merge", run, "--home", engine.home).out.strip())
    assert made.parent == engine.home / "runs" / run / "exports"
    assert say("push", run, "ben/whole", "--what", "merged", "--home", engine.home, "--yes").code == 0
    assert hub.repo("ben/whole").files["model.safetensors"] == (made / "model.safetensors").read_bytes()


def test_the_command_says_what_goes_where_before_it_goes(
    engine: Engine, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    said = say("push", run_of(engine), "tea", "--home", engine.home, "--json", "--yes", "--no-answers")
    assert said.code == 0, said.err
    assert json.loads(said.out)["address"] == f"{hub.url}/ben/tea"
    assert (
        "adapter_model.safetensors  " in said.err
        and "only its owner sees it" in said.err
        and TOKEN not in said.err + said.out
    )
    assert engine.wait("nothing", WAIT)
    assert say("push", "nosuch", "tea", "--home", engine.home, "--lang", "zh").code == 2


class Typed(io.StringIO):
    """What somebody types at a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_command_makes_nothing_public_that_nobody_agreed_to(
    engine: Engine, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.add("ben/open", {"README.md": "mine"})
    command = ("push", run_of(engine), "ben/open", "--home", engine.home)
    refused = [(("--yes",), ""), ((), "n\n"), ((), "")]
    for options, typed in refused:
        monkeypatch.setattr(sys, "stdin", Typed(typed))
        assert say(*command, *options).code != 0, (options, typed)
        assert "adapter_model.safetensors" not in hub.repo("ben/open").files
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # no terminal, so nobody is asked
    assert say(*command).code == 2 and "adapter_model.safetensors" not in hub.repo("ben/open").files
    monkeypatch.setattr(sys, "stdin", Typed("y\n"))
    assert say(*command).code == 0 and "adapter_model.safetensors" in hub.repo("ben/open").files
