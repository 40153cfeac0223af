"""The Hub's connections: two listeners on this machine, one for the Hub and one for its storage, and a count of all they do.

The storage is a second address, as the real one is, so that a token that is sent there is seen.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tests.hub import files, reading, writing, xet
from tests.hub.connections import Listener
from tests.hub.faults import Fault, Faults
from tests.hub.messages import Answer, Refused, Request, Route, refusal, wrong_token
from tests.hub.store import Account, Repo, as_files

ROUTES: list[Route] = [*writing.ROUTES, *xet.ROUTES, *files.ROUTES, *reading.ROUTES]


@dataclass
class Seen:
    """A request that came, and how far it was answered; `sent` and `taken` (bytes of the two bodies) grow meanwhile.

    Attributes:
        file: repository and path, where the answer's body is a file's.
        ended: the answer was sent to its end.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    token: str | None
    span: str | None
    storage: bool
    file: tuple[str, str] | None = None
    status: int = 0
    sent: int = 0
    taken: int = 0
    ended: bool = False


class Hub:
    """A Hub on loopback.

    Args:
        page_size: entries of a file listing's page (the real one's are 1000).
        part_size: large files above it are uploaded in parts of this size.
    """

    def __init__(self, page_size: int = 1000, part_size: int = 5_000_000) -> None:
        self.page_size, self.part_size = page_size, part_size
        self.repos: dict[tuple[str, str], Repo] = {}
        self.accounts: dict[str, Account] = {}
        self.blobs: dict[str, bytes] = {}  # large files by their SHA-256, before and after a commit names them
        self.parts: dict[tuple[str, int], bytes] = {}  # of uploads in parts
        self.xet = xet.Store()
        self.faults = Faults()
        self.seen: list[Seen] = []
        self.lock = threading.RLock()
        self._listeners = (Listener(self, storage=False), Listener(self, storage=True))
        self.up()

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return self._listeners[0].url

    @property
    def storage_url(self) -> str:
        return self._listeners[1].url

    def up(self) -> None:
        """Listen; at the same address as before."""
        for listener in self._listeners:
            listener.up()

    def down(self) -> None:
        """Break off every connection and refuse new ones, until `up()`."""
        for listener in self._listeners:
            listener.down()

    def close(self) -> None:
        self.faults.lift()
        self.down()

    # What is there

    def add(self, repo_id: str, contents: dict[str, bytes | str] | None = None, **options: Any) -> Repo:
        """A repository with its first commit.

        Args:
            options: of `Repo`; what it doesn't know is what the API says of it (tags, downloads, pipeline_tag, ...).
        """
        own = {name: options.pop(name) for name in ("kind", "private", "gated", "granted", "xet") if name in options}
        repo = Repo(repo_id, about=options, **own)
        repo.commit(as_files(contents or {}), "initial commit")
        with self.lock:
            self.repos[repo.kind, repo.id] = repo
        return repo

    def account(self, name: str, role: str = "write", orgs: tuple[str, ...] = (), token: str = "") -> Account:
        """Somebody whose token is good."""
        account = Account(name, token or "hf_" + f"{name}{role}".ljust(34, "x"), role, orgs)
        self.accounts[account.token] = account
        return account

    def fault(self, path: str = "*", method: str = "*", **what: Any) -> Fault:
        """From now on, this goes wrong (see `Fault`)."""
        return self.faults.add(Fault(path, method, **what))

    def repo(self, repo_id: str, kind: str = "model") -> Repo:
        return self.repos[kind, repo_id]

    # What was asked

    def requests(self, path: str = "*", method: str = "*") -> list[Seen]:
        """The requests so far whose path and method fit."""
        return [seen for seen in list(self.seen) if method in ("*", seen.method) and fnmatchcase(seen.path, path)]

    def fetches(self, repo: Repo, path: str = "*") -> list[Seen]:
        """The answers with a file's content, of a repository's files."""
        asked = [seen for seen in list(self.seen) if seen.method == "GET" and seen.file and seen.status < 300]
        return [seen for seen in asked if seen.file[0] == repo.id and fnmatchcase(seen.file[1], path)]  # type: ignore[index]

    def times_fetched(self, repo: Repo) -> Counter[str]:
        """How often the content of each file was asked for, whole or in part."""
        return Counter(seen.file[1] for seen in self.fetches(repo))  # type: ignore[index]

    def bytes_sent(self, repo: Repo, path: str = "*") -> int:
        """Bytes of a repository's files that were sent."""
        return sum(seen.sent for seen in self.fetches(repo, path))

    # For the connections

    def answer(self, request: Request) -> Answer:
        """What is answered where nothing goes wrong on the way."""
        try:
            header = request.headers.get("authorization", "")
            if header and not request.path.startswith(("/xet/", "/stored/")):
                request.account = self.accounts.get(header.removeprefix("Bearer "))
                if request.account is None:
                    raise wrong_token()
            for method, pattern, endpoint in ROUTES:
                if method == request.method or (method == "GET" and request.method == "HEAD"):
                    match = pattern.fullmatch(request.path)
                    if match:
                        with self.lock:
                            return endpoint(self, request, **match.groupdict())
            return refusal(404, f"Sorry, we can't find the page you are looking for: {request.path}")
        except Refused as refused:
            return refused.answer
