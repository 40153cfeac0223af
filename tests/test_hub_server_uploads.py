"""What the real huggingface_hub client uploads to the Hub on this machine, and what it makes of a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from tests.hub import Hub, made

NAME = "ben/tuned"
FILES = {
    "README.md": b"---\nlicense: mit\n---\n# Tuned\n",
    "adapter_config.json": b'{"peft_type": "LORA"}',
    "empty.txt": b"",
    "adapter_model.safetensors": made(3_000_000) + b"weights " * 250_000 + made(1_001, seed=1),
    "more/tokenizer.json": b"{}",
}
WAYS = pytest.mark.parametrize("way", ["xet", "lfs", "parts"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tuned model's files."""
    for path, data in FILES.items():
        place = tmp_path / "tuned" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return tmp_path / "tuned"


def api(hub: Hub, role: str = "write") -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.account("ben", role=role).token)


def push(hub: Hub, folder: Path, **options: Any) -> str:
    return api(hub).upload_folder(repo_id=NAME, folder_path=folder, **options).oid


def choose(way: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the three ways in which a large file goes."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", way != "xet")
    hub.part_size = 2_000_000 if way == "parts" else 50_000_000


@WAYS
def test_a_folder_arrives_as_it_is_and_can_be_had_again(
    hub: Hub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    choose(way, hub, monkeypatch)
    made_repo = api(hub).create_repo(NAME, private=True)
    assert (made_repo.repo_id, str(made_repo)) == (NAME, f"{hub.url}/{NAME}")
    commit = push(hub, folder, commit_message="Tuned")
    repo = hub.repo(NAME)
    assert repo.private and repo.sha == commit and repo.head.title == "Tuned"
    assert {path: data for path, data in repo.files.items() if path != ".gitattributes"} == FILES
    assert repo.head.files["adapter_model.safetensors"].large and not repo.head.files["README.md"].large
    places = {"xet": "/xet/v1/xorbs/*", "lfs": "/lfs/*", "parts": "/lfs/*/*"}
    assert len(hub.requests(places[way])) == {"xet": 1, "lfs": 1, "parts": 3}[way]
    for offered in (False, True):
        repo.xet = offered
        there = snapshot_download(NAME, endpoint=hub.url, token=api(hub).token, local_dir=tmp_path / f"again{offered}")
        assert {path: Path(there, path).read_bytes() for path in FILES} == FILES
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=hub.url, token=False).model_info(NAME)


