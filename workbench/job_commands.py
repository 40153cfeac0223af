"""`python -m workbench jobs`, and how a command carries out a job: told on stderr, ended by Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from workbench.commands import LOOK, Result
from workbench.config.disk import disk_errors
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.signals import heard
from workbench.config.text import Text, size
from workbench.engine import Engine
from workbench.engine.job_views import JobView

SHOWN = 20  # jobs that are over, in a list


def jobs(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """List what runs and waits, show one, or ask one to stop, whichever process does it."""
    engine = Engine(options.home, allow_paths=True, read_only=True)
    if options.action == "list":
        found = engine.jobs()
        over = [one for one in found if not one.active][:SHOWN]
        found = [one for one in found if one.active] + over
        return Result({"jobs": [one.as_dict(lang) for one in found]}, "\n".join(line(one, lang) for one in found)), 0
    job = engine.job(options.job)
    if options.action == "cancel":
        if not job.active:
            raise WorkbenchError(
                Text("this job is over: {state}", "这个任务已经结束：{state}").with_(state=job.state),
                code="not_active",
            )
        engine.stop(job.id)
        return Result({"id": job.id, "asked": True}, job.stopping.to(lang)), 0
    shown = {**job.as_dict(lang), "error": job.error.to(lang) if job.error else None}
    words = [f"{key}: {value}" for key, value in shown.items() if value not in (None, {}, "")]
    return Result(job.as_dict(lang), "\n".join(words)), 0


def line(job: JobView, lang: str) -> str:
    """A job in the list, one line, its id first."""
    words = [job.id, job.state.to(lang), job.title.to(lang)]
    if job.active:
        words += [far(job), job.words.to(lang) if job.words else ""]
    if job.error is not None:
        words.append(job.error.message.to(lang))
    return "  ".join(word for word in words if word)


def far(job: JobView) -> str:
    """How far a job is, as "3/5" or "1.2 GB/3.1 GB"; empty where nobody knows."""
    if not job.total:
        return ""
    if job.unit == "bytes":
        return f"{size(job.done)}/{size(job.total)}"
    return f"{job.done}/{job.total}"


def carried_out(engine: Engine, job_id: str, lang: str) -> dict[str, Any]:
    """Wait for a job that was begun here, and tell on stderr how it goes; Ctrl-C stops it.

    Returns:
        what came of it.

    Raises:
        WorkbenchError: it failed.
        StopRequested: it was stopped.
    """
    told = ""
    with heard() as asked:
        stopped = over = False
        while not over:
            over = engine.wait(job_id, LOOK)
            if asked() and not stopped:
                stopped = True
                engine.stop(job_id)
            job = engine.job(job_id)
            said = f"{far(job)} {job.words.to(lang) if job.words else ''}".strip()
            if said and said != told:
                told = said
                print(said, file=sys.stderr, flush=True)
    return engine.finish(job_id)


def merge(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """Write the merged model, into the run's `exports/` where no folder is named."""
    engine = Engine(options.home, allow_paths=True)
    try:
        place = options.folder.absolute() if options.folder is not None else None
        with disk_errors(place or options.home):
            asked = {"run": options.run, "folder": str(place) if place else None, "dtype": options.dtype}
            folder = carried_out(engine, engine.start("merge", asked), lang)["folder"]
    finally:
        engine.close()
    return Result({"run": options.run, "folder": folder}, folder), 0


def push(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """Say what would be uploaded, where to, and who would see it; then do it."""
    engine = Engine(options.home, allow_paths=True)
    try:
        asked = {"what": options.what, "private": not options.public, "answers": not options.no_answers}
        plan = engine.push_plan(options.run, options.repository, **asked)
        for file in plan.files:
            print(f"  {file.name}  {size(file.bytes)}", file=sys.stderr)
        print(plan.notice.to(lang), file=sys.stderr, flush=True)
        asks = not options.yes and sys.stdin.isatty()
        if asks and not _agreed(lang):
            raise StopRequested
        # Only who said so, or read the notice and agreed, lets it go where everybody sees it: the job refuses otherwise.
        shown = not plan.is_private if plan.exists and (asks or options.public) else None
        request = {"run": options.run, "repo_id": plan.repo_id, "public_before": shown, **asked}
        done = carried_out(engine, engine.start("push", request), lang)
    finally:
        engine.close()
    return Result({"run": options.run, **done}, str(done["address"])), 0


def _agreed(lang: str) -> bool:
    print(Text("Upload it? [y/N] ", "确认上传？[y/N] ").to(lang), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
