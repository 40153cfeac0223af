"""What one look of a page costs in a home where much was done: `python -m tests.benchmarks.polls [--polls 100]`.

In the home lie 200 jobs that are over, 50 runs that are over, and five downloads under way: three of this process, two of another
one, whose progress changes each second. A page asks as it does when the header's list is open: for the chips, the list, and
the bar of each. What is timed is the server's own part, from the request to its answer, each time with nothing that is still
fresh from the look before. Promised is a median under 20 ms; where it is missed the exit code is 1. Needs an otherwise quiet
computer; the processor time beside it says more where there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.browser.conftest import free_port
from workbench.bootstrap import environment
from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.text import Text, same
from workbench.engine import Engine
from workbench.engine.job_store import JobStore
from workbench.engine.owners import Owners
from workbench.engine.runs import RunStore
from workbench.ui import live

environment()

OVER, RUNS, HERE, BESIDE = 200, 50, 3, 2
LONGEST = 0.020  # seconds
BEAT = 1.0  # seconds between two changes of what is under way


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polls", type=int, default=100)
    parser.add_argument("--beside", metavar="HOME", help=argparse.SUPPRESS)  # the other process
    options, over = parser.parse_args(), threading.Event()
    if options.beside:
        home = Path(options.beside)
        _work(JobStore(home / "jobs", Owners(home)), BESIDE, over)
        return
    from workbench.ui import page

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        _fill(home)
        engine = Engine(home)
        other = subprocess.Popen([sys.executable, "-m", __spec__.name, "--beside", folder])
        own = threading.Thread(target=_work, args=(engine._board._store, HERE, over))
        own.start()
        served = page.start(engine, port=free_port())
        try:
            taken, worked = _look(engine, served.url, options.polls)
        finally:
            served.close()
            over.set()
            own.join()
            other.kill()
            other.wait()
    late = sorted(taken)[int(0.95 * (len(taken) - 1))]
    middle = statistics.median(taken)
    print(
        f"a look of a page at {HERE + BESIDE} jobs under way and {OVER} that are over: median {1000 * middle:.1f} ms, "
        f"95th percentile {1000 * late:.1f} ms, processor time {1000 * statistics.median(worked):.1f} ms ({len(taken)} looks)"
    )
    if middle >= LONGEST:
        raise SystemExit(f"promised is less than {1000 * LONGEST:.0f} ms")


def _fill(home: Path) -> None:
    """What is over."""
    jobs, runs = JobStore(home / "jobs"), RunStore(home / "runs")
    for number in range(OVER):
        job = _begun(jobs, number)
        jobs.end(job, ("completed", "stopped", "failed")[number % 3], done=700, total=1000, unit="bytes")
    for _ in range(RUNS):
        run = _made(lambda: runs.create(RunConfig(), model_id="starter", dataset="pirate-voice")).id
        runs.end(run, "completed", last_step=350, total_steps=350, has_result=True)


def _begun(store: JobStore, number: int) -> str:
    name = f"ann/model-{number}"
    title = Text("Download of {model}", "下载 {model}").with_(model=name)
    return _made(lambda: store.create("download", "network", title, {"repo_id": name, "model_id": None})).id


def _made(make: Callable[[], Any]) -> Any:
    """What it makes; again where one of the same second was given the same name by chance, as happens with so many."""
    while True:
        with contextlib.suppress(WorkbenchError, OSError):
            return make()


def _work(store: JobStore, count: int, over: threading.Event) -> None:
    """Have downloads under way until it is over."""
    jobs = [_begun(store, OVER + number) for number in range(count)]
    done = 0
    while not over.wait(BEAT):
        for job in jobs:
            words = same(f"model-{done}.safetensors").as_dict()
            store.update(job, status="running", done=done, total=10**9, unit="bytes", words=words, seconds_left=60.0)
        done += 1_000_000


def _look(engine: Engine, url: str, polls: int) -> tuple[list[float], list[float]]:
    """Seconds and processor time that each look took."""
    answered, taken, worked = live.Live.answer, [], []

    def timed(self: live.Live, asked: Any, lang: str) -> dict[str, Any]:
        began, busy = time.perf_counter(), time.thread_time()
        answer = answered(self, asked, lang)
        taken.append(time.perf_counter() - began)
        worked.append(time.thread_time() - busy)
        return answer

    live.Live.answer = timed  # type: ignore[method-assign]
    while len(active := [job.id for job in engine.jobs() if job.active]) < HERE + BESIDE:
        time.sleep(0.1)
    asked = json.dumps([["chips", "", ""], ["jobs", "", ""], *(["job-row", job, ""] for job in active)])
    with httpx.Client(trust_env=False) as client:
        for _ in range(polls + 1):
            time.sleep(live.FRESH + 0.1)
            answer = client.get(f"{url}live", params={"ask": asked}).raise_for_status().json()
            if not all(answer["pieces"]):
                raise SystemExit("a piece is missing")
    return taken[1:], worked[1:]  # the first one reads all that lies there


if __name__ == "__main__":
    main()
