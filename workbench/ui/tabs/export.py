"""The Export tab: take a run along, as its adapter in a zip or as one merged model folder, each with its model card."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.config.errors import StopRequested
from workbench.config.text import Text
from workbench.engine.names import KEPT_BACK_LOSS, RECENT_LOSS
from workbench.ui import html, runhtml
from workbench.ui.shell import QUIET, Shell
from workbench.ui.tabtools import on_open, panel, reported, run_names

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
_ZIPPING = Text("Making the zip…", "正在生成 zip……")
_MERGING = Text(
    "Making the model folder… This takes as long as loading and writing the model.",
    "正在生成模型文件夹……所需时间相当于读取并写入一次模型。",
)
_STOP = Text("Stop", "停止")
_STOPPED = Text("Stopped. Nothing was left behind.", "已停止，没有留下任何文件。")
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


class Making:
    """The folder that an open page is having made; `stop` ends that. Lives in its session's memory."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def __deepcopy__(self, memo: dict[int, Any]) -> Making:
        return Making()  # every session starts with one of its own; an Event cannot be copied


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
        shell.next_button(_NEXT, "chat", "export-next", filled=False)
    outputs = [
        empty, full, choice, facts, adapter, about_adapter, about_model, download, zip_note, folder_note, card,
        make_zip, make_folder,
    ]  # fmt: skip
    shell.shared["export.tab"] = {"outputs": outputs}

    to_train.click(lambda: shell.go("train"), outputs=shell.tabs, **QUIET)
    choice.input(lambda run_id: run_id, choice, shell.run, **QUIET).then(
        shell.safe(_shower(shell)), choice, outputs, **QUIET
    )
    slow: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    zipped, merged = [make_zip, download, zip_note, card], [make_folder, stop, folder_note, card]
    making = gr.State(Making())
    make_zip.click(shell.safe(_zipper(shell, download)), choice, zipped, **slow)
    make_folder.click(shell.safe(_merger(shell)), [making, choice, dtype], merged, **slow)
    stop.click(lambda state: state.stop.set(), making, None, **QUIET)


def bind(shell: Shell) -> None:
    """Know the finished runs when the tab opens."""
    on_open(shell, ID, _shower(shell), shell.run, shell.shared["export.tab"]["outputs"])


def losses(run: Any, lang: str) -> list[tuple[str, str]]:
    """Both losses at the end of a run, each with its name."""
    return [
        (RECENT_LOSS.to(lang), runhtml.number("loss", run.train_loss)),
        (KEPT_BACK_LOSS.to(lang), runhtml.number("eval_loss", run.eval_loss)),
    ]


def _shower(shell: Shell) -> Any:
    def show(wanted: str, request: gr.Request) -> Any:
        lang = shell.lang(request)
        runs = [run for run in shell.engine.runs() if run.finished_well]
        if not runs:
            return [gr.Column(visible=True), gr.Column(visible=False), *[gr.skip()] * 11]
        run = next((run for run in runs if run.id == wanted), runs[0])
        whole = run.adapter == "none"
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
            gr.Column(visible=not whole),
            html.card(_ADAPTER.to(lang), _ADAPTER_ABOUT.with_(base=base).to(lang)),
            html.card(_MODEL.to(lang), (_FULL_ABOUT if whole else _MERGED_ABOUT).to(lang)),
            gr.DownloadButton(visible=False),
            "",
            "",
            html.note(_NO_CARD.to(lang)),
            gr.Button(variant="primary"),
            gr.Button(variant="primary" if whole else "secondary"),
        ]

    return show


def _zipper(shell: Shell, download: gr.DownloadButton) -> Any:
    def make(run_id: str, request: gr.Request) -> Iterator[Any]:
        lang, ready = shell.lang(request), gr.Button(interactive=True)
        made = gr.Button(interactive=True, variant="secondary")  # now the download is the next click
        yield gr.Button(interactive=False), gr.DownloadButton(visible=False), html.note(_ZIPPING.to(lang)), gr.skip()
        try:
            path = shell.engine.export_adapter(run_id)
        except Exception:
            yield ready, gr.skip(), "", gr.skip()
            raise
        # Gradio serves only what lies in its own cache, which it empties by itself.
        cached = download.move_resource_to_block_cache(str(path))
        done = html.note(_ZIP_DONE.with_(size=html.size(path.stat().st_size)).to(lang))
        yield made, gr.DownloadButton(value=cached, visible=True), done, _card(_zipped_card(path), lang)

    return make


def _merger(shell: Shell) -> Any:
    def make(making: Making, run_id: str, dtype: str, request: gr.Request) -> Iterator[Any]:
        lang, on, off = shell.lang(request), gr.Button(interactive=True), gr.Button(interactive=False)
        making.stop = stop = threading.Event()
        yield off, on, html.card("", html.progress(None, _MERGING.to(lang))), gr.skip()
        steps = reported(lambda progress: shell.engine.merge(run_id, None, dtype, progress=progress, stop=stop))
        try:
            while True:
                try:
                    text, done, total = next(steps)
                except StopIteration as end:
                    folder = end.value
                    break
                share = done / total if total else None
                yield gr.skip(), gr.skip(), html.card("", html.progress(share, text.to(lang))), gr.skip()
        except StopRequested:
            yield on, off, html.note(_STOPPED.to(lang)), gr.skip()
            return
        except Exception:
            yield on, off, "", gr.skip()
            raise
        place = html.Markup(f"<code>{html.esc(folder)}</code>")
        yield on, off, html.card(_FOLDER_DONE.to(lang), place), _card(_folder_card(folder), lang)

    return make


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
