"""The part of the Export tab that uploads a run's result to the Hub: what would go where is shown before anything is sent."""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.config.text import Text
from workbench.ui import html
from workbench.ui.jobs import course
from workbench.ui.shell import Shell, press
from workbench.ui.tabtools import TOLD, panel

PUSH = "push"

_TITLE = Text("Upload to Hugging Face", "上传到 Hugging Face")
_NAME = Text("Name there", "仓库名称")
_NAME_ABOUT = Text(
    "A name of your own account, or owner/name. It is made where it does not exist.",
    "自己账号下的名称，或 owner/name。不存在时会自动创建。",
)
_WHAT = Text("What is uploaded", "上传内容")
_WHATS = {
    "adapter": Text("the adapter", "适配器"),
    "merged": Text("the model folder that was made last", "最近生成的模型文件夹"),
}
_PUBLIC = Text("Everybody may see it", "公开（所有人可见）")
_PUBLIC_ABOUT = Text(
    "Off: only you see it. You can change that on its page later.", "关闭：仅自己可见，之后可在其页面更改。"
)
_ANSWERS = Text("Show my questions, with the answers before and after", "在模型卡中展示我的问题及训练前后的回答")
_ANSWERS_ABOUT = Text("Off: they stay on this computer.", "关闭：问题和回答只留在这台电脑上。")
_LOOK = Text("Show what would be uploaded", "查看将上传的内容")
_UPLOAD = Text("Upload", "上传")
_TOKEN = Text(
    "An access token that may write is needed: give it on the Model tab, at “Source and access token”.",
    "需要有写权限的访问令牌：请在“模型”页的“下载来源与访问令牌”中填写。",
)
_FILE = Text("{name} ({size})", "{name}（{size}）")
_DONE = Text("It is uploaded: {address}", "已上传：{address}")


def build(shell: Shell, run: gr.Dropdown) -> None:
    """What, where to, who may see it; a look at it; the upload, with its bar.

    Args:
        run: the choice of the run.
    """
    with gr.Accordion(shell.text(_TITLE), open=False, elem_id="push"):
        gr.Markdown(shell.text(_TOKEN), elem_classes="note")
        name = gr.Textbox(label=shell.text(_NAME), info=shell.text(_NAME_ABOUT), max_lines=1, elem_id="push-name")
        what = gr.Dropdown(
            [(shell.text(text), key) for key, text in _WHATS.items()], value="adapter", label=shell.text(_WHAT),
            filterable=False, elem_id="push-what",
        )  # fmt: skip
        public = gr.Checkbox(False, label=shell.text(_PUBLIC), info=shell.text(_PUBLIC_ABOUT), elem_id="push-public")
        answers = gr.Checkbox(True, label=shell.text(_ANSWERS), info=shell.text(_ANSWERS_ABOUT), elem_id="push-answers")
        look = gr.Button(shell.text(_LOOK), elem_id="push-look")
        said = panel("push-plan")
        upload = gr.Button(shell.text(_UPLOAD), variant="primary", interactive=False, elem_id="push-start")
    progress = panel("push-progress")
    planned, seen = gr.State({}), gr.State("")
    fields, uploads = [run, name, what, public, answers], _Uploads(shell)
    look.click(shell.safe(uploads.plan), fields, [said, planned, upload], **TOLD)
    for field in fields:  # what was shown is not what would be sent any more
        field.change(shell.safe(uploads.forget), [*fields, planned], [said, planned, upload], **TOLD)
    # What a click shows may come later than what a tick showed after it: `seen` is emptied, and the tick looks again.
    begun = upload.click(shell.safe(uploads.begin), planned, [progress, planned, upload, seen], **TOLD)
    begun.then(None, None, None, js=press(shell.beat))
    shell.on_tick(uploads.changed, [run, seen], [progress, seen])


class _Uploads:
    """What the buttons do, and what is shown of uploads."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def plan(self, run_id: str, name: str, what: str, public: bool, answers: bool, request: gr.Request) -> Any:
        """What would go where; with it, what the upload is then asked for."""
        lang = self._shell.lang(request)
        asked: dict[str, Any] = {"what": what, "private": not public, "answers": answers}
        found = self._shell.engine.push_plan(run_id, name.strip(), **asked)
        files = (_FILE.with_(name=file.name, size=html.size(file.bytes)).to(lang) for file in found.files)
        listed = html.Markup(f'<ul class="problems">{"".join(f"<li>{html.esc(file)}</li>" for file in files)}</ul>')
        before = not found.is_private if found.exists else None
        wanted = {"run": run_id, "repo_id": found.repo_id, "public_before": before, **asked}
        planned = {"fields": [run_id, name, what, public, answers], "wanted": wanted}
        return html.card(found.repo_id, html.note(found.notice.to(lang)), listed), planned, gr.Button(interactive=True)

    def forget(self, *given: Any) -> Any:
        """Take away what was shown, unless it is of the very fields that changed: their news may come late."""
        *fields, planned = given
        return gr.skip() if planned.get("fields") == fields else ("", {}, gr.Button(interactive=False))

    def begin(self, planned: dict[str, Any], request: gr.Request) -> Any:
        """Upload what was shown."""
        wanted = planned.get("wanted", {})
        if wanted:
            self._shell.engine.start(PUSH, wanted)
        run_id = str(wanted.get("run", ""))
        return self._bars(run_id, self._shell.lang(request)), {}, gr.Button(interactive=False), ""

    def changed(self, run_id: str, before: str, request: gr.Request) -> Any:
        """The bars, when an upload has come or changed its state, or another run is chosen."""
        jobs = [f"{job.id} {job.status} {job.dismissed}" for job in self._shell.engine.jobs() if job.kind == PUSH]
        now = " ".join([run_id or "", *jobs])
        return gr.skip() if now == before else (self._bars(run_id, self._shell.lang(request)), now)

    def _bars(self, run_id: str, lang: str) -> html.Markup:
        jobs = (
            job for job in self._shell.engine.jobs() if job.kind == PUSH and (job.request or {}).get("run") == run_id
        )
        return course(
            self._shell.live, jobs, lang, lambda job: _DONE.with_(address=(job.result or {}).get("address", ""))
        )
