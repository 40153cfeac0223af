"""A run's record, `run.json`: what it holds, declared once and checked whenever it is read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from workbench.config.errors import WorkbenchError
from workbench.config.reading import Count, Damaged, Number, Said, Time, read_record
from workbench.config.text import Text

SCHEMA_VERSION = 1
OWNER = "owner"  # whose a run or a job is; so far everybody who may open the page is the owner
RESUMABLE = ("stopped", "interrupted", "failed")
UNFINISHED = ("queued", "running", "stopping")
DAMAGED: Literal["damaged"] = "damaged"  # the state of a run whose record cannot be read; it stands in no file

Status = Literal["queued", "running", "stopping", "stopped", "paused", "completed", "failed", "interrupted", "damaged"]


class KeptError(TypedDict):
    """Why a run or a job failed, in both languages, the setting to change, and the word for scripts."""

    message: Said
    hint: NotRequired[Said | None]
    field: NotRequired[str | None]
    code: NotRequired[str | None]


class HasStatus:
    """What follows from the state of a record, of a run or of another job."""

    status: Status

    @property
    def active(self) -> bool:
        """Whether it waits, works, or is about to stop."""
        return self.status in UNFINISHED

    @property
    def resumable(self) -> bool:
        """Whether Resume makes sense: it ended before it was done."""
        return self.status in RESUMABLE

    @property
    def damaged(self) -> bool:
        """Whether the record could not be read: `error` says why, and it can be deleted."""
        return self.status == DAMAGED


@dataclass(frozen=True)
class RunRecord(HasStatus):
    """What `run.json` holds. Times are ISO 8601 in UTC; `learned` is whether any weight is another one than at the beginning."""

    id: str
    name: str
    status: Status
    created: Time
    method: str
    base_model: str
    dataset: str
    adapter: str
    started: Time | None = None
    finished: Time | None = None
    error: KeptError | None = None
    last_step: Count = 0
    total_steps: Count = 0
    train_loss: Number | None = None
    eval_loss: Number | None = None
    tokens_per_second: Number | None = None
    has_result: bool = False
    learned: bool | None = None
    dataset_fingerprint: str | None = None
    base_fingerprint: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    owner: str = OWNER
    schema_version: int = SCHEMA_VERSION

    @property
    def finished_well(self) -> bool:
        """Whether there is a result to talk to and to export."""
        return self.has_result and not self.active


_SHAPE = TypeAdapter(RunRecord)


def read_run(path: Path) -> RunRecord:
    """The record in a run's folder; where it cannot be read, one that says so.

    Args:
        path: the `run.json`. Its folder is what the run is named by, also where somebody has copied one.
    """
    run_id = path.parent.name
    try:
        return replace(read_record(path, _SHAPE), id=run_id)
    except Damaged as error:
        return damaged_run(run_id, error)


def kept_error(kept: KeptError) -> WorkbenchError:
    """The error that a record keeps."""
    hint = kept.get("hint")
    code = kept.get("code")
    told = (text_of(kept["message"]), text_of(hint) if hint else None, kept.get("field"))
    return WorkbenchError(*told, code=code) if code else WorkbenchError(*told)


def text_of(said: dict[str, str]) -> Text:
    """What a record keeps in both languages, as a text."""
    return Text(said["en"], said["zh"])


def damaged_run(run_id: str, error: Damaged) -> RunRecord:
    """What stands in the list for a run whose record cannot be read; its id tells when it was made."""
    created, name = datetime(1970, 1, 1), run_id
    with contextlib.suppress(ValueError):
        created, name = datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S"), run_id[16:] or run_id
    hint = Text("Delete this run, or put the file back from a backup.", "请删除这个运行，或从备份恢复该文件。")
    return _unreadable(run_id, name, created, WorkbenchError(error.message, hint))


def stray_run(name: str, folder: Path, free: Callable[[str], str | None]) -> RunRecord:
    """What stands in the list for a folder whose name is no run's: a copy, or one that somebody has renamed or put there.

    Args:
        name: what it is listed as.
        folder: where it lies.
        free: an id that a run can have, made from the one that its record tells; None where that is none.
    """
    created, wanted = datetime(1970, 1, 1), None
    with contextlib.suppress(OSError, ValueError, OverflowError):
        created = datetime.fromtimestamp(folder.lstat().st_mtime, UTC)
    with contextlib.suppress(Damaged):
        wanted = free(read_record(folder / "run.json", _SHAPE).id)
    message = Text("the folder {name} is not named like a run", "文件夹“{name}”的名称不符合运行的命名格式").with_(
        name=name
    )
    hint = Text("It holds no run. Delete it, or move it elsewhere.", "其中没有运行。请删除它，或移到别处。")
    if wanted is not None:
        hint = Text(
            "Rename the folder to {wanted} to use the run in it, or delete it.",
            "要使用其中的运行，请把文件夹重命名为 {wanted}；也可以删除它。",
        ).with_(wanted=wanted)
    return _unreadable(name, name, created, WorkbenchError(message, hint))


def _unreadable(run_id: str, name: str, created: datetime, error: WorkbenchError) -> RunRecord:
    return RunRecord(
        id=run_id,
        name=name,
        status=DAMAGED,
        created=created.replace(tzinfo=UTC).isoformat(timespec="milliseconds"),
        method="",
        base_model="",
        dataset="",
        adapter="",
        error=KeptError(message=error.message.as_dict(), hint=error.hint.as_dict() if error.hint else None),
    )
