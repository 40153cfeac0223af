"""What is known of the models that are kept: which runs build on them, when one last did, and what deleting one frees."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workbench.config.disk import FOLDER, entries
from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.engine.records import RunRecord
from workbench.engine.runs import RunStore
from workbench.models.catalog import MadeModel, ModelInfo


@dataclass(frozen=True)
class Keep:
    """One model.

    Attributes:
        runs: names of the runs that build on it, the newest first: without it they can't be resumed, talked to or merged.
        last_used: when the newest of them began (ISO 8601, UTC); None where there is none.
        frees: bytes that deleting it frees; 0 of one that only leads to a folder elsewhere.
    """

    runs: tuple[str, ...]
    last_used: str | None
    frees: int


def keep(model: ModelInfo, runs: Iterable[RunRecord]) -> Keep:
    """What is known of a model, of all runs in the home."""
    folder = str(model.folder)
    building = [run for run in runs if run.base_model in (model.id, folder)]
    used = max((run.started or run.created for run in building), default=None)
    return Keep(tuple(run.name for run in building), used, folder_bytes(model.folder) if model.place == FOLDER else 0)


def folder_bytes(folder: Path) -> int:
    """Bytes of the files in a folder; what cannot be looked at is not counted. Follows no links."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total


def made_models(store: RunStore) -> dict[str, MadeModel]:
    """Whole models that runs made: of full tuning, and merged ones, each in its run's folder."""
    found: dict[str, MadeModel] = {}
    for run in store.all():
        if run.active or not run.has_result:
            continue
        try:
            folder = store.path(run.id)
        except WorkbenchError:  # it is damaged
            continue
        if run.adapter == "none" and (folder / "model").is_dir():
            name = Text("{run} (tuned)", "{run}（已微调）").with_(run=run.name)
            found[f"{run.id}-tuned"] = MadeModel(folder / "model", name, run.name)
        for place in entries(folder / "exports"):
            if place.name.startswith(f"{run.id}-merged") and place.is_dir() and not place.is_symlink():
                name = Text("{run} (merged)", "{run}（已合并）").with_(run=run.name)
                found[place.name] = MadeModel(place, name, run.name)
    return found
