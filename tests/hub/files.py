"""Downloads: where a file is, and its bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from tests.hub.messages import Answer, Refused, Request, Route, gated, no_entry, refusal
from tests.hub.reading import ID, commit_of, find
from tests.hub.store import Commit, File, Repo

if TYPE_CHECKING:
    from tests.hub.server import Hub

_WHERE = rf"(?P<dataset>datasets/)?{ID}"


def resolve(hub: Hub, request: Request, dataset: str | None, repo_id: str, revision: str, path: str) -> Answer:
    """Where a file is: a small one at this address (a redirect within the Hub), a large one in the storage.

    The client asks with HEAD, reads name and size from these headers, and asks the place for the bytes.
    """
    repo, commit, file = _file(hub, request, dataset, repo_id, revision, path)
    headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
    named = {**headers, "X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.etag}"', "ETag": f'"{file.etag}"'}
    if not file.large:
        place = f"/api/resolve-cache/{repo.kind}s/{repo.id}/{commit.oid}/{quote(path, safe='')}"
        return Answer(307, {**headers, "Location": place})
    place = f"{hub.storage_url}/stored/{repo.kind}s/{repo.id}/{commit.oid}/{quote(path, safe='')}"
    offer = {}
    if repo.xet:
        route = f"{hub.url}/api/{repo.kind}s/{repo.id}/xet-read-token/{commit.oid}"
        offer = {"X-Xet-Hash": hub.xet.offer(file), "Link": f'<{route}>; rel="xet-auth"'}
    signed = urlencode({"response-content-disposition": f'attachment; filename="{path}";', "Signature": "made"})
    return Answer(302, {**named, **offer, "Location": f"{place}?{signed}"})


def small(hub: Hub, request: Request, kinds: str, repo_id: str, revision: str, path: str) -> Answer:
    """A small file's bytes, or with HEAD what there is to know of it."""
    repo, commit, file = _file(hub, request, "datasets/" if kinds == "dataset" else None, repo_id, revision, path)
    answer = content(request, file, (repo.id, path), commit)
    answer.headers |= {"X-Repo-Commit": commit.oid}
    return answer


def stored(hub: Hub, request: Request, kinds: str, repo_id: str, revision: str, path: str) -> Answer:
    """A large file's bytes, to whoever has the address."""
    commit = hub.repos[kinds, repo_id].commits[revision]
    file = commit.files[path]
    if file.sent is None:
        return refusal(404, "The specified key does not exist.")
    return content(request, file, (repo_id, path), commit)


def _file(
    hub: Hub, request: Request, dataset: str | None, repo_id: str, revision: str, path: str
) -> tuple[Repo, Commit, File]:
    repo = find(hub, request, repo_id, "dataset" if dataset else "model")
    commit = commit_of(repo, revision)
    if not repo.open_to(request.account):
        raise gated(repo, request.account)
    file = commit.files.get(path)
    if file is None or file.sent is None:
        raise no_entry(path, commit.oid)
    return repo, commit, file


def content(request: Request, file: File, name: tuple[str, str], commit: Commit) -> Answer:
    """The bytes that were asked for: all of them, or those from the range on."""
    data = file.sent or b""
    headers = {"ETag": f'"{file.etag}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    span = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if span is None:
        length = {"Content-Length": str(file.size)} if request.method == "HEAD" else {}
        return Answer(200, {**headers, **length}, data, name)
    start, end = int(span[1]), min(int(span[2] or len(data) - 1), len(data) - 1)
    if start >= len(data):
        raise Refused(refusal(416, "Range Not Satisfiable", "", {"Content-Range": f"bytes */{len(data)}"}))
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Answer(206, headers, data[start : end + 1], name)


ROUTES: list[Route] = [
    ("GET", re.compile(rf"/{_WHERE}/resolve/(?P<revision>refs/[^/]+/[^/]+|[^/]+)/(?P<path>.+)"), resolve),
    (
        "GET",
        re.compile(rf"/api/resolve-cache/(?P<kinds>model|dataset)s/{ID}/(?P<revision>[0-9a-f]{{40}})/(?P<path>.+)"),
        small,
    ),
    ("GET", re.compile(rf"/stored/(?P<kinds>model|dataset)s/{ID}/(?P<revision>[0-9a-f]{{40}})/(?P<path>.+)"), stored),
]
