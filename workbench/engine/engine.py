"""`Engine`: the one engine of this process, and the only class that the page and the command line call.

Everything it is given by name (models, data sets, runs) it looks up inside its own folders; paths are accepted only where
`allow_paths` says so (the command line). Its methods may be called from any thread and return at once unless they say
otherwise. Nothing heavy is imported until something is loaded or trained.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

from workbench.config.presets import Preset
from workbench.config.run import RunConfig
from workbench.data.library import DataLibrary, DatasetInfo
from workbench.data.turns import Message
from workbench.engine import changes, checks, heavy, pushing, views
from workbench.engine.board import Board, failure
from workbench.engine.chats import Chats, Target
from workbench.engine.desk import Desk
from workbench.engine.drafts import Drafts
from workbench.engine.events import last_step
from workbench.engine.hardware import memory
from workbench.engine.job_store import JobStore
from workbench.engine.job_views import JobView, JobViews
from workbench.engine.jobs import measure
from workbench.engine.jobs.base import Tools
from workbench.engine.keeping import made_models
from workbench.engine.lease import Lease
from workbench.engine.needs import Needs
from workbench.engine.owners import FOLDER, Owners
from workbench.engine.preset_shelf import PresetShelf
from workbench.engine.run_jobs import RunJobs
from workbench.engine.runs import RunStore
from workbench.engine.supply import Supply
from workbench.engine.views import Status
from workbench.hub import Tokens
from workbench.hub.push import PushPlan
from workbench.methods import METHODS
from workbench.models.catalog import ModelCatalog
from workbench.models.fingerprint import fingerprint
from workbench.models.labels import talks

CLICKS_KEPT = 256  # the newest Starts that are known again
SAVE_SECONDS = 60.0  # how long closing waits for a running training to save itself


class Engine(Supply):
    """Models, data, runs and answers of one home folder.

    Args:
        home: where everything is kept; made when absent. Several processes may work in one: the page, and commands.
        allow_paths: whether models and data may be named by a path, too.
        read_only: only look (list, show), and start nothing.

    Raises:
        WorkbenchError: the folder cannot be written.
    """

    def __init__(self, home: Path, *, allow_paths: bool = False, read_only: bool = False) -> None:
        self.home = Path(home).expanduser().resolve()
        self.allow_paths = allow_paths
        self._owners = Owners(self.home)
        alone = not read_only and self._owners.enter()
        self.store = RunStore(self.home / "runs", self._owners, read_only=read_only)
        self.models = ModelCatalog(self.home, made=lambda: made_models(self.store))
        self.data = DataLibrary(self.home)
        self.shelf = PresetShelf(self.home / "presets")
        self.drafts = Drafts(self.home / "drafts")
        jobs = JobStore(self.home / "jobs", self._owners, read_only=read_only)
        self._lease, self._desk = Lease(self.home / FOLDER), Desk()
        self._chats = Chats(self._lease, self._desk)
        runs = RunJobs(self.store, self.models, self.data, self._lease, self._desk, self._chats)
        self.tokens = Tokens()
        self._tools = tools = Tools(self.home, self.store, self.models, self.data, self.tokens, allow_paths)
        self._board = Board(tools, jobs, runs, self._owners, self._lease, self._chats.drop)
        self._needs = Needs(self.store, self.models, self.data, self._board)
        self._clicks: dict[str, tuple[RunConfig, str]] = {}  # what each Start asked for, and the run that it began
        self._views = views.Views(self.models, self.data)
        self._board_views = JobViews(self.store, jobs, self._board)
        if alone:  # else somebody may be making what would be swept
            self.data.sweep()
            self.models.sweep()
        if not read_only:
            self.store.recover(alone=alone)
            jobs.recover(alone=alone)

    def close(self) -> None:
        """Let a running training save itself, then go; while it still saves, nobody else may have what it works on."""
        if self._board.close(SAVE_SECONDS):
            self._owners.leave()

    def warm_up(self) -> None:
        """Import the heavy libraries in the background, so that the first run starts sooner."""
        heavy.warm_up()

    # Models and data

    def delete_model(self, model_id: str) -> None:
        """Remove a model's folder, or the entry of one that lies elsewhere.

        Raises:
            WorkbenchError: there is none, it is shipped, or a run that waits or trains, or a merge, needs it.
        """
        with self._owners.beginning():
            self._needs.refuse_model(model_id)
            self.models.delete(model_id)

    def delete_data(self, dataset_id: str) -> None:
        """Remove one of the user's data sets. Raises as `delete_model` does."""
        with self._owners.beginning():
            self._needs.refuse_data(dataset_id)
            self.data.delete(dataset_id)

    def read_as(self, dataset_id: str, name: str) -> DatasetInfo:
        """Read one of the user's data sets in another format: see `DataLibrary.read_as`. Refused while a run needs it."""
        with self._owners.beginning():
            self._needs.refuse_data(dataset_id)
            return self.data.read_as(dataset_id, name)

    def save_preset(self, name: str, config: RunConfig) -> Preset:
        """Keep settings as a preset of a person's own: see `PresetShelf.save`."""
        return self.shelf.save(name, config)

    def add_preset(self, content: bytes, file: str) -> Preset:
        """Keep the settings of a YAML file as one: see `PresetShelf.add`."""
        return self.shelf.add(content, file)

    def delete_preset(self, preset_id: str) -> None:
        """Remove a preset of a person's own: see `PresetShelf.delete`."""
        self.shelf.delete(preset_id)

    # Runs

    def submit(self, config: RunConfig, click: str = "") -> str:
        """Queue a run; its id.

        Args:
            click: what tells one Start from another: made anew by the door for each that a person means. The same one
                again, however late and from how many threads, with the same settings, is the run that it began; "" never is.

        Raises:
            WorkbenchError: with all problems, before anything is written.
        """
        checked = checks.check(config, self.models, self.data, self.home, allow_paths=self.allow_paths)
        checks.refuse(checked.problems)
        with self._owners.beginning():
            config = self._with_whole_paths(config, checked)
            asked, begun = self._clicks.get(click, (None, ""))
            if asked == config and self.is_run(begun):
                return begun
            model, loaded = checks.inputs(config, self.models, self.data, allow_paths=self.allow_paths, checked=checked)
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
            self._board.put_run(record.id)
            return record.id

    def stop(self, name: str) -> None:
        """Ask a run or a job to stop, whichever process does it; one that waits is stopped at once, one that is over stays.

        A run saves itself and can be resumed.
        """
        self._board.stop(name)

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
        checked = checks.check(config, self.models, self.data, self.home, allow_paths=True)
        checks.refuse(checked.problems)
        with self._owners.beginning():
            model, loaded = checks.inputs(config, self.models, self.data, allow_paths=True, checked=checked)
            facts: dict[str, Any] = {"error": None}
            if checkpoint is None:  # it begins anew, with what there is now
                facts |= {"dataset_fingerprint": loaded.fingerprint, "base_fingerprint": fingerprint(model.folder)}
            states = changes.states_to_resume(config, checkpoint)

            def move() -> bool:
                moved = self.store.move(run_id, states, "queued", **facts)
                if moved and overrides:
                    self.store.save_config(run_id, config)
                return moved

            if not self._board.put_run(run_id, move):
                raise changes.nothing_to_resume(self.store.get(run_id))
            return run_id

    def delete(self, run_id: str) -> None:
        """Remove a run with all that it made.

        Raises:
            WorkbenchError: it is still active, or a job needs it.
        """
        with self._owners.beginning():
            self._needs.refuse_run(run_id)
            self.store.delete(run_id)

    def wait(self, run_id: str, timeout: float | None = None) -> bool:
        """Wait until a run or a job that was begun here is over."""
        return self._board.wait(run_id, timeout)

    def status(self) -> Status:
        """What is loaded, what runs, how much memory is left. Cheap: asked every second by every page."""
        current, runs = self._board.current, self.store.all()
        running = self.store.get(current) if current and self.is_run(current) else None
        if running is None:  # in another process
            running = next((run for run in runs if run.status in ("running", "stopping")), None)
        step, total = (0, 0)
        if running is not None:
            step, total = last_step(self.store.log(running.id))
        room = memory()
        loaded = running.base_model if running else self._chats.loaded
        waiting = sum(run.status == "queued" for run in runs)
        return Status(loaded, running, step, total, waiting, room.used, room.total, room.device)

    # Jobs

    def start(self, kind: str, request: dict[str, Any]) -> str:
        """Queue a job of a kind (`engine/jobs/`); its id.

        Raises:
            WorkbenchError: it cannot be done; nothing was written then.
        """
        with self._owners.beginning():
            return self._board.start(kind, request)

    def measure(self, config: RunConfig) -> str:
        """Queue trial steps of a run, which say how long it will take here; the job's id. Those that go on stay the only ones.

        Raises:
            WorkbenchError: such a run could not start.
        """
        request = {"config": config.values()}
        with self._owners.beginning():
            for job in self._board.jobs():
                if job.active and (job.kind, job.request) == (measure.KIND, request) and self._owners.mine(job.id):
                    return job.id
            return self._board.start(measure.KIND, request)

    def resume_job(self, job_id: str) -> str:
        """Do a job again that was stopped, interrupted or failed."""
        with self._owners.beginning():
            return self._board.resume(job_id)

    def finish(self, job_id: str) -> dict[str, Any]:
        """Wait until a job that was begun here is over; what came of it. Raises why it did not come to its end."""
        self._board.wait(job_id)
        record = self._board.job(job_id)
        error = failure(record)
        if error is not None:
            raise error
        return record.result

    def push_plan(
        self, run_id: str, repo_id: str, what: Any = "adapter", *, private: bool = True, answers: bool = True
    ) -> PushPlan:
        """What uploading a run's result would send, where to, and who would see it; up to ten seconds."""
        return pushing.plan_of(self._tools, run_id, what, repo_id, private=private, answers=answers)

    def jobs(self) -> list[JobView]:
        """Everything that runs or waits, trainings too, and what other jobs came to, newest first."""
        return self._board_views.all()

    def job(self, name: str) -> JobView:
        """One job or one training."""
        return self._board_views.get(name)

    def dismiss(self, job_id: str) -> None:
        """Show a job that is over no more."""
        self._board.dismiss(job_id)

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
    ) -> Generator[str, None, None]:
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

    def export_adapter(self, run_id: str) -> Path:
        """The adapter as one zip in the run's `exports/`, made by a job that is waited for."""
        return Path(self.finish(self.start("zip", {"run": run_id}))["file"])

    def merge(self, run_id: str, folder: Path | None = None, dtype: str = "auto") -> Path:
        """Base and adapter as one plain model folder, made by a job that is waited for.

        Args:
            folder: where to, on the command line; the page always writes into the run's `exports/`.
            dtype: fp32, bf16, fp16, or auto for the base model's own.
        """
        place = None if folder is None else str(Path(folder).expanduser().absolute())
        return Path(self.finish(self.start("merge", {"run": run_id, "folder": place, "dtype": dtype}))["folder"])

    def _with_whole_paths(self, config: RunConfig, checked: checks.Checked) -> RunConfig:
        """What was named by a path keeps working from another folder, and when the run is resumed."""
        changes: dict[str, Any] = {}
        if checked.model is not None and checked.model.id != config.model.base:
            changes["model.base"] = checked.model.id
        for key, name in (("data.train", config.data.train), ("data.eval", config.data.eval)):
            if name and name not in {info.id for info in self.data.list()}:
                changes[key] = str(self.data.resolve(name, self.allow_paths).resolve())
        return config.changed(changes) if changes else config

    def _target(self, target: str, run_id: str | None) -> Target:
        if run_id is None:
            model = self.models.resolve(target, self.allow_paths)
            return Target(model.id, model.folder, task=talks(model.folder, model.writes))
        config = self.store.config(run_id)
        base = self.models.resolve(config.model.base, allow_paths=True)
        result, name = self.result(run_id), self.store.get(run_id).name
        quantization, task = config.model.quantization, METHODS[config.method.kind].task
        if result.name == "model":
            return Target(name, base.folder, tuned_model=result, quantization=quantization, task=task)
        return Target(name, base.folder, adapter=result, quantization=quantization, task=task)
