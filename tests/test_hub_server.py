"""The Hub on this machine (`tests/hub`) as the real huggingface_hub client sees it: what is there, and who may have it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub import Hub, Repo, code, made, online, pickles, shards

WEIGHTS = made(300_000)
FILES: dict[str, bytes | str] = {
    "config.json": '{"model_type": "llama"}',
    "tokenizer.json": "{}",
    "model.safetensors": WEIGHTS,
}


def api(hub: Hub, token: str | bool = False) -> HfApi:
    return HfApi(endpoint=hub.url, token=token)


def download(hub: Hub, repo: Repo, **options: Any) -> dict[str, bytes]:
    """All files of the repository, by the client, as they lie there then."""
    options = {"token": False, **options}
    folder = Path(snapshot_download(repo.id, repo_type=repo.kind, endpoint=hub.url, **options))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def left_over(tmp_path: Path) -> list[Path]:
    return list(tmp_path.rglob("*.incomplete"))


# Nothing goes wrong


def test_it_starts_and_closes_at_once() -> None:
    took = []
    for _ in range(5):  # the quickest: others work on this machine, too
        start = time.monotonic()
        with Hub() as hub:
            assert hub.url.startswith("http://127.0.0.1:")
        took.append(time.monotonic() - start)
    assert min(took) < 0.1


@pytest.mark.parametrize("xet", [False, True], ids=["http", "xet"])
def test_a_download_brings_every_file_once_and_a_second_one_none(hub: Hub, xet: bool) -> None:
    repo = hub.add("ann/tiny", FILES, xet=xet)
    ann = hub.account("ann")
    assert download(hub, repo, token=ann.token) == repo.files
    assert dict(hub.times_fetched(repo)) == dict.fromkeys(FILES, 1)
    assert hub.bytes_sent(repo, "config.json") == len(FILES["config.json"])
    assert len(WEIGHTS) <= hub.bytes_sent(repo, "model.safetensors") <= len(WEIGHTS) + 100
    assert {seen.token for seen in hub.requests("/api/models/*")} == {ann.token}
    assert ann.token not in {seen.token for seen in hub.seen if seen.storage}
    hub.seen.clear()
    assert download(hub, repo) == repo.files
    assert not hub.fetches(repo)
    repo.change({"config.json": "[]"})
    assert download(hub, repo) == repo.files
    assert dict(hub.times_fetched(repo)) == {"config.json": 1}


def test_the_hub_is_this_one_where_no_endpoint_is_given(hub: Hub) -> None:
    repo = hub.add("ann/tiny", FILES)
    folder = snapshot_download(repo.id, token=False)
    assert Path(folder, "config.json").read_bytes() == repo.files["config.json"]
    assert [model.id for model in HfApi(token=False).list_models()] == [repo.id]
    assert huggingface_hub.model_info(repo.id, token=False).sha == repo.sha
    with pytest.raises(httpx2.ConnectError, match="tests don't use the network"):
        HfApi(endpoint="https://huggingface.co", token=False).model_info(repo.id)


def test_a_listing_comes_in_pages_with_sizes_and_hashes(tmp_path: Path) -> None:
    with Hub(page_size=7) as hub, online(hub, tmp_path):
        repo = hub.add("ann/many", {f"part{n % 3}/{n}.safetensors": made(2_000, n) for n in range(20)}, xet=False)
        listed = {file.path: file for file in api(hub).list_repo_tree(repo.id, recursive=True) if hasattr(file, "lfs")}
        assert {path: (file.size, file.lfs.sha256) for path, file in listed.items() if file.lfs} == {
            path: (file.size, file.sha256) for path, file in repo.head.files.items()
        }
        assert len(hub.requests("*/tree/*")) == 4  # 20 files and 3 folders
        top = [entry.path for entry in api(hub).list_repo_tree(repo.id)]
        assert top == ["part0", "part1", "part2"]
        assert len(list(api(hub).list_repo_tree(repo.id, "part1"))) == 7
        assert download(hub, repo) == repo.files
        assert set(hub.times_fetched(repo).values()) == {1}


def test_only_what_is_asked_for_is_fetched(hub: Hub) -> None:
    patterns = ["*.safetensors", "*.json"]
    for name, files in (("ann/shards", shards()), ("ann/pickles", pickles()), ("ann/code", code())):
        repo = hub.add(name, files)
        wanted = {path for path in files if path.endswith((".safetensors", ".json"))}
        assert set(download(hub, repo, allow_patterns=patterns)) == set(hub.times_fetched(repo)) == wanted
    assert len(hub.repo("ann/shards").files) == 20


def test_what_is_said_of_a_model(hub: Hub) -> None:
    about = {"pipeline_tag": "text-generation", "downloads": 7, "safetensors": {"parameters": {"F32": 9}, "total": 9}}
    repo = hub.add("ann/tiny", FILES, license="mit", tags=["en"], **about)
    first = repo.sha
    repo.change({"model.safetensors": b"new"})
    info = api(hub).model_info(repo.id, files_metadata=True)
    assert (info.sha, info.downloads, info.pipeline_tag, info.gated) == (repo.sha, 7, "text-generation", False)
    assert info.tags == ["en", "license:mit"] and info.card_data.license == "mit" and info.safetensors.total == 9
    assert {file.rfilename: file.size for file in info.siblings} == {
        path: len(data) for path, data in repo.files.items()
    }
    assert {
        file.rfilename: file.size for file in api(hub).model_info(repo.id, revision=first, files_metadata=True).siblings
    }["model.safetensors"] == len(WEIGHTS)
    assert api(hub).model_info(repo.id, expand=["downloads"]).sha is None
    assert api(hub).get_paths_info(repo.id, ["tokenizer.json", "no"])[0].size == 2
    with pytest.raises(RevisionNotFoundError):
        api(hub).model_info(repo.id, revision="v2")


def test_search(hub: Hub) -> None:
    for number, name in enumerate(["ann/llama-small", "ann/llama-large", "ben/bert", "cat/llama-secret"]):
        task = "fill-mask" if "bert" in name else "text-generation"
        options = {"license": "mit" if number else "apache-2.0", "pipeline_tag": task, "downloads": 10 * number}
        hub.add(
            name, {}, private="secret" in name, safetensors={"parameters": {}, "total": 10**9 * (number + 1)}, **options
        )

    def found(**asked: Any) -> list[str]:
        return [model.id for model in api(hub).list_models(**asked)]

    assert found(search="llama", sort="downloads") == ["ann/llama-large", "ann/llama-small"]
    assert found(search="LLAMA large") == ["ann/llama-large"]
    assert found(author="ben") == found(pipeline_tag="fill-mask") == ["ben/bert"]
    assert found(filter=["license:mit", "text-generation"]) == ["ann/llama-large"]
    assert found(num_parameters="min:0,max:2.5B") == ["ann/llama-small", "ann/llama-large"]
    assert found(sort="downloads", limit=1) == ["ben/bert"]
    assert found(search="nothing") == []
    (model,) = api(hub).list_models(search="bert", expand=["downloads", "safetensors", "gated", "tags"])
    assert (model.downloads, model.safetensors.total, model.gated, model.tags) == (
        20,
        3 * 10**9,
        False,
        ["license:mit"],
    )
    hub.seen.clear()
    assert len([model.id for model, _ in zip(api(hub).list_models(limit=2), range(2), strict=True)]) == 2
    assert len(hub.requests("/api/models")) == 1


def test_a_data_set(hub: Hub) -> None:
    repo = hub.add("ann/rows", {"train.jsonl": '{"text": "a"}\n', "big.parquet": made(9_000)}, kind="dataset")
    assert download(hub, repo) == repo.files
    assert api(hub).dataset_info(repo.id).sha == repo.sha


# Who may have it


@pytest.mark.parametrize("who, status", [(None, 401), ("ben", 403)])
def test_files_of_a_gated_model(hub: Hub, who: str | None, status: int) -> None:
    repo = hub.add("meta/gated", FILES, gated="manual")
    token = hub.account(who).token if who else False
    assert api(hub, token).model_info(repo.id).gated == "manual"
    for ask in (
        lambda: download(hub, repo, token=token),
        lambda: hf_hub_download(repo.id, "config.json", endpoint=hub.url, token=token),
        lambda: api(hub, token).auth_check(repo.id),
    ):
        with pytest.raises(GatedRepoError, match="is restricted") as caught:
            ask()
        assert caught.value.response.status_code == status
    assert not hub.fetches(repo)
    if who:
        repo.granted.add(who)
        assert download(hub, repo, token=token) == repo.files


def test_a_private_model_is_as_one_that_is_not_there(hub: Hub) -> None:
    repo = hub.add("ann/secret", FILES, private=True)
    ann, ben = hub.account("ann"), hub.account("ben")
    for name in (repo.id, "ann/none"):
        for token, status in ((False, 401), (ben.token, 404)):
            with pytest.raises(RepositoryNotFoundError) as caught:
                snapshot_download(name, endpoint=hub.url, token=token)
            assert caught.value.response.status_code == status
            assert not isinstance(caught.value, GatedRepoError)
    assert download(hub, repo, token=ann.token) == repo.files
    assert api(hub, ann.token).whoami()["auth"]["accessToken"]["role"] == "write"


def test_a_wrong_token_is_not_a_missing_model(hub: Hub) -> None:
    repo = hub.add("ann/tiny", FILES)
    for ask in (lambda: api(hub, "hf_wrong").model_info(repo.id), lambda: download(hub, repo, token="hf_wrong")):
        with pytest.raises(HfHubHTTPError, match="Invalid credentials in Authorization header") as caught:
            ask()
        assert caught.value.response.status_code == 401 and not isinstance(caught.value, RepositoryNotFoundError)
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api(hub, "hf_wrong").whoami()


# What is there is not what is listed


def test_a_file_that_is_not_there(hub: Hub) -> None:
    repo = hub.add("ann/tiny", FILES)
    repo.serve("tokenizer.json", None)
    with pytest.raises(RemoteEntryNotFoundError):
        download(hub, repo)
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download(repo.id, "none.json", endpoint=hub.url, token=False)


@pytest.mark.parametrize("xet", [False, True], ids=["http", "xet"])
def test_the_client_does_not_see_a_wrong_hash(hub: Hub, xet: bool) -> None:
    repo = hub.add("ann/tiny", FILES, xet=xet)
    repo.serve("model.safetensors", made(len(WEIGHTS), seed=1))
    assert download(hub, repo)["model.safetensors"] == made(len(WEIGHTS), seed=1) != WEIGHTS


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_size(hub: Hub, tmp_path: Path, name: str, change: int) -> None:
    repo = hub.add("ann/tiny", FILES)
    repo.serve(name, made(len(repo.files[name]) + change))
    with pytest.raises(OSError, match="Consistency check failed"):
        download(hub, repo)
    assert not left_over(tmp_path)
