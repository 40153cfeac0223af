"""The Export tab: take a run along, as its adapter in a zip or as one merged model folder, each with its model card."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.config.demo import is_demo
from workbench.config.text import Text
from workbench.engine.job_views import JobView
from workbench.engine.names import KEPT_BACK_LOSS, RECENT_LOSS
from workbench.ui import html, runhtml, uploading
from workbench.ui.jobs import ONE
from workbench.ui.shell import QUIET, Shell, press
from workbench.ui.tabtools import TOLD, on_open, panel, run_names

ID = "export"
ORDER = 50
TITLE = Text("Export", "导出")

MAX_CARD = 60_000  # bytes of a model card that are shown

_LEAD = Text("Take along what you trained.", "把训练好的结果带走。")
_EMPTY = Text(
    "There is no finished run yet. When one is done, you can take it along from here.",
    "还没有完成的运行。训练完成后，可以在这里导出。",
)
_TO_TRAIN = Text("Go to Train", "去训练")
_RUN = Text("Run to take along", "要导出的运行")
_ADAPTER = Text("Adapter", "适配器")
_ADAPTER_ABOUT = Text(
    "A small zip with what was learned. It needs the same base model: {base}.",
    "一个小的 zip 文件，只含学到的部分，需要配合同一个基座模型使用：{base}。",
)
_MAKE_ZIP = Text("Make the zip", "生成 zip")
_DOWNLOAD = Text("Download the zip", "下载 zip")
_MODEL = Text("Whole model", "完整模型")
_MERGED_ABOUT = Text(
    "Base model and adapter merged into one folder that other programs open as it is.",
    "把基座模型和适配器合并到一个文件夹，其他程序可以直接使用。",
)
_FULL_ABOUT = Text(
    "This run tuned the whole model, so there is no adapter; the folder holds all of it.",
    "这个运行微调了整个模型，没有单独的适配器；文件夹里是完整的模型。",
)
_PRECISION = Text("Precision", "精度")
_DTYPES = {
    "auto": Text("as the base model", "与基座模型相同"),
    "fp32": Text("32 bit", "32 位"),
    "bf16": Text("bfloat16 (half the size)", "bfloat16（大小减半）"),
    "fp16": Text("float16 (half the size)", "float16（大小减半）"),
}
_MAKE_FOLDER = Text("Make the model folder", "生成模型文件夹")
_STOP = Text("Stop", "停止")
_STOPPED = Text("Stopped. Nothing was left behind.", "已停止，没有留下任何文件。")
_INTERRUPTED = Text(
    "The workbench ended before it was done. Nothing was left behind: make it again.",
    "还没完成，工作台就关闭了。没有留下任何文件，请重新生成。",
)
_ZIP_DONE = Text("The zip is ready ({size}).", "zip 已生成（{size}）。")
_FOLDER_DONE = Text("The model is in this folder:", "模型在这个文件夹里：")
_CARD = Text("Model card (README.md)", "模型卡（README.md）")
_NO_CARD = Text(
    "The card comes with the export: make the zip or the folder first.", "模型卡随导出一起生成：请先生成 zip 或文件夹。"
)
_NEXT = Text("Next: chat", "下一步：聊天")
_BASE = Text("base model", "基座模型")
_DATA = Text("data set", "数据集")
_METHOD = Text("method", "方法")


ZIP, MERGE = "zip", "merge"  # the kinds of job that this tab starts
SOON = 1.0  # seconds in which a small zip is made, so that a click is answered with it


def build(shell: Shell) -> None:
    """The run, its two forms, its card."""
    shell.lead(_LEAD)
    with gr.Column(visible=False, elem_id="export-empty") as empty:
        gr.Markdown(shell.text(_EMPTY), elem_classes="card")
        with gr.Row():
            to_train = gr.Button(shell.text(_TO_TRAIN), variant="primary", scale=0, min_width=180)
    with gr.Column(visible=False, elem_id="export-full") as full:
        choice = gr.Dropdown([], label=shell.text(_RUN), elem_id="export-run")
        facts = panel("export-facts")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=280) as adapter:
                about_adapter = panel("export-adapter-about")
                make_zip = gr.Button(shell.text(_MAKE_ZIP), variant="primary", elem_id="export-zip")
                zip_note = panel("export-zip-note")
                download = gr.DownloadButton(
                    shell.text(_DOWNLOAD), variant="primary", visible=False, elem_id="export-download"
                )
            with gr.Column(min_width=280):
                about_model = panel("export-model-about")
                dtype = gr.Dropdown(
                    [(shell.text(text), name) for name, text in _DTYPES.items()], value="auto",
                    label=shell.text(_PRECISION), filterable=False, elem_id="export-dtype",
                )  # fmt: skip
                with gr.Row():
                    make_folder = gr.Button(shell.text(_MAKE_FOLDER), scale=3, min_width=160, elem_id="export-merge")
                    stop = gr.Button(shell.text(_STOP), interactive=False, scale=1, min_width=80, elem_id="export-stop")
                folder_note = panel("export-merge-note")
        with gr.Accordion(shell.text(_CARD), open=False, elem_id="export-card-fold"):
            card = panel("export-card")
        if not is_demo():
            uploading.build(shell, choice)
        shell.next_button(_NEXT, "chat", "export-next", filled=False)
    of_zip, of_folder = [make_zip, download, zip_note], [make_folder, stop, folder_note]
    outputs = [empty, full, choice, facts, adapter, about_adapter, about_model, *of_zip, *of_folder, card]
    seen = gr.State("")
    shell.shared["export.tab"] = {"outputs": outputs}

    to_train.click(lambda: shell.go("train"), outputs=shell.tabs, **QUIET)
    choice.input(lambda run_id: run_id, choice, shell.run, **QUIET).then(
        shell.safe(_shower(shell, download)), choice, outputs, **QUIET
    )
    state = _State(shell, download)
    working = [*of_zip, *of_folder, card]
    # What a click shows may come later than what a tick showed after it: `seen` is emptied, and the tick looks again.
    for button, kind, asked in ((make_zip, ZIP, [choice]), (make_folder, MERGE, [choice, dtype])):
        begun = button.click(shell.safe(_starter(state, kind)), asked, [*working, seen], **TOLD)
        begun.then(None, None, None, js=press(shell.beat))
    stop.click(shell.safe(_stopper(shell)), choice, None, **TOLD)
    shell.on_tick(state.changed, [choice, seen], [*working, seen])


def bind(shell: Shell) -> None:
    """Know the finished runs when the tab opens."""
    tab = shell.shared["export.tab"]
    on_open(shell, ID, _shower(shell, tab["outputs"][8]), shell.run, tab["outputs"])


def losses(run: Any, lang: str) -> list[tuple[str, str]]:
    """Both losses at the end of a run, each with its name."""
    return [
        (RECENT_LOSS.to(lang), runhtml.number("loss", run.train_loss)),
        (KEPT_BACK_LOSS.to(lang), runhtml.number("eval_loss", run.eval_loss)),
    ]


def _shower(shell: Shell, download: gr.DownloadButton) -> Any:
    state = _State(shell, download)

    def show(wanted: str, request: gr.Request) -> Any:
        lang = shell.lang(request)
        runs = [run for run in shell.engine.runs() if run.finished_well]
        if not runs:
            return [gr.Column(visible=True), gr.Column(visible=False), *[gr.skip()] * 12]
        run = next((run for run in runs if run.id == wanted), runs[0])
        base = _name(shell.engine.models.list(), run.base_model, lang)
        data = _name(shell.engine.data.list(), run.dataset, lang)
        tiles = html.kpis(
            [(_BASE.to(lang), base), (_DATA.to(lang), data), (_METHOD.to(lang), run.method.upper()), *losses(run, lang)]
        )
        return [
            gr.Column(visible=False),
            gr.Column(visible=True),
            gr.Dropdown(choices=runhtml.choices(runs, run_names(shell.engine, lang), lang), value=run.id),
            tiles,
            gr.Column(visible=run.adapter != "none"),
            html.card(_ADAPTER.to(lang), _ADAPTER_ABOUT.with_(base=base).to(lang)),
            html.card(_MODEL.to(lang), (_FULL_ABOUT if run.adapter == "none" else _MERGED_ABOUT).to(lang)),
            *state.of(run.id, lang),
        ]

    return show


class _State:
    """What the tab shows of the jobs that make a run's zip and its model folder: they go on while nobody looks."""

    def __init__(self, shell: Shell, download: gr.DownloadButton) -> None:
        self._shell, self._download = shell, download

    def newest(self, kind: str, run_id: str) -> JobView | None:
        """The newest job of a kind for a run."""
        found = (
            job for job in self._shell.engine.jobs() if job.kind == kind and (job.request or {}).get("run") == run_id
        )
        return max(found, key=lambda job: job.created, default=None)

    def of(self, run_id: str, lang: str) -> list[Any]:
        """Values for the button, the download and the note of the zip; for both buttons and the note of the folder; the card."""
        zipped, merged = self.newest(ZIP, run_id), self.newest(MERGE, run_id)
        whole = self._shell.engine.run(run_id).adapter == "none"
        exports = self._shell.engine.home / "runs" / run_id / "exports"
        file, folder = _made(zipped, "file", exports), _made(merged, "folder", exports)
        at_work = merged is not None and merged.active
        ready = gr.Button(interactive=zipped is None or not zipped.active, variant="secondary" if file else "primary")
        link, note = gr.DownloadButton(visible=False), self._note(zipped, lang)
        if file is not None:
            # Gradio serves only what lies in its own cache, which it empties by itself.
            link = gr.DownloadButton(value=self._download.move_resource_to_block_cache(str(file)), visible=True)
            note = html.note(_ZIP_DONE.with_(size=html.size(file.stat().st_size)).to(lang))
        said = self._note(merged, lang)
        if folder is not None:
            said = html.card(_FOLDER_DONE.to(lang), html.Markup(f"<code>{html.esc(folder)}</code>"))
        newer = folder is not None and (file is None or merged.created > zipped.created)  # type: ignore[union-attr]
        card = _folder_card(folder) if newer and folder else _zipped_card(file) if file else ""
        make = gr.Button(interactive=not at_work, variant="primary" if whole else "secondary")
        return [ready, link, note, make, gr.Button(interactive=at_work), said, _card(card, lang)]

    def changed(self, run_id: str, seen: str, request: gr.Request) -> Any:
        """The same when a job for the run has come or changed its state since."""
        jobs = [self.newest(kind, run_id) for kind in (ZIP, MERGE)] if run_id else []
        now = " ".join(f"{job.id} {job.status}" for job in jobs if job is not None)
        if now == seen or not self._shell.engine.is_run(run_id):
            return gr.skip()
        return [*self.of(run_id, self._shell.lang(request)), now]

    def _note(self, job: JobView | None, lang: str) -> Any:
        if job is None or job.status == "completed":
            return ""
        if job.active:
            return html.card("", self._shell.live.slot(ONE, job.id, lang))
        if job.error is not None:
            return html.note(job.error.to(lang))
        return html.note((_STOPPED if job.status == "stopped" else _INTERRUPTED).to(lang))


