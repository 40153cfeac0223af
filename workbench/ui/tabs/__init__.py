"""The tabs of the page: every module beside this file is one, found by looking, never listed.

A tab module has `ID`, `ORDER`, `TITLE`, `build(shell)` and, where it reacts to other parts of the page, `bind(shell)`,
which is called after all tabs are built. Tabs do not import each other.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol

from workbench.config.text import Text
from workbench.ui.shell import Shell


class Tab(Protocol):
    """What a tab module offers; `bind(shell)` is optional."""

    ID: str
    ORDER: int
    TITLE: Text

    def build(self, shell: Shell) -> None:
        """Make the components; called inside the tab's `gr.Tab`."""


def discover() -> list[Tab]:
    """All tabs in the order in which the page shows them."""
    modules = [importlib.import_module(found.name) for found in pkgutil.iter_modules(__path__, f"{__name__}.")]
    tabs = [module for module in modules if hasattr(module, "ORDER")]
    return sorted(tabs, key=lambda tab: (tab.ORDER, tab.ID))
