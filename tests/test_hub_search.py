"""Searching for models, and what the Hub's own cache on this computer already holds."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, hf_hub_download, snapshot_download

from tests.hub import Hub, made, rate_limit, real
from workbench.config.errors import WorkbenchError
from workbench.hub import Source, Token, cached, scan, search
from workbench.models.catalog import ModelCatalog


def mirror(hub: Hub) -> Source:
    return Source("mirror", hub.url)


def some(hub: Hub) -> None:
    about = {"tags": ["safetensors"], "pipeline_tag": "text-generation"}
    weights = {"parameters": {"BF16": 1_000, "F32": 10}, "total": 1_010}
    hub.add("ann/llama-small", {}, license="mit", downloads=7, safetensors=weights, **about)
    hub.add(
        "ann/llama-large", {}, downloads=90, gated="manual", safetensors={"parameters": {"Q4": 9}, "total": 9}, **about
    )
    hub.add("ann/llama-gguf", {}, downloads=900, tags=["gguf"])
    hub.add("ben/bert", {}, license="apache-2.0", **about)
    hub.add("ben/llama-secret", {}, private=True, **about)


def test_words_find_models_with_what_a_choice_needs(hub: Hub) -> None:
    some(hub)
    large, small = search(mirror(hub), "  Llama ")
    assert (small.repo_id, small.parameters, small.bytes, small.licence) == ("ann/llama-small", 1_010, 2_040, "mit")
    assert (small.downloads, small.gated, small.pipeline) == (7, False, "text-generation")
    assert (large.repo_id, large.gated, large.bytes, large.parameters) == ("ann/llama-large", True, None, 9)
    assert [found.repo_id for found in search(mirror(hub), "llama", limit=1)] == ["ann/llama-large"]
    assert search(mirror(hub), "nothing like it") == ()
    ben = Token(hub.account("ben").token)
    assert len(search(mirror(hub), "llama", token=ben)) == 3
    assert len(hub.requests("/api/models")) == 4


@pytest.mark.parametrize("words", ["", "   ", "x" * 201, "a\0b"])
def test_nothing_to_look_for(hub: Hub, words: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        search(mirror(hub), words)
    assert caught.value.code == "hub_words" and not hub.seen


@pytest.mark.parametrize(
    "fault, code",
    [
        (rate_limit(44), "hub_rate"),
        ({"status": 500}, "hub_server"),
        ({"silent": True}, "hub_unreachable"),
        ({"cut": 9}, "hub_unreachable"),
    ],
    ids=["429", "500", "silent", "cut"],
)
def test_a_source_that_does_not_answer(
    hub: Hub, waits: list[float], monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], code: str
) -> None:
    import importlib

    module = importlib.import_module("workbench.hub.search")
    assert module.ANSWER_SECONDS == 10
    monkeypatch.setattr(module, "ANSWER_SECONDS", 1)
    some(hub)
    hub.fault("/api/models", **fault)
    start = time.monotonic()
    with pytest.raises(WorkbenchError) as caught:
        search(mirror(hub), "llama")
    assert caught.value.code == code and waits == [] and time.monotonic() - start < 10
    with pytest.raises(WorkbenchError) as caught:
        search(Source("mirror", hub.url, offline=True), "llama")
    assert caught.value.code == "hub_offline"
    hub.faults.lift()


def test_results_are_not_trusted(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.hub import reading

    some(hub)
    described = reading.described
    odd: dict[str, Any] = {
        "downloads": "many",
        "gated": None,
        "safetensors": [1],
        "cardData": "x",
        "pipeline_tag": {"a": 1},
    }
    monkeypatch.setattr(reading, "described", lambda *asked: {**described(*asked), **odd})
    monkeypatch.setattr(reading, "_fits", lambda *asked: True)
    found = {each.repo_id: each for each in search(mirror(hub), "llama")}
    assert (
        found["ben/bert"].downloads == 0 and found["ben/bert"].parameters is None and found["ben/bert"].pipeline == ""
    )
    monkeypatch.setattr(reading, "described", lambda *asked: {**described(*asked), "id": "../../x"})
    assert search(mirror(hub), "llama") == ()


# The Hub's own cache


@pytest.mark.parametrize("xet", [False, True], ids=["http", "xet"])
def test_a_whole_model_in_the_cache_is_used_where_it_lies(hub: Hub, tmp_path: Path, xet: bool) -> None:
    repo = hub.add("ann/tiny", real(), xet=xet)
    assert scan() == [] and cached("ann/tiny") is None
    snapshot_download(repo.id, token=False)
    hub.down()
    (model,) = scan()
    assert (model.repo_id, model.sha, model.name) == (repo.id, repo.sha, "tiny") and model.parameters > 100_000
    assert cached("ann/tiny") == cached("Ann/Tiny", repo.sha) == model
    assert cached("ann/other") is None and cached("ann/tiny", "0" * 40) is None
    catalog = ModelCatalog(tmp_path / "home")
    info = catalog.add(model.folder, model.name)
    assert info.problem is None and catalog.resolve("tiny").folder == model.folder.resolve()
    catalog.delete("tiny")
    assert scan() == [model]


def test_half_a_model_in_the_cache_is_none(hub: Hub) -> None:
    repo = hub.add("ann/tiny", real())
    hub.add("ann/text", {"README.md": "#"}, kind="dataset")
    snapshot_download("ann/text", repo_type="dataset", token=False)
    for name in ("config.json", "tokenizer.json"):
        hf_hub_download(repo.id, name, token=False)
    assert scan() == [] and cached(repo.id) is None
    hf_hub_download(repo.id, "model.safetensors", token=False)
    (model,) = scan()
    path = model.folder / "model.safetensors"
    target = path.resolve()
    target.write_bytes(target.read_bytes()[:-1])
    assert scan() == []


def test_of_two_versions_the_one_of_main_counts(hub: Hub) -> None:
    repo = hub.add("ann/tiny", real())
    snapshot_download(repo.id, token=False)
    first = repo.sha
    repo.change({"README.md": "# New"})
    snapshot_download(repo.id, token=False)
    snapshot_download(repo.id, token=False, revision=first)
    assert [model.sha for model in scan()] == [repo.sha]
    found = cached(repo.id, first)
    assert found is not None and found.sha == first
    shutil.rmtree(Path(constants.HF_HUB_CACHE) / "models--ann--tiny" / "refs")
    assert len(scan()) == 1


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_that_leave_the_cache_are_not_followed(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", real())
    snapshot_download(repo.id, token=False)
    (model,) = scan()
    outside = tmp_path / "outside.json"
    outside.write_bytes(repo.files["config.json"])
    (model.folder / "config.json").unlink()
    (model.folder / "config.json").symlink_to(outside)
    assert scan() == []
    cache = Path(constants.HF_HUB_CACHE)
    (cache / "models--ann--tiny").rename(tmp_path / "models--ann--tiny")
    (cache / "models--ann--tiny").symlink_to(tmp_path / "models--ann--tiny")
    for name in ("models--..--x", "models--", "models--a--b--c", "blobs"):
        (cache / name).mkdir(exist_ok=True)
    (cache / "models--file--x").write_bytes(made(9))
    assert scan() == []
