"""A model from the Hub, a mirror or ModelScope: into the home's models, file by file, each verified."""

from __future__ import annotations

from typing import Any

from workbench.config.demo import refuse_in_demo
from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.engine.jobs import base
from workbench.engine.offers import is_recommended
from workbench.hub import Transfer, check_id, download, downloaded, place_for, plan
from workbench.models.folders import model_folders, new_models_folder


class Request(base.Request):
    """Which repository, and what the model is called here (None: as the repository, without its owner)."""

    repo_id: str
    model_id: str | None = None


class Download(base.JobKind):
    """Goes on where it ended: whole files are never fetched twice, and half a model is in no list."""

    kind = "download"
    lane = "network"
    stopping = Text("What has come is kept: Resume goes on from there.", "已下载的部分会保留，之后可以从那里继续。")
    asks = Request

    def title(self, tools: base.Tools, request: Request) -> Text:
        return Text("Download of {model}", "下载 {model}").with_(model=check_id(request.repo_id))

    def check(self, tools: base.Tools, request: Request) -> None:
        repo_id = check_id(request.repo_id)
        if not is_recommended(repo_id):
            refuse_in_demo()
        folder = next(filter(None, (downloaded(one, repo_id) for one in model_folders(tools.home))), None)
        new_models_folder(tools.home)
        if folder is not None:
            raise WorkbenchError(
                Text("{model} is on this computer already", "{model} 已经在这台电脑上").with_(model=repo_id),
                Text("Choose it from the list: {name}.", "请从列表中选择：{name}。").with_(name=folder.name),
                code="model_exists",
            )

    def work(self, job: base.Job) -> dict[str, Any]:
        request, tools = job.request, job.tools
        source, token = tools.source, tools.tokens.current()
        job.progress(
            Text("Asking {source} what belongs to it", "正在向 {source} 查询文件列表").with_(source=source.name)
        )
        wanted = plan(source, request.repo_id, token=token)

        def tell(now: Transfer) -> None:
            file = Text("{file} ({number} of {all})", "{file}（第 {number} 个，共 {all} 个）").with_(
                file=now.file, number=min(now.files_done + 1, now.files_total), all=now.files_total
            )
            words = now.note or (file if now.file else Text("Checking the model", "正在检查模型"))
            job.progress(words, now.done, now.total, unit="bytes", seconds_left=now.seconds_left)

        place = place_for(new_models_folder(tools.home), wanted.repo_id, request.model_id)
        folder = download(wanted, source, place, token, tell, job.stop)
        return {"model": folder.name, "folder": str(folder), "bytes": wanted.bytes}
