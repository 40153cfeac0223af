"""What has to be put right before a run can start: one card beside Start, which names the places; each says what is wrong.

Knows no engine. Each problem's sentence stands once: at its field, or here when it has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from workbench.config.errors import Problem
from workbench.config.text import Text, same
from workbench.ui import html
from workbench.ui.form import FOCUS, Form, sentence

NAMED = 6  # wrong settings that are named

START = Text("Start training", "开始训练")
_FIRST = Text("Put right first", "请先改好")
_ONE = Text("1 setting to put right first", "还有 1 处要先改好")
_MANY = Text("{n} settings to put right first", "还有 {n} 处要先改好")
_MORE = Text("and {n} more, marked in red", "另有 {n} 项，已标红")


def card(form: Form, problems: Sequence[Problem], nested: Mapping[str, Any], lang: str) -> html.Markup:
    """The problems without a field, in full, then the names of the settings that are marked."""
    rest = form.elsewhere(problems, nested)
    lines = [sentence(problem, lang) for problem in rest]
    places = dict.fromkeys(str(problem.field) for problem in problems if problem not in rest)
    names = [(form.place(path, nested) or same(path)).to(lang) for path in places]
    lines += names[:NAMED]
    if len(names) > NAMED:
        lines.append(_MORE.with_(n=len(names) - NAMED).to(lang))
    return html.card(_FIRST.to(lang), *lines, kind="problems")


def start_button(form: Form, problems: Sequence[Problem], nested: Mapping[str, Any], lang: str) -> Any:
    """How Start looks: ready, or how much has to be put right first. A click then leads to the first of it."""
    rest = form.elsewhere(problems, nested)
    count = len(rest) + len({problem.field for problem in problems if problem not in rest})
    if not count:
        return gr.Button(START.to(lang), variant="primary")
    return gr.Button((_ONE if count == 1 else _MANY.with_(n=count)).to(lang), variant="secondary")


# Takes the reader to the first field that is marked, or to the card where none is; a section may just be opening.
# Nothing is marked when a run began.
FIND_PROBLEM = (
    """async () => {
"""
    + FOCUS
    + """
  for (let n = 0; n < 15; n++) {
    await new Promise(done => setTimeout(done, 100));
    if (!document.querySelector('#tab-train')?.getClientRects().length) return;
    const mark = document.querySelector('#tab-train .field [role=alert]');
    const card = document.querySelector('#train-forecast .problems');
    if (!mark && card && n > 4) return card.scrollIntoView({ block: 'center' });
    if (!mark || !mark.getClientRects().length) continue;
    return lead(mark.closest('.field'));
  }
}"""
)
