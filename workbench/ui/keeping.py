"""What the Model tab says of keeping the chosen model, and the button that deletes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from workbench.config.disk import FOLDER, HELD
from workbench.config.text import Text, listed
from workbench.ui import html
from workbench.ui.runhtml import when
from workbench.ui.shell import Shell
from workbench.ui.tabtools import TOLD, confirm

_NAMED = 5
_DELETE = Text("Delete this model", "删除这个模型")
_SURE = Text("Delete", "删除")
_FREES = Text(
    "Delete {name}? {size} become free. This cannot be undone.", "删除“{name}”？将释放 {size}。此操作无法撤销。"
)
_ENTRY = Text(
    "Take {name} out of the list? The folder to which it leads stays as it is, so nothing becomes free.",
    "把“{name}”从列表中移除？它指向的文件夹会原样保留，因此不会释放空间。",
)
_LOST = Text(
    "These runs build on it and can't be resumed, talked to or merged without it: {runs}.",
    "以下运行以它为基座，没有它将无法继续、对话或合并：{runs}。",
)
_USED = Text(
    "{count} runs build on it, the last began {day}: {runs}.", "{count} 个运行以它为基座，最近一次始于 {day}：{runs}。"
)
_USED_ONCE = Text("One run builds on it, begun {day}: {runs}.", "1 个运行以它为基座，始于 {day}：{runs}。")
_UNUSED = Text("No run builds on it.", "没有运行以它为基座。")


def kept(shell: Shell, info: Any, lang: str) -> html.Markup:
    """Which runs build on a model, and when the last one began."""
    known = shell.engine.keep(info)
    if not known.runs:
        return html.note(_UNUSED.to(lang))
    words = _USED if len(known.runs) > 1 else _USED_ONCE
    said = words.with_(count=len(known.runs), day=when(known.last_used or ""), runs=_names(known.runs, lang))
    return html.note(said.to(lang))


class Keeper:
    """The button, and its question.

    Args:
        shell: of the page.
        again: what the tab shows after a model is gone; called with the request.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        with gr.Row(elem_id="model-keep"):
            self._ask = gr.Button(
                shell.text(_DELETE), size="sm", scale=0, min_width=140, visible=False, elem_id="model-delete"
            )
        self._sure = confirm(shell, self._ask, _SURE, "model-delete")
        self.question = self._sure.row
        self.outputs = [self._ask, self.question]

    def shown(self, info: Any) -> list[Any]:
        """What the outputs show for the chosen model; nothing can be deleted of one that ships or belongs to a run."""
        own = info is not None and not info.shipped and info.place != HELD
        return [gr.Button(visible=own), gr.Column(visible=False)]

    def bind(self, show: Callable[..., list[Any]], inputs: list[Any], outputs: list[Any]) -> None:
        """Delete what was asked about, if it is still the chosen one; then `show` with `inputs`, the chosen model first."""
        shell, pending = self._shell, gr.State("")

        def question(chosen: str, request: gr.Request) -> Any:
            lang, info = shell.lang(request), self._find(chosen)
            if info is None:
                return gr.skip(), gr.skip(), ""
            known = shell.engine.keep(info)
            words = _FREES if info.place == FOLDER else _ENTRY
            said = [html.esc(words.with_(name=info.name, size=html.size(known.frees)).to(lang))]
            if known.runs:
                said.append(html.note(_LOST.with_(runs=_names(known.runs, lang)).to(lang)))
            return gr.Column(visible=True), html.join(said), info.id

        def deleted(asked: str, chosen: str, *rest: Any, request: gr.Request) -> Any:
            if asked and asked == chosen:
                shell.engine.delete_model(asked)
            return show(chosen, *rest, request=request)

        sure = self._sure
        sure.ask.click(shell.safe(question), inputs[0], [sure.row, sure.question, pending], **TOLD)
        sure.yes.click(shell.safe(deleted), [pending, *inputs], outputs, **TOLD)

    def _find(self, model_id: str) -> Any:
        return next((info for info in self._shell.engine.models.list() if info.id == model_id), None)


def _names(runs: tuple[str, ...], lang: str) -> str:
    """The newest ones by name, and how many more."""
    more = len(runs) - _NAMED
    said = listed(runs[:_NAMED])
    if more > 0:
        said = Text("{names} and {n} more", "{names} 等，另有 {n} 个").with_(names=said, n=more)
    return said.to(lang)
