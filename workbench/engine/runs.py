"""The run store: one folder a run, no database. Listing runs is a directory scan.

    runs/<date>-<time>-<model>-<method>-<4 hex>/
        run.json  config.yaml  events.jsonl  log.txt  checkpoints/  adapter/ or model/  exports/  samples.jsonl

`run.json` is replaced as a whole, so a reader never sees half of it.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import secrets
import shutil
import threading
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.config.disk import disk_errors, slug, write_atomically, write_json
from workbench.config.errors import WorkbenchError
from workbench.config.presets import dump, load_preset
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.engine.events import EventLog, last_step

SCHEMA_VERSION = 1
RUN_ID = re.compile(r"^[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,60}-[0-9a-f]{4}$")
RESUMABLE = ("stopped", "interrupted", "failed")
UNFINISHED = ("queued", "running", "stopping")
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "safetensors", "tokenizers")
LOGS_KEPT = 8
CHECKPOINT_WHOLE = "whole.json"  # written last into a checkpoint: without it the folder is half of one


@dataclass(frozen=True)
class RunRecord:
    """What `run.json` holds. Times are ISO 8601 in UTC; `error` is None or has `message`, `hint` (both {en, zh}), `field`."""

    id: str
    name: str
    status: str
    created: str
    method: str
    base_model: str
    dataset: str
    adapter: str
    started: str | None = None
    finished: str | None = None
    error: dict[str, Any] | None = None
    last_step: int = 0
    total_steps: int = 0
    train_loss: float | None = None
    eval_loss: float | None = None
    tokens_per_second: float | None = None
    has_result: bool = False
    dataset_fingerprint: str | None = None
    base_fingerprint: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def finished_well(self) -> bool:
        """Whether there is a result to talk to and to export."""
        return self.has_result and not self.active

    @property
    def active(self) -> bool:
        """Whether it waits, runs, or is about to stop."""
        return self.status in UNFINISHED

    @property
    def resumable(self) -> bool:
        """Whether Resume makes sense: it ended before its last step."""
        return self.status in RESUMABLE


class RunStore:
    """Runs inside one folder, named by id. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._logs: dict[str, EventLog] = {}
        self._records: dict[str, tuple[int, RunRecord]] = {}
        self._changes = 0  # of records, by this process; no other one writes here while it holds the home
        self._listed: tuple[tuple[int, int], list[RunRecord]] | None = None

    def create(self, config: RunConfig, *, model_id: str, dataset: str, **facts: Any) -> RunRecord:
        """Make the folder of a new run, in the state `queued`.

        Args:
            config: the run; it is kept as `config.yaml`.
            model_id: short name of the base model.
            dataset: short name of the data set.
            facts: further fields of `RunRecord`.
        """
        now = datetime.now(UTC)
        words = f"{slug(model_id, 'model')[:24]}-{slug(config.method.kind)}"
        run_id = f"{now:%Y%m%d-%H%M%S}-{words}-{secrets.token_hex(2)}"
        record = RunRecord(
            id=run_id,
            name=config.output.name or dataset,
            status="queued",
            created=now.isoformat(timespec="milliseconds"),
            method=config.method.kind,
            base_model=config.model.base,
            dataset=dataset,
            adapter=config.adapter.kind,
            versions=library_versions(),
            **facts,
        )
        # The folder appears under its name only when it is whole.
        with disk_errors(self.folder / run_id):
            self.folder.mkdir(parents=True, exist_ok=True)
            making = self.folder / f".{run_id}.making"
            making.mkdir()
            write_json(making / "run.json", asdict(record))
            write_atomically(making / "config.yaml", dump(config))
            making.rename(self.folder / run_id)
        with self._lock:
            self._changes += 1
        return record

    def path(self, run_id: str) -> Path:
        """The folder of a run.

        Raises:
            WorkbenchError: `run_id` is no run of this store (a path, a link, or unknown).
        """
        path = self.folder / run_id if RUN_ID.match(run_id or "") else None
        if path is None or path.is_symlink() or not (path / "run.json").is_file():
            raise WorkbenchError(
                Text("there is no run '{run}'", "没有“{run}”这个运行").with_(run=str(run_id)[:80]),
                Text("Choose one from the list of runs.", "请从运行列表中选择。"),
                code="no_run",
            )
        return path

    def get(self, run_id: str) -> RunRecord:
        """The record of a run, read again only when the file changed."""
        path = self.path(run_id) / "run.json"
        changed = path.stat().st_mtime_ns
        with self._lock:
            cached = self._records.get(run_id)
            if cached and cached[0] == changed:
                return cached[1]
            record = _record(json.loads(path.read_text(encoding="utf-8")))
            self._records[run_id] = (changed, record)
            return record

    def update(self, run_id: str, **changes: Any) -> RunRecord:
        """Replace some fields of a record, atomically."""
        with self._lock:
            record = replace(self.get(run_id), **changes)
            path = self.path(run_id) / "run.json"
            # Kept in memory even when the disk is full, so that the page tells the truth.
            self._records[run_id] = (path.stat().st_mtime_ns, record)
            self._changes += 1
            write_json(path, asdict(record))
            self._records[run_id] = (path.stat().st_mtime_ns, record)
            return record

    def move(self, run_id: str, before: tuple[str, ...], after: str, **changes: Any) -> bool:
        """Change the state if it is one of `before`; False when it was another. Of two who try, one succeeds."""
        with self._lock:
            if self.get(run_id).status not in before:
                return False
            self.update(run_id, status=after, **changes)
            return True

    def all(self) -> list[RunRecord]:
        """Every run, newest first; a folder that holds no readable record is passed over.

        The folder is walked again only when something changed: open pages ask every second.
        """
        with self._lock:
            seen = (self._changes, self.folder.stat().st_mtime_ns if self.folder.is_dir() else 0)
            if self._listed is None or self._listed[0] != seen:
                self._listed = (seen, self._walk())
            return list(self._listed[1])

    def _walk(self) -> list[RunRecord]:
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if RUN_ID.match(path.name):
                try:
                    found.append(self.get(path.name))
                except (WorkbenchError, ValueError, TypeError, OSError):
                    continue
        return sorted(found, key=lambda record: (record.created, record.id), reverse=True)

    def config(self, run_id: str) -> RunConfig:
        """The run's exact configuration."""
        return RunConfig.parse(load_preset(self.path(run_id) / "config.yaml").values)

    def save_config(self, run_id: str, config: RunConfig) -> None:
        """Replace the configuration (Resume with overrides)."""
        write_atomically(self.path(run_id) / "config.yaml", dump(config))

    def log(self, run_id: str) -> EventLog:
        """The run's events."""
        with self._lock:
            if run_id not in self._logs:
                for other in list(self._logs)[:-LOGS_KEPT]:  # they are read again when somebody asks
                    if not self.get(other).active:
                        del self._logs[other]
                self._logs[run_id] = EventLog(self.path(run_id) / "events.jsonl")
            return self._logs[run_id]

    def delete(self, run_id: str) -> None:
        """Remove a run and all that it made.

        Raises:
            WorkbenchError: it is still active.
        """
        with self._lock:
            path = self.path(run_id)
            if self.get(run_id).active:
                raise WorkbenchError(
                    Text("this run is still active", "这个运行还在进行"),
                    Text("Press Stop and save first.", "请先点“停止并保存”。"),
                    code="active",
                )
            # Renamed first: whatever happens next, the run is gone from the list as a whole.
            gone = path.with_name(f".{path.name}.deleted")
            path.rename(gone)
            self._changes += 1
            self._logs.pop(run_id, None)
            self._records.pop(run_id, None)
        shutil.rmtree(gone, ignore_errors=True)

    def recover(self) -> list[str]:
        """Mark what a dead process left active as `interrupted`, and sweep half-made folders. Returns the runs' ids."""
        for rest in self.folder.glob(".*"):
            if rest.suffix in (".making", ".deleted"):
                shutil.rmtree(rest, ignore_errors=True)
        left = [record.id for record in self.all() if record.active]
        for run_id in left:
            self.tidy(run_id)
            try:
                step, total = last_step(self.log(run_id))
                self.update(run_id, status="interrupted", finished=now_iso(), last_step=step, total_steps=total)
            except (WorkbenchError, OSError):
                continue  # a full disk: `update` keeps it in memory, so that the page opens and runs can be deleted
        return left

    def tidy(self, run_id: str) -> None:
        """Remove what was half-written in a run's folder, and put back a result that was about to be replaced."""
        folder = self.path(run_id)
        self.drop_half_checkpoints(run_id)
        for name in ("adapter", "model"):
            if (folder / f".{name}.old").is_dir() and not (folder / name).exists():
                (folder / f".{name}.old").rename(folder / name)
            for rest in (folder / f".{name}.making", folder / f".{name}.old"):
                shutil.rmtree(rest, ignore_errors=True)
        for rest in (folder / "exports").glob(".*.part"):
            shutil.rmtree(rest, ignore_errors=True) if rest.is_dir() else rest.unlink(missing_ok=True)

    def last_checkpoint(self, run_id: str) -> Path | None:
        """The newest checkpoint that is whole, or None."""
        whole = [path for path in self._checkpoints(run_id) if _is_whole(path)]
        return max(whole, key=step_of) if whole else None

    def drop_half_checkpoints(self, run_id: str) -> None:
        """Remove checkpoints that were cut off while they were written. Only for who owns the run: it may be writing one."""
        for path in self._checkpoints(run_id):
            if not _is_whole(path):
                shutil.rmtree(path, ignore_errors=True)

    def _checkpoints(self, run_id: str) -> list[Path]:
        return list((self.path(run_id) / "checkpoints").glob("checkpoint-*"))


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was made."""
    return int(checkpoint.name.rpartition("-")[2])


def _is_whole(checkpoint: Path) -> bool:
    return checkpoint.name.rpartition("-")[2].isdecimal() and (checkpoint / CHECKPOINT_WHOLE).is_file()


def now_iso() -> str:
    """The time now, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def library_versions() -> dict[str, str]:
    """Versions of the training libraries that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _record(values: dict[str, Any]) -> RunRecord:
    known = {item.name for item in fields(RunRecord)}
    return RunRecord(**{key: value for key, value in values.items() if key in known})
