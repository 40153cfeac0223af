"""Models from elsewhere: which server they come from, what a repository holds, downloads, search. Knows nothing of jobs.

    source = read_source(home)[0]
    plan = listing.plan(source, "Qwen/Qwen2.5-0.5B-Instruct", token=Tokens().current())
    download(plan, source, home / "models" / "Qwen2.5-0.5B-Instruct", progress=print, stop=threading.Event())

Whatever a server says or doesn't say ends as a value or as a `WorkbenchError` with a code from `errors.py`.
"""

from __future__ import annotations

from workbench.hub.sources import Reachable, Source, make_source, reachable, read_source, save_source
from workbench.hub.tokens import Token, Tokens, who

__all__ = [
    "Reachable",
    "Source",
    "Token",
    "Tokens",
    "make_source",
    "reachable",
    "read_source",
    "save_source",
    "who",
]
