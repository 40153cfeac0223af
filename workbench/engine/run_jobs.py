"""A training on its lane: from `queued` to its last state, whatever happens on the way.

This is the job boundary: it alone catches everything, says what it means, keeps the traceback in the run's log, and gives
the device back.
"""

from __future__ import annotations

import contextlib
import math
import threading
from typing import TYPE_CHECKING, Any

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.presets import dump
from workbench.config.text import Text, same
from workbench.data.formats import FORMAT_NAMES
from workbench.data.library import DataLibrary, Loaded
from workbench.engine import checkpoints, heavy
from workbench.engine.boundary import ENDINGS, logger
from workbench.engine.chats import Chats, free_memory
from workbench.engine.desk import Desk
from workbench.engine.events import Event, Metrics, ProblemFound, Stage, StatusChanged, last_step
from workbench.engine.history import History
from workbench.engine.lease import Lease
from workbench.engine.names import WAITS
from workbench.engine.record_store import now_iso
from workbench.engine.records import RunRecord
from workbench.engine.runlog import keep, run_log
from workbench.engine.runs import RunStore
from workbench.engine.verdict import judge, taught_answers
from workbench.models.catalog import ModelCatalog
from workbench.models.fingerprint import fingerprint

if TYPE_CHECKING:
    from workbench.engine.training import Outcome, TrainingJob


class RunJobs:
    """Carries runs through; `work` is what the worker thread calls."""

    def __init__(
        self, store: RunStore, models: ModelCatalog, data: DataLibrary, lease: Lease, desk: Desk, chats: Chats
    ) -> None:
        self._store, self._models, self._data = store, models, data
        self._lease, self._desk, self._chats = lease, desk, chats

    def work(self, run_id: str, stop: threading.Event) -> None:
        """Train one run. Never raises: what goes wrong becomes the run's state and its error."""
        try:
            with run_log(self._store.path(run_id) / "log.txt"):
                self._carry_out(run_id, stop)
        except ENDINGS as error:  # the log itself could not be opened, or the end not be written
            self._fail(run_id, error)

    def _carry_out(self, run_id: str, stop: threading.Event) -> None:
        try:
            name = Text("training of {name}", "正在训练 {name}").with_(name=self._store.get(run_id).name)

            def wait(holder: Text) -> None:
                self._store.log(run_id).append(Stage("waiting", WAITS.with_(holder=holder).as_dict()))

            with self._lease.held_by(name, stop=stop, waiting=wait):
                self._chats.drop()
                self._train(run_id, stop)
        except StopRequested:
            self._finish(run_id, "stopped")
        except ENDINGS as error:  # the job boundary
            self._fail(run_id, error)
        finally:
            self._desk.run_id = None
            self._desk.serve(None, None)  # who still waits is told that the model is gone
            free_memory()

    def _train(self, run_id: str, stop: threading.Event) -> None:
        if stop.is_set():
            raise StopRequested
        self._store.drop_half_checkpoints(run_id)
        choice = checkpoints.choose(self._store.checkpoints(run_id))
        checkpoint = choice.checkpoint
        step = checkpoints.step_of(checkpoint) if checkpoint else None
        if not self._store.move(run_id, ("queued",), "running", started=now_iso(), finished=None, error=None):
            raise StopRequested  # Stop came first
        self._store.log(run_id).append(StatusChanged("running", from_step=step))
        for passed_over in choice.problems():
            self._store.log(run_id).append(ProblemFound(passed_over.as_dict()))
        checkpoints.remove_damaged(choice)
        job = self._job(run_id, stop, checkpoint)
        from workbench.engine.training import train

        logger.info("training begins at step %s", step or 0)
        try:
            outcome = train(job)
            logger.info("training ended at step %d of %d", outcome.step, outcome.total_steps)
        finally:  # last: people read a log from its beginning, for what happened
            logger.info("these were the settings:\n%s", dump(job.config))
        self._judge(job, run_id, outcome)
        self._finish(run_id, "stopped" if outcome.stopped else "completed", outcome)

    def _job(self, run_id: str, stop: threading.Event, checkpoint: Any) -> TrainingJob:
        heavy.ready()
        from workbench.engine.training import TrainingJob, check_rows

        config = self._store.config(run_id)
        base = self._models.resolve(config.model.base, allow_paths=True)
        loaded = self._data.load(config.data.train, allow_paths=True)
        _check_unchanged(self._store.get(run_id), loaded, fingerprint(base.folder))
        check_rows(loaded.examples)
        other = self._data.load(config.data.eval, allow_paths=True) if config.data.eval else None
        return TrainingJob(
            config=config,
            folder=self._store.path(run_id),
            base=base.folder,
            base_name=base.id if "/" not in base.id and "\\" not in base.id else base.folder.name,
            examples=loaded.examples,
            evaluation=other.examples if other else None,
            sets=(loaded, other),
            emit=_Reporter(self._store, self._desk, run_id),
            stop=stop,
            checkpoint=checkpoint,
            desk=self._desk,
        )

    def _judge(self, job: TrainingJob, run_id: str, outcome: Outcome) -> None:
        """Say what the run shows, before its last state; a run that came to its end stays so, should this fail."""
        log, config = self._store.log(run_id), job.config
        try:
            taught = taught_answers(job.examples, config.evaluation.questions)
            shown = History.of(log.after())
            size = self._models.resolve(config.model.base, allow_paths=True).parameters
            verdict = judge(
                shown, config, stopped=outcome.stopped, changed=outcome.learned, taught=taught, parameters=size
            )
            log.append(verdict)
        except Exception:
            logger.exception("what the run shows could not be told")

    def _finish(self, run_id: str, status: str, outcome: Outcome | None = None) -> None:
        facts: dict[str, Any] = {}
        if outcome is not None:
            facts |= {"last_step": outcome.step, "total_steps": outcome.total_steps}
            facts |= {"has_result": True, "learned": outcome.learned}
            # A run that was resumed after its last step has no new numbers.
            facts |= {
                key: value
                for key, value in (("train_loss", outcome.loss), ("eval_loss", outcome.eval_loss))
                if value is not None
            }
            facts["tokens_per_second"] = _typical_speed(self._store.log(run_id).after())
        self._store.end(run_id, status, **facts)

    def _fail(self, run_id: str, error: BaseException) -> None:
        logger.error("the run failed", exc_info=error)
        kept = keep(error, self._store.folder)
        with contextlib.suppress(WorkbenchError, OSError):
            self._store.tidy(run_id)  # first: half a checkpoint may be what fills the disk
        # No local names with the traceback's frames: they would keep the model in memory.
        error.__traceback__ = None
        try:
            self._store.log(run_id).append(ProblemFound(kept["message"], kept.get("hint"), kept.get("field")))
            step, total = last_step(self._store.log(run_id))
            self._store.end(run_id, "failed", error=kept, last_step=step, total_steps=total)
        except (OSError, WorkbenchError):
            # A full disk: recovery marks the run at the next start.
            logger.exception("the run's failure could not be written")


