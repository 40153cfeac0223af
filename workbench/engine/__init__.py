"""The one engine of the process. `Engine` is what the page and the command line call."""

from workbench.engine.engine import Engine

__all__ = ["Engine"]
