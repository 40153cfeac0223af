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
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.config.disk import MAKING, disk_errors, remove, slug, sweep, write_atomically, write_json
from workbench.config.errors import WorkbenchError
from workbench.config.presets import dump, load_preset
from workbench.config.reading import Damaged
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.engine import checkpoints, damage
from workbench.engine.events import last_step
from workbench.engine.owners import Owners
from workbench.engine.record_store import RecordStore, changed
from workbench.engine.records import RunRecord, damaged_run, read_run, stray_run

RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9-]{1,60}-[0-9a-f]{4}\Z")
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "safetensors", "tokenizers")
CONFIG = "config.yaml"


class RunStore(RecordStore[RunRecord]):
    """Runs inside one folder, named by id. Any thread may use it."""

    FILE = "run.json"
    ID = RUN_ID

    def __init__(self, folder: Path, owners: Owners | None = None, *, read_only: bool = False) -> None:
        super().__init__(folder, owners, read_only=read_only)
        self._damages: dict[str, tuple[tuple[int, ...], list[Text]]] = {}

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
        if self.owners is not None:
            self.owners.claim(run_id)  # before anybody sees it
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

    def _read(self, path: Path) -> RunRecord:
        return read_run(path)

    def _unreadable(self, name: str, entry: Path, error: Damaged | None) -> RunRecord:
        return stray_run(name, entry, self._free_id) if error is None else damaged_run(name, error)

    def _unknown(self, name: str) -> WorkbenchError:
        return WorkbenchError(
            Text("there is no run '{run}'", "没有“{run}”这个运行").with_(run=str(name)[:80]),
            Text("Choose one from the list of runs.", "请从运行列表中选择。"),
            code="no_run",
        )

    def _interrupted(self, record: RunRecord) -> dict[str, Any]:
        self.tidy(record.id)
        step, total = last_step(self.log(record.id))
        return {"last_step": step, "total_steps": total}

    def damage(self, run_id: str) -> list[Text]:
        """What of a run's files cannot be read, beside its record. Looked for again only where a file was changed."""
        record = self.get(run_id)
        if record.active or not self.is_folder(run_id):
            return []
        folder = self.path(run_id)
        seen = tuple(map(changed, damage.looked_at(folder)))
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

    def _free_id(self, run_id: str) -> str | None:
        """This id, or where a run has it, another one that none has; None where it is no id at all."""
        while RUN_ID.match(run_id) and os.path.lexists(self.folder / run_id):
            run_id = f"{run_id[:-4]}{secrets.token_hex(2)}"
        return run_id if RUN_ID.match(run_id) else None

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

    def delete(self, name: str) -> None:
        """Remove a run and all that it made. Raises a WorkbenchError while it is active."""
        super().delete(name)
        self._damages.pop(name, None)

    def save_config(self, run_id: str, config: RunConfig) -> None:
        """Replace the configuration (Resume with overrides)."""
        write_atomically(self.path(run_id) / CONFIG, dump(config))

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


def library_versions() -> dict[str, str]:
    """Versions of the training libraries that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
