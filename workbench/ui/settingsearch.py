"""A search over all settings of the form: by their names, words of their help, and the names that other tools use."""

from __future__ import annotations

from typing import Any

import gradio as gr

from workbench.config.text import Text
from workbench.methods import METHODS
from workbench.ui.form import FOCUS, KIND, Field, Form, slug
from workbench.ui.shell import QUIET, Shell

SHOWN = 6
LONGEST = 80  # characters of a question
_LABEL = Text("Find a setting", "查找设置项")
_ABOUT = Text(
    "By its name, a word of its description, or what other tools call it (lora_alpha, cutoff_len).",
    "按名称、说明中的词，或其他工具里的叫法（lora_alpha、cutoff_len）。",
)
_FOUND = Text("Settings found", "找到的设置项")
_ONLY_WITH = Text("only with the method “{method}”", "仅用于方法“{method}”")
_BASIC = Text("above", "见上方")

# The value of a result is the id of its section, or "-", and the field's own.
_LEAD = (
    """async chosen => {
  const [fold, name] = (chosen || '').split(' ');
  if (!name) return;
"""
    + FOCUS
    + """
  const head = document.querySelector(`#${CSS.escape(fold)} > button`);
  if (head && !head.classList.contains('open')) head.click();
  for (let n = 0; n < 40; n++) {
    const field = document.getElementById(name)?.closest('.field');
    if (field?.getClientRects().length) return lead(field);
    await new Promise(done => setTimeout(done, 100));
  }
}"""
)


class SettingSearch:
    """The box and what was found; stands between the basic settings and the folded ones. `bind` when the form is whole."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        with gr.Column(elem_id="train-search"):
            self.words = gr.Textbox(
                label=shell.text(_LABEL), info=shell.text(_ABOUT), max_lines=1, elem_id="train-search-words",
                elem_classes="panel-field",
            )  # fmt: skip
            self.results = gr.Radio(
                [], label=shell.text(_FOUND), visible=False, elem_id="train-search-results", elem_classes="cards"
            )

    def bind(self, form: Form) -> None:
        """React."""
        shell = self._shell

        def look(words: str, kind: str, request: gr.Request) -> Any:
            lang = shell.lang(request)
            hits = find(form, str(words)[:LONGEST], kind)
            choices = [(_card(form, hit, kind, lang), _place(form, hit, kind)) for hit in hits]
            return gr.Radio(choices=choices, value=None, visible=bool(choices))

        kind = form.field(KIND).widget
        self.words.change(shell.safe(look), [self.words, kind], self.results, trigger_mode="always_last", **QUIET)
        led = self.results.input(None, self.results, None, js=_LEAD)
        led.then(None, None, self.results, js="() => null")  # the same one can be chosen again


def find(form: Form, words: str, kind: str) -> list[Field]:
    """The fields in which all of these words are found, the best first: by name, then by label, then by help.

    Args:
        kind: the method that is chosen; its own options come before those of the others.
    """
    wanted = words.casefold().split()
    ranked = []
    for place, field in enumerate(form.fields):
        knob = field.setting.knob
        names = [field.setting.path.casefold(), *(name.casefold() for name in knob.also)]
        labels = f"{knob.label.en} {knob.label.zh}".casefold()
        helps = f"{knob.help.en} {knob.help.zh}".casefold()
        if not wanted or not all(word in " ".join([*names, labels, helps]) for word in wanted):
            continue
        named = any(word in name for word in wanted for name in names)
        exact = any(word in (name, name.rpartition(".")[2]) for word in wanted for name in names)
        rank = 0 if exact else 1 if named else 2 if all(word in labels for word in wanted) else 3
        ranked.append((field.method not in (None, kind), rank, place, field))
    return [field for *_, field in sorted(ranked, key=lambda one: one[:3])[:SHOWN]]


def _card(form: Form, field: Field, kind: str, lang: str) -> str:
    """Its label, where it stands and what it is called, and what it does, on three lines; the style sheet makes a card of them."""
    knob = field.setting.knob
    where = form.titles[field.section] if field.section is not None else _BASIC
    if field.method not in (None, kind):
        where = _ONLY_WITH.with_(method=METHODS[str(field.method)].label)
    return "\n".join([knob.label.to(lang), f"{where.to(lang)} · {field.setting.path}", knob.help.to(lang)])


def _place(form: Form, field: Field, kind: str) -> str:
    """Where choosing it leads: to the choice of the method where that decides whether it is there at all."""
    if field.method not in (None, kind):
        return f"- field-{slug(KIND)} {field.setting.path}"
    fold = form.sections[field.section].elem_id if field.section is not None else "-"
    return f"{fold} field-{slug(field.setting.path)}"
