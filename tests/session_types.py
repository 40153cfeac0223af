"""For the type checker alone: the engine and the double that stands for it in tests of the page are what the page asks for."""

from __future__ import annotations

from tests.ui_double import FakeEngine
from workbench.engine.engine import Engine
from workbench.engine.session import Session


def as_session(engine: Engine) -> Session:
    """The real one."""
    return engine


def double_as_session(double: FakeEngine) -> Session:
    """The double."""
    return double
