"""Adapters and models go to the Hub on this machine by the real client: planned, private, resumable, and with no secret left."""

import json
import threading
import time
from pathlib import Path

import pytest

from tests.hub import Hub, made
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.hub import pushing
from workbench.hub.push import plan_push, push
from workbench.hub.sources import make_source
from workbench.hub.tokens import Token

NAME = "ben/tuned"
PLANTED = "hf_" + "Q7w" * 11 + "Z"
ADAPTER = {
    "adapter_model.safetensors": made(400_000),
    "adapter_config.json": json.dumps({"base_model_name_or_path": "/home/ben/secret/Qwen2", "r": 8}).encode(),
    "tokenizer.json": b"{}",
    "README.md": b"---\nlibrary_name: peft\n---\n# Tuned\n",
    "curves.svg": b"<svg/>",
}
MODEL = {
    "model-00001-of-00002.safetensors": made(300_000),
    "model-00002-of-00002.safetensors": made(300_000, seed=1),
    "model.safetensors.index.json": b"{}",
    "config.json": b"{}",
    "generation_config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
}
NEVER = {
    "optimizer.pt": b"pickle",
    "training_args.bin": b"pickle",
    "log.txt": b"log",
    "run.json": b"{}",
    "download.json": b"{}",
    "notes.md": b"mine",
    ".hidden.json": b"{}",
    "checkpoints/adapter_model.safetensors": b"old",
    "photo of me.png": b"picture",
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write(tmp_path / "run" / "adapter", {**ADAPTER, **NEVER})


@pytest.fixture
def source(hub: Hub):
    return make_source("mirror", hub.url)


@pytest.fixture
def token(hub: Hub) -> Token:
    return Token(hub.account("ben", orgs=("club",), token=PLANTED).token)


def code_of(function, *arguments, **options) -> str:
    with pytest.raises(WorkbenchError) as caught:
        function(*arguments, **options)
    assert PLANTED not in caught.value.to("en") + caught.value.to("zh") + repr(caught.value)
    return caught.value.code


def taken(hub: Hub) -> int:
    return sum(seen.taken for seen in hub.seen)


def test_an_adapter_is_planned_and_arrives_private_in_one_commit(hub, adapter, source, token, tmp_path):
    card = "---\nlibrary_name: peft\n---\n# New card\n"
    plan = plan_push(adapter, NAME, token, source, texts={"README.md": card})
    assert not [seen for seen in hub.seen if seen.method != "GET"]  # nothing is sent before somebody has seen it
    assert [file.name for file in plan.files] == sorted(ADAPTER) and plan.bytes == sum(
        file.bytes for file in plan.files
    )
    assert (plan.repo_id, plan.account, plan.exists, plan.is_private, plan.visible) == (NAME, "ben", False, None, False)
    told = []
    assert push(plan, source, token, told.append) == f"{hub.url}/{NAME}"
    repo = hub.repo(NAME)
    assert repo.private and len(repo.commits) == 2  # the Hub's own first one, and this
    there = {name: data for name, data in repo.files.items() if name != ".gitattributes"}
    settings = json.loads(there.pop("adapter_config.json"))
    assert settings == {"base_model_name_or_path": "Qwen2", "r": 8}
    expected = {name: data for name, data in ADAPTER.items() if name != "adapter_config.json"}
    assert there == {**expected, "README.md": card.encode()}
    assert told[-1].done == told[-1].total == plan.bytes and told[-1].files_done == len(plan.files)
    assert [each.done for each in told] == sorted(each.done for each in told)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and PLANTED.encode() in path.read_bytes()]
    assert not kept and PLANTED not in repr(plan) + repr(told)


@pytest.mark.parametrize("part_size", [50_000_000, 100_000])
def test_a_hub_without_xet_takes_it_too_and_bytes_are_counted(hub, tmp_path, source, token, monkeypatch, part_size):
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setattr(pushing, "_EACH", 0.0)
    hub.part_size = part_size
    told = []
    plan = plan_push(write(tmp_path / "merged", MODEL), NAME, token, source)
    push(plan, source, token, told.append)
    assert hub.requests("/lfs/*") and not hub.requests("/xet/*") and hub.repo(NAME).files.items() >= MODEL.items()
    done = [each.done for each in told]
    assert done == sorted(done) and done[-1] == plan.bytes and len(set(done)) > len(MODEL)