def _check_unchanged(record: RunRecord, loaded: Loaded, base: str) -> None:
    """Refuse to train with another data set or base model than the run was begun with, or than its checkpoint was made with."""
    if not _same_data(record.dataset_fingerprint, loaded):
        raise _data_changed(str(record.dataset_fingerprint), loaded)
    if record.base_fingerprint not in (None, base):
        raise WorkbenchError(
            Text("the base model has changed since this run began", "基座模型在这个运行开始之后被改动过"),
            Text(
                "Put the old model back, or start a new run with the new one.",
                "请恢复原来的模型，或用新模型开始新的运行。",
            ),
            field="model.base",
            code="base_changed",
        )


def _same_data(before: str | None, loaded: Loaded) -> bool:
    """Whether a set is what it was; earlier versions noted a reading also where it was the one that is taken anyway."""
    return before in (None, loaded.fingerprint, f"{loaded.fingerprint}-{loaded.usual}")


def _data_changed(before: str, loaded: Loaded) -> WorkbenchError:
    message = Text("the training data has changed since this run began", "训练数据在这个运行开始之后被改动过")
    hint = Text(
        "Put the old data back, or start a new run with the new data.", "请恢复原来的数据，或用新数据开始新的运行。"
    )
    content, _, reading = before.partition("-")
    if content == loaded.fingerprint.partition("-")[0]:  # the file is the same
        name = {"name": FORMAT_NAMES.get(reading or loaded.usual, same(reading))}
        now = {"now": FORMAT_NAMES[loaded.info.format], "set": loaded.info.name}
        message = Text(
            "the training data {set} was read as “{name}” when this run began, and is read as “{now}” now",
            "这个运行开始时，训练数据“{set}”读作“{name}”，现在读作“{now}”",
        ).with_(**name, **now)
        hint = Text(
            "Choose “{name}” at “Read as” on the Data tab and press Resume again, or start a new run.",
            "请在“数据”页的“读取方式”中选回“{name}”，再点“继续训练”；也可以开始新的运行。",
        ).with_(**name)
    return WorkbenchError(message, hint, field="data.train", code="data_changed")


class _Reporter:
    """Takes a training's events: into the log, and the last step into the record now and then."""

    def __init__(self, store: RunStore, desk: Desk, run_id: str) -> None:
        self._store, self._desk, self._run_id = store, desk, run_id
        self._log = store.log(run_id)

    def __call__(self, event: Event) -> None:
        self._log.append(event)
        if isinstance(event, Metrics):
            self._desk.run_id = self._run_id
            if event.eval_loss is not None and math.isfinite(event.eval_loss):
                changes = {"last_step": event.step, "total_steps": event.total_steps, "eval_loss": event.eval_loss}
                self._store.update(self._run_id, **changes)


def _typical_speed(events: list[dict[str, Any]]) -> float | None:
    """Median tokens per second of a run's steps."""
    speeds = sorted(event["tokens_per_second"] for event in events if event.get("tokens_per_second"))
    return round(speeds[len(speeds) // 2], 1) if speeds else None
