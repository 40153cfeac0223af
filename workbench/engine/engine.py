"""`Engine`: the one engine of this process, and the only class that the page and the command line call.

Everything it is given by name (models, data sets, runs) it looks up inside its own folders; paths are accepted only where
`allow_paths` says so (the command line). Its methods may be called from any thread and return at once unless they say
otherwise. Nothing heavy is imported until something is loaded or trained.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workbench.config.errors import Problem, WorkbenchError
from workbench.config.presets import Preset, find_preset, list_presets
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.data.library import DataLibrary, DatasetInfo
from workbench.data.turns import Message
from workbench.engine import changes, checks, findings, takeaway, views
from workbench.engine.chats import Chats, Target
from workbench.engine.desk import Desk
from workbench.engine.events import StatusChanged, last_step
from workbench.engine.hardware import has_card, memory
from workbench.engine.jobs import RunJobs
from workbench.engine.lease import Lease
from workbench.engine.lock import HomeLock
from workbench.engine.needs import Needs
from workbench.engine.plan import Forecast
from workbench.engine.records import RunRecord
from workbench.engine.runs import RunStore
from workbench.engine.suitability import Fit, suits
from workbench.engine.views import Status
from workbench.engine.worker import Worker
from workbench.models.catalog import ModelCatalog
from workbench.models.fingerprint import fingerprint
from workbench.models.generation_settings import read_generation_settings

CLICKS_KEPT = 256  # the newest Starts that are known again
SAVE_SECONDS = 60.0  # how long closing waits for a running training to save itself


class Engine:
    """Models, data, runs and answers of one home folder.

    Args:
        home: where everything is kept; made when absent. One engine a folder.
        allow_paths: whether models and data may be named by a path, too.
        read_only: only look (list, show): takes no lock and starts nothing.

    Raises:
        WorkbenchError: another engine uses the folder (code `locked`), or it cannot be written.
    """

    def __init__(self, home: Path, *, allow_paths: bool = False, read_only: bool = False) -> None:
        self.home = Path(home).expanduser().resolve()
        self.allow_paths = allow_paths
        self._lock = None if read_only else HomeLock(self.home)
        self.models = ModelCatalog(self.home)
        self.data = DataLibrary(self.home)
        self.store = RunStore(self.home / "runs")
        self._lease, self._desk = Lease(), Desk()
        self._chats = Chats(self._lease, self._desk)
        self._jobs = RunJobs(self.store, self.models, self.data, self._lease, self._desk, self._chats)
        self._worker = Worker(self._jobs.work)
        self._needs = Needs(self.store, self.models, self.data, lambda: self._worker.current)
        self._starting = threading.Lock()  # held where a run begins, and where what one needs is taken away
        self._clicks: dict[str, tuple[RunConfig, str]] = {}  # what each Start asked for, and the run that it began
        self._views = views.Views(self.models, self.data)
        if not read_only:
            self.data.sweep()
            self.models.sweep()
            self.store.recover()

    def close(self) -> None:
        """Let a running training save itself, then free the folder; while it still saves, nobody else may have it."""
        if self._worker.close(SAVE_SECONDS) and self._lock is not None:
            self._lock.release()

    def warm_up(self) -> None:
        """Import the heavy libraries in the background, so that the first run starts sooner."""
        threading.Thread(target=views.import_heavy, name="warm-up", daemon=True).start()

    # Presets and data

    def presets(self) -> list[Preset]:
        """All presets, the first-run ones first."""
        return list_presets()

    def preset(self, name: str) -> Preset:
        """One preset by its id."""
        return find_preset(name)

    def preset_fits(self) -> dict[str, Fit]:
        """Whether each preset works on this computer, by its id; what it leaves open is taken as usual."""
        models, room, card = self.models.list(), memory(), has_card()
        return {preset.id: suits(preset.config(), models, room, card) for preset in self.presets()}

    def fit(self, config: RunConfig) -> Fit:
        """The same for settings."""
        return suits(config, self.models.list(), memory(), has_card())

    def read(self, dataset_id: str) -> dict[str, Any]:
        """A data set as it was read, without any model: what it is, its columns and their use, its problems."""
        return self._views.read(dataset_id, allow_paths=self.allow_paths)

    def inspect(self, dataset_id: str, model_id: str, max_length: int, learn: str) -> dict[str, Any]:
        """Counts of a data set as a model would read it; tokenizes everything, so it may take seconds."""
        return self._views.inspect(dataset_id, model_id, max_length, learn, allow_paths=self.allow_paths)

    def sample(self, dataset_id: str, start: int, count: int) -> list[dict[str, Any]]:
        """Some rows of a data set, normalised."""
        return self._views.sample(dataset_id, start, count, allow_paths=self.allow_paths)

    def coloured(self, dataset_id: str, row: int, model_id: str, max_length: int, learn: str) -> list[Any]:
        """One row as the model sees it: pieces of text, each learned or not, cut off or not."""
        return self._views.coloured(dataset_id, row, model_id, max_length, learn, allow_paths=self.allow_paths)

    def delete_model(self, model_id: str) -> None:
        """Remove a model's folder, or the entry of one that lies elsewhere.

        Raises:
            WorkbenchError: there is none, it is shipped, or a run that waits or trains, or a merge, needs it.
        """
        with self._starting:
            self._needs.refuse_model(model_id)
            self.models.delete(model_id)

    def delete_data(self, dataset_id: str) -> None:
        """Remove one of the user's data sets. Raises as `delete_model` does."""
        with self._starting:
            self._needs.refuse_data(dataset_id)
            self.data.delete(dataset_id)

    def read_as(self, dataset_id: str, name: str) -> DatasetInfo:
        """Read one of the user's data sets in another format: see `DataLibrary.read_as`. Refused while a run needs it."""
        with self._starting:
            self._needs.refuse_data(dataset_id)
            return self.data.read_as(dataset_id, name)

    # Runs

    def check(self, config: RunConfig) -> list[Problem]:
        """Everything that would keep this run from starting."""
        return checks.check(config, self.models, self.data, self.home, allow_paths=self.allow_paths)

    def findings(self, config: RunConfig) -> list[Text]:
        """What to know of a run's data before it starts, line by line: what is not used of it, and what stands twice."""
        return findings.before_start(config, self.data, self.allow_paths)

    def unused(self, config: RunConfig) -> list[Text]:
        """The same in short: how many rows and which columns are not used, of what was read already."""
        return findings.unused(config, self.data, self.allow_paths)

    def overlap(self, config: RunConfig) -> list[Text]:
        """Whether a run also learns the rows that it is checked with; empty when it does not."""
        return findings.overlap(config, self.data, self.allow_paths)

    def forecast(self, config: RunConfig) -> Forecast:
        """Steps, time, memory and disk of a run, before it starts."""
        return checks.forecast(
            config, self.models, self.data, self.home, self.store.all(), allow_paths=self.allow_paths
        )

    def submit(self, config: RunConfig, click: str = "") -> str:
        """Queue a run; its id.

        Args:
            click: what tells one Start from another: made anew by the door for each that a person means. The same one
                again, however late and from how many threads, with the same settings, is the run that it began; "" never is.

        Raises:
            WorkbenchError: with all problems, before anything is written.
        """
        checks.refuse(self.check(config))
        with self._starting:
            config = self._with_whole_paths(config)
            asked, begun = self._clicks.get(click, (None, ""))
            if asked == config and self.is_run(begun):
                return begun
            model, loaded = checks.inputs(config, self.models, self.data, allow_paths=self.allow_paths)
            record = self.store.create(
                config,
                model_id=model.folder.name if model.shipped is False else model.id,
                dataset=Path(loaded.info.id).stem,
                data_name="" if loaded.info.shipped else str(loaded.info.name),
                dataset_fingerprint=loaded.fingerprint,
                base_fingerprint=fingerprint(model.folder),
            )
            if click:
                self._clicks[click] = (config, record.id)
                for old in list(self._clicks)[:-CLICKS_KEPT]:
                    del self._clicks[old]
            return self._enqueue(record.id)

    def stop(self, run_id: str) -> None:
        """Ask a run to save itself and stop; it can be resumed. One that waits is stopped at once; one that is over stays."""
        if self._worker.cancel(run_id) and self.store.end(run_id, "stopped", before=("queued",)):
            return
        if self.store.move(run_id, ("queued", "running"), "stopping"):
            self.store.log(run_id).append(StatusChanged("stopping"))
        self._worker.stop(run_id)

    def resume(self, run_id: str, overrides: dict[str, Any] | None = None) -> str:
        """Go on from the last checkpoint, or from the beginning when there is none yet; a finished run where it gets more to do.

        Args:
            overrides: settings to change, by dotted path; once there is a checkpoint, only how long, how often it is
                checked and saved, and the batch size may change.

        Raises:
            WorkbenchError: it cannot be resumed, or an override is not possible; nothing has changed then.
        """
        config, checkpoint = self.store.config(run_id), self.store.last_checkpoint(run_id)
        if overrides:
            if checkpoint is not None:
                checks.refuse([problem for path in overrides for problem in changes.fixed_on_resume(path)])
            config = config.changed(overrides)
            if checkpoint is not None:
                checks.refuse(changes.long_enough(config, checkpoint))
        # What an own run names was resolved when it was submitted, also where the page itself takes no paths.
        checks.refuse(checks.check(config, self.models, self.data, self.home, allow_paths=True))
        with self._starting:
            model, loaded = checks.inputs(config, self.models, self.data, allow_paths=True)
            facts: dict[str, Any] = {"error": None}
            if checkpoint is None:  # it begins anew, with what there is now
                facts |= {"dataset_fingerprint": loaded.fingerprint, "base_fingerprint": fingerprint(model.folder)}
            if not self.store.move(run_id, changes.states_to_resume(config, checkpoint), "queued", **facts):
                raise changes.nothing_to_resume(self.store.get(run_id))
            if overrides:
                self.store.save_config(run_id, config)
            return self._enqueue(run_id)

    def delete(self, run_id: str) -> None:
        """Remove a run with all that it made.

        Raises:
            WorkbenchError: it is still active, or its model is being merged.
        """
        self._needs.refuse_run(run_id)
        self.store.delete(run_id)

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        return self.store.all()

    def run(self, run_id: str) -> RunRecord:
        """One run."""
        return self.store.get(run_id)

    def damage(self, run_id: str) -> list[Text]:
        """What of a run's files cannot be read; of one whose record cannot, that record's `error` says so."""
        return self.store.damage(run_id)

    def events(self, run_id: str, after: int = 0) -> list[dict[str, Any]]:
        """What happened in a run after the event with this number."""
        return self.store.log(run_id).after(after)

    def asking(self, run_id: str) -> tuple[tuple[str, ...], int | None]:
        """The questions that a run asks its model, and after how many steps again: 0 is a tenth, None only at the end."""
        config = self.store.config(run_id)
        checked = config.data.eval or config.data.eval_share
        return tuple(config.evaluation.questions), config.evaluation.every_steps if checked else None

    def log(self, run_id: str, after_byte: int = 0) -> str:
        """What a run logged, from a byte on."""
        return views.read_log(self.store.path(run_id) / "log.txt", after_byte)

    def wait(self, run_id: str, timeout: float | None = None) -> bool:
        """Wait until a run that was submitted or resumed here is over."""
        return self._worker.wait(run_id, timeout)

    def status(self) -> Status:
        """What is loaded, what runs, how much memory is left. Cheap: asked every second by every page."""
        current = self._worker.current
        running = self.store.get(current) if current and self.is_run(current) else None
        step, total = (0, 0)
        if running is not None:
            step, total = last_step(self.store.log(running.id))
        room = memory()
        loaded = running.base_model if running else self._chats.loaded
        return Status(loaded, running, step, total, self._worker.waiting, room.used, room.total, room.device)

    # Talking and taking along

    def chat(
        self,
        target: str,
        messages: list[Message],
        *,
        tuned: bool = True,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        stop: threading.Event | None = None,
    ) -> Iterator[str]:
        """The answer of a model or of a run as it grows, each time whole.

        Args:
            target: id of a run or of a model.
            tuned: off switches the adapter of a run off: the base model answers, from the same weights.
            stop: set to end the answer.
        """
        run_id = target if self.is_run(target) else None
        sampling = {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens}
        if run_id is not None and self._desk.run_id == run_id:
            place = Target(run_id, self.store.path(run_id))
        else:
            place = self._target(target, run_id)
        return self._chats.answer(
            place, run_id, messages, tuned=tuned, sampling=sampling, stop=stop or threading.Event()
        )

    def answers_notice(self, target: str) -> Text | None:
        """What to know about the answers of a model or a run: which of its own settings they do not follow."""
        is_run = self.is_run(target)
        base = self.store.config(target).model.base if is_run else target
        model = self.models.resolve(base, allow_paths=is_run or self.allow_paths)
        return read_generation_settings(model.folder).notice()

    def is_run(self, name: str) -> bool:
        """Whether `name` is a run's id (and not a model's)."""
        try:
            self.store.path(name)
        except WorkbenchError:
            return False
        return True

    def result(self, run_id: str) -> Path:
        """The folder with what a run learned: `adapter/`, or `model/` of a full tuning.

        Raises:
            WorkbenchError: it has no result yet.
        """
        return takeaway.result(self.store, run_id)

    def export_adapter(self, run_id: str) -> Path:
        """The adapter as one zip in the run's `exports/`; it says in a README how to use it."""
        return takeaway.export_adapter(self.store, run_id, self.result(run_id), self.models, self.data)

    def merge(
        self,
        run_id: str,
        folder: Path | None = None,
        dtype: str = "auto",
        *,
        progress: Callable[[Text, int, int], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Path:
        """Base and adapter as one plain model folder. Takes as long as loading and writing the model.

        Args:
            folder: where to, on the command line; the page always writes into the run's `exports/`.
            dtype: fp32, bf16, fp16, or auto for the base model's own.
        """
        result = self.result(run_id)
        name = Text("merging {run}", "正在合并 {run}").with_(run=self.store.get(run_id).name)
        with self._lease.held_by(name, seconds=0):
            self._chats.drop()
            with self._starting:
                self._needs.merging = run_id
            try:
                return takeaway.merge_run(
                    self.store, run_id, result, self.models, self.data, folder=folder, dtype=dtype, progress=progress,
                    stop=stop,
                )  # fmt: skip
            finally:
                self._needs.merging = ""

    def _enqueue(self, run_id: str) -> str:
        self.store.log(run_id).append(StatusChanged("queued"))
        self._worker.put(run_id)
        return run_id

    def _with_whole_paths(self, config: RunConfig) -> RunConfig:
        """What was named by a path keeps working from another folder, and when the run is resumed."""
        changes: dict[str, Any] = {}
        base = self.models.resolve(config.model.base, self.allow_paths)
        if base.id != config.model.base:
            changes["model.base"] = base.id
        for key, name in (("data.train", config.data.train), ("data.eval", config.data.eval)):
            if name and name not in {info.id for info in self.data.list()}:
                changes[key] = str(self.data.resolve(name, self.allow_paths).resolve())
        return config.changed(changes) if changes else config

    def _target(self, target: str, run_id: str | None) -> Target:
        if run_id is None:
            model = self.models.resolve(target, self.allow_paths)
            return Target(model.id, model.folder)
        config = self.store.config(run_id)
        base = self.models.resolve(config.model.base, allow_paths=True)
        result, name = self.result(run_id), self.store.get(run_id).name
        quantization = config.model.quantization
        if result.name == "model":
            return Target(name, base.folder, tuned_model=result, quantization=quantization)
        return Target(name, base.folder, adapter=result, quantization=quantization)
