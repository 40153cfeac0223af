"""The chart of both losses, on what is learned and on rows kept back: an SVG that the browser draws from a short list of points.

`chart.js` draws it at the size it is shown at, so its text stays readable at 390 and at 1280 pixels; its colours are
CSS variables and follow the theme. About 6 KB, nothing to download, no data frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.config.text import Text
from workbench.engine.names import KEPT_BACK_LOSS, TRAINING_LOSS
from workbench.engine.runview import RunView
from workbench.methods.metrics import OF_EVALUATION, Metric

STEP = Text("step", "步")
EMPTY = Text("The curve appears after the first steps.", "训练几步之后，这里会出现曲线。")
SUMMARY = Text(
    "Training loss from {first} to {last}, steps {start} to {end}",
    "训练损失从 {first} 变为 {last}，第 {start} 步到第 {end} 步",
)
_COURSE = Text(
    "{label} from {first} to {last}, steps {start} to {end}",
    "{label}从 {first} 变为 {last}，第 {start} 步到第 {end} 步",
)
_KEPT_BACK = Text("{label}, rows kept back", "{label}（留出样本）")


def loss_chart(elem_id: str) -> gr.HTML:
    """The component; its value is what `drawing` returns and the run's id as `run`. It is a live piece, too."""
    return gr.HTML(
        value=None,
        html_template='<div class="wb-chart card" data-live="run-chart"></div>',
        css_template=_file("chart.css"),
        js_on_load=_file("chart.js"),
        apply_default_css=False,
        elem_id=elem_id,
    )


def drawing(view: RunView, lang: str, metrics: Sequence[Metric] = ()) -> dict[str, Any]:
    """What the chart shows of a run, in `lang`: its losses, and below them each of the method's main numbers that there is."""
    return {
        "series": [
            _series("train", TRAINING_LOSS.to(lang), view.loss.points()),
            _series("eval", KEPT_BACK_LOSS.to(lang), view.eval_loss.points()),
        ],
        "end": view.last.get("total_steps") or 0,
        "step": STEP.to(lang),
        "empty": EMPTY.to(lang),
        "summary": _summary(view.loss.points(), lang),
        "panels": [_panel(metric, view, lang) for metric in metrics if metric.main],
    }


def _panel(metric: Metric, view: RunView, lang: str) -> dict[str, Any]:
    learned, checked = (
        view.numbers[name].points() if name in view.numbers else []
        for name in (metric.name, f"{OF_EVALUATION}{metric.name}")
    )
    label = metric.label.to(lang)
    kept_back = _KEPT_BACK.with_(label=label).to(lang)
    return {
        "series": [_series("train", label, learned), _series("eval", kept_back, checked)],
        "percent": metric.percent,
        "summary": _summary(checked or learned, lang, kept_back if checked else label),
    }


def _series(kind: str, name: str, points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {"kind": kind, "name": name, "x": [x for x, _ in points], "y": [y for _, y in points]}


def _summary(points: Sequence[tuple[float, float]], lang: str, label: str = "") -> str:
    """What a screen reader says instead of the curve."""
    if not points:
        return EMPTY.to(lang)
    (start, first), (end, last) = points[0], points[-1]
    said = SUMMARY if not label else _COURSE.with_(label=label)
    return said.with_(first=f"{first:.3g}", last=f"{last:.3g}", start=f"{start:g}", end=f"{end:g}").to(lang)


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
