"""What several tabs need of gradio and the shell does not have: events of the tab bar, and asking before deleting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.config.text import Text
from workbench.engine.session import Session
from workbench.ui import runhtml
from workbench.ui.shell import QUIET, Shell, made_html

# For handlers that may refuse: Gradio shows an error's message only for events that went through its queue.
TOLD: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}

CANCEL = Text("Keep it", "保留")


def panel(elem_id: str, visible: bool = True) -> gr.HTML:
    """A place for HTML made by the workbench, with the style of its pieces."""
    return made_html(elem_id=elem_id, apply_default_css=False, elem_classes="pieces", visible=visible)


def on_open(shell: Shell, tab_id: str, handler: Callable[..., Any], inputs: Any = None, outputs: Any = None) -> Any:
    """Call `handler` when the tab is opened, by a click or by `shell.go`. Call in `bind`, when all tabs exist."""
    tab = next(child for child in shell.tabs.children if getattr(child, "id", None) == tab_id)
    return tab.select(shell.safe(handler), inputs, outputs, **QUIET)


def run_names(engine: Session, lang: str) -> dict[str, str]:
    """What each run is called in the lists of runs, by its id."""
    runs = engine.runs()
    alike = len({run.name for run in runs}) < len(runs)  # else the data sets' names are not needed
    return runhtml.name_each(runs, {info.id: info.name for info in engine.data.list()} if alike else {}, lang)


def on_tab_change(shell: Shell, handler: Callable[..., Any], inputs: Sequence[Any]) -> None:
    """Call `handler(open_tab, *inputs)` when another tab was opened; `open_tab` is its id, or "" when nobody knows."""
    opened = gr.Textbox(visible=False)
    shell.tabs.change(shell.safe(handler), [opened, *inputs], None, js=OPEN_TAB, **QUIET)


# Puts the open tab's id before what it is given. The buttons of the tab bar are called `tab-<id>-button`; the wait lets
# the bar finish marking the new one.
OPEN_TAB = """async (...given) => {
  await new Promise(done => setTimeout(done, 60));
  const open = document.querySelector('#tabs [role=tab][aria-selected=true]');
  given[0] = open && open.id.startsWith('tab-') ? open.id.slice(4).replace(/-button$/, '') : '';
  return given;
}"""


@dataclass
class Confirm:
    """A button that asks before it does something; `row` shows the question in place."""

    ask: gr.Button
    row: gr.Column
    question: gr.HTML
    yes: gr.Button
    no: gr.Button


def confirm(shell: Shell, ask: gr.Button, yes: Text, elem_id: str) -> Confirm:
    """The question belonging to the button `ask`, hidden until it is asked."""
    with gr.Column(visible=False, elem_classes="card", elem_id=f"{elem_id}-question") as row:
        question = panel(f"{elem_id}-words")
        with gr.Row():
            no = gr.Button(shell.text(CANCEL), scale=0, min_width=120, elem_id=f"{elem_id}-no")
            sure = gr.Button(shell.text(yes), variant="stop", scale=0, min_width=160, elem_id=f"{elem_id}-yes")
    no.click(lambda: gr.Column(visible=False), outputs=row, **QUIET)
    return Confirm(ask, row, question, sure, no)
