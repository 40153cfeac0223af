"""What lies in a list's folder and cannot be used: each with its name and the reason, and a button that deletes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.config.disk import ENTRY, FILE, FOLDER
from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.ui import html
from workbench.ui.shell import Shell
from workbench.ui.tabtools import TOLD, confirm, panel

_BROKEN = Text("cannot be used", "无法使用")
_USABLE = Text("can be used", "可以使用")
_WHICH = Text("Which one to delete", "要删除哪一个")
_DELETE = Text("Delete it", "删除它")
_SURE = Text("Delete", "删除")
# By what would be deleted.
_ASK = {
    FOLDER: Text(
        "Delete {name}, with all files in it? This cannot be undone.", "删除“{name}”及其全部文件？此操作无法撤销。"
    ),
    ENTRY: Text(
        "Take {name} out of the list? Only its entry goes; the folder to which it leads stays as it is.",
        "把“{name}”从列表中移除？只删除这个条目，它指向的文件夹会原样保留。",
    ),
    FILE: Text("Delete the file {name}? This cannot be undone.", "删除文件“{name}”？此操作无法撤销。"),
}


@dataclass(frozen=True)
class DamagedThing:
    """One of them; `usable` where only something beside it was lost.

    `place`: what lies there and would be deleted (`config/disk.py`): FOLDER, ENTRY or FILE.
    """

    id: str
    name: Text
    problem: WorkbenchError
    usable: bool = False
    place: str = FOLDER


class DamagedList:
    """The place on a tab; hidden while there is nothing to show.

    Args:
        shell: of the page.
        name: the tab's id; what is clicked is called `<name>-damaged-...`.
        find: what there is now.
        delete: removes one by its id.
    """

    def __init__(
        self, shell: Shell, name: str, find: Callable[[], Sequence[DamagedThing]], delete: Callable[[str], Any]
    ) -> None:
        self._shell, self._find = shell, find
        with gr.Column(visible=False, elem_id=f"{name}-damaged") as whole:
            cards = panel(f"{name}-broken")
            which = gr.Dropdown([], label=shell.text(_WHICH), filterable=False, elem_id=f"{name}-damaged-choice")
            with gr.Row():
                ask = gr.Button(
                    shell.text(_DELETE), size="sm", scale=0, min_width=140, elem_id=f"{name}-damaged-delete"
                )
            sure = confirm(shell, ask, _SURE, f"{name}-damaged")
        self.outputs = [whole, cards, which, sure.row]
        pending = gr.State("")

        def question(chosen: str, request: gr.Request) -> Any:
            thing = next((thing for thing in find() if thing.id == chosen), None)
            if thing is None:
                return gr.skip(), gr.skip(), ""
            words = _ASK[thing.place].with_(name=thing.name)
            return gr.Column(visible=True), html.esc(words.to(shell.lang(request))), thing.id

        def deleted(asked: str, chosen: str, request: gr.Request) -> Any:
            if asked and asked == chosen:  # the question was about the one that is still chosen
                delete(asked)
            return self.shown(shell.lang(request))

        sure.ask.click(shell.safe(question), which, [sure.row, sure.question, pending], **TOLD)
        self.deleted = sure.yes.click(shell.safe(deleted), [pending, which], self.outputs, **TOLD)

    def show(self, request: gr.Request) -> list[Any]:
        """A handler for `outputs`."""
        return self.shown(self._shell.lang(request))

    def shown(self, lang: str, found: Sequence[DamagedThing] | None = None) -> list[Any]:
        """What the outputs show now; `found` where the caller has already looked."""
        found = self._find() if found is None else found
        choices = [(thing.name.to(lang), thing.id) for thing in found]
        return [
            gr.Column(visible=bool(found)),
            html.grid(_card(thing, lang) for thing in found),
            gr.Dropdown(choices=choices, value=found[0].id if found else None),
            gr.Column(visible=False),
        ]


def _card(thing: DamagedThing, lang: str) -> html.Markup:
    word, kind = (_USABLE, "tight") if thing.usable else (_BROKEN, "no")
    badge = html.Markup(f'<p class="badges">{html.badge(word.to(lang), kind)}</p>')
    problem = WorkbenchError(thing.problem.message, thing.problem.hint)  # no setting is to be changed
    return html.card(thing.name.to(lang), badge, problem.to(lang))
