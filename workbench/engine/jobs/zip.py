"""The adapter of a run as one zip."""

from __future__ import annotations

from typing import Any

from workbench.config.text import Text
from workbench.engine import takeaway
from workbench.engine.jobs import base


class Request(base.Request):
    """Which run."""

    run: str


class Zip(base.JobKind):
    """Reads and writes files only, so it does not wait for a training."""

    kind = "zip"
    lane = "disk"
    stopping = Text("Nothing is left behind. It can be made again.", "不会留下任何文件，之后可以重新生成。")
    asks = Request

    def title(self, tools: base.Tools, request: Request) -> Text:
        return Text("Zip of {run}", "生成 {run} 的 zip").with_(run=tools.store.get(request.run).name)

    def check(self, tools: base.Tools, request: Request) -> None:
        takeaway.adapter(tools.store, request.run)

    def runs(self, request: Request) -> tuple[str, ...]:
        return (request.run,)

    def work(self, job: base.Job) -> dict[str, Any]:
        job.progress(Text("Packing the adapter", "正在打包适配器"))
        tools = job.tools
        path = takeaway.export_adapter(tools.store, job.request.run, tools.models, tools.data)
        return {"file": str(path)}
