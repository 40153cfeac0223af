"""Models that are already in the Hub's own cache on this computer, to be used where they lie.

Read from its layout (`models--OWNER--NAME/snapshots/COMMIT/`, files as links into `blobs`), without the network and without
changing anything there. Only what `check_folder` finds whole is a model: the cache also holds halves of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from workbench.config.disk import entries
from workbench.config.errors import WorkbenchError
from workbench.config.reading import Damaged, read_text
from workbench.hub.listing import check_id
from workbench.models.files import check_folder

__all__ = ["CachedModel", "cached", "scan"]

_PREFIX = "models--"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class CachedModel:
    """A whole model in the cache; `ModelCatalog.add(folder, name)` takes it up where it lies.

    Attributes:
        name: what to call it in the list of models.
        bytes: of its weights.
    """

    repo_id: str
    sha: str
    folder: Path
    parameters: int
    bytes: int

    @property
    def name(self) -> str:
        return self.repo_id.rpartition("/")[2]


def scan(cache: Path | None = None) -> list[CachedModel]:
    """The whole models in the cache, by name, each in the version that was fetched last.

    Args:
        cache: the Hub's own one of this person where it is None.
    """
    found = [_newest(folder, repo_id) for folder, repo_id in _repositories(cache)]
    return sorted((model for model in found if model is not None), key=lambda model: model.repo_id.lower())


def cached(repo_id: str, sha: str | None = None, cache: Path | None = None) -> CachedModel | None:
    """A model in the cache; None where it is not there, or not whole.

    Args:
        sha: the commit, where it has to be a certain one.
    """
    wanted = check_id(repo_id)
    for folder, name in _repositories(cache):
        if name.lower() == wanted.lower():
            return _newest(folder, name) if sha is None else _at(folder, name, sha)
    return None


def _repositories(cache: Path | None) -> list[tuple[Path, str]]:
    if cache is None:
        from huggingface_hub import constants

        cache = Path(constants.HF_HUB_CACHE)
    found = []
    for folder in entries(cache):
        if not folder.name.startswith(_PREFIX) or folder.is_symlink():
            continue
        try:
            found.append((folder, check_id(folder.name.removeprefix(_PREFIX).replace("--", "/"))))
        except WorkbenchError:
            continue
    return found


def _newest(folder: Path, repo_id: str) -> CachedModel | None:
    """The whole version that the main branch names, or else the one that was looked at last."""
    commits = [path.name for path in entries(folder / "snapshots") if _COMMIT.fullmatch(path.name)]
    commits.sort(key=lambda name: _changed(folder / "snapshots" / name), reverse=True)
    try:
        main = read_text(folder / "refs" / "main", 100).strip()
    except Damaged:
        main = ""
    commits.sort(key=lambda name: name != main)
    return next((model for name in commits if (model := _at(folder, repo_id, name)) is not None), None)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _at(folder: Path, repo_id: str, sha: str) -> CachedModel | None:
    snapshot = folder / "snapshots" / sha
    if not _COMMIT.fullmatch(sha) or snapshot.is_symlink():
        return None
    try:
        files = check_folder(snapshot)
    except WorkbenchError:
        return None
    return CachedModel(repo_id, sha, snapshot, files.parameters, files.bytes)
