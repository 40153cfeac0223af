"""Models from elsewhere: which server they come from, what a repository holds, downloads, search. Knows nothing of jobs.

    source = read_source(home)[0]
    wanted = plan(source, "Qwen/Qwen2.5-0.5B-Instruct", token=Tokens().current())
    download(wanted, source, place_for(home / "models", wanted.repo_id), progress=print, stop=threading.Event())

Whatever a server says or doesn't say ends as a value or as a `WorkbenchError` with a code from `errors.py`.
"""

from __future__ import annotations

from workbench.hub.cache import CachedModel, cached, scan
from workbench.hub.downloads import Transfer, Unfinished, discard, download, unfinished
from workbench.hub.listing import DownloadPlan, PlannedFile, check_id, plan
from workbench.hub.places import downloaded, place_for
from workbench.hub.provenance import Provenance, read_provenance
from workbench.hub.search import Found, search
from workbench.hub.sources import Reachable, Source, make_source, reachable, read_source, save_source
from workbench.hub.tokens import Token, Tokens, who

__all__ = [
    "CachedModel",
    "DownloadPlan",
    "Found",
    "PlannedFile",
    "Provenance",
    "Reachable",
    "Source",
    "Token",
    "Tokens",
    "Transfer",
    "Unfinished",
    "cached",
    "check_id",
    "discard",
    "download",
    "downloaded",
    "make_source",
    "place_for",
    "plan",
    "reachable",
    "read_provenance",
    "read_source",
    "save_source",
    "scan",
    "search",
    "unfinished",
    "who",
]
