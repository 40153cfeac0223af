"""A Hugging Face Hub on this machine, for the real huggingface_hub client to talk to.

    with Hub() as hub:
        repo = hub.add("ann/tiny", {"config.json": "{}", "model.safetensors": made(20_000)})
        hub.fault("*/model.safetensors", cut=5_000, times=1)
        with online(hub, tmp_path):
            huggingface_hub.snapshot_download("ann/tiny")
        assert hub.times_fetched(repo) == {"config.json": 1, "model.safetensors": 2}

`store.py` is what the Hub holds, `faults.py` what goes wrong on the way, `server.py` and `connections.py` the wire,
`reading.py`, `files.py`, `writing.py` and `xet.py` the endpoints, `samples.py` what repositories look like, and `client.py`
how a test lets the real client talk to it. A test that needs one Hub takes the fixtures `hub` and `waits`.
"""

from tests.hub.client import online, online_process, without_waiting
from tests.hub.faults import Fault, rate_limit
from tests.hub.samples import code, pickles, real, real_shards, shards
from tests.hub.server import Hub
from tests.hub.store import Account, File, Repo, made

__all__ = [
    "Account",
    "Fault",
    "File",
    "Hub",
    "Repo",
    "code",
    "made",
    "online",
    "online_process",
    "pickles",
    "rate_limit",
    "real",
    "real_shards",
    "shards",
    "without_waiting",
]
