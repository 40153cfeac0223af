"""Xet: chunked storage behind large files, which the client uses for every upload and for what is offered so."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.hub.messages import Answer, Refused, Request, Route, as_json, gated, refusal
from tests.hub.reading import ID, KINDS, find
from tests.hub.store import File
from tests.hub.writing import refuse_reader
from tests.hub.xet_format import Part, chunks_of, files_of, places_of, xorb_of

if TYPE_CHECKING:
    from tests.hub.server import Hub

FOR_EVER = 4_102_444_800
_BLOCK = 4 * 1024 * 1024  # the real ones have up to 64 MB


class Store:
    """Chunks in their blocks (xorbs), and of which of them each file is made."""

    def __init__(self) -> None:
        self.xorbs: dict[str, bytes] = {}
        self.files: dict[str, list[Part]] = {}

    def offer(self, file: File) -> str:
        """The name under which a file can be had; one that was not uploaded this way is put into blocks now.

        The client takes these names as they are: they need not follow from the content as the real ones do.
        """
        if file.sent is None:
            return file.sha256
        content = file.sha256 if file.sent is file.data else hashlib.sha256(file.sent).hexdigest()
        name = hashlib.sha256(content.encode()).hexdigest()
        if name not in self.files:
            self.files[name] = []
            for start in range(0, len(file.sent), _BLOCK):
                xorb, count = xorb_of(file.sent[start : start + _BLOCK])
                block = hashlib.sha256(xorb).hexdigest()
                self.xorbs[block] = xorb
                self.files[name].append(Part(block, 0, count, min(_BLOCK, len(file.sent) - start)))
        return name


def read_token(hub: Hub, request: Request, kinds: str, repo_id: str, revision: str) -> Answer:
    repo = find(hub, request, repo_id, kinds)
    if not repo.open_to(request.account):
        raise gated(repo, request.account)
    return _token(hub, f"read {repo.kind} {repo_id} {revision}")


def write_token(hub: Hub, request: Request, kinds: str, repo_id: str, revision: str) -> Answer:
    refuse_reader(request, find(hub, request, repo_id, kinds))
    return _token(hub, "write")


def _token(hub: Hub, scope: str) -> Answer:
    place = f"{hub.storage_url}/xet"
    headers = {
        "X-Xet-Cas-Url": place,
        "X-Xet-Access-Token": f"xet {scope}",
        "X-Xet-Token-Expiration": str(FOR_EVER),
    }
    return as_json({"casUrl": place, "accessToken": f"xet {scope}", "exp": FOR_EVER}, headers=headers)


def put_xorb(hub: Hub, request: Request, name: str) -> Answer:
    new = name not in hub.xet.xorbs
    chunks_of(request.body)  # what can't be read is not taken
    hub.xet.xorbs[name] = request.body
    return as_json({"was_inserted": new})


def put_shard(hub: Hub, request: Request) -> Answer:
    """Files that were uploaded: their bytes are put together and stand under their SHA-256, as any large file's."""
    for file in files_of(request.body):
        if any(part.xorb not in hub.xet.xorbs for part in file.parts):
            raise Refused(refusal(400, "a block of the file was not uploaded"))
        pieces = [piece for part in file.parts for piece in chunks_of(hub.xet.xorbs[part.xorb])[part.first : part.end]]
        hub.blobs[file.sha256] = b"".join(pieces)
    return as_json({"result": 1})


def reconstruction(hub: Hub, request: Request, name: str) -> Answer:
    """Of which blocks' chunks a file is made, from the byte on that was asked for, and where their bytes are."""
    parts = hub.xet.files.get(name)
    if parts is None:
        raise Refused(refusal(404, "no such file"))
    total = sum(part.size for part in parts)
    span = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    start, end = (int(span[1]), int(span[2] or total) + 1) if span else (0, total)
    if start >= total:
        raise Refused(refusal(416, "Range Not Satisfiable"))
    terms: list[dict[str, Any]] = []
    places: dict[str, list[dict[str, Any]]] = {}
    at, skipped, whose = 0, 0, _whose(hub, request, name)
    for part in parts:
        if at < end and at + part.size > start:
            skipped = skipped if terms else start - at
            chunks = {"start": part.first, "end": part.end}
            terms.append({"hash": part.xorb, "unpacked_length": part.size, "range": chunks})
            bounds = places_of(hub.xet.xorbs[part.xorb])
            place = {"start": bounds[part.first], "end": bounds[part.end] - 1}
            url = f"{hub.storage_url}/xet/block/{part.xorb}/{whose}"
            places.setdefault(part.xorb, []).append({"range": chunks, "url": url, "url_range": place})
        at += part.size
    return as_json({"offset_into_first_range": skipped, "terms": terms, "fetch_info": places})


def _whose(hub: Hub, request: Request, name: str) -> str:
    """The file that is meant, by the token, which is given for one commit."""
    _, _, kind, repo_id, revision = request.headers["authorization"].removeprefix("Bearer ").split(" ")
    files = hub.repos[kind, repo_id].commits[revision].files
    path = next((path for path, file in files.items() if file.large and hub.xet.offer(file) == name), name)
    return f"{kind}s/{repo_id}/{quote(path)}"


def block(hub: Hub, request: Request, name: str, repo_id: str, path: str, kinds: str) -> Answer:
    """Bytes of a block, to whoever has the address."""
    data = hub.xet.xorbs[name]
    span = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
    start, end = (int(span[1]), int(span[2])) if span else (0, len(data) - 1)
    headers = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
    return Answer(206, headers, data[start : end + 1], (repo_id, path))


ROUTES: list[Route] = [
    ("GET", re.compile(rf"/api/{KINDS}/{ID}/xet-read-token/(?P<revision>.+)"), read_token),
    ("GET", re.compile(rf"/api/{KINDS}/{ID}/xet-write-token/(?P<revision>.+)"), write_token),
    ("POST", re.compile(r"/xet/v1/xorbs/[^/]+/(?P<name>[0-9a-f]{64})"), put_xorb),
    ("POST", re.compile(r"/xet/v1/shards"), put_shard),
    ("GET", re.compile(r"/xet/v1/reconstructions/(?P<name>[0-9a-f]{64})"), reconstruction),
    ("GET", re.compile(rf"/xet/block/(?P<name>[0-9a-f]{{64}})/{KINDS}/{ID}/(?P<path>.+)"), block),
]
