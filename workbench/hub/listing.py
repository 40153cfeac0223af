"""What would be downloaded of a model: asked, checked and chosen before the first byte of it comes.

Two questions to the source, together within ten seconds: what the repository holds (sizes and hashes at one commit), and
its config.json, which tells whether the model can be trained here, and whether its files are given to who asks.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from workbench.config.errors import WorkbenchError
from workbench.config.problems import short
from workbench.config.reading import Count, Damaged, parse_json
from workbench.config.redaction import redact
from workbench.config.text import Text
from workbench.hub.client import ANSWER_SECONDS, answered, ask, fetch, within
from workbench.hub.errors import hub_error, wrong_content
from workbench.hub.needed import needed_files
from workbench.hub.sources import Source
from workbench.hub.tokens import Token
from workbench.models.config_file import check_config

__all__ = ["DownloadPlan", "PlannedFile", "check_id", "plan"]

# Part by part as the Hub has them; some of the oldest models have a name without an owner.
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?"
_ID = re.compile(rf"{_PART}(?:/{_PART})?", re.ASCII)
_LONGEST_ID = 96
_REVISION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9_-])?", re.ASCII)
_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com", "modelscope.cn", "www.modelscope.cn")
_NO_MODELS = ("datasets", "spaces", "docs", "collections", "papers", "studios", "blog", "api")
CONFIG = "config.json"


@dataclass(frozen=True)
class PlannedFile:
    """A file to be downloaded.

    Attributes:
        sha256: of a large file's content.
        blob_id: Git's hash of a small file, of which no SHA-256 is known.
    """

    name: str
    bytes: int
    sha256: str | None = None
    blob_id: str | None = None

    def hasher(self) -> Any:
        """What its content is put through; `expected` is what that gives."""
        if self.sha256 is not None:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.bytes, usedforsecurity=False)

    @property
    def expected(self) -> str | None:
        return self.sha256 or self.blob_id


@dataclass(frozen=True)
class DownloadPlan:
    """What a model's download will bring.

    Attributes:
        sha: the commit; its files do not change any more.
        bytes: of all files.
        gated: whether its terms had to be accepted.
        licence: as the repository names it, "" where it doesn't.
        parameters: by what the server knows of its weights.
        config: what its config.json says, for estimates before the download.
    """

    repo_id: str
    sha: str
    files: tuple[PlannedFile, ...]
    bytes: int
    gated: bool
    licence: str
    parameters: int | None
    config: dict[str, Any]


Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class _Large(TypedDict):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: NotRequired[Count]


class _Entry(TypedDict):
    rfilename: str
    size: NotRequired[Count | None]
    blobId: NotRequired[Hash | None]
    lfs: NotRequired[_Large | None]


class _Info(TypedDict):
    id: str
    sha: Hash
    siblings: list[_Entry]
    gated: NotRequired[bool | str | None]
    tags: NotRequired[list[Any] | None]
    cardData: NotRequired[Any]
    safetensors: NotRequired[Any]


_INFO = TypeAdapter(_Info)


def plan(source: Source, repo_id: str, revision: str | None = None, token: Token | None = None) -> DownloadPlan:
    """What downloading a model would bring, or a sentence why it can't be had; within ten seconds.

    Args:
        repo_id: `owner/name`, or the address of its page.
        revision: a branch, tag or commit; the newest of the main branch where it is None.

    Raises:
        WorkbenchError: (`hub_id`) no name of a repository; (`hub_unusable` and those of `check_config`) a model that can't
            be trained here; those of `errors.py`.
    """
    wanted = check_id(repo_id, source)
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise hub_error(
            Text("{revision} can be no version of a model", "{revision} 不是有效的版本").with_(
                revision=short(revision)
            ),
            Text("Give a branch, a tag or a commit, or leave it empty.", "请填写分支、标签或提交，或留空。"),
            code="hub_id",
        )
    with answered(source, wanted, token):
        if source.kind == "modelscope":
            from workbench.hub import modelscope

            return within(ANSWER_SECONDS, lambda: modelscope.plan(source, wanted, revision))
        return within(ANSWER_SECONDS, lambda: _ask(source, wanted, revision, token))


def check_id(text: str, source: Source | None = None) -> str:
    """The repository's id that a person means: the id itself, or the address of the model's page.

    Raises:
        WorkbenchError: (`hub_id`) neither.
    """
    given = text.strip()
    name = _of_address(given, source) if "://" in given else given
    parts = name.split("/") if name is not None else []
    good = name is not None and _ID.fullmatch(name) is not None and len(name) <= _LONGEST_ID
    if not good or ".." in str(name) or "--" in str(name) or str(name).endswith(".git") or parts[0] in _NO_MODELS:
        raise hub_error(
            Text("{given} is no name of a model on the Hub", "{given} 不是模型仓库的名称").with_(given=short(given)),
            Text(
                "It is written as on the model's page: owner/name, such as {like}.",
                "请按模型页面上的写法填写：作者/名称，例如 {like}。",
            ).with_(like="Qwen/Qwen2.5-0.5B-Instruct"),
            code="hub_id",
        )
    return str(name)


def _of_address(address: str, source: Source | None) -> str | None:
    """The repository that an address of a known server is about; None for any other."""
    try:
        parts = urlsplit(address)
        known = parts.hostname in _HOSTS or (source is not None and parts.netloc == urlsplit(source.endpoint).netloc)
    except ValueError:
        return None
    if not known or parts.scheme not in ("http", "https") or parts.username or parts.password:
        return None
    steps = [unquote(step) for step in parts.path.split("/") if step]
    if steps and steps[0] == "models":  # as ModelScope writes it
        steps = steps[1:]
    if not steps or any(step in (".", "..") for step in steps):
        return None
    return "/".join(steps[:2])


def _ask(source: Source, repo_id: str, revision: str | None, token: Token | None) -> DownloadPlan:
    at = f"/revision/{quote(revision, safe='')}" if revision else ""
    found = ask(source, f"/api/models/{repo_id}{at}", token, blobs="true")
    info = _INFO.validate_python(found, strict=True)
    entries = {file.name: file for entry in info["siblings"] if (file := _planned(entry)) is not None}
    tags = [tag for tag in info.get("tags") or [] if isinstance(tag, str)]
    needed = needed_files(repo_id, [entry["rfilename"] for entry in info["siblings"]], tags)
    if not entries.keys() >= set(needed):
        raise ValueError("files without size or hash")
    files = [entries[name] for name in needed]
    # The server's own spelling, since an old name leads to the new one; it is held to the same rules.
    real = info["id"] if _ID.fullmatch(info["id"]) and len(info["id"]) <= _LONGEST_ID else repo_id
    config = _config(source, real, info["sha"], entries[CONFIG], token)
    return DownloadPlan(
        repo_id=real,
        sha=info["sha"],
        files=tuple(files),
        bytes=sum(file.bytes for file in files),
        gated=bool(info.get("gated")),
        licence=licence_of(info.get("cardData"), tags),
        parameters=total_of(info.get("safetensors")),
        config=config,
    )


def _planned(entry: _Entry) -> PlannedFile | None:
    """A file of the listing; None for one of which neither size nor hash is known, or that lies in a folder."""
    large, size = entry.get("lfs"), entry.get("size")
    if large is not None and size is None:
        size = large.get("size")
    blob = entry.get("blobId")
    if size is None or "/" in entry["rfilename"] or (large is None and blob is None):
        return None
    return PlannedFile(entry["rfilename"], size, large["sha256"] if large else None, None if large else blob)


def _config(source: Source, repo_id: str, sha: str, file: PlannedFile, token: Token | None) -> dict[str, Any]:
    """The model's config.json, looked through before anything large is fetched. Asking for it shows who may have the files."""
    data = fetch(source, f"/{repo_id}/resolve/{sha}/{CONFIG}", token)
    hasher = file.hasher()
    hasher.update(data)
    if len(data) != file.bytes or hasher.hexdigest() != file.expected:
        raise wrong_content(CONFIG, source)
    return checked_config(data)


