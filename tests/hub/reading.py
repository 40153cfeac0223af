"""What the Hub says of repositories: search, model info, file listing, who somebody is."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode

from tests.hub.messages import Answer, Refused, Request, Route, as_json, gated, no_entry, no_repo, no_revision, refusal
from tests.hub.store import NOW, Commit, File, Repo

if TYPE_CHECKING:
    from tests.hub.server import Hub

ID = r"(?P<repo_id>[^/]+(?:/[^/]+)?)"
KINDS = r"(?P<kinds>model|dataset)s"
# What a listing says of each model without being asked for more; `full` adds the second row.
_SHORT = ("likes", "downloads", "tags", "pipeline_tag", "library_name", "createdAt", "private", "trendingScore")
_FULL = ("author", "sha", "lastModified", "gated", "disabled", "siblings")


def find(hub: Hub, request: Request, repo_id: str, kinds: str = "model") -> Repo:
    """The repository, where it exists for who asks."""
    repo = hub.repos.get((kinds, repo_id))
    if repo is None or not repo.readable(request.account):
        raise no_repo(request.account)
    return repo


def commit_of(repo: Repo, revision: str) -> Commit:
    commit = repo.at(revision)
    if commit is None:
        raise no_revision(revision)
    return commit


def described(repo: Repo, commit: Commit, blobs: bool = False) -> dict[str, Any]:
    """All that the Hub says of a repository."""
    names = {"model": {"modelId": repo.id}, "dataset": {}}[repo.kind]
    tags = list(repo.about.get("tags", []))
    licence = repo.about.get("license")
    return {
        "_id": hashlib.sha1(repo.id.encode()).hexdigest()[:24],
        "id": repo.id,
        **names,
        "author": repo.namespace,
        "sha": commit.oid,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "likes": 0,
        "downloads": 0,
        "trendingScore": 0,
        "lastModified": NOW,
        "createdAt": NOW,
        **{name: value for name, value in repo.about.items() if name != "license"},
        "tags": tags + ([f"license:{licence}"] if licence else []),
        "cardData": {**({"license": licence} if licence else {}), **repo.about.get("cardData", {})},
        "usedStorage": sum(file.size for file in commit.files.values()),
        "siblings": [{"rfilename": path, **(_blob(file) if blobs else {})} for path, file in commit.files.items()],
    }


def _blob(file: File) -> dict[str, Any]:
    large = {"lfs": {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}}
    return {"size": file.size, "blobId": file.blob_id, **(large if file.large else {})}


def info(hub: Hub, request: Request, kinds: str, repo_id: str, revision: str = "main") -> Answer:
    repo = find(hub, request, repo_id, kinds)
    whole = described(repo, commit_of(repo, revision), request.has("blobs"))
    return as_json(_asked_for(whole, request.query.get("expand")) if "expand" in request.query else whole)


def _asked_for(whole: dict[str, Any], names: list[str] | None) -> dict[str, Any]:
    return {name: whole[name] for name in ("_id", "id", "modelId", *(names or ())) if name in whole}


def listed(hub: Hub, request: Request, kinds: str) -> Answer:
    """Search: words in the name, author, tags, kind of task, gated or not, size; sorted, and page by page."""
    repos = [repo for repo in hub.repos.values() if repo.kind == kinds and repo.readable(request.account)]
    whole = [described(repo, repo.head) for repo in repos]
    found = [each for each in whole if _fits(each, request)]
    sort = request.first("sort")
    if sort:
        found.sort(key=lambda each: each.get(sort) or 0, reverse=True)
    start, limit = int(request.first("cursor", "0")), int(request.first("limit", "1000"))
    page = found[start : start + limit]
    if "expand" in request.query:
        shown = [_asked_for(each, request.query["expand"]) for each in page]
    else:
        names = [*_SHORT, *(_FULL if request.has("full") else ())]
        names += [name for name in ("config", "cardData") if request.has(name)]
        shown = [_asked_for(each, names) for each in page]
    return as_json(shown, headers=_next(hub, request, start + limit) if start + limit < len(found) else None)


def _fits(each: dict[str, Any], request: Request) -> bool:
    words = request.first("search").lower().split()
    size = each.get("safetensors", {}).get("total")
    bounds = dict(part.split(":") for part in request.first("num_parameters").split(",") if part)
    return (
        all(word in each["id"].lower() for word in words)
        and request.first("author", each["author"]) == each["author"]
        and all(tag in (*each["tags"], each.get("library_name"), each.get("pipeline_tag")) for tag in _filters(request))
        and request.first("pipeline_tag", str(each.get("pipeline_tag"))) == str(each.get("pipeline_tag"))
        and ("gated" not in request.query or request.has("gated") == bool(each["gated"]))
        and (not bounds or (size is not None and _number(bounds, "min", 0) <= size <= _number(bounds, "max", 1e18)))
    )


def _filters(request: Request) -> list[str]:
    return [tag for value in request.query.get("filter", []) for tag in value.split(",")]


def _number(bounds: dict[str, str], name: str, otherwise: float) -> float:
    text = bounds.get(name, "")
    factor = {"K": 1e3, "M": 1e6, "B": 1e9}.get(text[-1:].upper(), 1)
    return float(text.rstrip("KMBkmb")) * factor if text else otherwise


def tree(hub: Hub, request: Request, kinds: str, repo_id: str, revision: str, folder: str | None = None) -> Answer:
    """The files of a commit, with sizes and hashes, page by page."""
    repo = find(hub, request, repo_id, kinds)
    commit = commit_of(repo, revision)
    start = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for path, file in sorted(commit.files.items()):
        if not path.startswith(start):
            continue
        parts = path[len(start) :].split("/")
        for depth in range(1, len(parts)):
            if request.has("recursive") or depth == 1:
                above = start + "/".join(parts[:depth])
                entries[above] = {"type": "directory", "oid": commit.oid, "size": 0, "path": above}
        if request.has("recursive") or len(parts) == 1:
            entries[path] = entry(hub, repo, path, file)
    if folder and not entries:
        raise no_entry(folder, commit.oid)
    values = list(entries.values())
    if request.has("expand"):
        for value in values:
            value["lastCommit"] = {"id": commit.oid, "title": commit.title, "date": NOW}
    first = int(request.first("cursor", "0"))
    end = first + (min(50, hub.page_size) if request.has("expand") else hub.page_size)
    return as_json(values[first:end], headers=_next(hub, request, end) if end < len(values) else None)


def entry(hub: Hub, repo: Repo, path: str, file: File) -> dict[str, Any]:
    """A file of the listing."""
    value: dict[str, Any] = {"type": "file", "oid": file.blob_id, "size": file.size, "path": path}
    if file.large:
        value["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
        if repo.xet:
            value["xetHash"] = hub.xet.offer(file)
    return value


def paths_info(hub: Hub, request: Request, kinds: str, repo_id: str, revision: str) -> Answer:
    repo = find(hub, request, repo_id, kinds)
    files = commit_of(repo, revision).files
    paths = parse_qs(request.body.decode()).get("paths", [])
    return as_json([entry(hub, repo, path, files[path]) for path in paths if path in files])


def _next(hub: Hub, request: Request, start: int) -> dict[str, str]:
    query = urlencode({**request.query, "cursor": [str(start)]}, doseq=True)
    return {"Link": f'<{hub.url}{quote(request.path)}?{query}>; rel="next"'}


def whoami(hub: Hub, request: Request) -> Answer:
    account = request.account
    if account is None:
        raise Refused(refusal(401, "Invalid username or password."))
    return as_json(
        {
            "type": "user",
            "id": f"{account.name:0<24}",
            "name": account.name,
            "fullname": account.name.title(),
            "isPro": False,
            "orgs": [{"type": "org", "name": name, "roleInOrg": "write"} for name in account.orgs],
            "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}},
        }
    )


def auth_check(hub: Hub, request: Request, kinds: str, repo_id: str, write: str | None = None) -> Answer:
    repo = find(hub, request, repo_id, kinds)
    if not repo.open_to(request.account):
        raise gated(repo, request.account)
    if write and not (request.account and request.account.role == "write" and request.account.owns(repo.namespace)):
        raise Refused(refusal(403, "Forbidden"))
    return as_json({})


def nobody(hub: Hub, request: Request) -> Answer:
    """Which environment variables belong to which agents: the client asks once a day."""
    return as_json({})


ROUTES: list[Route] = [
    ("GET", re.compile(r"/api/whoami-v2"), whoami),
    ("GET", re.compile(r"/api/agent-harnesses"), nobody),
    ("GET", re.compile(rf"/api/{KINDS}"), listed),
    ("GET", re.compile(rf"/api/{KINDS}/{ID}/revision/(?P<revision>.+)"), info),
    ("GET", re.compile(rf"/api/{KINDS}/{ID}/tree/(?P<revision>refs/[^/]+/[^/]+|[^/]+)(?:/(?P<folder>.+))?"), tree),
    ("POST", re.compile(rf"/api/{KINDS}/{ID}/paths-info/(?P<revision>.+)"), paths_info),
    ("GET", re.compile(rf"/api/{KINDS}/{ID}/auth-check(?P<write>/write)?"), auth_check),
    ("GET", re.compile(rf"/api/{KINDS}/{ID}"), info),
]
