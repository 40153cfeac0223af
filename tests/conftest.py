"""What every test gets: no network, no telemetry, and torch only where it is asked for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from workbench.bootstrap import environment

# Before anything imports a library that reads these.
environment()
os.environ["HF_HUB_OFFLINE"] = "1"

_BROWSER_TESTS = Path(__file__).parent / "browser"
# The files that take longest, by `python -m tests -m "not browser" --durations=0`.
_SLOWEST = (
    "test_starter_voices.py",
    "test_starter_preferences.py",
    "test_starter.py",
    "test_engine_resume.py",
    "test_signals.py",
    "test_damaged_home.py",
    "test_settings_reach_training.py",
    "test_methods_dpo.py",
    "test_engine_runs.py",
    "test_commands.py",
    "test_habits.py",
)
_HERE = ("localhost", "127.", "::1", "0.0.0.0", "::")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the browser's tests."""
    if _BROWSER_TESTS in item.path.parents:
        item.add_marker("browser")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which tests stay in one process where several share them.

    A file's do, since many share what took long to make; the browser's all do, so that one of them runs at a time.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if nodeid.startswith("tests/browser/") else nodeid.split("::")[0]

    return Files(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Quick tests first, the browser's last; in one of several processes what takes longest first, so that none of them
    is left alone with it at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(item.path))
    else:
        items.sort(key=lambda item: _BROWSER_TESTS in item.path.parents)


def _place(path: Path) -> int:
    """When a file's tests begin among several processes."""
    if _BROWSER_TESTS in path.parents:
        return -1
    return _SLOWEST.index(path.name) if path.name in _SLOWEST else len(_SLOWEST)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a tiny model and small data sets."""
    from tests.homes import make_home

    return make_home(tmp_path / "home")


@pytest.fixture
def engine(home: Path) -> Iterator[Any]:
    """An engine on that home."""
    from workbench.engine import Engine

    engine = Engine(home)
    yield engine
    engine.close()


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Only this machine can be reached, and the Hub's library is told that it is offline."""
    assert os.environ.get("HF_HUB_OFFLINE") == "1", "HF_HUB_OFFLINE must be 1, so that no test goes to the Hub"
    connect, lookup = socket.socket.connect, socket.getaddrinfo

    def local_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(_HERE):
            raise OSError(f"tests don't use the network, and this goes to {address[0]}")
        connect(self, address)

    def local_lookup(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not name.startswith(_HERE) and name != socket.gethostname():
            raise socket.gaierror(f"tests don't use the network, and this looks up {name}")
        return lookup(host, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", local_connect)
        patch.setattr(socket, "getaddrinfo", local_lookup)
        yield
    assert os.environ.get("HF_HUB_OFFLINE") == "1", "a test has changed HF_HUB_OFFLINE and not put it back"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Any]:
    """A Hub on this machine, to which the Hub's library of this process goes; what it keeps is in the test's folder."""
    from tests.hub import Hub, online

    with Hub() as hub, online(hub, tmp_path):
        yield hub


@pytest.fixture
def waits() -> Iterator[list[float]]:
    """How long the Hub's library would have waited between two tries: it doesn't."""
    from tests.hub import without_waiting

    with without_waiting() as waits:
        yield waits


@pytest.fixture
def torch_one_thread() -> Iterator[ModuleType]:
    """torch, working in one thread: the same numbers every time, and room for others on a small machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def browser_path() -> str:
    """The browser for playwright's `executable_path`."""
    from tests import browsers

    path = browsers.find()
    if path is None:
        pytest.fail(str(browsers.missing()), pytrace=False)
    return path
