"""A search over all settings of the form: by their names, words of their help, and the names that other tools use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from workbench.config.fields import When
from workbench.config.text import Text
from workbench.ui.form import FOCUS, Field, Form
from workbench.ui.shell import QUIET, Shell

SHOWN = 6
LONGEST = 80  # characters of a question
_LABEL = Text("Find a setting", "查找设置项")
_ABOUT = Text(
    "By its name, a word of its description, or what other tools call it (lora_alpha, cutoff_len).",
    "按名称、说明中的词，或其他工具里的叫法（lora_alpha、cutoff_len）。",
)
_FOUND = Text("Settings found", "找到的设置项")
_ONLY_WITH = Text("only where “{label}” is “{value}”", "仅当“{label}”为“{value}”时")
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

        def look(words: str, *deciding: Any, request: gr.Request) -> Any:
            lang, nested = shell.lang(request), form.beside(deciding)
            hits = find(form, str(words)[:LONGEST], nested)
            choices = [(_card(form, hit, nested, lang), _where(form, hit, nested)) for hit in hits]
            return gr.Radio(choices=choices, value=None, visible=bool(choices))

        given = [self.words, *(field.widget for field in form.deciding)]
        self.words.change(shell.safe(look), given, self.results, trigger_mode="always_last", **QUIET)
        led = self.results.input(None, self.results, None, js=_LEAD)
        led.then(None, None, self.results, js="() => null")  # the same one can be chosen again


def find(form: Form, words: str, nested: Mapping[str, Any]) -> list[Field]:
    """The fields in which all of these words are found, the best first: by name, then by label, then by help.

    Args:
        nested: the values that decide which settings count; those come before the others.
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
        ranked.append((not field.setting.applies(nested), rank, place, field))
    return [field for *_, field in sorted(ranked, key=lambda one: one[:3])[:SHOWN]]


def _card(form: Form, field: Field, nested: Mapping[str, Any], lang: str) -> str:
    """Its label, where it stands and what it is called, and what it does, on three lines; the style sheet makes a card of them."""
    knob, missing = field.setting.knob, _missing(field, nested)
    where = form.titles[field.section] if field.section is not None else _BASIC
    if missing is not None:
        decides = form.field(missing.path, nested).setting
        value = dict(decides.choices).get(missing.values[0], missing.values[0])
        where = _ONLY_WITH.with_(label=decides.knob.label, value=value)
    return "\n".join([knob.label.to(lang), f"{where.to(lang)} · {field.setting.path}", knob.help.to(lang)])


def _where(form: Form, field: Field, nested: Mapping[str, Any]) -> str:
    """Where choosing it leads: to the choice that decides whether it is there at all, if it is not."""
    missing = _missing(field, nested)
    shown = field if missing is None else form.field(missing.path, nested)
    fold = form.sections[shown.section].elem_id if shown.section is not None else "-"
    return f"{fold} {shown.widget.elem_id} {field.widget.elem_id}"


def _missing(field: Field, nested: Mapping[str, Any]) -> When | None:
    """What does not hold, so that the setting does not count."""
    return next((one for one in field.setting.when if not one.holds(nested)), None)
