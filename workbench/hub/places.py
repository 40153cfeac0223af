"""Where a downloaded model lies in a home, and where a new one will."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.config.disk import entries
from workbench.config.reading import Damaged
from workbench.hub.downloads import unfinished
from workbench.hub.listing import check_id
from workbench.hub.provenance import read_provenance

__all__ = ["downloaded", "place_for"]

_LONGEST = 60  # characters of a model's id, with room for a number
_TAKEN = ("starter", "con", "prn", "aux", "nul")  # the model that ships; what Windows calls its devices


def downloaded(models: Path, repo_id: str) -> Path | None:
    """The model's folder in a home's folder of models, where it was downloaded; whether it is sound still, it is not asked."""
    wanted = check_id(repo_id).lower()
    for folder in entries(models):
        if folder.name.startswith(".") or folder.is_symlink() or not folder.is_dir():
            continue
        try:
            record = read_provenance(folder)
        except Damaged:
            continue
        if record is not None and record.repo_id.lower() == wanted:
            return folder
    return None


def place_for(models: Path, repo_id: str, model_id: str | None = None) -> Path:
    """Where to download a model to: where a download of it was begun, or else under its name, as far as that is free.

    Args:
        models: the home's folder of models.
        model_id: what it is to be called (a recommended model's id); by default as the repository, without its owner.
    """
    wanted = check_id(repo_id)
    for begun in unfinished(models):
        if begun.record.repo_id.lower() == wanted.lower() and not begun.folder.exists():
            return begun.folder
    taken = {path.name.lower() for path in entries(models)} | {
        begun.folder.name.lower() for begun in unfinished(models)
    }
    taken |= {name.removesuffix(".json") for name in taken} | set(_TAKEN)
    name = _as_id(model_id or wanted.rpartition("/")[2])
    names = [name, _as_id(wanted.replace("/", "-"))]
    number = 2
    while names[0].lower() in taken:
        names.pop(0)
        if not names:
            names.append(f"{name}-{number}")
            number += 1
    return models / names[0]


def _as_id(name: str) -> str:
    """A name as the list of models can have it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST].strip("._-") or "model"
