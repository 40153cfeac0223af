"""What of a model is trained. Importing this package discovers the kinds: every `Adapter` in a file beside this one."""

from __future__ import annotations

from workbench.adapters.base import Adapter
from workbench.config.discovery import concrete
from workbench.config.registry import AdapterOptions


def discover() -> dict[str, Adapter]:
    """All kinds by their name; each one's options become known to the config."""
    found: dict[str, Adapter] = {item.kind: item() for item in concrete(__path__, __name__, Adapter)}
    for kind in found.values():
        AdapterOptions.add(kind.Options, kind.label, kind.help)
    return found


ADAPTERS = discover()