def checked_config(data: bytes) -> dict[str, Any]:
    """What a config.json says, where a model with it can be trained here.

    Raises:
        WorkbenchError: (`hub_unusable`, and those of `check_config`) it can't.
    """
    try:
        config = parse_json(data, CONFIG)
    except Damaged as error:
        raise _unusable(error.message) from None
    if not isinstance(config, dict):
        raise _unusable(Text("its config.json holds no settings", "它的 config.json 内容不是设置"))
    try:
        if isinstance(config.get("quantization"), dict):  # as MLX writes it
            config = {**config, "quantization_config": {"quant_method": "mlx"}}
        check_config(config)
    except WorkbenchError as error:  # about a model that is not here yet, and so about no setting of a run
        raise WorkbenchError(error.message, error.hint, code=error.code) from None
    return config


def _unusable(message: Text) -> WorkbenchError:
    return hub_error(message, Text("Choose another model.", "请换一个模型。"), code="hub_unusable")


def licence_of(card: Any, tags: list[str]) -> str:
    """How the repository names its licence: by its own name where it is none of the usual ones."""
    card = card if isinstance(card, dict) else {}
    tagged = next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), "")
    named = [card.get("license_name")] if card.get("license") in (None, "other") else []
    found = next((name for name in [*named, card.get("license"), tagged] if isinstance(name, str) and name), "")
    return redact(found[:80]) if found.isprintable() else ""  # some server could say anything


def total_of(weights: Any) -> int | None:
    total = weights.get("total") if isinstance(weights, dict) else None
    return total if type(total) is int and 0 < total < 2**53 else None
