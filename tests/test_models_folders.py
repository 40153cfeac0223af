"""Another folder for new models, such as one on another disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.homes import make_home
from tests.hub import Hub, real
from tests.test_commands import say
from workbench.config.errors import WorkbenchError
from workbench.engine import Engine
from workbench.hub import make_source, save_source
from workbench.models.folders import choose_models_folder, model_folders, new_models_folder


def test_what_is_downloaded_comes_there_and_all_stays_listed(tmp_path: Path, hub: Hub) -> None:
    home, disk, third = make_home(tmp_path / "home"), tmp_path / "disk", tmp_path / "third"
    save_source(home, make_source("mirror", hub.url))
    hub.add("ann/first-chat", real())
    hub.add("ann/second-chat", real())
    said = say("models", "folder", disk, "--home", home, "--json").data
    assert said["folder"] == str(disk) and said["free_bytes"] > 0
    engine = Engine(home, allow_paths=True)
    try:
        engine.finish(engine.download("ann/first-chat"))
        assert (disk / "first-chat" / "config.json").is_file() and not (home / "models" / "first-chat").exists()
        assert not list(home.rglob("first-chat*"))  # nothing of it was ever on the home's disk
        with pytest.raises(WorkbenchError) as refusal:
            engine.download("ann/first-chat")
        assert refusal.value.code == "model_exists"
        engine.choose_models_folder(third)
        engine.finish(engine.download("ann/second-chat"))
        assert (third / "second-chat").is_dir() and engine.model_folders()[-1] == third
        listed = {info.id: info for info in engine.models.list()}
        assert {"tiny", "first-chat", "second-chat"} <= set(listed) and not any(i.problem for i in listed.values())
        assert engine.keep(listed["first-chat"]).frees > 0
        engine.delete_model("first-chat")
        assert not (disk / "first-chat").exists() and "first-chat" not in {info.id for info in engine.models.list()}
    finally:
        engine.close()


def test_a_disk_that_is_gone_is_said_before_a_download_and_the_rest_is_listed(tmp_path: Path, hub: Hub) -> None:
    home, disk = make_home(tmp_path / "home"), tmp_path / "disk"
    save_source(home, make_source("mirror", hub.url))
    hub.add("ann/chat", real())
    choose_models_folder(home, disk)
    shutil.rmtree(disk)
    engine = Engine(home)
    try:
        assert "tiny" in {info.id for info in engine.models.list()}
        with pytest.raises(WorkbenchError) as refusal:
            engine.download("ann/chat")
        assert refusal.value.code == "no_models_folder" and str(disk) in refusal.value.message.to("zh")
        assert not engine.jobs() and not disk.exists()
        with pytest.raises(WorkbenchError):
            engine.choose_models_folder(tmp_path / "elsewhere")  # the page names no paths
    finally:
        engine.close()


def test_back_to_the_homes_own_folder(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    choose_models_folder(tmp_path / "home", tmp_path / "disk")
    choose_models_folder(tmp_path / "home", tmp_path / "home" / "models")
    assert new_models_folder(tmp_path / "home") == tmp_path / "home" / "models"
    assert tmp_path / "disk" in model_folders(tmp_path / "home")


@pytest.mark.parametrize("inside", [".", "runs", "runs/x/models", ".."])
def test_a_folder_of_the_home_is_refused(tmp_path: Path, inside: str) -> None:
    home = tmp_path / "up" / "home"
    home.mkdir(parents=True)
    with pytest.raises(WorkbenchError):
        choose_models_folder(home, home / inside)
    assert model_folders(home) == (home / "models",)


@pytest.mark.parametrize("written", ["{", "[]", '{"folders": [7]}', '{"folders": ["relative", "/x\\u0000y"]}', "null"])
def test_a_damaged_choice_is_passed_over(tmp_path: Path, written: str) -> None:
    (tmp_path / "models.json").write_text(written)
    assert model_folders(tmp_path) == (tmp_path / "models",)
    assert new_models_folder(tmp_path) == tmp_path / "models"
