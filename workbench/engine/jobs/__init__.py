"""Kinds of long work. Importing this package discovers them: every `JobKind` subclass in a file beside this one."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from workbench.engine.jobs.base import JobKind


def discover() -> dict[str, JobKind]:
    """All kinds by their words, found in the files of this folder."""
    found: dict[str, JobKind] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for _, item in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(item, JobKind) and not inspect.isabstract(item) and item.__module__ == module.name:
                found[item.kind] = item()
    return found
