"""The list of presets, grouped by what works on this computer, and what is said below it of the chosen one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.text import Text, listed
from workbench.engine import suited
from workbench.engine.draft import DATA, Draft
from workbench.engine.session import Session
from workbench.engine.suitability import CARD, GROUPS, NOW, Fit, by_group, readable
from workbench.ui import html, jobs
from workbench.ui.form import Form, show_value

NAMED = 6  # settings that are named

_DOWNLOAD = Text("Download {model}", "下载 {model}")
_MOVED = Text("Your last choice also changed: {names}.", "这次选择同时更新了：{names}。")
_AND_MORE = Text("{names} and {n} more", "{names}，以及另外 {n} 项")
_SUGGESTED = Text("{label}: {value} is suggested, because {why}.", "建议“{label}”取 {value}：{why}。")
_ENTRY = Text("{group} · {title}", "{group} · {title}")


def choices(engine: Session, show: Callable[[Text], Any]) -> list[tuple[Any, str]]:
    """The entries of the list, those that work first; each begins with its group, because a list here has no headings.

    Args:
        show: turns a text into what the component takes.
    """
    fits = engine.preset_fits()
    return [
        (show(_ENTRY.with_(group=_begun(GROUPS[fits[preset.id].group]), title=preset.title)), preset.id)
        for preset in by_group(engine.presets(), fits)
    ]


def need(fit: Fit, lang: str) -> html.Markup:
    """What the settings need that is not here, and what to do; empty when they work."""
    if fit.group == NOW:
        return html.Markup("")
    badge = html.badge(GROUPS[fit.group].to(lang), "no" if fit.group == CARD else "tight")
    said = [fit.reason, *([fit.way_on] if fit.way_on else [])]
    between = "" if lang == "zh" else " "
    words = html.Markup(f'<p class="note need">{badge} {html.esc(between.join(text.to(lang) for text in said))}</p>')
    if fit.missing is None:
        return words
    label = _DOWNLOAD.with_(model=readable(fit.missing)).to(lang)
    return html.Markup(f'{words}<div class="deeds">{jobs.button(jobs.DOWNLOAD, fit.missing, label)}</div>')


def note(engine: Session, form: Form, draft: Draft, lang: str) -> html.Markup:
    """What the draft's preset is for, what it needs, and what is suggested for this model and data."""
    preset = next((preset for preset in engine.presets() if preset.id == draft.preset), None)
    if preset is None:
        return html.Markup("")
    said = [html.note(preset.about.to(lang))]
    with contextlib.suppress(WorkbenchError):  # where a value is wrong, its field says so
        said.append(need(engine.fit(RunConfig.parse(draft.values)), lang))
    for one in suited.suggested(engine, draft):
        setting = form.field(one.path, draft.values).setting
        label, value = setting.knob.label, show_value(setting, one.value)
        said.append(html.note(_SUGGESTED.with_(label=label, value=f"{value:g}", why=one.why).to(lang)))
    fields = {field.setting.path: field.setting.knob.label for field in form.fields}
    moved = [fields[path] for path in draft.moved if path in fields and path != DATA]
    if moved:
        names = listed(moved[:NAMED])
        more = _AND_MORE.with_(names=names, n=len(moved) - NAMED) if len(moved) > NAMED else names
        said.append(html.note(_MOVED.with_(names=more).to(lang)))
    return html.join(said)


def _begun(text: Text) -> Text:
    """With a capital letter, as an entry begins."""
    return Text(text.en[:1].upper() + text.en[1:], text.zh)
