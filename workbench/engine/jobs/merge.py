"""The whole model: base and adapter of a run worked into one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.engine import takeaway
from workbench.engine.jobs import base
from workbench.export.places import check_destination


class Request(base.Request):
    """Which run, where to (None: into its `exports/`), and with which precision."""

    run: str
    folder: str | None = None
    dtype: str = "auto"


class Merge(base.JobKind):
    """Needs the device's lease, since it loads a model; it computes on the CPU."""

    kind = "merge"
    lane = "device"
    stopping = Text("Nothing is left behind. It can be made again.", "不会留下任何文件，之后可以重新生成。")
    asks = Request

    def title(self, tools: base.Tools, request: Request) -> Text:
        return Text("Model folder of {run}", "生成 {run} 的模型文件夹").with_(run=tools.store.get(request.run).name)

    def check(self, tools: base.Tools, request: Request) -> None:
        result = takeaway.result(tools.store, request.run)
        takeaway.check_dtype(request.dtype)
        if request.folder is not None and not tools.allow_paths:
            raise WorkbenchError(
                Text("the page writes into the run's own folder only", "页面只会写入运行自己的文件夹"),
                Text("Leave the folder out, or merge on the command line.", "请不要指定文件夹，或改用命令行合并。"),
                field="folder",
            )
        if request.folder is not None:
            check_destination(Path(request.folder), [result])

    def runs(self, request: Request) -> tuple[str, ...]:
        return (request.run,)

    def work(self, job: base.Job) -> dict[str, Any]:
        request, tools = job.request, job.tools
        folder = takeaway.merge_run(
            tools.store,
            request.run,
            takeaway.result(tools.store, request.run),
            tools.models,
            tools.data,
            folder=Path(request.folder) if request.folder else None,
            dtype=request.dtype,
            progress=job.progress,
            stop=job.stop,
        )
        return {"folder": str(folder)}