def test_a_merged_model_goes_under_an_organisation_and_for_everybody_when_that_is_chosen(hub, tmp_path, source, token):
    plan = plan_push(write(tmp_path / "merged", {**MODEL, **NEVER}), "club/merged", token, source, private=False)
    assert plan.visible
    push(plan, source, token)
    repo = hub.repo("club/merged")
    assert not repo.private and {name: repo.files[name] for name in repo.files if name != ".gitattributes"} == MODEL


def test_a_name_alone_is_the_accounts_own(adapter, source, token):
    assert plan_push(adapter, "tuned", token, source).repo_id == "ben/tuned"


@pytest.mark.parametrize("was", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_repository_that_exists_stays_as_visible_as_it_is_and_the_plan_says_so(
    hub, adapter, source, token, was, wanted
):
    hub.add(NAME, {}, private=was)
    plan = plan_push(adapter, NAME, token, source, private=wanted)
    assert (plan.exists, plan.is_private, plan.visible) == (True, was, not was)
    for lang, word in (("en", "private" if was else "everybody"), ("zh", "私有" if was else "所有人")):
        assert word in plan.notice.to(lang)


def test_a_name_that_was_taken_meanwhile_is_not_pushed_to(hub, adapter, source, token):
    plan = plan_push(adapter, NAME, token, source)
    hub.add(NAME, {"README.md": "mine"})
    assert code_of(push, plan, source, token) == "hub_exists"
    assert hub.repo(NAME).files == {"README.md": b"mine"}


def test_what_arrived_before_a_push_was_cut_is_not_sent_again(hub, tmp_path, source, token):
    plan = plan_push(write(tmp_path / "merged", MODEL), NAME, token, source)
    refused = hub.fault("*/commit/*", status=403, message=f"no {PLANTED}")
    assert code_of(push, plan, source, token) == "hub_token"
    assert refused.happened and set(hub.repo(NAME).files) == {".gitattributes"}
    hub.faults.lift()
    hub.seen.clear()
    again = plan_push(tmp_path / "merged", NAME, token, source)
    assert again.exists
    push(again, source, token)
    assert taken(hub) < 20_000 and hub.repo(NAME).files.items() >= MODEL.items()


@pytest.mark.parametrize("place", ["*/preupload/*", "/xet/v1/xorbs/*", "*/commit/*"])
def test_stop_ends_a_push_at_once_and_leaves_no_commit(hub, adapter, source, token, place):
    plan = plan_push(adapter, NAME, token, source)
    fault = hub.fault(place, silent=True)
    stop, result = threading.Event(), []

    def run() -> None:
        try:
            result.append(push(plan, source, token, stop=stop))
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not fault.happened:
        assert thread.is_alive()
        thread.join(0.05)
    stop.set()
    thread.join(8)  # the client alone would wait for 10 s
    assert not thread.is_alive() and isinstance(result[0], StopRequested)
    hub.faults.lift()
    assert set(hub.repo(NAME).files) == {".gitattributes"}
    stop.clear()
    hub.seen.clear()
    push(plan_push(adapter, NAME, token, source), source, token, stop=stop)
    assert "adapter_model.safetensors" in hub.repo(NAME).files
    assert (taken(hub) < 20_000) == (place == "*/commit/*")  # what had arrived is not sent again


def test_a_hub_that_falls_silent_is_said_and_given_up_in_the_end(hub, adapter, source, token, monkeypatch):
    plan = plan_push(adapter, NAME, token, source)
    fault = hub.fault("*/preupload/*", silent=True)
    monkeypatch.setattr(pushing, "NOTED_SECONDS", 0.0)
    monkeypatch.setattr(pushing, "_NOTE_EACH", 0.0)
    told = []

    def tell(transfer):
        told.append(transfer)
        if fault.happened:  # it has come so far: now the silence counts
            monkeypatch.setattr(pushing, "SILENT_SECONDS", 0.5)

    assert code_of(push, plan, source, token, tell) == "hub_unreachable"
    assert told[-1].note is not None and told[-1].total == plan.bytes and source.name in told[-1].note.to("zh")


def test_no_upload_outlives_who_started_it(hub, adapter, source, token):
    fault = hub.fault("/api/repos/create", silent=True)
    order = {"source": ["mirror", hub.url, ""], "token": token.reveal(), "repo_id": NAME, "folder": str(adapter)}
    with pushing._child(source) as process:
        process.stdin.write(json.dumps({**order, "files": [], "create": True, "private": True}).encode() + b"\n")
        process.stdin.flush()
        while not fault.happened:
            assert process.poll() is None
            time.sleep(0.02)
        process.stdin.close()
        assert process.wait(60) == 1


def test_a_bug_in_the_upload_is_told_as_one_and_without_the_token(token, caplog):
    error = pushing._error({"bug": f"Traceback: {PLANTED}", "kind": f"Odd{PLANTED}"}, token)
    assert isinstance(error, RuntimeError) and PLANTED not in str(error) + caplog.text and "Traceback" in caplog.text


def test_a_token_that_may_only_read_or_belongs_to_nobody(hub, adapter, source):
    reader = Token(hub.account("ben", role="read", token=PLANTED).token)
    assert code_of(plan_push, adapter, NAME, reader, source) == "hub_write"
    assert code_of(plan_push, adapter, NAME, Token("hf_" + "n" * 34), source) == "hub_token"
    assert code_of(plan_push, adapter, NAME, None, source) == "hub_token"
    assert code_of(plan_push, adapter, NAME, reader, make_source("mirror", "http://hub.example")) == "hub_token"


@pytest.mark.parametrize("there", [True, False])
def test_somebody_elses_name(hub, adapter, source, token, there):
    if there:
        hub.add("ann/tuned", {})
    assert code_of(plan_push, adapter, "ann/tuned", token, source) == "hub_write"


@pytest.mark.parametrize("name", ["../../x", "ben/a/b", "ben/", "https://elsewhere.example/ben/x", "ben/a b"])
def test_what_is_no_name(adapter, source, token, name):
    assert code_of(plan_push, adapter, name, token, source) == "hub_id"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 429, "message": "slow down"}, "hub_rate"),
        ({"status": 500, "message": "oh"}, "hub_server"),
        ({"status": 401, "message": "no"}, "hub_token"),
        ({"status": 403, "code": "GatedRepo", "message": "no"}, "hub_gated"),
        ({"cut": 0}, "hub_unreachable"),
    ],
)
def test_a_push_that_is_refused_says_why(hub, adapter, source, token, fault, code):
    plan = plan_push(adapter, NAME, token, source)
    hub.fault("/api/repos/create", **fault)
    assert code_of(push, plan, source, token) == code
    assert ("model", NAME) not in hub.repos or set(hub.repo(NAME).files) == {".gitattributes"}


