"""The thin bar at the top that always tells: what runs, which model is loaded, how much memory is left; and the language.

A live piece (`workbench.ui.live`): asked for once a second, sent only when a word of it changed.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.config.text import Text, same
from workbench.engine.job_views import TRAIN
from workbench.ui import html, jobs
from workbench.ui.language import PAGE_TITLE
from workbench.ui.shell import Shell, made_html

_IDLE = Text("Nothing is running", "没有运行中的任务")
_WAITING = Text("{n} waiting", "{n} 个等待中")
_LEFT_OVER = Text("{n} not finished", "{n} 个未完成")
_OPEN = Text("Show what runs and waits", "查看进行中和等待中的任务")
_NO_MODEL = Text("No model loaded", "未载入模型")
_MEMORY = Text("{used} of {total} of memory used", "内存已用 {used}，共 {total}")
_FREE = Text("{free} free", "剩余 {free}")
_GUIDE = Text("Guide", "引导")
_LANGUAGE = Text("Language", "语言")


def build(shell: Shell) -> None:
    """Name, chips, language switch."""
    switch = html.Markup(
        f'<span class="seg" role="group" aria-label="{html.esc(_LANGUAGE.en)} / {html.esc(_LANGUAGE.zh)}">'
        '<button type="button" data-set-lang="en" lang="en">English</button>'
        '<button type="button" data-set-lang="zh" lang="zh">中文</button></span>'
    )
    names: dict[str, Text] = {}  # of loaded models: to look at all models each second, for each page, is too much
    with gr.Row(elem_id="header"):
        made_html(f'<h1 class="name">{html.both(PAGE_TITLE)}</h1>', elem_id="header-name")
        chips = made_html(elem_id="header-chips")
        shell.shared["guide.open"] = gr.Button(
            shell.text(_GUIDE), size="sm", scale=0, min_width=40, elem_id="guide-open", elem_classes="ghost"
        )
        made_html(switch, elem_id="header-lang")
        listed = made_html(elem_id="header-jobs", elem_classes="pieces")

    def first(request: gr.Request) -> Any:
        lang = shell.lang(request)
        return shell.live.slot("chips", "", lang), shell.live.slot(jobs.PIECE, "", lang)

    jobs.JobPieces(shell.engine, shell.live)
    shell.live.piece("chips", lambda key, lang: _chips(shell, names, lang))
    shell.on_load(first, outputs=[chips, listed])


def _chips(shell: Shell, names: dict[str, Text], lang: str) -> str:
    status, found = shell.engine.status(), shell.engine.jobs()
    active = [job for job in found if job.active]
    first = next((job for job in active if job.status != "queued"), None)
    left = sum(job.resumable and not job.dismissed for job in found if not job.active)
    if first is None:
        words, kind = (_IDLE.to(lang), "idle") if not left else (_LEFT_OVER.with_(n=left).to(lang), "idle")
    else:
        running = status.running
        words, kind = running.name if running and first.id == running.id else first.title.to(lang), ""
    far = [] if first is None or first.share is None else [f"{int(100 * first.share)} %"]
    if first is not None and first.kind == TRAIN and status.total_steps and status.running is not None:
        far = [f"{status.step} / {status.total_steps}"]
    if len(active) > (first is not None):
        far.append(_WAITING.with_(n=len(active) - (first is not None)).to(lang))
    # Beside the name, which may be long and is shortened: how far it is has to be seen.
    beside = html.Markup(f'<span class="far">· {html.esc(" · ".join(far))}</span>') if far else ""
    total = status.memory_total or 1
    device = html.Markup(f'<span class="device">{html.esc(status.device)} · </span>')
    free = _FREE.with_(free=html.size(max(total - status.memory_used, 0)))
    memory = html.Markup(device + html.esc(free.to(lang)))
    taken = _MEMORY.with_(used=html.size(status.memory_used), total=html.size(total))
    model = _model_name(shell, names, status.loaded_model, lang)
    return html.Markup(
        '<div class="bar">'
        + html.chip(words, kind=kind, extra=beside, elem_id="chip-run", title=words, button=_OPEN.to(lang))
        + html.chip(model, elem_id="chip-model", off=not status.loaded_model, title=model)
        + html.chip(
            memory, extra=html.meter(round(status.memory_used / total, 2), taken.to(lang)), elem_id="chip-memory"
        )
        + "</div>"
    )


def _model_name(shell: Shell, names: dict[str, Text], loaded: str | None, lang: str) -> str:
    if not loaded:
        return _NO_MODEL.to(lang)
    if loaded not in names:
        names[loaded] = next((info.name for info in shell.engine.models.list() if info.id == loaded), same(loaded))
    return names[loaded].to(lang)
