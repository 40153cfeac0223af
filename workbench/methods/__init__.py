"""How each method trains. Importing this package discovers the methods: every `Method` subclass in a file beside this one."""

from __future__ import annotations

import workbench.adapters  # noqa: F401 - a run has one, too, of which the config has to know
from workbench.config.discovery import concrete
from workbench.config.registry import MethodOptions
from workbench.methods.base import Method


def discover() -> dict[str, Method]:
    """All methods by their kind, found in the files of this folder; each one's options become known to the config."""
    found: dict[str, Method] = {item.kind: item() for item in concrete(__path__, __name__, Method)}
    for method in found.values():
        MethodOptions.add(method.Options, method.label, method.help)
    return found


METHODS = discover()
