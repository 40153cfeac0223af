"""Everything that runs or waits, and what became of it, in one shape: for the page's header and for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.engine.board import Board
from workbench.engine.job_records import JobRecord
from workbench.engine.job_store import JobStore
from workbench.engine.names import job_status, steps_of
from workbench.engine.records import RESUMABLE, RunRecord, kept_error, text_of
from workbench.engine.runs import RunStore

TRAIN = "train"
MADE_KEPT = 500  # jobs whose look is kept; more than there usually are
_STOPPING = Text(
    "It saves a checkpoint first, and can be resumed from there.", "会先保存检查点，之后可以从那里继续训练。"
)
_UNKNOWN = Text("It ends as soon as it can.", "会尽快停止。")


@dataclass(frozen=True)
class JobView:
    """One job or training.

    `share` is what is done of it, between 0 and 1, or None where nobody knows; `done` and `total` are in `unit`.
    """

    id: str
    kind: str
    title: Text
    status: str
    state: Text
    created: str
    finished: str | None = None
    done: int = 0
    total: int | None = None
    unit: str = ""
    words: Text | None = None
    seconds_left: float | None = None
    error: WorkbenchError | None = None
    stopping: Text = _UNKNOWN
    result: dict[str, Any] | None = None
    request: dict[str, Any] | None = None
    resumable: bool = False
    dismissed: bool = False
    active: bool = False

    @property
    def share(self) -> float | None:
        """How much of it is done."""
        return min(self.done / self.total, 1.0) if self.total else None

    def as_dict(self, lang: str) -> dict[str, Any]:
        """For `--json`."""
        return {
            "id": self.id, "kind": self.kind, "title": self.title.to(lang), "status": self.status,
            "created": self.created, "finished": self.finished, "done": self.done, "total": self.total,
            "unit": self.unit, "words": self.words.to(lang) if self.words else None,
            "seconds_left": self.seconds_left, "result": self.result or {},
            "error": self.error.as_dict(lang) if self.error else None,
        }  # fmt: skip


class JobViews:
    """Looks at the runs and the jobs of a home."""

    def __init__(self, runs: RunStore, jobs: JobStore, board: Board) -> None:
        self._runs, self._jobs, self._board = runs, jobs, board
        self._made: dict[str, tuple[JobRecord, JobView]] = {}

    def all(self) -> list[JobView]:
        """What runs or waits, oldest first, then what is over of the jobs, newest first. Trainings that are over are runs."""
        runs = [self._training(run) for run in self._runs.all() if run.active]
        jobs = [self._job(job) for job in self._jobs.all()]
        active = sorted((one for one in [*runs, *jobs] if one.active), key=lambda one: (one.status == "queued", one.id))
        return [*active, *(one for one in jobs if not one.active)]

    def get(self, name: str) -> JobView:
        """One of them."""
        if self._runs.is_folder(name):
            return self._training(self._runs.get(name))
        return self._job(self._jobs.get(name))

    def _training(self, run: RunRecord) -> JobView:
        event = self._runs.log(run.id).last("metrics") if run.active else None
        step, total = (event["step"], event["total_steps"]) if event else (run.last_step, run.total_steps)
        working = run.status == "running"
        return JobView(
            run.id,
            TRAIN,
            Text("Training of {run}", "训练 {run}").with_(run=run.name),
            run.status,
            job_status(run.status, training=True),
            run.created,
            run.finished,
            step,
            total or None,
            words=steps_of(step, total) if total and run.active else None,
            seconds_left=event.get("seconds_left") if event and working else None,
            error=kept_error(run.error) if run.error else None,
            stopping=_STOPPING,
            resumable=run.resumable,
            active=run.active,
        )

    def _job(self, job: JobRecord) -> JobView:
        """A job, made anew only when its record is another one: pages look each second, at all that is over, too."""
        made = self._made.get(job.id)
        if made is None or made[0] is not job:
            if len(self._made) > MADE_KEPT:
                self._made.clear()
            made = self._made[job.id] = (job, self._of_record(job))
        return made[1]

    def _of_record(self, job: JobRecord) -> JobView:
        kind = self._board.kinds.get(job.kind)
        return JobView(
            job.id,
            job.kind,
            text_of(job.title),
            job.status,
            job_status(job.status),
            job.created,
            job.finished,
            job.done,
            job.total,
            job.unit,
            text_of(job.words) if job.words else None,
            job.seconds_left if job.status == "running" else None,
            kept_error(job.error) if job.error else None,
            kind.stopping if kind else _UNKNOWN,
            job.result,
            job.request,
            job.status in RESUMABLE and kind is not None,
            job.dismissed,
            job.active,
        )
