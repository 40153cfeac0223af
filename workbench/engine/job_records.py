"""A job's record, `job.json`: what it holds, declared once and checked whenever it is read. A training's is its `run.json`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from workbench.config.reading import Count, Damaged, Number, Said, Time, read_record
from workbench.config.text import Text, same
from workbench.engine.records import DAMAGED, OWNER, HasStatus, KeptError, Status

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class JobRecord(HasStatus):
    """What `job.json` holds. Times are ISO 8601 in UTC.

    `done` of `total` is in `unit` ("bytes", or "" for steps of the work); `words` say what it does now, `result` what came
    of it. `request` is what was asked for: with it a job that did not come to its end is done again.
    """

    id: str
    kind: str
    title: Said
    status: Status
    created: Time
    lane: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    started: Time | None = None
    finished: Time | None = None
    done: Count = 0
    total: Count | None = None
    unit: str = ""
    words: Said | None = None
    seconds_left: Number | None = None
    error: KeptError | None = None
    result: dict[str, Any] = field(default_factory=dict)
    dismissed: bool = False
    owner: str = OWNER
    schema_version: int = SCHEMA_VERSION


_SHAPE = TypeAdapter(JobRecord)


def read_job(path: Path) -> JobRecord:
    """The record in a job's folder, by whose name the job is known; where it cannot be read, one that says so."""
    try:
        return replace(read_record(path, _SHAPE), id=path.parent.name)
    except Damaged as error:
        return damaged_job(path.parent.name, error.message)


def damaged_job(name: str, why: Text) -> JobRecord:
    """What stands in the list for a job whose record cannot be read; its id tells when it was made."""
    created = datetime(1970, 1, 1)
    with contextlib.suppress(ValueError):
        created = datetime.strptime(name[:15], "%Y%m%d-%H%M%S")
    hint = Text("Delete it: nothing else needs it.", "可以删除它，不影响其他内容。")
    return JobRecord(
        id=name,
        kind="",
        title=same(name).as_dict(),
        status=DAMAGED,
        created=created.replace(tzinfo=UTC).isoformat(timespec="milliseconds"),
        error=KeptError(message=why.as_dict(), hint=hint.as_dict()),
    )
