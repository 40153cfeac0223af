"""Which base models there are, by which names they are found, and what is remembered of them between two looks."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.tiny_models import make_base
from workbench.config.disk import ENTRY, FILE, FOLDER
from workbench.config.errors import WorkbenchError
from workbench.models import unchanged
from workbench.models.catalog import ModelCatalog

LINKS = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("sound") / "llama")


@pytest.fixture
def folder(sound, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(sound, tmp_path / "llama")


def test_the_catalog_lists_the_shipped_model_and_those_in_the_home_folder(sound, folder, tmp_path):
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    folder.rename(home / "models" / "Copied-1B")
    catalog = ModelCatalog(home, shipped=sound)
    infos = {info.id: info for info in catalog.list()}
    assert list(infos) == ["starter", "Copied-1B"]
    assert infos["starter"].shipped and not infos["Copied-1B"].shipped
    assert (infos["Copied-1B"].architecture, infos["Copied-1B"].context) == ("LlamaForCausalLM", 128)
    assert infos["Copied-1B"].has_template and infos["Copied-1B"].problem is None


def test_an_added_folder_is_linked_not_copied_and_survives_a_restart(sound, tmp_path):
    catalog = ModelCatalog(tmp_path, shipped=tmp_path / "none")
    info = catalog.add(sound, name="My Llama!")
    assert info.id == "my-llama" and info.folder == sound
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["my-llama.json"]
    assert catalog.add(sound).id == "my-llama"
    again = ModelCatalog(tmp_path, shipped=tmp_path / "none").resolve("my-llama")
    assert again.parameters == info.parameters and again.name.to("zh") == "My Llama!"


def test_ids_of_added_folders_do_not_collide(sound, folder, tmp_path):
    catalog = ModelCatalog(tmp_path / "home", shipped=tmp_path / "none")
    assert catalog.add(sound).id == "llama"
    assert catalog.add(folder).id == "llama-2"
    assert catalog.add(make_base(tmp_path / "starter")).id == "starter-2"


def test_an_unusable_folder_is_listed_with_its_problem_and_not_resolved(folder, tmp_path):
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    (folder / "model.safetensors").unlink()
    folder.rename(home / "models" / "broken")
    (home / "models" / "lost.json").write_text(json.dumps({"folder": str(tmp_path / "gone")}))
    (home / "models" / "odd.json").write_text("{}")
    catalog = ModelCatalog(home, shipped=tmp_path / "none")
    assert {info.id: info.problem.code for info in catalog.list()} == {
        "broken": "no_safetensors",
        "lost": "not_a_folder",
        "odd": "invalid_json",
    }
    with pytest.raises(WorkbenchError) as caught:
        catalog.resolve("broken")
    assert caught.value.code == "no_safetensors"


def test_paths_are_for_the_command_line_only(sound, tmp_path):
    catalog = ModelCatalog(tmp_path, shipped=tmp_path / "none")
    assert catalog.resolve(str(sound), allow_paths=True).parameters > 0
    for wanted in (str(sound), "../llama", "..", "", "a/b", "C:\\x", "x\0", "starter"):
        with pytest.raises(WorkbenchError) as caught:
            catalog.resolve(wanted)
        assert caught.value.code == "unknown_model"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_in_the_home_folder_is_not_followed(sound, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "linked").symlink_to(sound, target_is_directory=True)
    (info,) = ModelCatalog(tmp_path, shipped=tmp_path / "none").list()
    assert info.problem.code == "outside_folder"


@pytest.mark.parametrize("home", ["home", "linked"])
@pytest.mark.parametrize("way", ["whole", "relative", "slash", "dots", "through the other home", "by a link"])
@LINKS
def test_a_model_of_the_home_may_be_named_by_its_path(sound, tmp_path, monkeypatch, home, way):
    shutil.copytree(sound, tmp_path / "home" / "models" / "mine")
    (tmp_path / "linked").symlink_to("home", target_is_directory=True)
    (tmp_path / "aside").symlink_to(tmp_path / "home" / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    catalog = ModelCatalog(Path(home), shipped=tmp_path / "none")
    other = {"home": "linked", "linked": "home"}[home]
    wanted = {
        "whole": tmp_path / home / "models" / "mine",
        "relative": Path(home) / "models" / "mine",
        "slash": f"{home}/models/mine/",
        "dots": f"{home}/models/../models/./mine",
        "through the other home": tmp_path / other / "models" / "mine",
        "by a link": "aside",
    }[way]
    info = catalog.resolve(wanted, allow_paths=True)
    assert (info.id, info.problem) == ("mine", None) and info.folder.samefile(tmp_path / "home" / "models" / "mine")
    assert catalog.resolve(info.id) == info
    with pytest.raises(WorkbenchError):
        catalog.resolve(wanted)


def test_a_path_into_the_home_gets_round_no_rule_for_names(sound, tmp_path):
    catalog = ModelCatalog(tmp_path, shipped=tmp_path / "none")
    for name in ("starter", "my model", "x" * 80):
        path = shutil.copytree(sound, tmp_path / "models" / name)
        with pytest.raises(WorkbenchError) as caught:
            catalog.resolve(path, allow_paths=True)
        assert caught.value.code == "bad_name"


@LINKS
def test_what_deleting_takes_away_is_known_before(sound, tmp_path):
    models = tmp_path / "home" / "models"
    whole = shutil.copytree(sound, models / "whole")
    shutil.copytree(sound, models / "folder.json")
    (models / "empty").mkdir()
    (models / "bad.json").write_text("{", encoding="utf-8")
    (models / "lost.json").write_text(json.dumps({"folder": str(tmp_path / "gone")}), encoding="utf-8")
    (models / "good.json").write_text(json.dumps({"folder": str(sound)}), encoding="utf-8")
    (models / "notes.txt").write_text("mine", encoding="utf-8")
    (models / "link").symlink_to(sound, target_is_directory=True)
    (models / "nowhere").symlink_to(tmp_path / "gone")
    (models / "to-entry.json").symlink_to("good.json")
    catalog = ModelCatalog(tmp_path / "home", shipped=whole)
    places = {info.id: info.place for info in catalog.list()}
    assert {name for name, place in places.items() if place == FOLDER} == {"starter", "whole", "folder.json", "empty"}
    assert {name for name, place in places.items() if place == FILE} == {"notes.txt"}
    assert all(places[name] == ENTRY for name in ("bad", "lost", "good", "link", "nowhere", "to-entry"))
    for name, place in places.items():
        if place == ENTRY:
            catalog.delete(name)
    assert (sound / "config.json").is_file()


@pytest.fixture
def looks(monkeypatch):
    """Into which folders was really looked."""
    made = []
    real = unchanged.check_folder
    monkeypatch.setattr(unchanged, "check_folder", lambda folder: made.append(folder.name) or real(folder))
    return made


def later(monkeypatch, seconds=100.0):
    now = time.time() + seconds
    monkeypatch.setattr(unchanged.time, "time", lambda: now)


def test_a_folder_in_which_nothing_changes_is_looked_into_once(sound, tmp_path, monkeypatch, looks):
    shutil.copytree(sound, tmp_path / "models" / "mine")
    (tmp_path / "models" / "added.json").write_text(json.dumps({"folder": str(sound)}), encoding="utf-8")
    catalog = ModelCatalog(tmp_path, shipped=sound)
    later(monkeypatch)
    first = catalog.list()
    assert [info.id for info in first] == ["starter", "added", "mine"] and len(looks) == 2  # two are the same folder
    assert catalog.list() == first and catalog.resolve("mine") == first[2]
    assert len(looks) == 2


def test_what_was_written_just_now_is_looked_into_again(sound, tmp_path, looks):
    shutil.copytree(sound, tmp_path / "models" / "mine")
    catalog = ModelCatalog(tmp_path, shipped=tmp_path / "none")
    assert catalog.list() == catalog.list() and len(looks) == 2


def cut(path):
    os.truncate(path, path.stat().st_size - 1)


def spoil(path):
    """The same size and the same time of writing, as somebody can set it."""
    times = path.stat()
    path.write_bytes(b" " * times.st_size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def swap(path):
    """Another file of the same size in its place, older than the first."""
    size = path.stat().st_size
    path.rename(path.with_name("was.txt"))
    path.write_bytes(b" " * size)
    os.utime(path, (1, 1))


def lead_away(path):
    outside = path.parent.parent.parent / path.name
    path.rename(outside)
    path.symlink_to(outside)


CHANGES = {
    "weights cut off": ("model.safetensors", cut),
    "weights gone": ("model.safetensors", Path.unlink),
    "config of the same size and time": ("config.json", spoil),
    "config swapped": ("config.json", swap),
    "config is a link that leads out": ("config.json", lead_away),
    "tokenizer gone": ("tokenizer.json", Path.unlink),
    "became an adapter": ("adapter_config.json", Path.touch),
    "no folder any more": (".", lambda path: shutil.rmtree(path.parent / path.name)),
}


@pytest.mark.skipif(sys.platform == "win32", reason="there the time of change can be set, and links need rights")
@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_folder_is_seen(sound, tmp_path, monkeypatch, what):
    folder = shutil.copytree(sound, tmp_path / "models" / "mine")
    (tmp_path / "models" / "added.json").write_text(json.dumps({"folder": str(folder)}), encoding="utf-8")
    catalog = ModelCatalog(tmp_path, shipped=tmp_path / "none")
    later(monkeypatch)
    assert [info.problem for info in catalog.list()] == [None, None]
    name, change = CHANGES[what]
    change(folder / name)
    later(monkeypatch)
    assert all(info.problem for info in catalog.list())
    with pytest.raises(WorkbenchError):
        catalog.resolve("added")
