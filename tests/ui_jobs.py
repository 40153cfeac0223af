"""Jobs of the engine double: a zip that is there at once, and a model folder that takes ten steps."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.text import Text, same
from workbench.engine.job_views import TRAIN, JobView
from workbench.engine.names import job_status, steps_of
from workbench.engine.offers import Offer, not_cached, recommended
from workbench.hub import Reachable, Source, Tokens, make_source
from workbench.hub.push import PushPlan
from workbench.models.catalog import ModelInfo

STEPS = 10
LAST_SECONDS, STEP_SECONDS = 60, 0.2


class FakeJobs:
    """What the double of the engine says of jobs; `merges_until_stopped` makes a model folder stay at its last step."""

    home: Path

    def __init__(self) -> None:
        self.merges_until_stopped = False
        self._jobs: dict[str, JobView] = {}
        self._stops: dict[str, threading.Event] = {}
        self.tokens = Tokens()

    def start(self, kind: str, request: dict[str, Any]) -> str:
        """Begin a job."""
        number = len(self._jobs) + 1
        job_id = f"20260701-{number:06}-{kind}-0000"
        title, created = Text(f"{kind} of a run", f"{kind} 任务"), f"2026-07-01T00:00:00.{number:03}+00:00"
        job = JobView(job_id, kind, title, "running", job_status("running"), created, active=True, request=request)
        self._jobs[job_id], self._stops[job_id] = job, threading.Event()
        folder = self.home / "runs" / request["run"] / "exports"
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "zip":
            (folder / "adapter.zip").write_bytes(b"PK\x05\x06" + bytes(18))
            self._end_job(job_id, "completed", file=str(folder / "adapter.zip"))
        else:
            threading.Thread(target=self._merge, args=(job_id, folder / "merged"), daemon=True).start()
        return job_id

    def _merge(self, job_id: str, folder: Path) -> None:
        for step in range(STEPS):
            words = Text("Merging", "正在合并")
            self._jobs[job_id] = replace(self._jobs[job_id], done=step, total=STEPS, words=words)
            last = self.merges_until_stopped and step == STEPS - 1
            if self._stops[job_id].wait(LAST_SECONDS if last else STEP_SECONDS):
                self._end_job(job_id, "stopped")
                return
        folder.mkdir(exist_ok=True)
        self._end_job(job_id, "completed", folder=str(folder))

    def _end_job(self, job_id: str, status: str, **result: str) -> None:
        job = self._jobs[job_id]
        self._jobs[job_id] = replace(
            job, status=status, state=job_status(status), result=result, active=False, resumable=status == "stopped"
        )

    def offers(self, words: str = "") -> list[Offer]:
        """The recommended models whose names have the words."""
        return [offer for offer in recommended(make_source()) if words.lower() in offer.repo_id.lower()]

    def download(self, repository: str) -> str:
        """Begin a download."""
        return self.start("download", {"run": "", "repo_id": repository})

    def source(self) -> Source:
        """The Hub itself."""
        return make_source()

    def choose_source(self, kind: str, endpoint: str = "", *, offline: bool = False, proxy: str = "") -> Reachable:
        """Each answers."""
        return Reachable(True, Text(f"{make_source(kind, endpoint).name} answers.", "可以连接。"), 0.1)

    def stop_job(self, job_id: str) -> bool:
        """Stop one; False where it is none."""
        if job_id in self._stops:
            self._stops[job_id].set()
        return job_id in self._stops

    def resume_job(self, job_id: str) -> str:
        """Do one again."""
        return self.start(self._jobs[job_id].kind, dict(self._jobs[job_id].request or {}))

    def dismiss(self, job_id: str) -> None:
        """Show it no more."""
        self._jobs[job_id] = replace(self._jobs[job_id], dismissed=True)

    def wait(self, run_id: str, timeout: float | None = None) -> bool:
        """What is quick is over."""
        return not self._jobs[run_id].active

    def is_run(self, name: str) -> bool:
        """Whether it is a run's id."""
        return any(run.id == name for run in self.runs())

    def job(self, name: str) -> JobView:
        """One of them."""
        return self._jobs[name]

    def measure(self, config: RunConfig) -> str:
        """Begin trial steps."""
        return self.start("measure", {"run": "", "config": config.values()})

    def push_plan(
        self, run_id: str, repo_id: str, what: Any = "adapter", *, private: bool = True, answers: bool = True
    ) -> PushPlan:
        """Nobody is known at the Hub."""
        raise WorkbenchError(Text("there is no access token", "没有访问令牌"), code="no_token")

    def jobs(self) -> list[JobView]:
        """What trains and waits, then the others."""
        trainings = []
        for run in self.runs():
            if run.active:
                step, total = run.last_step, run.total_steps or None
                state, title = job_status(run.status, training=True), same(run.name)
                job = JobView(run.id, TRAIN, title, run.status, state, run.created, None, step, total, active=True)
                trainings.append(replace(job, words=steps_of(step, total) if total else None))
        return [*trainings, *self._jobs.values()]

    def cached_models(self) -> list[Any]:
        """Nothing lies in the Hub's cache."""
        return []

    partial_downloads = cached_models

    def model_folders(self) -> tuple[Path, ...]:
        """The home's own alone."""
        return (self.home / "models",)

    def use_cached(self, repo_id: str) -> ModelInfo:
        """It does not lie there."""
        raise not_cached(repo_id)

    def discard_download(self, name: str) -> int:
        """Nothing was left of it."""
        return 0

    def damage(self, run_id: str) -> list[Text]:
        """All of a run's files can be read."""
        return []

    def use_token(self, text: str) -> None:
        """Keep an access token."""
        self.tokens.use(text)

    def runs(self) -> Any:
        """The double's own."""
        raise NotImplementedError
