"""How a test lets the real huggingface_hub client talk to a Hub of ours, in this process or in another one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.hub.server import Hub


def online_process(hub: Hub, folder: Path) -> dict[str, str]:
    """The environment of a process whose Hub is this one, and whose cache and token are in `folder`.

    Nothing else can be reached from it by name: what asks for another address goes to a proxy that isn't there.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    own = {name: value for name, value in own.items() if not name.lower().endswith("_proxy")}
    nowhere = "http://127.0.0.1:9"
    return {
        **own,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(folder / "hf"),
        "HTTPS_PROXY": nowhere,
        "NO_PROXY": "127.0.0.1,localhost",
    }


@contextlib.contextmanager
def online(hub: Hub, folder: Path) -> Iterator[None]:
    """In this process: the client's own settings say that it is online, that the Hub is this one, and that everything
    it keeps is in `folder`. They are what it made of the environment when it was imported.

    The tests' `no_network` stays: nothing but this machine can be reached, whatever address is given. Xet has connections of
    its own, which it does not see; they go where this Hub sends them.
    """
    from huggingface_hub import constants, hf_api
    from huggingface_hub.utils import _detect_agent, _http, _xet

    home = folder / "hf"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(hf_api.api, "endpoint", hub.url)
        patch.setattr(constants, "HF_HOME", str(home))
        patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        patch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "stored_tokens"))
        patch.setattr(constants, "AGENT_HARNESSES_PATH", str(home / "agents.json"))
        patch.setattr(_detect_agent, "_registry", {})
        patch.setenv("HF_HOME", str(home))  # for Xet, which is no Python and reads it itself
        patch.setenv("HF_XET_CACHE", str(home / "xet"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
        patch.setattr(_xet, "XET_CONNECTION_INFO_CACHE", {})
        _http.close_session()
        yield
        _http.close_session()


@contextlib.contextmanager
def without_waiting() -> Iterator[list[float]]:
    """The client's waits between two tries take no time; the list says how long they would have been.

    Xet's are its own affair: they become short, from the next `online` on, and stand in no list.
    """
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    waits: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (file_download, _http):
            whole = {name: getattr(module.time, name) for name in ("time", "monotonic")}
            patch.setattr(module, "time", SimpleNamespace(sleep=waits.append, **whole))
        patch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "1ms")
        yield waits