def _made(job: JobView | None, key: str, exports: Path) -> Path | None:
    """What a job has made, where it is still there. A record is a file: no other place is looked into for its sake."""
    made = (job.result or {}).get(key) if job is not None and job.status == "completed" else None
    return Path(made) if isinstance(made, str) and Path(made).parent == exports and Path(made).exists() else None


def _starter(state: _State, kind: str) -> Any:
    def start(run_id: str, *more: str, request: gr.Request) -> Any:
        engine = state._shell.engine
        known = state.newest(kind, run_id)
        if known is None or not known.active:  # a second click, or one in another window, makes no second one
            asked = {"run": run_id, **({"dtype": more[0]} if more else {})}
            engine.wait(engine.start(kind, asked), SOON)
        return [*state.of(run_id, state._shell.lang(request)), ""]

    return start


def _stopper(shell: Shell) -> Any:
    def stop(run_id: str) -> None:
        job = _State(shell, None).newest(MERGE, run_id)
        if job is not None:
            shell.engine.stop(job.id)

    return stop


def _card(text: str, lang: str) -> html.Markup:
    return html.scrolled(text, _CARD.to(lang)) if text else html.note(_NO_CARD.to(lang))


def _folder_card(folder: Path) -> str:
    path = folder / "README.md"
    return path.read_text(encoding="utf-8", errors="replace")[:MAX_CARD] if path.is_file() else ""


def _zipped_card(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        if "README.md" not in archive.namelist():
            return ""
        with archive.open("README.md") as file:
            return file.read(MAX_CARD).decode("utf-8", errors="replace")


def _name(infos: Iterable[Any], known: str, lang: str) -> str:
    """What people call the model or data set with this id; the id where it is no longer there."""
    return next((info.name.to(lang) for info in infos if info.id == known), known)
