"""How each method trains. Importing this package discovers the methods: every `Method` subclass in a file beside this one."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from workbench.config.registry import MethodOptions
from workbench.methods.base import Method


def discover() -> dict[str, Method]:
    """All methods by their kind, found in the files of this folder; each one's options become known to the config."""
    found: dict[str, Method] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for _, item in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(item, Method) and not inspect.isabstract(item) and item.__module__ == module.name:
                found[item.kind] = item()
                MethodOptions.add(item.Options, item.label, item.help)
    return found


METHODS = discover()
