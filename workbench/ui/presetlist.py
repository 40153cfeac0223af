"""The list of presets, grouped by what works on this computer, and what is said below it of the chosen one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.config.text import Text
from workbench.engine.suitability import CARD, GROUPS, NOW, Fit, by_group, readable
from workbench.ui import html, jobs

_DOWNLOAD = Text("Download {model}", "下载 {model}")
_ENTRY = Text("{group} · {title}", "{group} · {title}")


def choices(engine: Any, show: Callable[[Text], Any]) -> list[tuple[Any, str]]:
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


def _begun(text: Text) -> Text:
    """With a capital letter, as an entry begins."""
    return Text(text.en[:1].upper() + text.en[1:], text.zh)