def test_a_hub_that_is_not_there(hub, adapter, source, token):
    plan = plan_push(adapter, NAME, token, source)
    hub.down()
    assert code_of(plan_push, adapter, NAME, token, source) == "hub_unreachable"
    assert code_of(push, plan, source, token) == "hub_unreachable"


@pytest.mark.parametrize("how", ["gone", "grown", "link"])
def test_a_file_that_is_not_what_was_shown(hub, adapter, source, token, how, tmp_path):
    plan = plan_push(adapter, NAME, token, source)
    path = adapter / "adapter_model.safetensors"
    if how == "grown":
        path.write_bytes(made(500_000))
    else:
        path.unlink()
    if how == "link":
        (tmp_path / "outside").write_bytes(ADAPTER[path.name])
        path.symlink_to(tmp_path / "outside")
    assert code_of(push, plan, source, token) == ("outside_folder" if how == "link" else "push_changed")
    assert ("model", NAME) not in hub.repos


def test_a_folder_without_weights_and_offline_mode(tmp_path, source, token, hub):
    write(tmp_path / "empty", NEVER)
    assert code_of(plan_push, tmp_path / "empty", NAME, token, source) == "push_empty"
    assert code_of(plan_push, tmp_path / "none", NAME, token, source) == "push_empty"
    off = make_source("mirror", hub.url, offline=True)
    assert code_of(plan_push, tmp_path / "empty", NAME, token, off) == "hub_offline"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("Qwen/Qwen2", "Qwen/Qwen2"),
        ("/data/models--Qwen--Qwen2/snapshots/abc", "Qwen/Qwen2"),
        ("C:\\Users\\ben\\models\\Qwen2", "Qwen2"),
        ("~/models/Qwen2", "Qwen2"),
        ("./Qwen2", "Qwen2"),
    ],
)
def test_an_adapter_names_its_base_and_no_folder(adapter, source, token, base, expected):
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    plan = plan_push(adapter, NAME, token, source)
    file = next(file for file in plan.files if file.name == "adapter_config.json")
    data = file.content or (adapter / file.name).read_bytes()
    assert len(data) == file.bytes and json.loads(data)["base_model_name_or_path"] == expected
