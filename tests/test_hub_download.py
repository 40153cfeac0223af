"""Downloads of models: what goes wrong on the way, and that list and disk are right after each."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub, made, real, real_shards
from tests.hub.downloads import WEIGHTS, expected, failed, fetch, held, ids, mirror, spans
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.hub import Token, Transfer, download, plan, read_provenance, transfer, unfinished

WHOLE = len(real()["model.safetensors"])


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "WAITS", (0.01,) * 4)


# Nothing goes wrong


@pytest.mark.parametrize("xet", [False, True], ids=["http", "xet"])
def test_twenty_files_come_once_each_and_are_a_model(hub: Hub, tmp_path: Path, xet: bool) -> None:
    repo = hub.add("ann/tiny", {**real_shards(20), "pytorch_model.bin": made(9)}, license="mit", xet=xet)
    told: list[Transfer] = []
    threads = set()
    folder = fetch(hub, repo, tmp_path, progress=lambda each: (told.append(each), threads.add(threading.get_ident())))
    wanted = {name: data for name, data in expected(repo).items() if name != "pytorch_model.bin"}
    assert held(folder) == wanted and ids(tmp_path) == ["starter", "tiny"]
    assert dict(hub.times_fetched(repo)) == dict.fromkeys(wanted, 1)
    assert not hub.requests("/xet/*") and not list((tmp_path / "models").glob(".*"))
    last = told[-1]
    assert last.done == last.total == sum(map(len, wanted.values())) and last.files_done == last.files_total == 19
    assert [each.done for each in told] == sorted(each.done for each in told) and threads == {threading.get_ident()}
    record = read_provenance(folder)
    assert record is not None and (record.repo_id, record.sha, record.source) == (repo.id, repo.sha, hub.url)
    assert record.licence == "mit" and record.verified == set(wanted) and record.bytes == last.total


def test_slow_tells_how_long_it_takes(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", real())
    hub.fault(WEIGHTS, slow=400_000)
    told: list[Transfer] = []
    fetch(hub, repo, tmp_path, progress=told.append)
    between = [each for each in told if each.file == "model.safetensors" and 0 < each.done < each.total]
    assert between and any(each.bytes_per_second > 0 and each.seconds_left for each in between)


def test_a_token_goes_to_the_hub_and_no_further(hub: Hub, tmp_path: Path) -> None:
    planted = "hf_" + "PlantedPlantedPlantedPlantedPlante"
    hub.account("ann", token=planted)
    repo = hub.add("ann/secret", real(), private=True)
    fetch(hub, repo, tmp_path, token=Token(planted))
    assert {seen.token for seen in hub.seen if seen.storage} == {None}
    assert {seen.token for seen in hub.requests("*/resolve/*")} == {planted}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and planted.encode() in path.read_bytes()]


# A connection that ends


def test_what_was_cut_goes_on_where_it_ended_and_says_so(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", real())
    hub.fault(WEIGHTS, cut=100_000, times=1)
    hub.fault(WEIGHTS, cut=50_000, reset=True, times=1)
    fetch(hub, repo, tmp_path)
    first, second, third = spans(hub, repo)
    assert first is None and str(second).startswith("bytes=") and third == f"bytes={int(str(second)[6:-1]) + 100_000}-"
    assert hub.times_fetched(repo)["config.json"] == 1 and ids(tmp_path) == ["starter", "tiny"]


def test_a_wait_is_told_and_hears_stop(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "WAITS", (600.0,))
    repo = hub.add("ann/tiny", real())
    hub.fault(WEIGHTS, cut=100_000)
    stop = threading.Event()
    told: list[Transfer] = []

    def hear(each: Transfer) -> None:
        told.append(each)
        if each.note is not None:
            stop.set()

    with pytest.raises(StopRequested):
        fetch(hub, repo, tmp_path, progress=hear, stop=stop)
    note = told[-1].note
    assert note is not None and "600 s" in note.to("en") and "600 秒" in note.to("zh")


@pytest.mark.parametrize("fault", [{"cut": 0}, {"status": 503}, {"status": 429}, {"cut": 0, "reset": True}], ids=str)
def test_who_never_sends_more_is_given_up_and_asked_again_later(
    hub: Hub, tmp_path: Path, fault: dict[str, Any]
) -> None:
    repo = hub.add("ann/tiny", real())
    cut = hub.fault(WEIGHTS, cut=300_000, times=1)
    always = hub.fault(WEIGHTS, **fault)
    hub.faults.lift(cut)
    hub.faults.add(cut)  # first it is cut, then nothing comes
    error = failed(hub, repo, tmp_path)
    assert error.code in ("hub_unreachable", "hub_server", "hub_rate") and always.happened == 5
    (left,) = unfinished(tmp_path / "models")
    assert left.record.repo_id == repo.id and left.folder == tmp_path / "models" / "tiny"
    assert left.done == sum(map(len, expected(repo).values())) - WHOLE + 300_000
    hub.faults.lift()
    folder = fetch(hub, repo, tmp_path)
    assert spans(hub, repo) == ["bytes=300000-"] and set(hub.times_fetched(repo)) == {"model.safetensors"}
    assert held(folder) == expected(repo) and not unfinished(tmp_path / "models")


def test_who_knows_nothing_of_parts_sends_all_again(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = hub.add("ann/tiny", real())
    hub.fault(WEIGHTS, cut=100_000, times=2)
    from tests.hub import files

    content = files.content
    monkeypatch.setattr(
        files, "content", lambda request, *rest: (request.headers.pop("range", None), content(request, *rest))[1]
    )
    folder = fetch(hub, repo, tmp_path)
    assert held(folder) == expected(repo) and len(spans(hub, repo)) == 3


def test_a_server_that_is_away_for_a_while(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = hub.add("ann/tiny", real())
    monkeypatch.setattr(transfer, "WAITS", (0.05,) * 400)
    hold = hub.fault(WEIGHTS, hold=200_000)

    def go() -> None:
        hold.reached.wait(20)
        hub.down()

    goes = threading.Thread(target=go)
    goes.start()

    def hear(each: Transfer) -> None:
        if each.note is not None and hub.faults._all:
            goes.join()
            hub.faults.lift()
            hub.up()

    folder = fetch(hub, repo, tmp_path, progress=hear)
    assert held(folder) == expected(repo)
    assert str(spans(hub, repo)[-1]).startswith("bytes=") and hub.times_fetched(repo)["tokenizer.json"] == 1


def test_a_server_that_falls_silent(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "READ_SECONDS", 1.0)
    repo = hub.add("ann/tiny", real())
    hold = hub.fault(WEIGHTS, hold=100_000, times=1)
    folder = fetch(hub, repo, tmp_path)
    hold.release()
    assert held(folder) == expected(repo) and spans(hub, repo) == [None, "bytes=100000-"]


# Refusals


@pytest.mark.parametrize("who, hint", [(None, "accept them"), ("ben", "Ask for access")])
def test_access_that_ends_in_between(hub: Hub, tmp_path: Path, who: str | None, hint: str) -> None:
    repo = hub.add("meta/gated", real())
    found = plan(mirror(hub), repo.id)
    repo.gated = "manual"
    token = Token(hub.account(who).token) if who else None
    with pytest.raises(WorkbenchError) as caught:
        download(found, mirror(hub), tmp_path / "models" / "tiny", token)
    assert caught.value.code == "hub_gated" and hint in caught.value.to("en") and ids(tmp_path) == ["starter"]


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_a_file_that_is_listed_and_not_there(hub: Hub, tmp_path: Path, name: str) -> None:
    repo = hub.add("ann/tiny", real())
    repo.serve(name, None)
    error = failed(hub, repo, tmp_path)
    assert error.code == "hub_file" and name in error.to("en") and hub.times_fetched(repo)["config.json"] == 1


@pytest.mark.parametrize(
    "what, name",
    [
        ("other", "model.safetensors"),
        ("other", "tokenizer.json"),
        ("shorter", "model.safetensors"),
        ("longer", "tokenizer.json"),
        ("longer", "model.safetensors"),
        ("empty", "tokenizer.json"),
    ],
)
def test_another_content_is_fetched_once_more_and_then_refused(hub: Hub, tmp_path: Path, name: str, what: str) -> None:
    repo = hub.add("ann/tiny", real())
    data = repo.files[name]
    sent = {"other": data[:-9] + b"X" + data[-8:], "shorter": data[:-1], "longer": data + b"X", "empty": b""}[what]
    repo.serve(name, sent)
    error = failed(hub, repo, tmp_path)
    assert error.code == "hub_file" and name in error.to("en") and hub.times_fetched(repo)[name] == 2
    assert not list((tmp_path / "models" / ".downloads" / "tiny").glob(f"{name}*"))
    repo.serve(name, data)
    folder = fetch(hub, repo, tmp_path)
    assert held(folder) == expected(repo) and hub.times_fetched(repo)["config.json"] == 0


def test_one_wrong_answer_is_forgiven(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", real())
    place = tmp_path / "models" / ".downloads" / "tiny"
    stop = threading.Event()
    hold = hub.fault(WEIGHTS, hold=50_000, times=1)
    threading.Thread(target=lambda: (hold.reached.wait(20), stop.set())).start()
    with pytest.raises(StopRequested):
        fetch(hub, repo, tmp_path, stop=stop)
    hold.release()
    (place / "model.safetensors.part").write_bytes(made(40_000))  # a disk that lost what it had
    folder = fetch(hub, repo, tmp_path)
    assert spans(hub, repo) == ["bytes=40000-", None] and held(folder) == expected(repo)


def test_whole_files_that_make_no_model(hub: Hub, tmp_path: Path) -> None:
    files = {**real(), "model.safetensors": made(5_000)}
    repo = hub.add("ann/tiny", files)
    error = failed(hub, repo, tmp_path)
    assert error.code == "damaged_weights" and error.field is None
    assert not (tmp_path / "models" / ".downloads").exists()


@pytest.mark.parametrize(
    "change, code",
    [
        ({"tokenizer_config.json": '{"auto_map": {"AutoTokenizer": "own.Own"}}'}, "remote_code"),
        ({"tokenizer_config.json": "["}, "invalid_json"),
        ({"tokenizer.json": "{"}, "broken_tokenizer"),
        ({"special_tokens_map.json": '{"a": 1' + "0" * 200 + "}"}, "impossible_config"),
        (
            {"model.safetensors.index.json": '{"weight_map": {"w": "../x", "v": "model-00001-of-00012.safetensors"}}'},
            "missing_shard",
        ),
        ({"model.safetensors.index.json": '{"weight_map": {}}'}, "invalid_json"),
    ],
    ids=["code", "no-json", "cut", "huge", "shard", "index"],
)
def test_small_files_that_can_not_be_used_are_found_before_the_weights_come(
    hub: Hub, tmp_path: Path, change: dict[str, str], code: str
) -> None:
    repo = hub.add("ann/tiny", {**real_shards(20), **change})
    error = failed(hub, repo, tmp_path)
    assert error.code == code and error.field is None and not hub.fetches(repo, "model-*.safetensors")
    assert not (tmp_path / "models" / ".downloads").exists()
