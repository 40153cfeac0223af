"""The run store: one folder a run, no database. Listing runs is a directory scan.

    runs/<date>-<time>-<model>-<method>-<4 hex>/
        run.json  config.yaml  events.jsonl  log.txt  checkpoints/  adapter/ or model/  exports/  samples.jsonl

`run.json` is replaced as a whole, so a reader never sees half of it.
"""

from __future__ import annotations

import importlib.metadata
import re
import secrets
import shutil
import threading
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.config.disk import disk_errors, slug, write_atomically, write_json
from workbench.config.errors import WorkbenchError
from workbench.config.presets import dump, load_preset
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.engine import checkpoints
from workbench.engine.events import EventLog, last_step
from workbench.engine.records import RunRecord, kept_error, read_run

RUN_ID = re.compile(r"^[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,60}-[0-9a-f]{4}$")
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "safetensors", "tokenizers")
LOGS_KEPT = 8
CONFIG = "config.yaml"


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
            write_atomically(making / CONFIG, dump(config))
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
        if path is None or path.is_symlink() or not path.is_dir():
            raise WorkbenchError(
                Text("there is no run '{run}'", "没有“{run}”这个运行").with_(run=str(run_id)[:80]),
                Text("Choose one from the list of runs.", "请从运行列表中选择。"),
                code="no_run",
            )
        return path

    def get(self, run_id: str) -> RunRecord:
        """The record of a run, read again only when the file changed; of one that cannot be read, what is known of it.

        Raises:
            WorkbenchError: there is no such run.
        """
        path = self.path(run_id) / "run.json"
        changed = _changed(path)
        with self._lock:
            cached = self._records.get(run_id)
            if cached and cached[0] == changed:
                return cached[1]
            record = read_run(path)
            self._records[run_id] = (changed, record)
            return record

    def update(self, run_id: str, **changes: Any) -> RunRecord:
        """Replace some fields of a record, atomically.

        Raises:
            WorkbenchError: the record is damaged, or cannot be written.
        """
        with self._lock:
            record = replace(self._sound(run_id), **changes)
            path = self.path(run_id) / "run.json"
            # Kept in memory even when the disk is full, so that the page tells the truth.
            self._records[run_id] = (_changed(path), record)
            self._changes += 1
            write_json(path, asdict(record))
            self._records[run_id] = (_changed(path), record)
            return record

    def move(self, run_id: str, before: tuple[str, ...], after: str, **changes: Any) -> bool:
        """Change the state if it is one of `before`; False when it was another. Of two who try, one succeeds."""
        with self._lock:
            if self._sound(run_id).status not in before:
                return False
            self.update(run_id, status=after, **changes)
            return True

    def _sound(self, run_id: str) -> RunRecord:
        """The record of a run that is to change; what it holds must not be overwritten by what is not known of it."""
        record = self.get(run_id)
        if record.damaged and record.error:
            raise kept_error(record.error)
        return record

    def damage(self, run_id: str) -> list[Text]:
        """What of a run's files cannot be read, beside its record."""
        events = self.log(run_id).damage()
        found = [events] if events is not None else []
        try:
            self.config(run_id)
        except WorkbenchError as error:
            found.append(error.message)
        return found

    def all(self) -> list[RunRecord]:
        """Every run, newest first, damaged ones too.

        The folder is walked again only when something changed: open pages ask every second.
        """
        with self._lock:
            seen = (self._changes, _changed(self.folder))
            if self._listed is None or self._listed[0] != seen:
                self._listed = (seen, self._walk())
            # A damaged one is looked at each time: the file may have been put back.
            return [self.get(record.id) if record.damaged else record for record in self._listed[1]]

    def _walk(self) -> list[RunRecord]:
        found = []
        for path in self._folders():
            try:
                found.append(self.get(path.name))
            except WorkbenchError:
                continue  # deleted meanwhile, or a link, which is not followed
        return sorted(found, key=lambda record: (record.created, record.id), reverse=True)

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if RUN_ID.match(path.name)]
        except OSError:  # none yet, or a folder that may not be read: whoever starts a run is told
            return []

    def config(self, run_id: str) -> RunConfig:
        """The run's exact configuration.

        Raises:
            WorkbenchError: it cannot be read any more.
        """
        try:
            return RunConfig.parse(load_preset(self.path(run_id) / CONFIG).values)
        except WorkbenchError as error:
            raise WorkbenchError(
                Text("the settings of this run cannot be read: {why}", "无法读取这个运行的设置：{why}").with_(
                    why=error.message
                ),
                Text(
                    "Put {file} back from a backup, or start a new run.", "请从备份恢复 {file}，或开始新的运行。"
                ).with_(file=CONFIG),
                code="damaged",
            ) from error

    def save_config(self, run_id: str, config: RunConfig) -> None:
        """Replace the configuration (Resume with overrides)."""
        write_atomically(self.path(run_id) / CONFIG, dump(config))

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
            with disk_errors(path):
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
            try:
                self.tidy(run_id)
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
        """The newest checkpoint that was written to its end, or None."""
        return next(iter(checkpoints.marked(self.checkpoints(run_id))), None)

    def drop_half_checkpoints(self, run_id: str) -> None:
        """Remove checkpoints that were cut off while they were written. Only for who owns the run: it may be writing one."""
        for path in self.checkpoints(run_id).glob("checkpoint-*"):
            if not checkpoints.is_marked(path):
                shutil.rmtree(path, ignore_errors=True)

    def checkpoints(self, run_id: str) -> Path:
        """The folder of a run's checkpoints; there is none before the first."""
        return self.path(run_id) / "checkpoints"


def _changed(path: Path) -> int:
    """What tells that a file was changed; 0 for none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


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
