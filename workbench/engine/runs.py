"""The run store: one folder a run, no database. Listing runs is a directory scan.

    runs/<date>-<time>-<model>-<method>-<4 hex>/
        run.json  config.yaml  events.jsonl  log.txt  checkpoints/  adapter/ or model/  exports/  samples.jsonl

`run.json` is replaced as a whole, so a reader never sees half of it.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import secrets
import threading
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.config.disk import (
    MAKING,
    disk_errors,
    hide,
    remove,
    shown_entries,
    slug,
    sweep,
    write_atomically,
    write_json,
)
from workbench.config.errors import WorkbenchError
from workbench.config.presets import dump, load_preset
from workbench.config.reading import NO_FOLDER, Damaged
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.engine import checkpoints, damage
from workbench.engine.events import EventLog, StatusChanged, last_step
from workbench.engine.records import RunRecord, damaged_run, kept_error, read_run, stray_run

RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,60}-[0-9a-f]{4}\Z")
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
        self._damages: dict[str, tuple[tuple[int, ...], list[Text]]] = {}
        self._changes = 0  # of records, by this process; no other one writes here while it holds the home
        self._listed: tuple[tuple[int, int], list[RunRecord]] | None = None

    def create(self, config: RunConfig, *, model_id: str, dataset: str, data_name: str = "", **facts: Any) -> RunRecord:
        """Make the folder of a new run, in the state `queued`.

        Args:
            config: the run; it is kept as `config.yaml`.
            model_id: short name of the base model.
            dataset: short name of the data set.
            data_name: what people call that; it names a run that was given no name.
            facts: further fields of `RunRecord`.
        """
        now = datetime.now(UTC)
        words = f"{slug(model_id, 'model')[:24]}-{slug(config.method.kind)}"
        run_id = f"{now:%Y%m%d-%H%M%S}-{words}-{secrets.token_hex(2)}"
        record = RunRecord(
            id=run_id,
            name=config.output.name or data_name or dataset,
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
            making = self.folder / f".{run_id}{MAKING}"
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
        if not self.is_folder(run_id):
            raise _no_run(run_id)
        return self.folder / run_id

    def _entry(self, run_id: str) -> Path | None:
        """What lies at the place of a run, be it one or not; None where nothing does."""
        if not RUN_ID.match(run_id or ""):
            return shown_entries(self.folder).get(run_id)
        return self.folder / run_id if os.path.lexists(self.folder / run_id) else None

    def get(self, run_id: str) -> RunRecord:
        """The record of a run, read again only when the file changed; of one that cannot be read, what is known of it.

        Raises:
            WorkbenchError: there is no such run.
        """
        entry = self._entry(run_id)
        if entry is None:
            raise _no_run(run_id)
        if not _is_folder(entry):
            return damaged_run(run_id, Damaged(run_id, NO_FOLDER))
        if not RUN_ID.match(run_id):
            return stray_run(run_id, entry, self._free_id)
        path = entry / "run.json"
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

    def end(self, run_id: str, status: str, before: tuple[str, ...] | None = None, **changes: Any) -> bool:
        """Write a run's last state, into its events first: who looks in between must not find a record that is ahead of them.

        Args:
            before: states of which it must be in one; False when it is in another.
        """
        with self._lock:
            if before is not None and self._sound(run_id).status not in before:
                return False
            try:
                self.log(run_id).append(StatusChanged(status))
            finally:  # also on a full disk: `update` keeps it in memory
                self.update(run_id, status=status, finished=now_iso(), **changes)
            return True

    def _sound(self, run_id: str) -> RunRecord:
        """The record of a run that is to change; what it holds must not be overwritten by what is not known of it."""
        record = self.get(run_id)
        if record.damaged and record.error:
            raise kept_error(record.error)
        return record

    def damage(self, run_id: str) -> list[Text]:
        """What of a run's files cannot be read, beside its record. Looked for again only where a file was changed."""
        record = self.get(run_id)
        if record.active or not self.is_folder(run_id):
            return []
        folder = self.path(run_id)
        seen = tuple(map(_changed, damage.looked_at(folder)))
        with self._lock:
            known = self._damages.get(run_id)
        if known is None or known[0] != seen:
            checks = [lambda: self.config(run_id), *damage.checks(folder, result=record.has_result)]
            known = (seen, [*damage.of_events(self.log(run_id), record), *damage.found(checks)])
            with self._lock:
                self._damages[run_id] = known
        return list(known[1])

    def missing(self, run_id: str) -> list[Text]:
        """The part of `damage` that costs next to nothing, for lists: what of a run is not there. Reads no file."""
        record = self.get(run_id)
        if record.active or not self.is_folder(run_id):
            return []
        return damage.found(damage.missing(self.path(run_id), record))

    def is_folder(self, run_id: str) -> bool:
        """Whether there is a folder at the place of this run."""
        return bool(RUN_ID.match(run_id or "")) and _is_folder(self.folder / run_id)

    def _free_id(self, run_id: str) -> str | None:
        """This id, or where a run has it, another one that none has; None where it is no id at all."""
        while RUN_ID.match(run_id) and os.path.lexists(self.folder / run_id):
            run_id = f"{run_id[:-4]}{secrets.token_hex(2)}"
        return run_id if RUN_ID.match(run_id) else None

    def all(self) -> list[RunRecord]:
        """Every run, newest first, damaged ones too.

        The folder is walked again only when something changed: open pages ask every second.
        """
        with self._lock:
            seen = (self._changes, _changed(self.folder))
            if self._listed is None or self._listed[0] != seen:
                self._listed = (seen, self._walk())
            # A damaged one is looked at each time: the file may have been put back.
            return [self.get(run.id) if run.damaged and RUN_ID.match(run.id) else run for run in self._listed[1]]

    def _walk(self) -> list[RunRecord]:
        found = []
        for name in shown_entries(self.folder):
            try:
                found.append(self.get(name))
            except WorkbenchError:
                continue  # deleted meanwhile
        return sorted(found, key=lambda record: (record.created, record.id), reverse=True)

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
            path = self._entry(run_id)
            if path is None:
                raise _no_run(run_id)
            if self.get(run_id).active:
                raise still_active()
            for known in (self._logs, self._records, self._damages):
                known.pop(run_id, None)
            self._changes += 1
            gone = hide(path)
        remove(gone)

    def recover(self) -> list[str]:
        """Mark what a dead process left active as `interrupted`, and sweep half-made folders. Returns the runs' ids."""
        sweep(self.folder)
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
            remove(folder / f".{name}{MAKING}")
            remove(folder / f".{name}.old")
        sweep(folder / "exports")

    def last_checkpoint(self, run_id: str) -> Path | None:
        """The newest checkpoint that was written to its end, or None."""
        return next(iter(checkpoints.marked(self.checkpoints(run_id))), None)

    def drop_half_checkpoints(self, run_id: str) -> None:
        """Remove checkpoints that were cut off while they were written. Only for who owns the run: it may be writing one."""
        for path in self.checkpoints(run_id).glob("checkpoint-*"):
            if not checkpoints.is_marked(path):
                remove(path)

    def checkpoints(self, run_id: str) -> Path:
        """The folder of a run's checkpoints; there is none before the first."""
        return self.path(run_id) / "checkpoints"


def still_active() -> WorkbenchError:
    """The error for a run that is to be deleted while it waits or trains."""
    return WorkbenchError(
        Text("this run is still active", "这个运行还在进行"),
        Text("Press Stop and save first.", "请先点“停止并保存”。"),
        code="active",
    )


def _no_run(run_id: str) -> WorkbenchError:
    return WorkbenchError(
        Text("there is no run '{run}'", "没有“{run}”这个运行").with_(run=str(run_id)[:80]),
        Text("Choose one from the list of runs.", "请从运行列表中选择。"),
        code="no_run",
    )


def _is_folder(path: Path) -> bool:
    """Whether it is a folder itself; a link is not followed."""
    return path.is_dir() and not path.is_symlink()


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
