"""The board: everything long that runs or waits in a home, whichever process does it, and the lanes in which it is done here.

A training is known by its run, everything else by a job's folder; both are started, listed, stopped and resumed here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.problems import problems_of
from workbench.config.text import Text
from workbench.engine import control, heavy
from workbench.engine.boundary import ENDINGS, logger
from workbench.engine.events import ProblemFound, StatusChanged
from workbench.engine.job_records import JobRecord
from workbench.engine.job_store import JobStore
from workbench.engine.jobs import discover
from workbench.engine.jobs.base import LANES, Job, JobKind, Lane, Tools
from workbench.engine.lease import Lease
from workbench.engine.names import WAITS
from workbench.engine.owners import Owners
from workbench.engine.record_store import RecordStore, now_iso
from workbench.engine.records import RESUMABLE, kept_error, text_of
from workbench.engine.run_jobs import RunJobs
from workbench.engine.runlog import keep, run_log
from workbench.engine.worker import Worker


class Board:
    """Starts, stops and carries out jobs.

    Args:
        free: gives back the memory of what is loaded for chats; called while the device's lease is held.
    """

    def __init__(
        self, tools: Tools, jobs: JobStore, runs: RunJobs, owners: Owners, lease: Lease, free: Callable[[], None]
    ) -> None:
        self.kinds = discover()
        self._tools, self._store, self._runs, self._owners = tools, jobs, runs, owners
        self._lease, self._free = lease, free
        self._owning = threading.RLock()  # held where a turn is put in, and where one ends
        self._closing = False
        self._lanes: dict[Lane, Worker] = {
            lane: Worker(self._work, threads, "training" if lane == "device" else lane)
            for lane, threads in LANES.items()
        }
        self._listener = control.Listener(self._obey)

    # Starting

    def start(self, kind: str, request: dict[str, Any]) -> str:
        """Queue a job; its id.

        Raises:
            WorkbenchError: there is no such kind, or it cannot do what is asked for; nothing was written then.
        """
        job_kind = self._kind(kind)
        asked = self._asked(job_kind, request)
        job_kind.check(self._tools, asked)
        self._store.trim()
        title = job_kind.title(self._tools, asked)
        with self._owning:
            record = self._store.create(kind, job_kind.lane, title, asked.model_dump(mode="json"))
            self._put(self._store, record.id, job_kind.lane)
        return record.id

    def resume(self, job_id: str) -> str:
        """Do a job again that did not come to its end: it goes on from what it left, where it left something."""
        record = self._store.get(job_id)
        job_kind = self._kind(record.kind)
        job_kind.check(replace(self._tools, allow_paths=True), self._asked(job_kind, record.request))
        with self._owning:
            facts = {"error": None, "finished": None, "words": None, "seconds_left": None, "dismissed": False}
            if not self._owners.claim(job_id) or not self._store.move(job_id, RESUMABLE, "queued", **facts):
                self._release_idle(job_id)
                raise WorkbenchError(
                    Text("this job does not have to be resumed", "这个任务无需继续"),
                    Text("Start a new one where it is to be done once more.", "如需再做一次，请新建任务。"),
                    code="not_resumable",
                )
            self._put(self._store, job_id, job_kind.lane)
        return job_id

    def put_run(self, run_id: str, move: Callable[[], bool] = lambda: True) -> bool:
        """Queue a training whose record says `queued`; `move` sets that state, and may find that it is not to be set.

        Raises:
            WorkbenchError: another process has it.
        """
        with self._owning:
            if not self._owners.claim(run_id):
                raise WorkbenchError(
                    Text("another window or terminal works on this run", "另一个窗口或终端正在处理这个运行"),
                    Text("Wait until it is done there.", "请等它在那边完成。"),
                    code="active",
                )
            if not move():
                self._release_idle(run_id)
                return False
            self._put(self._tools.store, run_id, "device")
            return True

    def _put(self, store: RecordStore[Any], name: str, lane: Lane) -> None:
        store.log(name).append(StatusChanged("queued"))
        self._listener.add(name, store.path(name))
        self._lanes[lane].put(name)

    def _kind(self, kind: str) -> JobKind:
        if kind not in self.kinds:
            raise WorkbenchError(
                Text("there is no job of the kind '{kind}'", "没有“{kind}”这种任务").with_(kind=kind[:40]),
                Text("Update the workbench, or delete this job.", "请更新工作台，或删除这个任务。"),
                code="no_kind",
            )
        return self.kinds[kind]

    @staticmethod
    def _asked(kind: JobKind, request: dict[str, Any]) -> Any:
        try:
            return kind.asks.model_validate(request)
        except ValidationError as error:
            problems = tuple(problems_of(error, kind.asks))
            first = problems[0]
            raise WorkbenchError(first.message, first.hint, first.field, problems=problems) from error

    # Stopping

    def stop(self, name: str) -> None:
        """Ask a job or a training to stop, in whichever process it is; one that waits is stopped at once, one that is over stays."""
        store = self._store_of(name)
        record = store.get(name)
        if not record.active:
            return
        if not self._owners.mine(name):
            control.say(store.path(name), control.STOP)
            return
        if self._cancel(name) and store.end(name, "stopped", before=("queued",)):
            self._over(name)
            return
        if store.move(name, ("queued", "running"), "stopping"):
            store.log(name).append(StatusChanged("stopping"))
        for lane in self._lanes.values():
            lane.stop(name)

    def _cancel(self, name: str) -> bool:
        return any(lane.cancel(name) for lane in self._lanes.values())

    def _obey(self, name: str, word: str) -> None:
        if word == control.STOP:
            try:
                self.stop(name)
            except (WorkbenchError, OSError):
                logger.exception("%s could not be stopped", name)

    # Looking

    def job(self, job_id: str) -> JobRecord:
        """One job that is no training."""
        return self._store.get(job_id)

    def jobs(self) -> list[JobRecord]:
        """All of them, newest first."""
        return self._store.all()

    def dismiss(self, job_id: str) -> None:
        """Show one that is over no more; its record stays. One that cannot be read is deleted, since nothing needs it."""
        record = self._store.get(job_id)
        if record.damaged:
            self._store.delete(job_id)
        elif not record.active:
            self._store.update(job_id, dismissed=True)

    def needed_runs(self) -> dict[str, JobRecord]:
        """The runs that jobs still need, with one of these jobs each."""
        needed: dict[str, JobRecord] = {}
        for record in self._store.all():
            if not record.active or record.kind not in self.kinds:
                continue
            kind = self.kinds[record.kind]
            with contextlib.suppress(
                WorkbenchError
            ):  # what it was asked for cannot be read: it fails before it needs any
                needed |= dict.fromkeys(kind.runs(self._asked(kind, record.request)), record)
        return needed

    @property
    def current(self) -> str | None:
        """The training or the job that has the device in this process, whatever has become of its record."""
        return next(iter(self._lanes["device"].running), None)

    def wait(self, name: str, timeout: float | None = None) -> bool:
        """Wait until something that was put in here is over."""
        lane = next((lane for lane in self._lanes.values() if lane.has(name)), None)
        return lane is None or lane.wait(name, timeout)

    def close(self, timeout: float) -> bool:
        """Stop what runs (a training saves) and end the threads; False when something still works after `timeout` seconds."""
        self._closing = True
        over = [lane.close(timeout) for lane in self._lanes.values()]  # each of them is asked, whatever the others do
        return all(over)

    # Carrying out

    def _store_of(self, name: str) -> RecordStore[Any]:
        return self._tools.store if self._tools.store.is_folder(name) else self._store

    def _work(self, name: str, stop: threading.Event) -> None:
        try:
            if self._tools.store.is_folder(name):
                self._runs.work(name, stop)
            else:
                self._carry_out(name, stop)
        finally:
            self._over(name)

    def _over(self, name: str) -> None:
        """A turn of it has ended: own it no more, unless it has another one."""
        with self._owning:
            if not any(lane.has_another(name) for lane in self._lanes.values()):
                self._listener.drop(name)
                self._owners.release(name)

    def _release_idle(self, name: str) -> None:
        """Own nothing that neither waits nor is worked on here."""
        if not any(lane.has(name) for lane in self._lanes.values()):
            self._owners.release(name)

    def _carry_out(self, job_id: str, stop: threading.Event) -> None:
        """The job boundary: it alone catches everything, and says what it means."""
        store = self._store
        try:
            with run_log(store.path(job_id) / "log.txt"):
                try:
                    result = self._done(job_id, stop)
                    facts: dict[str, Any] = {"result": result, "words": None, "seconds_left": None}
                    store.end(job_id, "completed", **facts)
                except StopRequested:
                    # What was only cut short by the end of the program is offered again.
                    store.end(job_id, "interrupted" if self._closing else "stopped", seconds_left=None)
                except ENDINGS as error:
                    logger.error("the job failed", exc_info=error)
                    self._fail(job_id, error, store.path(job_id))
        except ENDINGS as error:  # the log could not be opened, or the end not be written
            logger.exception("the end of %s could not be written", job_id)
            self._fail(job_id, error, store.folder)

    def _done(self, job_id: str, stop: threading.Event) -> dict[str, Any]:
        store, record = self._store, self._store.get(job_id)
        kind = self._kind(record.kind)
        if stop.is_set():
            raise StopRequested

        def report(values: dict[str, Any], write: bool) -> None:
            (store.update if write else store.keep)(job_id, **values)

        request = self._asked(kind, record.request)
        job = Job(job_id, request, store.path(job_id), self._tools, stop, report)
        if kind.lane != "device":
            self._begin(job_id)
            return kind.work(job)

        def wait(holder: Text) -> None:
            store.update(job_id, words=WAITS.with_(holder=holder).as_dict())

        with self._lease.held_by(text_of(record.title), stop=stop, waiting=wait):
            self._free()
            self._begin(job_id)
            heavy.ready()
            return kind.work(job)

    def _begin(self, job_id: str) -> None:
        if not self._store.move(job_id, ("queued",), "running", started=now_iso(), finished=None, words=None):
            raise StopRequested  # Stop came first
        self._store.log(job_id).append(StatusChanged("running"))

    def _fail(self, job_id: str, error: BaseException, place: Path) -> None:
        kept = keep(error, place)
        error.__traceback__ = None  # its frames would keep a model in memory
        try:
            self._store.log(job_id).append(ProblemFound(kept["message"], kept.get("hint"), kept.get("field")))
            self._store.end(job_id, "failed", error=kept, seconds_left=None)
        except (OSError, WorkbenchError):  # a full disk: it is marked at the next start
            logger.exception("the job's failure could not be written")


def failure(record: JobRecord) -> Exception | None:
    """Why a job did not come to its end, to raise; None where it did."""
    if record.status == "completed":
        return None
    if record.error is not None:
        return kept_error(record.error)
    return StopRequested()
