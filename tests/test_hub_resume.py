"""Downloads of models and the disk: what is full or odd there, what an earlier try left, and what a kill leaves."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub, online_process, real, real_shards
from tests.hub.downloads import WEIGHTS, expected, failed, fetch, held, ids, mirror, spans, stopped
from workbench.bootstrap import ROOT
from workbench.config.errors import WorkbenchError
from workbench.config.reading import Damaged
from workbench.hub import discard, download, plan, read_provenance, transfer, unfinished
from workbench.hub import downloads as downloading
from workbench.models.catalog import ModelCatalog


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "WAITS", (0.01,) * 4)


# The disk


def test_room_is_looked_for_first(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = hub.add("ann/tiny", real())
    monkeypatch.setattr(downloading, "free_bytes", lambda path: downloading.SPARE + 100_000)
    error = failed(hub, repo, tmp_path)
    assert error.code == "disk_full" and not hub.seen


def test_a_disk_that_fills_up_in_mid_file(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = hub.add("ann/tiny", real())
    write = transfer._write

    def full(part: Any, data: bytes) -> None:
        if part.tell() > 200_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(part, data)

    monkeypatch.setattr(transfer, "_write", full)
    assert failed(hub, repo, tmp_path).code == "disk_full"
    monkeypatch.setattr(transfer, "_write", write)
    folder = fetch(hub, repo, tmp_path)
    assert held(folder) == expected(repo) and set(hub.times_fetched(repo)) == {"model.safetensors"}
    assert int(str(spans(hub, repo)[0])[6:-1]) > 200_000


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_not_followed(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", real())
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_text("mine")
    downloads = tmp_path / "models" / ".downloads"
    downloads.mkdir(parents=True)
    (downloads / "tiny").symlink_to(outside)
    folder = fetch(hub, repo, tmp_path)
    assert held(folder) == expected(repo) and not folder.is_symlink()
    assert held(outside) == {"config.json": b"mine"}
    shutil.rmtree(folder)
    stopped(hub, repo, tmp_path)
    for name in ("config.json", "model.safetensors.part", "extra.bin"):
        (downloads / "tiny" / name).unlink(missing_ok=True)
        (downloads / "tiny" / name).symlink_to(outside / "config.json")
    assert held(fetch(hub, repo, tmp_path)) == expected(repo)
    assert held(outside) == {"config.json": b"mine"}


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "/etc/x", "..", "", "a\\b", "C:x", "x\0", "download.json", "config.json.part", "CONFIG.JSON"],
)
def test_a_plan_that_leaves_its_folder_is_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    from dataclasses import replace

    repo = hub.add("ann/tiny", real())
    found = plan(mirror(hub), repo.id)
    hub.seen.clear()
    odd = replace(found, files=(*found.files, replace(found.files[0], name=name)))
    with pytest.raises(WorkbenchError) as caught:
        download(odd, mirror(hub), tmp_path / "models" / "tiny")
    assert caught.value.code == "hub_unusable" and not hub.seen and not list(tmp_path.glob("models/*"))


def test_a_name_that_is_taken(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", real())
    folder = fetch(hub, repo, tmp_path)
    with pytest.raises(WorkbenchError) as caught:
        fetch(hub, repo, tmp_path)
    assert caught.value.code == "model_exists" and not hub.seen and held(folder) == expected(repo)


# What is there from before


@pytest.mark.parametrize("xet", [False, True], ids=["http", "xet"])
def test_stop_leaves_what_came_and_another_try_goes_on(hub: Hub, tmp_path: Path, xet: bool) -> None:
    repo = hub.add("ann/tiny", real(), xet=xet)
    stopped(hub, repo, tmp_path)
    ModelCatalog(tmp_path).sweep()
    folder = fetch(hub, repo, tmp_path)
    assert dict(hub.times_fetched(repo)) == {"model.safetensors": 1}
    assert int(str(spans(hub, repo)[0])[6:-1]) > 0 and held(folder) == expected(repo)


def test_a_new_version_starts_anew(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", real())
    stopped(hub, repo, tmp_path)
    repo.change({"README.md": "# New"})
    folder = fetch(hub, repo, tmp_path)
    assert spans(hub, repo) == [None] and held(folder) == expected(repo)
    record = read_provenance(folder)
    assert record is not None and record.sha == repo.sha


@pytest.mark.parametrize("content", ["", '{"schema_version": 1}'])
def test_a_damaged_record_starts_anew(hub: Hub, tmp_path: Path, content: str) -> None:
    repo = hub.add("ann/tiny", real())
    stopped(hub, repo, tmp_path)
    (tmp_path / "models" / ".downloads" / "tiny" / "download.json").write_text(content)
    assert not unfinished(tmp_path / "models")
    folder = fetch(hub, repo, tmp_path)
    assert spans(hub, repo) == [None] and held(folder) == expected(repo)
    (folder / "download.json").write_text(content)
    with pytest.raises(Damaged):
        read_provenance(folder)
    assert ids(tmp_path) == ["starter", "tiny"]


def test_a_record_is_not_trusted(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", real())
    path = fetch(hub, repo, tmp_path) / "download.json"
    record = json.loads(path.read_text())
    file = {"name": "x", "bytes": 1, "sha256": None, "blob_id": None}
    changes: list[dict[str, Any]] = [
        {"repo_id": "../x"},
        {"sha": "../x"},
        {"kind": "elsewhere"},
        {"files": []},
        {"files": [{**file, "name": "../x"}]},
        {"files": [{**file, "bytes": -1}]},
        {"files": [{**file, "sha256": "0" * 63}]},
        {"verified": 5},
        {"started": "yesterday"},
    ]
    for change in changes:
        path.write_text(json.dumps({**record, **change}))
        with pytest.raises(Damaged):
            read_provenance(path.parent)
    path.write_text(json.dumps({**record, "verified": ["../x", "config.json"], "later": 1}))
    found = read_provenance(path.parent)
    assert found is not None and found.verified == {"config.json"}


def test_what_is_not_wanted_any_more_is_thrown_away(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", real())
    stopped(hub, repo, tmp_path)
    folder = tmp_path / "models" / "tiny"
    assert discard(folder) > 190_000 and not unfinished(tmp_path / "models") and discard(folder) == 0
    assert not list((tmp_path / "models").iterdir())
    assert discard(tmp_path / "models" / ".." / "models") == 0


def test_two_at_once_do_not_get_into_each_others_way(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", real())
    hold = hub.fault(WEIGHTS, hold=1000)
    first = threading.Thread(target=fetch, args=(hub, repo, tmp_path))
    first.start()
    assert hold.reached.wait(20)
    found = plan(mirror(hub), repo.id)
    for act in (
        lambda: download(found, mirror(hub), tmp_path / "models" / "tiny"),
        lambda: discard(tmp_path / "models" / "tiny"),
    ):
        with pytest.raises(WorkbenchError) as caught:
            act()
        assert caught.value.code == "hub_busy"
    hold.release()
    first.join()
    assert held(tmp_path / "models" / "tiny") == expected(repo)


# Another process


@pytest.mark.parametrize("xet", [False, True], ids=["http", "xet"])
def test_what_was_there_before_a_kill_is_not_fetched_again(hub: Hub, tmp_path: Path, xet: bool) -> None:
    repo = hub.add("ann/tiny", real_shards(20), xet=xet)
    code = (
        "import sys; from pathlib import Path\n"
        "from workbench.hub import download, plan, read_source\n"
        "home = Path(sys.argv[1]); source, _ = read_source(home)\n"
        "download(plan(source, 'ann/tiny'), source, home / 'models' / 'tiny')\n"
    )

    def start() -> subprocess.Popen[bytes]:
        environment = {**online_process(hub, tmp_path), "PYTHONPATH": str(ROOT)}
        return subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment)

    last = "model-00007-of-00012.safetensors"
    hold = hub.fault(f"/stored/*/{last}", hold=10_000, times=1)
    first = start()
    assert hold.reached.wait(60)
    whole = {name for name in hub.times_fetched(repo) if name != last}
    (left,) = wait_for(lambda: [each for each in unfinished(tmp_path / "models") if each.record.verified == whole])
    first.kill()
    first.wait()
    assert ids(tmp_path) == ["starter"] and left.done >= sum(len(repo.files[name]) for name in whole)
    hold.release()
    hub.seen.clear()
    assert start().wait(60) == 0
    fetched = hub.times_fetched(repo)
    fetched["config.json"] -= 1  # asked for by the plan
    assert {name for name, times in fetched.items() if times} == set(expected(repo)) - whole
    assert set(fetched.values()) <= {0, 1} and ids(tmp_path) == ["starter", "tiny"]
    assert held(tmp_path / "models" / "tiny") == expected(repo) and not list((tmp_path / "models").glob(".*"))


def wait_for(look: Callable[[], Any]) -> Any:
    """What `look` finds, as soon as it finds something."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")
