"""Finds what lies in the files of a package, so that nobody has to list it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from typing import TypeVar

Found = TypeVar("Found")


def concrete(path: Iterable[str], package: str, base: type[Found]) -> list[type[Found]]:
    """The subclasses of `base` that can be made, in the files of a package (its `__path__` and `__name__`), by file name."""
    found = []
    for module in sorted(pkgutil.iter_modules(path, f"{package}."), key=lambda module: module.name):
        for _, item in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(item, base) and not inspect.isabstract(item) and item.__module__ == module.name:
                found.append(item)
    return found
