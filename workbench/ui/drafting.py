"""Between the form and the visitor's draft: what the page sends becomes changes of the draft, what changed goes to the page.

The draft lives in the engine (`engine/drafts.py`); the browser remembers only the visitor's id. What the page sends along says
which change of it the form showed, so that nothing is taken for typed that the page only did not know yet.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from workbench.config.errors import WorkbenchError
from workbench.config.fields import Setting
from workbench.config.run import RunConfig
from workbench.config.sections import DataSection
from workbench.config.text import Text
from workbench.engine import suited
from workbench.engine.draft import DATA, DEFAULT, MODEL, PERSON, SOURCES, Draft
from workbench.engine.drafts import Drafts, Kept
from workbench.engine.session import Session
from workbench.ui import html, jobs
from workbench.ui.form import BY_NAME, Form
from workbench.ui.shell import Shell, made_html

UNDO = "undo"
NAMED = 12  # changed settings that are named
NEWEST = "train-newest"
"""Id of the button that shows the draft as it is now, where something else than this form has changed it."""

_CHANGED = Text("Changed from the preset; a click takes it back:", "与预设不同的设置，点击可恢复：")
_AND_MORE = Text("and {n} more", "以及另外 {n} 项")
_ALL_OF = Text("all of {section}", "{section}的全部")
_BACK = Text("Back to what was filled in", "恢复为填入的值")
_WHO = Text(" · {who}", " · {who}")
# The other tabs of this browser hear it, and look whether theirs is still the newest.
_TELL = """number => {
  if (number && localStorage.getItem('workbench-drafted') !== number) localStorage.setItem('workbench-drafted', number);
}"""
HEAR = """() => {
  if (window.workbenchDrafted) return;
  window.workbenchDrafted = true;
  window.addEventListener('storage', event => { if (event.key === 'workbench-drafted') (%s)(); });
}"""


class DraftForm:
    """The form as a view of the visitor's draft.

    Args:
        shell: of the page; `shell.form` holds the visitor's id.
        form: all widgets.
        preset: the list of presets.
    """

    def __init__(self, shell: Shell, form: Form, preset: gr.Dropdown) -> None:
        self.form, self.preset = form, preset
        self._shell, self._drafts = shell, shell.engine.drafts
        self.number = gr.Textbox("", visible=False)
        """Which change of the draft the form shows; "" until it shows what the home remembers. Hidden, and no `gr.State`:
        the browser sends the one that it had at that moment."""
        self.who = made_html(elem_id="train-who")
        """The style sheet that says at each field who set it."""
        self.number.change(None, self.number, None, js=_TELL)
        shell.live.deed(UNDO, self._undo)

    @property
    def given(self) -> list[Any]:
        """What `changed` reads: visitor, number, values."""
        return [self._shell.form, self.number, *self.form.inputs]

    @property
    def shown(self) -> list[Any]:
        """What `show` gives values for."""
        return [self.number, self.preset, *self.form.inputs]

    def changed(
        self, visitor: Any, number: str, values: Sequence[Any], lang: str, how: Callable[[Draft], Draft] | None = None
    ) -> Kept:
        """The draft with what was changed in the form, after `how`."""
        now, at = self.form.read(values), int(number) if re.fullmatch("[0-9]{1,15}", number) else 0

        def change(draft: Draft | None) -> Draft:
            draft = draft or suited.first_draft(self._shell.engine, "", "", lang)
            before = self._drafts.at(visitor, at) or draft
            draft = draft.edited(self.form.read(self.form.show(before.values)), now)
            return how(draft) if how is not None else draft

        return self._drafts.change(visitor, change)

    def show(self, kept: Kept, lang: str, there: Sequence[Any] = ()) -> list[Any]:
        """Values for `shown`; what is `there` already is not sent again: somebody may be typing in that field now."""
        return [str(kept.number), kept.draft.preset, *self._values(kept.draft.values, lang, there)]

    def opened(self, remembered: Any, how: Callable[[Draft | None], Draft]) -> tuple[str, Kept]:
        """The visitor's id and draft when the page is opened; a new one where the browser remembers none."""
        older = Draft.parse(remembered)  # as versions before kept it in the browser
        known = self._drafts.get(remembered)
        visitor = remembered if known is not None else Drafts.new_id()
        return visitor, self._drafts.change(visitor, lambda draft: how(draft or older))

    def styles(self, draft: Draft, lang: str) -> html.Markup:
        """For `who`."""
        rules: dict[str, list[str]] = {}
        for name, setting in self._named(draft):
            place = ".label-text" if setting.kind == "switch" else "[data-testid=block-info]"
            rules.setdefault(draft.who(setting.path), []).append(f"#field-{name} {place}::after")
        made = []
        for who, places in rules.items():
            if who != DEFAULT:
                colour = "var(--link-text-color)" if who == PERSON else "var(--body-text-color-subdued)"
                words = _WHO.with_(who=SOURCES[who]).to(lang)
                style = f'content: "{words}"; color: {colour}; font-weight: 400; font-size: var(--text-xs);'
                made.append(f"{', '.join(places)} {{ {style} }}")
        return html.Markup(f"<style>{' '.join(made)}</style>")

    def changes(self, visitor: str, draft: Draft, lang: str) -> html.Markup:
        """What a person changed, each with a button that takes it back; empty where nothing was."""
        own = [path for path in draft.own() if path in {setting.path for _, setting in self._named(draft)}]
        if not own:
            return html.Markup("")
        buttons: list[html.Markup] = []
        sections: dict[int | None, list[str]] = {}
        for path in own:
            field = self.form.field(path, draft.values)
            sections.setdefault(field.section, []).append(path)
            if len(buttons) < NAMED:
                buttons.append(self._button(visitor, path, f"{field.setting.knob.label.to(lang)} ↩", lang))
        more = [html.esc(_AND_MORE.with_(n=len(own) - NAMED).to(lang))] if len(own) > NAMED else []
        for section, paths in sections.items():
            if section is not None and len(paths) > 1:
                words = _ALL_OF.with_(section=self.form.titles[section]).to(lang)
                buttons.append(self._button(visitor, str(section), f"{words} ↩", lang))
        said = html.note(_CHANGED.to(lang))
        return html.Markup(f'{said}<div class="deeds changes">{html.join([*buttons, *more], " ")}</div>')

    @staticmethod
    def _button(visitor: str, what: str, words: str, lang: str) -> html.Markup:
        return jobs.button(UNDO, f"{visitor} {what}", words, _BACK.to(lang), then=NEWEST)

    def _undo(self, key: str) -> None:
        """Take back a setting, named by its path, or all of a section, named by its number."""
        visitor, _, what = key.partition(" ")
        kept = self._drafts.get(visitor)
        if kept is not None:
            inside = [field.setting.path for field in self.form.fields if str(field.section) == what]
            self._drafts.change(visitor, lambda draft: (draft or kept.draft).undone(inside or [what]))

    def _named(self, draft: Draft) -> list[tuple[str, Setting]]:
        """The settings that count, by the ids of their fields."""
        fields = [field for field in self.form.fields if field.setting.applies(draft.values)]
        return [(field.name, field.setting) for field in fields]

    def _values(self, nested: dict[str, Any], lang: str, there: Sequence[Any] = ()) -> list[Any]:
        """Values for all widgets; those chosen by name get the names that there are now."""
        made: list[Any] = []
        for index, value in enumerate(self.form.show(nested)):
            path = self.form.fields[index].setting.path
            if path in BY_NAME:
                made.append(gr.Dropdown(choices=self.form.names(path, lang, value), value=value))
            elif not self.form.fields[index].setting.applies(nested):
                made.append(gr.skip())  # what was typed there is there again when it counts again
            else:
                made.append(gr.skip() if there and there[index] == value else value)
        return made


def subject(draft: Draft) -> list[Any]:
    """Data and model of a draft, for the choices that all tabs share."""
    return [draft.value(DATA), draft.value(MODEL)]


def row_limits(engine: Session, visitor: Any) -> tuple[int, str]:
    """How long a row may be and what is learned of it, as the visitor's draft has it."""
    data, kept = DataSection(), engine.drafts.get(visitor)
    if kept is not None:
        with contextlib.suppress(WorkbenchError):  # not right yet
            data = RunConfig.parse({"data": kept.draft.values["data"]}).data
    return data.max_length, data.learn
