"""A measurement: a few steps of a run are trained and thrown away, to say how long the whole will take on this computer."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from workbench.config.errors import StopRequested
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.engine import checks
from workbench.engine.events import Event, Stage
from workbench.engine.job_records import JobRecord
from workbench.engine.jobs import base
from workbench.engine.plan import Measured, work_of_a_step
from workbench.engine.records import text_of

KIND = "measure"
_BEGIN = Text("Loading the model", "正在加载模型")
_STEPS = Text("Trying steps", "正在试训")
_MEASURED = TypeAdapter(Measured)
_NAMES = tuple(field.name for field in fields(Measured))


class Request(base.Request):
    """The settings of the run that is meant."""

    config: dict[str, Any]


class Measure(base.JobKind):
    """Has the device as a training has; leaves nothing but its result."""

    kind = KIND
    lane = "device"
    stopping = Text("Nothing is measured then; nothing else changes.", "停止后不会得到测量结果，其他不受影响。")
    asks = Request

    def title(self, tools: base.Tools, request: Request) -> Text:
        return Text("Trial steps with {model}", "用 {model} 试训").with_(
            model=tools.models.resolve(RunConfig.parse(request.config).model.base, tools.allow_paths).name
        )

    def check(self, tools: base.Tools, request: Request) -> None:
        config = RunConfig.parse(request.config)
        checks.refuse(
            checks.check(config, tools.models, tools.data, tools.home, allow_paths=tools.allow_paths).problems
        )

    def work(self, job: base.Job) -> dict[str, Any]:
        from workbench.engine.measuring import measure, trial_settings
        from workbench.engine.training import TrainingJob, check_rows

        job.progress(_BEGIN)
        config, tools = RunConfig.parse(job.request.config), job.tools
        model, loaded = checks.inputs(config, tools.models, tools.data, allow_paths=tools.allow_paths)
        rows = loaded.examples[: config.data.max_rows or None]
        check_rows(rows)
        per_step = config.optimization.batch_size * config.optimization.accumulation
        changes, places = trial_settings(config.optimization.seed, len(rows), per_step)
        folder = job.folder / "trial"

        def tell(event: Event) -> None:
            if isinstance(event, Stage):
                job.progress(text_of(event.text))

        def steps(done: int, total: int) -> None:
            job.progress(_STEPS, done, total)

        trial = TrainingJob(
            config=config.changed(changes),
            folder=folder,
            base=model.folder,
            base_name=model.id,
            examples=[rows[place] for place in places],
            evaluation=None,
            sets=(loaded, None),
            emit=tell,
            stop=job.stop,
        )
        try:
            measured = measure(trial, steps, next(iter(config.evaluation.questions), None))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if not measured.steps:
            raise StopRequested
        return {**asdict(measured), "of": work_of_a_step(config), "data": loaded.fingerprint}


def latest(jobs: Iterable[JobRecord], config: RunConfig, data: str) -> Measured | None:
    """What was last measured of runs with this work in a step, among these jobs (newest first); None where nothing was.

    Args:
        data: the fingerprint of the training data as it is now.
    """
    work = work_of_a_step(config)
    for job in jobs:
        result = job.result if job.kind == KIND and job.status == "completed" else {}
        if (result.get("of"), result.get("data")) == (work, data):
            with contextlib.suppress(ValidationError):  # a record is a file
                return _MEASURED.validate_python({name: result.get(name) for name in _NAMES})
    return None
