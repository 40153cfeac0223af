"""Where a model's files came from: `download.json`, in the folder of a download from its first moment on.

While the download lasts it also says which files are whole and verified, so that no process fetches them again; in a model's
folder it is the record of repository, version, files and licence. Read as strictly as every file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from workbench.config.disk import write_json
from workbench.config.reading import Count, Damaged, Time, read_record
from workbench.hub.listing import DownloadPlan, PlannedFile, check_id
from workbench.hub.needed import FILE_NAME
from workbench.hub.sources import Source

__all__ = ["RECORD", "Provenance", "read_provenance", "write_provenance"]

RECORD = "download.json"


@dataclass(frozen=True)
class Provenance:
    """What stands in a `download.json`.

    Attributes:
        source: the address of the server.
        licence: as the repository names it, "" where it doesn't.
        verified: the files that are whole; all of them once the model is one.
        started: when its first file was asked for, as ISO 8601.
    """

    repo_id: str
    sha: str
    source: str
    kind: str
    licence: str
    gated: bool
    files: tuple[PlannedFile, ...]
    verified: frozenset[str]
    started: str

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def with_verified(self, name: str) -> Provenance:
        return replace(self, verified=self.verified | {name})


def begun(plan: DownloadPlan, source: Source) -> Provenance:
    """The record of a download of which nothing is there yet."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Provenance(
        repo_id=plan.repo_id,
        sha=plan.sha,
        source=source.endpoint,
        kind=source.kind,
        licence=plan.licence,
        gated=plan.gated,
        files=plan.files,
        verified=frozenset(),
        started=now,
    )


class _File(TypedDict):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    blob_id: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None


class _Record(TypedDict):
    schema_version: Literal[1]
    repo_id: Annotated[str, Field(max_length=96)]
    sha: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
    source: Annotated[str, Field(max_length=300)]
    kind: Literal["huggingface", "mirror", "modelscope"]
    licence: Annotated[str, Field(max_length=200)]
    gated: bool
    files: Annotated[list[_File], Field(min_length=1, max_length=10_000)]
    verified: list[str]
    started: Time


_SHAPE = TypeAdapter(_Record)


def write_provenance(folder: Path, record: Provenance) -> None:
    """Write a folder's record. Raises WorkbenchError where the disk doesn't take it."""
    files = [
        {"name": file.name, "bytes": file.bytes, "sha256": file.sha256, "blob_id": file.blob_id}
        for file in record.files
    ]
    said = {name: getattr(record, name) for name in ("repo_id", "sha", "source", "kind", "licence", "gated")}
    write_json(
        folder / RECORD,
        {
            "schema_version": 1,
            **said,
            "files": files,
            "verified": sorted(record.verified),
            "started": record.started,
        },
    )


def read_provenance(folder: Path) -> Provenance | None:
    """A folder's record; None for one that was not downloaded by the workbench.

    Raises:
        Damaged: there is one, and it holds something else.
    """
    path = folder / RECORD
    if not os.path.lexists(path):
        return None
    found = read_record(path, _SHAPE)
    try:
        check_id(found["repo_id"])
    except Exception as error:
        raise Damaged(RECORD, error.message) from None  # type: ignore[attr-defined]
    files = tuple(PlannedFile(**file) for file in found["files"] if FILE_NAME.fullmatch(file["name"]))
    return Provenance(
        repo_id=found["repo_id"],
        sha=found["sha"],
        source=found["source"],
        kind=found["kind"],
        licence=found["licence"],
        gated=found["gated"],
        files=files,
        verified=frozenset(found["verified"]) & {file.name for file in files},
        started=found["started"],
    )
