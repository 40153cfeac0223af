"""Downloads as jobs: on the real client, from a server that speaks the Hub's protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from tests.homes import WAIT, done, make_home, tiny_config
from tests.hub import Hub, online_process, real, real_shards
from tests.steps import wait_for
from tests.test_commands import say
from workbench.bootstrap import ROOT
from workbench.config.errors import WorkbenchError
from workbench.engine import Engine, offers
from workbench.hub import make_source, save_source
from workbench.models.curated import curated_models

TOKEN = "hf_" + "PlantedPlantedPlantedPlantedPlante"


@pytest.fixture
def home(tmp_path: Path, hub: Hub) -> Path:
    home = make_home(tmp_path / "home")
    save_source(home, make_source("mirror", hub.url))
    return home


@pytest.fixture
def engine(home: Path) -> Iterator[Engine]:
    engine = Engine(home)
    yield engine
    engine.close()


def test_a_model_that_was_downloaded_is_in_the_list_and_learns(engine: Engine, hub: Hub, home: Path) -> None:
    files = {path.name: path.read_bytes() for path in (home / "models" / "tiny").iterdir()}  # one that can learn
    repo = hub.add("ann/Tiny-Chat", files, license="mit")
    job = engine.download("ann/Tiny-Chat")
    result = engine.finish(job)
    assert result["model"] == "Tiny-Chat" and "Tiny-Chat" in {model.id for model in engine.models.list()}
    shown = engine.job(job)
    assert (shown.done, shown.total, shown.unit) == (result["bytes"], result["bytes"], "bytes")
    assert shown.title.to("zh") == "下载 ann/Tiny-Chat"
    fetched = dict(hub.times_fetched(repo))
    with pytest.raises(WorkbenchError) as caught:
        engine.download("ann/tiny-chat")
    assert caught.value.code == "model_exists" and dict(hub.times_fetched(repo)) == fetched
    config = tiny_config(model={"base": "Tiny-Chat"}, optimization={"max_steps": 2})
    assert done(engine, config).status == "completed"


def test_a_download_that_is_cancelled_leaves_no_model_and_goes_on_where_it_was(
    engine: Engine, hub: Hub, home: Path
) -> None:
    repo = hub.add("ann/tiny-chat", real_shards(20))
    last = sorted(name for name in repo.files if name.endswith(".safetensors"))[-1]
    hub.fault(f"/stored/*/{last}", hold=1000, times=1)
    job = engine.download("ann/tiny-chat")
    wait_for(
        lambda: engine.job(job).words is not None and last in engine.job(job).words.to("en"), "it is at the last file"
    )
    engine.stop(job)
    assert engine.wait(job, WAIT) and engine.job(job).status == "stopped"
    assert "tiny-chat" not in {model.id for model in engine.models.list()}
    assert engine.resume_job(job) == job and engine.finish(job)["model"] == "tiny-chat"
    fetched = dict(hub.times_fetched(repo))
    fetched.pop("config.json")  # it is read when it is asked what belongs to the model
    assert fetched.pop(last) == 2 and set(fetched.values()) == {1}, "whole files are not fetched again"


def test_to_download_again_what_was_cancelled_goes_on_with_it_and_twice_at_once_is_one(
    engine: Engine, hub: Hub
) -> None:
    hub.add("ann/tiny-chat", real())
    held = hub.fault("/stored/*/model.safetensors", hold=1000)
    first = engine.download("ann/tiny-chat")
    wait_for(held.reached.is_set, "its weights come")
    assert engine.download("ann/tiny-chat") == first
    engine.stop(first)
    assert engine.wait(first, WAIT)
    held.release()
    assert engine.download(f"{hub.url}/ann/tiny-chat") == first and engine.finish(first)["model"] == "tiny-chat"
    assert [(job.id, job.resumable) for job in engine.jobs()] == [(first, False)]


def test_a_process_killed_in_mid_download_leaves_it_to_be_resumed(
    engine: Engine, hub: Hub, home: Path, tmp_path: Path
) -> None:
    repo = hub.add("ann/tiny-chat", real_shards(20))
    last = sorted(name for name in repo.files if name.endswith(".safetensors"))[-1]
    hub.fault(f"/stored/*/{last}", hold=1000, times=1)
    command = [sys.executable, "-m", "workbench", "models", "download", "ann/tiny-chat", "--home", str(home)]
    other = subprocess.Popen(
        command, cwd=ROOT, env=online_process(hub, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(
        lambda: any(last in str(job.words) for job in engine.jobs()), "it is at the last file, and this process sees it"
    )
    (job,) = engine.jobs()
    assert job.status == "running" and job.share
    other.kill()
    other.communicate(timeout=WAIT)
    wait_for(lambda: engine.job(job.id).status == "interrupted", "nobody works on it any more")
    assert engine.job(job.id).resumable and "tiny-chat" not in {model.id for model in engine.models.list()}
    engine.resume_job(job.id)
    assert engine.finish(job.id)["model"] == "tiny-chat"
    fetched = dict(hub.times_fetched(repo))
    fetched.pop("config.json")
    assert fetched.pop(last) == 2 and set(fetched.values()) == {1}


@pytest.mark.parametrize(
    ("repository", "code"),
    [("../../x", "hub_id"), ("", "hub_id"), ("https://example.com/a/b", "hub_id"), ("ann/nothing", "hub_missing"),
     ("meta/gated", "hub_gated"), ("ann/pickles", "hub_pickles")],
)  # fmt: skip
def test_what_cannot_come_is_a_sentence_with_a_next_step(
    engine: Engine, hub: Hub, home: Path, repository: str, code: str
) -> None:
    hub.add("meta/gated", real(), gated="manual")
    hub.add("ann/pickles", {"pytorch_model.bin": b"1", "config.json": real()["config.json"]})
    engine.tokens.use(TOKEN)
    hub.account("ann", token=TOKEN)
    with pytest.raises(WorkbenchError) as caught:
        engine.finish(engine.download(repository))
    assert caught.value.code == code and caught.value.hint is not None
    assert len(engine.models.list()) == 2, "the shipped one and the home's own"
    planted = [path for path in home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert planted == [] and TOKEN not in caught.value.to("en") + str([job.as_dict("en") for job in engine.jobs()])


def test_the_command_line_searches_and_downloads(hub: Hub, home: Path) -> None:
    weights = {"total": 1000, "parameters": {"F32": 1000}}
    hub.add("ann/tiny-chat", real(), license="mit", downloads=70, safetensors=weights, tags=["safetensors"])
    recommended = json.loads(say("models", "search", "--home", home, "--json").out)["models"]
    assert 15 <= len(recommended) <= 25 and {"EleutherAI/gpt-neox-20b"} <= {one["id"] for one in recommended}
    named = say("models", "search", f"{hub.url}/ann/not-listed", "--home", home, "--json")
    assert [one["id"] for one in json.loads(named.out)["models"]][:1] == ["ann/not-listed"], (
        "it can be asked for all the same"
    )
    found = say("models", "search", "tiny", "--home", home)
    assert found.code == 0 and found.out.split("  ")[0] == "ann/tiny-chat"
    got = say("models", "download", "ann/tiny-chat", "--home", home, "--json")
    assert got.code == 0 and json.loads(got.out)["model"] == "tiny-chat" and "KB" in got.err
    assert "tiny-chat  " in say("models", "list", "--home", home).out
    hub.down()
    lost = say("models", "search", "tiny", "--home", home, "--lang", "zh")
    assert lost.code in (1, 2) and lost.err.strip()


def test_recommended_models_are_named_as_the_source_names_them() -> None:
    by_id = {model.id: model for model in curated_models()}
    there = {offer.model_id: offer.repo_id for offer in offers.recommended(make_source("modelscope"))}
    assert there == {one.id: one.modelscope for one in by_id.values() if one.modelscope and one.kind != "classifier"}
    other = next(one for one in by_id.values() if one.modelscope not in (None, one.repository))
    for name in (other.id, other.repository, other.modelscope):
        for source, wanted in ((make_source(), other.repository), (make_source("modelscope"), other.modelscope)):
            assert offers.request_for(source, name) == {"repo_id": wanted, "model_id": other.id}
    assert make_source("modelscope").page("a/b") == "https://modelscope.cn/models/a/b"
    missing = [one for one in by_id.values() if one.modelscope is None]
    for model in missing:
        with pytest.raises(WorkbenchError) as caught:
            offers.request_for(make_source("modelscope"), model.id)
        assert caught.value.code == "hub_missing" and caught.value.hint is not None


def test_what_lies_there_of_a_download_is_shown_and_thrown_away(engine: Engine, hub: Hub, home: Path) -> None:
    hub.add("ann/tiny-chat", real())
    held = hub.fault("/stored/*/model.safetensors", hold=1000)
    job = engine.download("ann/tiny-chat")
    wait_for(held.reached.is_set, "its weights come")
    assert engine.partial_downloads() == []  # it is under way
    engine.stop(job)
    assert engine.wait(job, WAIT)
    held.release()
    engine.dismiss(job)  # the job is out of sight, its bytes are not
    (part,) = engine.partial_downloads()
    assert part.record.repo_id == "ann/tiny-chat" and part.done > 0
    assert engine.discard_download("../../models/tiny") == 0
    listed = say("models", "discard", "--home", home, "--json").data["downloads"]
    assert [(one["id"], one["bytes"]) for one in listed] == [("ann/tiny-chat", part.done)]
    assert say("models", "discard", "ann/nothing", "--home", home).code == 2
    freed = say("models", "discard", "ann/tiny-chat", "--home", home, "--json").data["freed_bytes"]
    assert freed >= part.done and engine.partial_downloads() == []
    assert not [path for path in (home / "models").rglob("model.safetensors*") if "tiny-chat" in str(path)]
    assert (home / "models" / "tiny").is_dir()


def test_a_model_in_the_hubs_own_cache_is_offered_and_used_where_it_lies(
    engine: Engine, hub: Hub, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    repo = hub.add("ann/tiny-cached", {path.name: path.read_bytes() for path in (home / "models" / "tiny").iterdir()})
    snapshot_download(repo.id, token=False, endpoint=hub.url, cache_dir=tmp_path / "cache")
    (offered,) = engine.cached_models()
    assert offered.repo_id == repo.id and offered.bytes > 0
    fetched = dict(hub.times_fetched(repo))
    info = engine.use_cached(repo.id)
    assert info.name.to("en") == "tiny-cached" and engine.cached_models() == []
    config = tiny_config(model={"base": info.id}, optimization={"max_steps": 2})
    assert done(engine, config).status == "completed" and dict(hub.times_fetched(repo)) == fetched
    assert engine.keep(info).frees == 0  # deleting it takes it out of the list
    engine.delete_model(info.id)
    assert [model.repo_id for model in engine.cached_models()] == [repo.id]
    added = say("models", "add", "ann/tiny-cached", "--home", home, "--json").data["models"]
    assert [one["id"] for one in added] == [info.id]
    assert say("models", "add", "ann/nothing", "--home", home).code == 2
