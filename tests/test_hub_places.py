"""Where downloaded models lie, and how new ones are called."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.hub import Hub, real
from tests.hub.downloads import fetch, ids, mirror, stopped
from workbench.hub import download, downloaded, place_for, plan
from workbench.models.catalog import ModelCatalog


def test_a_model_is_called_as_its_repository_as_far_as_that_is_free(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    assert place_for(models, "ann/Tiny-1.5B") == models / "Tiny-1.5B"
    assert place_for(models, "ann/tiny", "small-one") == models / "small-one"
    (models / "tiny-1.5b").mkdir()
    assert place_for(models, "ann/Tiny-1.5B").name == "ann-Tiny-1.5B"
    (models / "ann-tiny-1.5b.json").write_text("{}")
    assert place_for(models, "ann/Tiny-1.5B").name == "Tiny-1.5B-2"
    (models / "Tiny-1.5B-2").mkdir()
    assert place_for(models, "ann/Tiny-1.5B").name == "Tiny-1.5B-3"


@pytest.mark.parametrize("repo_id", ["starter", "ann/starter", "ann/con", "ann/x" + "y" * 80, "ann/a._b", "gpt2"])
def test_every_name_can_stand_in_the_list(hub: Hub, tmp_path: Path, repo_id: str) -> None:
    repo = hub.add(repo_id, real())
    folder = place_for(tmp_path / "models", repo_id)
    assert folder.name.lower() not in ("starter", "con")
    download(plan(mirror(hub), repo.id), mirror(hub), folder)
    assert ids(tmp_path) == ["starter", folder.name] and downloaded(tmp_path / "models", repo_id) == folder


def test_what_was_begun_goes_on_at_its_place(hub: Hub, tmp_path: Path) -> None:
    repo, models = hub.add("ann/other-name", real()), tmp_path / "models"
    stopped(hub, repo, tmp_path)
    assert place_for(models, repo.id) == place_for(models, "Ann/Other-Name") == models / "tiny"
    assert place_for(models, "ann/tiny") == models / "ann-tiny" and downloaded(models, repo.id) is None
    fetch(hub, repo, tmp_path)
    assert downloaded(models, repo.id) == models / "tiny" and downloaded(models, "ann/tiny") is None
    (models / "tiny" / "download.json").write_text("{")
    assert downloaded(models, repo.id) is None and ModelCatalog(tmp_path).resolve("tiny").problem is None


def test_two_models_of_one_name_come_at_the_same_time(hub: Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    places = []
    for owner in ("ann", "ben"):
        repo = hub.add(f"{owner}/tiny", real())
        hold = hub.fault(f"/stored/models/{owner}/*", hold=100)
        places.append(place_for(models, repo.id))
        found = plan(mirror(hub), repo.id)
        threading.Thread(target=download, args=(found, mirror(hub), places[-1])).start()
        assert hold.reached.wait(30)
    assert [place.name for place in places] == ["tiny", "ben-tiny"]
    hub.faults.lift()
    for thread in threading.enumerate():
        if thread.name.endswith("(download)"):
            thread.join()
    assert ids(tmp_path) == ["starter", "ben-tiny", "tiny"] and not list(models.glob(".*"))
