"""Tables that libraries keep in their source, read from there: to import them takes seconds and all of torch."""

from __future__ import annotations

import ast
import importlib.util
import logging
from pathlib import Path
from typing import Any

_LOG = logging.getLogger(__name__)


def literal_in(package: str, file: str, name: str) -> Any:
    """The value of `name` in a package's source file, where it is written out; None (and a warning) where it isn't found.

    A call such as `OrderedDict([...])` counts as its argument. Takes a fiftieth of a second.
    """
    try:
        spec = importlib.util.find_spec(package)
        path = Path(str(spec and spec.origin)).parent / file
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            value = getattr(node, "value", None)
            if value is None or not any(isinstance(target, ast.Name) and target.id == name for target in targets):
                continue
            return ast.literal_eval(value.args[0] if isinstance(value, ast.Call) else value)
    except (OSError, SyntaxError, ValueError, TypeError, AttributeError, IndexError):
        _LOG.debug("no %s in %s", name, package, exc_info=True)
    _LOG.warning("%s of %s was not found", name, package)
    return None
