"""What the Hub holds: accounts, and repositories with their commits and files. Knows nothing of HTTP."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

# What the Hub keeps in Git itself and what as large files: by name, as in the .gitattributes of a new repository, or by size.
LARGE_ENDINGS = tuple(
    ".7z .arrow .bin .bz2 .ckpt .ftz .gz .h5 .joblib .msgpack .npy .npz .onnx .ot .parquet .pb .pickle .pkl .png .pt .pth"
    " .rar .safetensors .tar .tflite .tgz .wasm .xz .zip .zst .gguf".split()
)
LARGE_SIZE = 10_000_000

NOW = "2026-01-02T03:04:05.000Z"


def made(size: int, seed: int = 0) -> bytes:
    """Bytes that look like weights: the same ones for the same seed, and not to be compressed."""
    return random.Random(seed).randbytes(size)


def is_large(path: str, size: int) -> bool:
    """Whether the Hub keeps such a file as a large one (LFS)."""
    return size > 0 and (path.endswith(LARGE_ENDINGS) or size > LARGE_SIZE)


class _AsRecorded:
    """A file is served as it is recorded."""


AS_RECORDED = _AsRecorded()


@dataclass
class File:
    """A file of a commit: what the Hub says of it, and what it sends.

    Attributes:
        data: what the listing's size and hashes are of.
        large: kept as a large file (LFS).
        served: other bytes that are sent instead, or None where the file is listed and not there.
    """

    data: bytes
    large: bool
    served: bytes | None | _AsRecorded = AS_RECORDED

    @property
    def size(self) -> int:
        return len(self.data)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What Git holds in place of a large file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @cached_property
    def blob_id(self) -> str:
        """Git's hash."""
        data = self.pointer if self.large else self.data
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.blob_id

    @property
    def sent(self) -> bytes | None:
        """What a download gets; None where it is missing."""
        return self.data if isinstance(self.served, _AsRecorded) else self.served


@dataclass
class Commit:
    oid: str
    title: str
    files: dict[str, File]


@dataclass
class Account:
    """Somebody with a token.

    Attributes:
        role: "write" or "read", as the token was made.
        orgs: further names under which repositories may be made.
    """

    name: str
    token: str
    role: str = "write"
    orgs: tuple[str, ...] = ()

    def owns(self, namespace: str) -> bool:
        return namespace in (self.name, *self.orgs)


@dataclass
class Repo:
    """A repository.

    Attributes:
        kind: "model" or "dataset".
        gated: False, "auto" or "manual"; then `granted` are the accounts that may read.
        xet: large files are offered through Xet, as most of the Hub's are, and otherwise through plain HTTP.
        about: what else the Hub says of it, by the API's names: tags, pipeline_tag, downloads, likes, library_name,
            cardData, config, safetensors, ...
    """

    id: str
    kind: str = "model"
    private: bool = False
    gated: bool | str = False
    granted: set[str] = field(default_factory=set)
    xet: bool = False
    about: dict[str, Any] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    @property
    def prefix(self) -> str:
        """Its address, after the Hub's."""
        return self.id if self.kind == "model" else f"{self.kind}s/{self.id}"

    @property
    def head(self) -> Commit:
        """The newest commit of main."""
        return self.commits[self.refs["main"]]

    @property
    def sha(self) -> str:
        return self.refs["main"]

    @property
    def files(self) -> dict[str, bytes]:
        """What main holds."""
        return {path: file.data for path, file in self.head.files.items()}

    def at(self, revision: str) -> Commit | None:
        """The commit of a branch, a tag or a commit's own hash."""
        return self.commits.get(self.refs.get(revision, revision))

    def commit(self, files: dict[str, File], title: str, ref: str = "main") -> Commit:
        """A new commit with these files, and nothing else; its hash follows from them."""
        parts = [self.id, self.refs.get(ref, ""), title, str(len(self.commits))]
        parts += [f"{path} {file.etag}" for path, file in sorted(files.items())]
        commit = Commit(hashlib.sha1("\n".join(parts).encode()).hexdigest(), title, dict(files))
        self.commits[commit.oid] = commit
        self.refs[ref] = commit.oid
        return commit

    def change(self, files: dict[str, bytes | str], title: str = "Change", ref: str = "main") -> Commit:
        """A new commit with these files added or changed."""
        start = self.commits[self.refs[ref]].files if ref in self.refs else {}
        return self.commit({**start, **as_files(files)}, title, ref)

    def serve(self, path: str, data: bytes | None) -> None:
        """Send other bytes for a file than those it is listed with: another content (a wrong hash), more or fewer
        (a wrong size), or None where it is listed and not there."""
        self.head.files[path].served = data

    def readable(self, account: Account | None) -> bool:
        """Whether it exists for somebody."""
        return not self.private or (account is not None and account.owns(self.namespace))

    def open_to(self, account: Account | None) -> bool:
        """Whether its files may be read."""
        granted = account is not None and (account.owns(self.namespace) or account.name in self.granted)
        return self.readable(account) and (not self.gated or granted)


def as_files(files: dict[str, bytes | str]) -> dict[str, File]:
    """Files from their contents."""
    contents = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}
    return {path: File(data, is_large(path, len(data))) for path, data in contents.items()}
