"""The job store: one folder for everything long that is no training.

    jobs/<date>-<time>-<kind>-<6 hex>/
        job.json  events.jsonl  log.txt  control.jsonl

A training's folder is its run's (`workbench.engine.runs`).
"""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.config.disk import MAKING, disk_errors, slug, write_json
from workbench.config.errors import WorkbenchError
from workbench.config.reading import Damaged
from workbench.config.text import Text
from workbench.engine.job_records import JobRecord, damaged_job, read_job
from workbench.engine.record_store import RecordStore, changed

JOB_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,40}-[0-9a-f]{4,6}\Z")
KEPT = 200  # jobs that are over, the newest; the folders of older ones go
_STRAY = Text("the folder is not named like a job", "文件夹的名称不符合任务的命名格式")


class JobStore(RecordStore[JobRecord]):
    """Jobs inside one folder, named by id. Any thread may use it."""

    FILE = "job.json"
    ID = JOB_ID

    def create(self, kind: str, lane: str, title: Text, request: dict[str, Any]) -> JobRecord:
        """Make the folder of a new job, in the state `queued`, owned by this process."""
        now = datetime.now(UTC)
        job_id = f"{now:%Y%m%d-%H%M%S}-{slug(kind, 'job')}-{secrets.token_hex(3)}"
        record = JobRecord(
            id=job_id,
            kind=kind,
            lane=lane,
            title=title.as_dict(),
            status="queued",
            created=now.isoformat(timespec="milliseconds"),
            request=request,
        )
        if self.owners is not None:
            self.owners.claim(job_id)  # before anybody sees it
        # The folder appears under its name only when it is whole.
        with disk_errors(self.folder / job_id):
            self.folder.mkdir(parents=True, exist_ok=True)
            making = self.folder / f".{job_id}{MAKING}"
            making.mkdir()
            write_json(making / self.FILE, asdict(record))
            making.rename(self.folder / job_id)
        return record

    def keep(self, name: str, **changes: Any) -> None:
        """Change fields in memory alone: progress that comes many times a second."""
        with self._lock:
            record = replace(self._sound(name), **changes)
            self._records[name] = (changed(self.path(name) / self.FILE), record)

    def trim(self) -> None:
        """Let the oldest go."""
        over = [record for record in self.all() if not record.active]
        for record in over[KEPT:]:
            self.delete(record.id)

    def _read(self, path: Path) -> JobRecord:
        return read_job(path)

    def _unreadable(self, name: str, entry: Path, error: Damaged | None) -> JobRecord:
        return damaged_job(name, error.message if error is not None else _STRAY)

    def _unknown(self, name: str) -> WorkbenchError:
        return WorkbenchError(
            Text("there is no job '{job}'", "没有“{job}”这个任务").with_(job=str(name)[:80]),
            Text("List them with: python -m workbench jobs", "可用 python -m workbench jobs 查看全部任务。"),
            code="no_job",
        )
