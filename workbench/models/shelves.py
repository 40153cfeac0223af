"""Folders full of models that were registered: each model in one is in the list, new ones by themselves.

A note `home/models/<id>.json` names the folder and says that it holds models. What is in it belongs to whoever keeps the folder:
nothing there is changed or deleted here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from workbench.config.disk import entries
from workbench.config.errors import WorkbenchError
from workbench.models.reading import read_json_object

MOST = 1000  # models of one folder
HOLDS, MODELS = "holds", "models"


def on_shelf(note: Path, note_id: str) -> dict[str, Path] | None:
    """The models in the folder that a note names, by their ids, which begin with the note's; None where it names no such folder.

    A folder that is not there (its disk was taken away) has none.
    """
    if note.suffix != ".json" or os.path.isdir(note):
        return None
    try:
        said = read_json_object(note)
    except WorkbenchError:
        return None
    folder = said.get("folder")
    if said.get(HOLDS) != MODELS or not isinstance(folder, str) or "\0" in folder or not os.path.isabs(folder):
        return None
    found: dict[str, Path] = {}
    for place in models_in(Path(folder)):
        name = f"{note_id}.{re.sub(r'[^A-Za-z0-9._-]+', '-', place.name).strip('._-') or 'model'}"
        if name not in found:
            found[name] = place
    return found


def models_in(folder: Path) -> list[Path]:
    """The folders in a folder that look like models: links are not followed, and no deeper folder is looked into."""
    places = sorted(entries(folder), key=lambda place: place.name)
    found = [
        place for place in places if not place.name.startswith(".") and not place.is_symlink() and _is_model(place)
    ]
    return found[:MOST]


def _is_model(place: Path) -> bool:
    return os.path.isfile(place / "config.json")
