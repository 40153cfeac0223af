"""What a run will take, as the card beside Start says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.config.text import Text
from workbench.engine.fitting import TOO_LARGE
from workbench.ui import html
from workbench.ui.fits import memory_bar

_BEFORE = Text("Before you start", "开始之前")
_KEPT = Text("Rows kept for evaluation", "留作评估的样本")
_BASIS = {
    "measured": Text("about {time}, measured", "约 {time}（实测）"),
    "runs": Text("about {time}, as earlier runs", "约 {time}（按以往运行）"),
    "guess": Text("very roughly {time}", "粗略估计 {time}"),
}
_TRIAL = Text(
    "Measured with {steps} trial steps: {seconds} s each, {memory} of memory at most. What they learned was thrown away.",
    "实测 {steps} 步：每步 {seconds} 秒，内存最多 {memory}。试训结果已丢弃。",
)
_OF = Text("about {need} of {all}", "约 {need}，共 {all}")
_MEMORY_SHORT = Text(
    "This needs more memory than there is. {way_on}",
    "所需内存超过了现有内存。{way_on}",
)
_LOWER = Text("The buttons below lower it.", "下面的按钮可以减少占用。")
_SMALLER = Text("Take a smaller model.", "请换小一点的模型。")
_WHY = Text("{line} The Data tab says why.", "{line}原因见“数据”页。")
_DISK_SHORT = Text("There is not enough room on the disk for this run.", "磁盘空间不够进行这次运行。")


def forecast_card(forecast: Any, overlap: Sequence[Text], lang: str, unused: Sequence[Text] = ()) -> str:
    """Time, memory, steps, rows and disk of a run, what of its data is not used, and what there is not enough of.

    Args:
        forecast: the engine's.
        overlap: what it says of rows that are learned and kept back as well.
        unused: what it says of rows and columns that are not used.
    """
    fit = forecast.fit
    rows = [
        (Text("Time", "时间"), _BASIS[forecast.basis].with_(time=html.duration(forecast.seconds)).to(lang)),
        (
            Text("Memory", "内存"),
            _OF.with_(need=html.size(fit.peak_bytes), all=html.size(fit.available_bytes)).to(lang),
        ),
        (Text("Steps", "步数"), f"{forecast.steps:,}"),
        (Text("Rows learned", "用于学习的样本"), f"{forecast.rows:,}"),
        *([(_KEPT, f"{forecast.evaluation_rows:,}")] if forecast.evaluation_rows else []),
        (
            Text("Disk", "磁盘"),
            Text("{need}, {free} free", "{need}，剩余 {free}")
            .with_(need=html.size(forecast.disk_bytes), free=html.size(forecast.free_disk_bytes))
            .to(lang),
        ),
    ]
    trial, warnings = forecast.measured, list(overlap)
    if fit.kind == TOO_LARGE:
        warnings.append(_MEMORY_SHORT.with_(way_on=_LOWER if fit.changes else _SMALLER))
    if forecast.disk_bytes > forecast.free_disk_bytes:
        warnings.append(_DISK_SHORT)
    said = [html.Markup(f'<p class="problem">{html.esc(warning.to(lang))}</p>') for warning in warnings]
    if trial is not None:
        facts = {
            "steps": trial.steps,
            "seconds": f"{trial.seconds_per_step:.2g}",
            "memory": html.size(trial.memory_bytes),
        }
        said.append(html.note(_TRIAL.with_(**facts).to(lang)))
    said += [html.note(_WHY.with_(line=line).to(lang)) for line in unused]
    return html.card(
        _BEFORE.to(lang), html.facts((label.to(lang), value) for label, value in rows), memory_bar(fit, lang), *said
    )
