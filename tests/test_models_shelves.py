"""Folders full of models: each model in one is in the list, whatever becomes of the folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.test_commands import say
from tests.tiny_models import make_base
from workbench.config.errors import WorkbenchError
from workbench.models.catalog import ModelCatalog


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("sound") / "model")


@pytest.fixture
def disk(tmp_path: Path, sound: Path) -> Path:
    """A disk with two models, and other things."""
    disk = tmp_path / "disk"
    for name in ("Qwen3-0.6B", "my model (old)"):
        shutil.copytree(sound, disk / name)
    (disk / "photos").mkdir()
    (disk / "notes.txt").write_text("words")
    (disk / ".hidden").mkdir()
    shutil.copytree(sound, tmp_path / "outside")
    (disk / "link").symlink_to(tmp_path / "outside")
    (disk / "circle").symlink_to(disk)
    return disk


def catalog(tmp_path: Path) -> ModelCatalog:
    return ModelCatalog(tmp_path / "home", shipped=tmp_path / "none")


def test_each_model_in_it_is_listed_also_those_that_come_later(tmp_path: Path, disk: Path, sound: Path) -> None:
    models = catalog(tmp_path)
    added = models.add_all(disk)
    assert sorted(info.id for info in added) == ["disk.Qwen3-0.6B", "disk.my-model-old"]
    assert all(info.problem is None for info in added) and added == models.list()
    assert {info.name.to("en") for info in added} == {"Qwen3-0.6B", "my model (old)"}
    shutil.copytree(sound, disk / "new")
    assert models.resolve("disk.new").folder == disk / "new"
    assert len(models.list()) == 3 and models.add_all(disk) == models.list()  # once is enough
    assert models.resolve(str(disk / "new"), allow_paths=True).problem is None


def test_a_broken_one_says_why_and_a_disk_that_is_gone_leaves_one_sentence(tmp_path: Path, disk: Path) -> None:
    models = catalog(tmp_path)
    models.add_all(disk)
    (disk / "Qwen3-0.6B" / "model.safetensors").unlink()
    assert [info.id for info in models.list() if info.problem] == ["disk.Qwen3-0.6B"]
    disk.rename(tmp_path / "unplugged")
    (left,) = models.list()
    assert left.id == "disk" and left.problem and left.problem.code == "no_models"
    assert str(disk) in left.problem.message.to("zh")
    with pytest.raises(WorkbenchError):
        models.resolve("disk.Qwen3-0.6B")
    (tmp_path / "unplugged").rename(disk)
    assert len(models.list()) == 2


def test_its_models_are_not_deleted_but_the_note_is(tmp_path: Path, disk: Path) -> None:
    models = catalog(tmp_path)
    for info in models.add_all(disk):
        with pytest.raises(WorkbenchError) as refusal:
            models.delete(info.id)
        assert refusal.value.code == "held" and "models delete disk" in refusal.value.hint.to("zh")
    models.delete("disk")
    assert models.list() == [] and (disk / "Qwen3-0.6B" / "config.json").is_file()


@pytest.mark.parametrize("folder", [7, "relative", "/nowhere\0", None, ["/x"]])
def test_a_note_that_anybody_wrote_harms_nothing(tmp_path: Path, folder: object) -> None:
    home = tmp_path / "home" / "models"
    home.mkdir(parents=True)
    (home / "disk.json").write_text(json.dumps({"folder": folder, "holds": "models"}))
    (info,) = catalog(tmp_path).list()
    assert info.problem is not None


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos" / "2024").mkdir(parents=True)
    with pytest.raises(WorkbenchError):
        catalog(tmp_path).add_all(tmp_path / "photos")
    assert not catalog(tmp_path).list()


def test_the_command_line_adds_all_of_them(tmp_path: Path, disk: Path) -> None:
    said = say("models", "add", disk, "--home", tmp_path / "home", "--json")
    assert said.code == 0 and [one["id"] for one in said.data["models"]] == ["disk.Qwen3-0.6B", "disk.my-model-old"]
    assert "disk.Qwen3-0.6B" in say("models", "--home", tmp_path / "home").out
