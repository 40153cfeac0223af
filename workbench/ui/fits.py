"""How a model's memory is shown: its badge, its parts as a bar, and buttons for what would make it fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.engine.draft import MODEL
from workbench.engine.fitting import FITS, TIGHT, TOO_LARGE
from workbench.engine.memory import PARTS
from workbench.ui import html
from workbench.ui.shell import QUIET, Shell

BADGES = {
    FITS: Text("can be trained here", "可在此训练"),
    TIGHT: Text("memory is tight", "内存偏紧"),
    TOO_LARGE: Text("too large to train here", "太大，无法在此训练"),
}
STYLES = {FITS: "", TIGHT: "tight", TOO_LARGE: "no"}
_BUTTONS = 4  # ways that are offered at once
_SEEN = 0.004  # of the bar, below which a part has no room in it
_PARTS = Text("What the memory is for", "内存用在哪里")
_SAVES = Text("{what} Saves {size}.", "{what}可省 {size}。")


def way_of_training(shell: Shell, visitor: Any) -> RunConfig:
    """The settings of a visitor's draft; the usual ones where there is none, or something in it is wrong."""
    kept = shell.engine.drafts.get(visitor)
    try:
        return RunConfig.parse(kept.draft.values) if kept is not None else RunConfig()
    except WorkbenchError:
        return RunConfig()


def fit_of(shell: Shell, way: RunConfig, model_id: str) -> Any:
    """How a model that is here fits when trained in this way; None where nothing can be said."""
    try:
        return shell.engine.memory_fit(way.changed({MODEL: model_id}))
    except WorkbenchError:
        return None


def fit_of_offer(shell: Shell, way: RunConfig, offer: Any) -> Any:
    """The same of a model that can be downloaded, from what is known of it."""
    shape = offer.shape
    return shell.engine.memory_fit(way, shape) if shape is not None else None


def badge(fit: Any, lang: str) -> str:
    """In words; empty where nothing can be said."""
    return BADGES[fit.kind].to(lang) if fit is not None else ""


def memory_bar(fit: Any, lang: str) -> html.Markup:
    """The parts of the peak, the largest first, as a bar of the device's memory with a legend that opens."""
    parts = sorted(((size, name) for name, size in fit.parts.items() if size), reverse=True)
    whole = max(fit.available_bytes, sum(size for size, _ in parts), 1)
    pieces, rows = [], []
    for place, (size, name) in enumerate(parts):
        label, share = PARTS[name].to(lang), size / whole
        if share >= _SEEN:
            title = html.esc(f"{label}: {html.size(size)}")
            pieces.append(html.Markup(f'<i class="part-{place % 6}" style="width:{share:.1%}" title="{title}"></i>'))
        rows.append((label, html.size(size)))
    bar = html.Markup(f'<div class="parts" aria-hidden="true">{html.join(pieces)}</div>')
    legend = html.Markup(
        f'<details class="parts-legend"><summary>{html.esc(_PARTS.to(lang))}</summary>{html.facts(rows)}</details>'
    )
    return html.Markup(f'<div class="memory-parts {STYLES[fit.kind]}">{bar}{legend}</div>')


class Advice:
    """Buttons under the forecast of a run that does not fit: each changes one setting of the form."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        with gr.Column(elem_id="train-advice"):
            self.buttons = [
                gr.Button("", size="sm", visible=False, elem_id=f"train-advice-{place}") for place in range(_BUTTONS)
            ]

    def shown(self, fit: Any, lang: str) -> list[Any]:
        """The buttons for a run of this fit; none where it fits, or where nothing can be said (None)."""
        changes = _offered(fit) if fit is not None else []
        texts = [_SAVES.with_(what=change.text, size=html.size(change.saved_bytes)).to(lang) for change in changes]
        return [
            gr.Button(texts[place], visible=True) if place < len(texts) else gr.Button(visible=False)
            for place in range(_BUTTONS)
        ]

    def bind(self, take: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> list[Any]:
        """Let each button set what it says.

        Args:
            take: what shows the form after a change: called with a function from a run's settings to the change (values by
                path; none where nothing is offered any more), then with `inputs` and the request.
        """
        clicks = []
        for place, button in enumerate(self.buttons):

            def press(*values: Any, request: gr.Request, place: int = place) -> Any:
                return take(lambda config: self._change(config, place), *values, request=request)

            clicks.append(button.click(self._shell.safe(press), inputs, outputs, **QUIET))
        return clicks

    def _change(self, config: RunConfig, place: int) -> dict[str, Any]:
        changes = _offered(self._shell.engine.forecast(config).fit)
        return {changes[place].path: changes[place].value} if place < len(changes) else {}


def _offered(fit: Any) -> list[Any]:
    return [] if fit.kind == FITS else list(fit.changes[:_BUTTONS])
