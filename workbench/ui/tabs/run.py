"""The Run tab: how a run is doing, live; stop it, go on with it, talk to it, or throw it away.

Everything shown is derived from the engine's events (`RunView`), so reloading the page, opening ten of them or restarting
the server changes nothing. What moves while a run learns are live pieces (`RunPieces`); a tick sends the rest, and only
what looks different now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.ui import chart, html, runhtml
from workbench.ui.runlive import LOG, RunPieces
from workbench.ui.shell import QUIET, Shell
from workbench.ui.tabtools import TOLD, confirm, on_open, on_tab_change, panel, run_names

ID = "run"
ORDER = 40
TITLE = Text("Run", "运行")

_LEAD = Text("Watch a run while it learns.", "在这里看模型学得怎么样。")
_EMPTY = Text(
    "There is no run yet. Choose a model and data, then press Start on the Train tab.",
    "还没有运行。选好模型和数据后，在“训练”页点“开始训练”。",
)
_TO_TRAIN = Text("Go to Train", "去训练")
_RUN = Text("Run", "运行")
_STOP = Text("Stop and save", "停止并保存")
_RESUME = Text("Resume", "继续训练")
_CANCEL = Text("Cancel", "取消")
_TALK = Text("Talk to it", "和它聊聊")
_NEXT = Text("Next: export", "下一步：导出")
_DELETE = Text("Delete this run", "删除此运行")
_SURE = Text("Delete", "删除")
_ASK_DELETE = Text(
    "Delete the run {name} ({date}) with its checkpoints, adapter and exports? This cannot be undone.",
    "删除运行“{name}”（{date}）及其检查点、适配器和导出内容？此操作无法撤销。",
)
_STILL_ACTIVE = Text("Stop the run before you delete it.", "请先停止这个运行，再删除。")


@dataclass
class RunPage:
    """What one open page has been shown, so that a tick sends differences only. Lives in its session's memory."""

    run_id: str = ""
    sent: dict[str, Any] = field(default_factory=dict)
    open: bool = False

    def changed(self, name: str, value: Any, update: Any = None) -> Any:
        """`update` (or `value` itself) when `value` was not sent before, else "nothing new"."""
        if name in self.sent and self.sent[name] == value:
            return gr.skip()
        self.sent[name] = value
        return value if update is None else update


def build(shell: Shell) -> None:
    """List of runs, state, buttons, answers, numbers, chart, log."""
    shell.lead(_LEAD)
    page = gr.State(RunPage())
    with gr.Column(visible=False, elem_id="run-empty") as empty:
        gr.Markdown(shell.text(_EMPTY), elem_classes="card")
        with gr.Row():
            to_train = gr.Button(shell.text(_TO_TRAIN), variant="primary", scale=0, min_width=180, elem_id="run-train")
    with gr.Column(visible=False, elem_id="run-full") as full:
        choice = gr.Dropdown([], label=shell.text(_RUN), elem_id="run-choice", filterable=False)
        status = panel("run-status")
        note = panel("run-note")
        with gr.Row():
            stop = gr.Button(shell.text(_STOP), scale=0, min_width=200, elem_id="run-stop", interactive=False)
            resume = gr.Button(shell.text(_RESUME), scale=0, min_width=140, elem_id="run-resume", interactive=False)
            talk = gr.Button(shell.text(_TALK), variant="primary", scale=0, min_width=180, elem_id="run-talk")
        # Before the numbers: people judge by reading answers, and find them without scrolling.
        answers = panel("run-answers")
        tiles = panel("run-tiles")
        curves = chart.loss_chart("run-chart")
        with gr.Accordion(shell.text(LOG), open=False, elem_id="run-log-fold"):
            log = panel("run-log")
        with gr.Row():
            delete = gr.Button(shell.text(_DELETE), size="sm", scale=0, min_width=140, elem_id="run-delete")
        sure = confirm(shell, delete, _SURE, "run-delete")
        shell.next_button(_NEXT, "export", "run-next", filled=False)
    RunPieces(shell.engine, shell.live)
    outputs = [empty, full, choice, status, tiles, curves, note, stop, resume, talk, answers, log, sure.row]
    shell.shared["run.tab"] = {"page": page, "outputs": outputs}

    def tick(state: RunPage, chosen: str, request: gr.Request) -> Any:
        return refresh(shell, state, chosen, shell.lang(request)) if state.open else gr.skip()

    shell.on_tick(tick, [page, shell.run], outputs)
    to_train.click(lambda: shell.go("train"), outputs=shell.tabs, **QUIET)
    choice.input(lambda run_id: run_id, choice, shell.run, **QUIET)
    talk.click(lambda state: (state.run_id, shell.go("chat")), page, [shell.run, shell.tabs], **QUIET)
    stop.click(shell.safe(lambda state: shell.engine.stop(state.run_id)), page, None, **TOLD)
    resume.click(shell.safe(lambda state: shell.engine.resume(state.run_id)), page, None, **TOLD)
    _bind_delete(shell, page, sure)


