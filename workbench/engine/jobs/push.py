"""What a run has learned, to the Hub: private unless it is said otherwise, in one commit."""

from __future__ import annotations

from typing import Any

from workbench.config.demo import refuse_in_demo
from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.engine import pushing, takeaway
from workbench.engine.jobs import base
from workbench.hub import Transfer, check_id
from workbench.hub.push import push


class Request(base.Request):
    """Which run, what of it, where to, who may see it, and whether the card has the person's questions."""

    run: str
    repo_id: str
    what: pushing.What = "adapter"
    private: bool = True
    answers: bool = True
    public_before: bool | None = None
    """Whether the repository was public when it was shown what would happen; None: it was not there, or nobody looked."""


class Push(base.JobKind):
    """What the Hub has already is not sent again, so a push that was cut goes on by being done once more."""

    kind = "push"
    lane = "network"
    stopping = Text(
        "The repository shows nothing of it. What was sent is not sent again when it is resumed.",
        "仓库里不会出现任何内容；之后继续时，已上传的部分不会重复上传。",
    )
    asks = Request

    def title(self, tools: base.Tools, request: Request) -> Text:
        name = tools.store.get(request.run).name
        return Text("Upload of {run} to {place}", "上传 {run} 到 {place}").with_(run=name, place=request.repo_id)

    def check(self, tools: base.Tools, request: Request) -> None:
        refuse_in_demo()
        check_id(request.repo_id, tools.source)
        takeaway.result(tools.store, request.run)

    def runs(self, request: Request) -> tuple[str, ...]:
        return (request.run,)

    def work(self, job: base.Job) -> dict[str, Any]:
        request, tools = job.request, job.tools
        job.progress(Text("Asking the Hub", "正在查询 Hub"))
        plan = pushing.plan_of(
            tools, request.run, request.what, request.repo_id, private=request.private, answers=request.answers
        )
        if plan.exists and not plan.is_private and request.private and request.public_before is not True:
            raise WorkbenchError(
                Text("everybody can see {repo}", "{repo} 是公开的").with_(repo=plan.repo_id),
                Text("Choose another name, or say that it may be public.", "请换一个名字，或选择公开。"),
                field="repo_id",
                code="hub_exists",
            )

        def tell(now: Transfer) -> None:
            words = now.note or Text("Uploading {file}", "正在上传 {file}").with_(file=now.file or plan.repo_id)
            job.progress(words, now.done, now.total, unit="bytes", seconds_left=now.seconds_left)

        address = push(plan, tools.source, tools.tokens.current(), tell, job.stop)
        return {"address": address, "repo_id": plan.repo_id}