@WAYS
def test_what_is_there_is_not_sent_again(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    choose(way, hub, monkeypatch)
    api(hub).create_repo(NAME)
    first = push(hub, folder)
    hub.seen.clear()
    assert push(hub, folder) == first  # no new commit
    assert sum(seen.taken for seen in hub.seen) < 10_000
    (folder / "adapter_config.json").write_bytes(b"{}")
    second = push(hub, folder)
    assert hub.repo(NAME).files["adapter_config.json"] == b"{}"
    assert second == hub.repo(NAME).sha != first and sum(seen.taken for seen in hub.seen) < 10_000


@WAYS
def test_a_cut_in_mid_upload_is_tried_again(
    hub: Hub, waits: list[float], folder: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    choose(way, hub, monkeypatch)
    api(hub).create_repo(NAME)
    fault = hub.fault("/xet/v1/xorbs/*" if way == "xet" else "/lfs/*", take=10_000, times=2)
    push(hub, folder)
    assert (
        fault.happened == 2 and hub.repo(NAME).files["adapter_model.safetensors"] == FILES["adapter_model.safetensors"]
    )
    assert waits == ([] if way == "xet" else [1, 2] if way == "lfs" else [1, 2])


@pytest.mark.parametrize("way, error", [("xet", ConnectionError), ("lfs", RuntimeError)], ids=["xet", "lfs"])
def test_an_upload_that_was_given_up_leaves_no_commit_and_goes_on_when_it_is_done_again(
    waits: list[float], hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, way: str, error: type[Exception]
) -> None:
    choose(way, hub, monkeypatch)
    api(hub).create_repo(NAME)
    start = hub.repo(NAME).sha
    hub.fault("/xet/v1/xorbs/*" if way == "xet" else "/lfs/*", take=10_000)
    with pytest.raises(error) as caught:
        push(hub, folder)
    if way == "lfs":
        assert isinstance(caught.value.__cause__, httpx2.TransportError)
    assert hub.repo(NAME).sha == start
    hub.faults.lift()
    fault = hub.fault("*/commit/*", status=500, message="Internal Error")
    with pytest.raises(HfHubHTTPError, match="Internal Error"):
        push(hub, folder)
    assert hub.repo(NAME).sha == start and fault.happened == (6 if way == "xet" else 1)
    hub.faults.lift()
    hub.seen.clear()
    push(hub, folder)
    assert hub.repo(NAME).sha != start and sum(seen.taken for seen in hub.seen) < 10_000


def test_a_token_that_may_not_write(hub: Hub, folder: Path) -> None:
    hub.add(NAME, {})
    reader = api(hub, role="read")
    with pytest.raises(HfHubHTTPError, match="403 Forbidden: You don't have the rights to create a model"):
        reader.create_repo("ben/other")
    with pytest.raises(HfHubHTTPError, match="403 Forbidden: Forbidden: you must use a write token"):
        reader.upload_folder(repo_id=NAME, folder_path=folder)
    assert reader.whoami()["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="403"):
        reader.auth_check(NAME, write=True)
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi(endpoint=hub.url, token="hf_wrong").create_repo(NAME)
    assert not hub.requests("/xet/*") and hub.repo(NAME).files == {}


def test_somebody_elses_name(hub: Hub, folder: Path) -> None:
    hub.add("ann/tuned", {})
    with pytest.raises(HfHubHTTPError, match='create a model under the namespace "ann"'):
        api(hub).create_repo("ann/mine")
    with pytest.raises(HfHubHTTPError, match="403 Forbidden"):
        api(hub).upload_folder(repo_id="ann/tuned", folder_path=folder)
    ben = hub.account("ben", orgs=("ann",))
    assert HfApi(endpoint=hub.url, token=ben.token).create_repo("ann/mine").repo_id == "ann/mine"


def test_a_name_that_exists_and_one_that_does_not(hub: Hub, folder: Path) -> None:
    api(hub).create_repo(NAME, private=True)
    with pytest.raises(HfHubHTTPError, match="You already created this model repo") as caught:
        api(hub).create_repo(NAME)
    assert caught.value.response.status_code == 409
    assert api(hub).create_repo(NAME, private=False, exist_ok=True).repo_id == NAME
    assert hub.repo(NAME).private  # what is there stays as it is
    with pytest.raises(RepositoryNotFoundError):
        api(hub).upload_folder(repo_id="ben/none", folder_path=folder)
    api(hub).delete_repo(NAME)
    with pytest.raises(RepositoryNotFoundError):
        api(hub).model_info(NAME)


def test_files_are_deleted_and_a_card_is_checked(hub: Hub, folder: Path) -> None:
    api(hub).create_repo(NAME)
    push(hub, folder)
    push(hub, folder, allow_patterns=["README.md"], delete_patterns=["more/*", "empty.txt"])
    assert set(hub.repo(NAME).files) == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        ".gitattributes",
    }
    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(ValueError, match="Invalid metadata in README.md"):
        push(hub, folder)


def test_a_commit_that_came_in_between(hub: Hub, folder: Path) -> None:
    api(hub).create_repo(NAME)
    start = hub.repo(NAME).sha
    push(hub, folder)
    (folder / "adapter_config.json").write_bytes(b"{}")
    with pytest.raises(HfHubHTTPError, match="412"):
        push(hub, folder, parent_commit=start)
