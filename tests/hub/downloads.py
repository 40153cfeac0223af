"""Downloads of models in tests: one that should come, one that should fail, one that is stopped, and what is there then."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.hub.server import Hub
from tests.hub.store import Repo
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.hub import Source, download, plan
from workbench.models.catalog import ModelCatalog

WEIGHTS = "/stored/*/model.safetensors"  # where their bytes come from


def mirror(hub: Hub) -> Source:
    return Source("mirror", hub.url)


def fetch(hub: Hub, repo: Repo, home: Path, **options: Any) -> Path:
    """Download a repository as it is now; what was asked for its plan is not counted."""
    found = plan(mirror(hub), repo.id, token=options.get("token"))
    hub.seen.clear()
    return download(found, mirror(hub), home / "models" / "tiny", **options)


def failed(hub: Hub, repo: Repo, home: Path, **options: Any) -> WorkbenchError:
    with pytest.raises(WorkbenchError) as caught:
        fetch(hub, repo, home, **options)
    assert not (home / "models" / "tiny").exists() and ids(home) == ["starter"]
    assert caught.value.to("zh") != caught.value.to("en")
    return caught.value


def ids(home: Path) -> list[str]:
    """The usable models of a home."""
    infos = ModelCatalog(home).list()
    assert not [info.problem for info in infos if info.problem]
    return [info.id for info in infos]


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "download.json"}


def expected(repo: Repo) -> dict[str, bytes]:
    return {name: data for name, data in repo.files.items() if name != "training.json"}


def spans(hub: Hub, repo: Repo) -> list[str | None]:
    return [seen.span for seen in hub.fetches(repo, "model.safetensors")]


def stopped(hub: Hub, repo: Repo, home: Path, at: int = 100_000) -> None:
    """A download that was stopped in the middle of its weights."""
    stop = threading.Event()
    hold = hub.fault(WEIGHTS, hold=at, times=1)
    threading.Thread(target=lambda: (hold.reached.wait(20), stop.set())).start()
    with pytest.raises(StopRequested):
        fetch(hub, repo, home, stop=stop)
    hold.release()
    assert not (home / "models" / "tiny").exists() and ids(home) == ["starter"]
