"""Requests and answers, and the answers that refuse, with the Hub's headers and words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.hub.store import Account, Repo


@dataclass
class Request:
    """One request, as the endpoints read it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""
    account: Account | None = None

    def first(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]

    def has(self, name: str) -> bool:
        """Whether a switch of the query is on."""
        return self.first(name).lower() in ("1", "true")

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What is answered.

    Attributes:
        file: repository and path of which the body is.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: tuple[str, str] | None = None


Route = tuple[str, re.Pattern[str], Callable[..., Answer]]  # method, path, and who answers


class Refused(Exception):
    """An endpoint's answer that refuses."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(
        status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, json.dumps(value).encode()
    )


def refusal(status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> Answer:
    """An error as the Hub answers it: the words in a header and in the body, and a code for what it has one."""
    named = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return as_json({"error": message}, status, {**named, **(headers or {})})


def wrong_token() -> Refused:
    return Refused(refusal(401, "Invalid credentials in Authorization header"))


def no_repo(account: Account | None) -> Refused:
    """Who is not known learns nothing of what exists.

    The client takes a 401 from an https:// address for a missing repository even without the code; from http:// it needs it.
    """
    if account is None:
        return Refused(refusal(401, "Invalid username or password.", "RepoNotFound"))
    return Refused(refusal(404, "Repository not found", "RepoNotFound"))


def no_revision(revision: str) -> Refused:
    return Refused(refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound"))


def no_entry(path: str, commit: str = "") -> Refused:
    headers = {"X-Repo-Commit": commit} if commit else {}
    return Refused(refusal(404, "Entry not found", "EntryNotFound", headers))


def gated(repo: Repo, account: Account | None) -> Refused:
    """Files of a gated repository, asked for by somebody who may not have them."""
    if account is None:
        text = f"Access to {repo.kind} {repo.id} is restricted. You must have access to it and be authenticated to access it. Please log in."
        return Refused(refusal(401, text, "GatedRepo"))
    text = (
        f"Access to {repo.kind} {repo.id} is restricted and you are not in the authorized list. "
        f"Visit https://huggingface.co/{repo.prefix} to ask for access."
    )
    return Refused(refusal(403, text, "GatedRepo"))