def bind(shell: Shell) -> None:
    """Be up to date the moment the tab opens, and quiet while it is closed."""
    ours = shell.shared["run.tab"]

    def opened(state: RunPage, chosen: str, request: gr.Request) -> Any:
        state.open = True
        state.sent.clear()
        return refresh(shell, state, chosen, shell.lang(request))

    def moved(open_tab: str, state: RunPage) -> None:
        state.open = open_tab in (ID, "")

    on_open(shell, ID, opened, [ours["page"], shell.run], ours["outputs"])
    on_tab_change(shell, moved, [ours["page"]])


def refresh(shell: Shell, page: RunPage, chosen: str, lang: str) -> Any:
    """What is different from what the page shows, one value per output of the tab; `gr.skip()` when nothing is."""
    try:
        return _differences(shell, page, chosen, lang)
    except WorkbenchError:  # the run was deleted from another page; the next look sees the list without it
        page.sent.clear()
        return gr.skip()
    except Exception:
        page.sent.clear()  # nothing of it arrived
        raise


def _differences(shell: Shell, page: RunPage, chosen: str, lang: str) -> Any:
    records = shell.engine.runs()
    record = pick(records, chosen, page.run_id)
    if record is None:
        page.run_id = ""
        empty = page.changed("empty", True, gr.Column(visible=True))
        return [empty, page.changed("full", False, gr.Column(visible=False)), *[gr.skip()] * 11]
    moved, page.run_id = record.id != page.run_id, record.id
    choices = runhtml.choices(records, run_names(shell.engine, lang), lang)
    shown = [
        page.changed("empty", False, gr.Column(visible=False)),
        page.changed("full", True, gr.Column(visible=True)),
        page.changed("choice", (choices, record.id), gr.Dropdown(choices=choices, value=record.id)),
        *(_piece(shell, page, name, lang) for name in ("status", "tiles", "chart", "note")),
        *_buttons(page, record, lang),
        *(_piece(shell, page, name, lang) for name in ("answers", "log")),
        gr.Column(visible=False) if moved else gr.skip(),
    ]
    return shown if any(value != gr.skip() for value in shown) else gr.skip()


def _piece(shell: Shell, page: RunPage, name: str, lang: str) -> Any:
    """The place of a live piece for the run that is shown; from then on it is kept fresh by itself."""
    if page.sent.get(name) == page.run_id:
        return gr.skip()
    page.sent[name] = page.run_id
    make = shell.live.make if name == "chart" else shell.live.slot
    return make(f"run-{name}", page.run_id, lang)


def pick(records: list[Any], chosen: str, before: str) -> Any:
    """The run to show: the chosen one, else the one shown before, else the one that trains, else the newest."""
    for wanted in (chosen, before):
        for record in records:
            if wanted and record.id == wanted:
                return record
    return next((record for record in records if record.active), records[0] if records else None)


def _buttons(page: RunPage, record: Any, lang: str) -> list[Any]:
    can_stop = record.status in ("queued", "running")
    can_talk = record.finished_well or record.status == "running"
    stop = (_CANCEL if record.status == "queued" else _STOP).to(lang)
    return [
        page.changed("stop", (stop, can_stop), gr.Button(stop, interactive=can_stop)),
        page.changed("resume", record.resumable, gr.Button(interactive=record.resumable)),
        page.changed("talk", can_talk, gr.Button(interactive=can_talk)),
    ]


def _bind_delete(shell: Shell, page: gr.State, sure: Any) -> None:
    def ask(state: RunPage, request: gr.Request) -> Any:
        record = shell.engine.run(state.run_id)
        if record.active:
            raise WorkbenchError(_STILL_ACTIVE)
        lang = shell.lang(request)
        name = run_names(shell.engine, lang).get(record.id, record.name)
        question = _ASK_DELETE.with_(name=name, date=runhtml.when(record.created))
        return gr.Column(visible=True), html.esc(question.to(lang)), record.id

    def delete(state: RunPage, asked: str) -> Any:
        if asked == state.run_id:  # the question was about the run that is still shown
            shell.engine.delete(asked)
            state.run_id = ""
        state.sent.clear()
        return gr.Column(visible=False), ""

    pending = gr.State("")
    sure.ask.click(shell.safe(ask), page, [sure.row, sure.question, pending], **TOLD)
    sure.yes.click(shell.safe(delete), [page, pending], [sure.row, shell.run], **TOLD)
