"""Uploads: a new repository, which files are large, large files' bytes (LFS), and the commit that names them all."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import yaml

from tests.hub.messages import Answer, Refused, Request, Route, as_json, refusal
from tests.hub.reading import ID, KINDS, find
from tests.hub.store import File, Repo, is_large

if TYPE_CHECKING:
    from tests.hub.server import Hub

_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]{0,95}(?<![.-])")
_ATTRIBUTES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


def refuse_reader(request: Request, repo: Repo) -> None:
    """Only an owner with a token to write may write."""
    account = request.account
    if account is None:
        raise Refused(refusal(401, "Invalid username or password."))
    if account.role != "write":
        raise Refused(refusal(403, "Forbidden: you must use a write token to upload to a repository."))
    if not account.owns(repo.namespace):
        text = "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request"
        raise Refused(refusal(403, text))


def create(hub: Hub, request: Request) -> Answer:
    account = request.account
    if account is None:
        raise Refused(refusal(401, "Invalid username or password."))
    asked = request.json()
    kind, owner = asked.get("type") or "model", asked.get("organization") or account.name
    repo_id = f"{owner}/{asked['name']}"
    if account.role != "write" or not account.owns(owner):
        text = f'You don\'t have the rights to create a {kind} under the namespace "{owner}"'
        raise Refused(refusal(403, text))
    if not _NAME.fullmatch(asked["name"]):
        raise Refused(refusal(400, f"Invalid repo name: {asked['name']}"))
    place = {"url": f"{hub.url}/{'' if kind == 'model' else kind + 's/'}{repo_id}", "name": repo_id, "id": repo_id}
    if (kind, repo_id) in hub.repos:
        return as_json({"error": f"You already created this {kind} repo", **place}, 409)
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    hub.add(repo_id, {".gitattributes": _ATTRIBUTES}, kind=kind, private=private)
    return as_json({**place, "private": private})


def delete(hub: Hub, request: Request) -> Answer:
    asked = request.json()
    owner = asked.get("organization") or (request.account.name if request.account else "")
    kind = asked.get("type") or "model"
    repo = find(hub, request, f"{owner}/{asked['name']}", kind)
    refuse_reader(request, repo)
    del hub.repos[kind, repo.id]
    return as_json({})


def validate_yaml(hub: Hub, request: Request) -> Answer:
    """The head of a model card."""
    parts = request.json()["content"].split("---")
    try:
        head = yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0].strip() else None
    except yaml.YAMLError as error:
        return as_json({"errors": [{"message": f"YAML metadata: {error}"}], "warnings": []}, 400)
    empty = [] if head else [{"message": "empty or missing yaml metadata in repo card"}]
    return as_json({"errors": [], "warnings": empty})


def preupload(hub: Hub, request: Request, kinds: str, repo_id: str, revision: str) -> Answer:
    """Which files are large, and which are there already as they are."""
    repo = find(hub, request, repo_id, kinds)
    refuse_reader(request, repo)
    commit = repo.at(revision)
    there = commit.files if commit else {}
    answers = []
    for asked in request.json()["files"]:
        path, old = asked["path"], there.get(asked["path"])
        answer = {"path": path, "uploadMode": "lfs" if is_large(path, asked["size"]) else "regular"}
        answers.append({**answer, "shouldIgnore": False, **({"oid": old.etag} if old else {})})
    return as_json({"files": answers, "commitOid": repo.sha})


def batch(hub: Hub, request: Request, dataset: str | None, repo_id: str) -> Answer:
    """Where the bytes of large files go; nowhere when they are there."""
    kind = "dataset" if dataset else "model"
    repo = find(hub, request, repo_id, kind)
    refuse_reader(request, repo)
    objects = [_upload(hub, repo, each["oid"], each["size"]) for each in request.json()["objects"]]
    headers = {"Content-Type": "application/vnd.git-lfs+json"}
    parts = any("chunk_size" in each.get("actions", {}).get("upload", {}).get("header", {}) for each in objects)
    return as_json({"transfer": "multipart" if parts else "basic", "objects": objects}, headers=headers)


def _upload(hub: Hub, repo: Repo, oid: str, size: int) -> dict[str, Any]:
    if oid in hub.blobs:
        return {"oid": oid, "size": size}
    place = f"{hub.storage_url}/lfs/{oid}"
    upload: dict[str, Any] = {"href": place, "header": {}}
    if size > hub.part_size:
        count = -(-size // hub.part_size)
        parts = {f"{number:05}": f"{place}/{number}" for number in range(1, count + 1)}
        upload = {
            "href": f"{hub.url}/api/complete_multipart/{oid}",
            "header": {"chunk_size": str(hub.part_size), **parts},
        }
    verify = {"href": f"{hub.url}/{repo.prefix}.git/info/lfs/objects/verify", "header": {}}
    return {"oid": oid, "size": size, "authenticated": True, "actions": {"upload": upload, "verify": verify}}


def put(hub: Hub, request: Request, oid: str, number: str | None = None) -> Answer:
    """The storage takes a large file, or a part of one."""
    tag = f'"{hashlib.md5(request.body).hexdigest()}"'
    if number:
        hub.parts[oid, int(number)] = request.body
    elif hashlib.sha256(request.body).hexdigest() == oid:
        hub.blobs[oid] = request.body
    else:
        raise Refused(refusal(400, "The provided 'x-amz-content-sha256' header does not match what was computed."))
    return Answer(200, {"ETag": tag})


def complete(hub: Hub, request: Request, oid: str) -> Answer:
    """All parts are there."""
    names = [(oid, part["partNumber"]) for part in request.json()["parts"]]
    if any(name not in hub.parts for name in names):
        raise Refused(refusal(400, "One or more of the specified parts could not be found."))
    data = b"".join(hub.parts[name] for name in names)
    if hashlib.sha256(data).hexdigest() != oid:
        raise Refused(refusal(400, "The uploaded file's hash doesn't match its oid"))
    hub.blobs[oid] = data
    return as_json({"success": True})


def verify(hub: Hub, request: Request, dataset: str | None, repo_id: str) -> Answer:
    asked = request.json()
    data = hub.blobs.get(asked["oid"])
    if data is None or len(data) != asked["size"]:
        raise Refused(refusal(404, "The large file is not in the storage, or has another size"))
    return as_json({"message": "Object verified"})


def commit(hub: Hub, request: Request, kinds: str, repo_id: str, revision: str) -> Answer:
    """One commit: a line with its title, then one for each change."""
    repo = find(hub, request, repo_id, kinds)
    refuse_reader(request, repo)
    if request.has("create_pr"):
        raise Refused(refusal(400, "this Hub takes no pull requests"))
    lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    head = lines[0]["value"]
    start = repo.at(revision)
    if start is None:
        raise Refused(refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound"))
    if head.get("parentCommit") not in (None, start.oid):
        raise Refused(refusal(412, "A commit has happened since. Please refresh and try again."))
    files = dict(start.files)
    for line in lines[1:]:
        for path, file in _changed(hub, line["key"], line["value"], files):
            if file is None:
                del files[path]
            else:
                files[path] = file
    made = repo.commit(files, head["summary"], revision)
    place = f"{hub.url}/{repo.prefix}/commit/{made.oid}"
    return as_json({"success": True, "commitOid": made.oid, "commitUrl": place, "hookOutput": ""})


def _changed(hub: Hub, key: str, value: dict[str, Any], files: dict[str, File]) -> Iterator[tuple[str, File | None]]:
    path = value["path"]
    if key == "file":
        yield path, File(base64.b64decode(value["content"]), large=False)
    elif key == "lfsFile":
        data = hub.blobs.get(value["oid"])
        if data is None:
            raise Refused(refusal(400, f"LFS pointer pointed to a file that does not exist: {path}"))
        yield path, File(data, large=True)
    else:
        inside = path.rstrip("/") + "/"
        gone = [name for name in files if name == path or (key == "deletedFolder" and name.startswith(inside))]
        if not gone:
            raise Refused(refusal(404, "A file with this name doesn't exist", "EntryNotFound"))
        yield from ((name, None) for name in gone)


_WHERE = rf"(?P<dataset>datasets/)?{ID}"
ROUTES: list[Route] = [
    ("POST", re.compile(r"/api/repos/create"), create),
    ("DELETE", re.compile(r"/api/repos/delete"), delete),
    ("POST", re.compile(r"/api/validate-yaml"), validate_yaml),
    ("POST", re.compile(rf"/api/{KINDS}/{ID}/preupload/(?P<revision>.+)"), preupload),
    ("POST", re.compile(rf"/{_WHERE}\.git/info/lfs/objects/batch"), batch),
    ("POST", re.compile(rf"/{_WHERE}\.git/info/lfs/objects/verify"), verify),
    ("PUT", re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})(?:/(?P<number>\d+))?"), put),
    ("POST", re.compile(r"/api/complete_multipart/(?P<oid>[0-9a-f]{64})"), complete),
    ("POST", re.compile(rf"/api/{KINDS}/{ID}/commit/(?P<revision>.+)"), commit),
]
