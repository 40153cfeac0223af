"""The Model tab: which base models are on this computer, and which one is chosen.

The page names models by id only. New ones are found and downloaded here (`ui/finding.py`), or come as folders in the home.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.ui import html
from workbench.ui.damaged import DamagedList, DamagedThing
from workbench.ui.finding import Finder
from workbench.ui.shell import QUIET, Shell, made_html

ID = "model"
ORDER = 10
TITLE = Text("Model", "模型")

TIGHT = 0.8  # share of the memory from which on it may not be enough

_LEAD = Text("Choose the model to start from.", "选择从哪个模型开始微调。")
_CHOICE = Text("Base models on this computer", "这台电脑上的基座模型")
_NEXT = Text("Next: data", "下一步：数据")
_AGAIN = Text("Look again", "刷新")
_MORE = Text(
    "A model that you have already: put its folder into {folder}, or run python -m workbench models add FOLDER.",
    "已有的模型：把它的文件夹放到 {folder}，或执行 python -m workbench models add 文件夹。",
)
_FITS = {
    "": Text("can be trained here", "可在此训练"),
    "tight": Text("memory is tight", "内存偏紧"),
    "no": Text("too large to train here", "太大，无法在此训练"),
}
_SHIPPED = Text("ships with the workbench", "随工作台自带")
_BUILT = Text("Architecture: {name}", "架构：{name}")
_SIZE = Text("{parameters} parameters · {bytes}", "{parameters} 参数 · {bytes}")
_NONE = Text("There is no usable model yet.", "还没有可用的模型。")


def build(shell: Shell) -> None:
    """Cards to choose from, what is known about the chosen one, and those that can't be used."""
    shell.lead(_LEAD)
    choice = gr.Radio([], label=shell.text(_CHOICE), elem_id="model-choice", elem_classes="cards")
    about = made_html(elem_id="model-about")
    damaged = DamagedList(shell, ID, lambda: _damaged(shell.engine.models.list()), shell.engine.delete_model)
    finder = Finder(shell)
    folder = shell.engine.home / "models"
    gr.Markdown(shell.text(_MORE.with_(folder=folder)), elem_classes="note")
    with gr.Row(elem_classes="next-row"):
        again = gr.Button(shell.text(_AGAIN), scale=0, min_width=140, elem_id="model-again")
        following = gr.Button(shell.text(_NEXT), variant="primary", scale=0, min_width=200, elem_id="model-next")
    following.click(lambda: shell.go("data"), outputs=shell.tabs, **QUIET)

    def show(model_id: str, request: gr.Request) -> Any:
        lang = shell.lang(request)
        models = shell.engine.models.list()
        return [*_shown(shell, models, model_id, lang), *damaged.shown(lang, _damaged(models))]

    outputs = [choice, about, *damaged.outputs]
    shell.shared["model.damaged"] = damaged
    shell.page.load(shell.safe(show), shell.model, outputs, **QUIET)
    shell.model.change(shell.safe(show), shell.model, outputs, **QUIET)
    again.click(shell.safe(show), shell.model, outputs, **QUIET)
    choice.input(lambda chosen: chosen, choice, shell.model, **QUIET)

    def again_listed(request: gr.Request) -> list[Any]:
        """The list when a model has come: what is chosen in it stays."""
        lang, models = shell.lang(request), shell.engine.models.list()
        return [gr.Radio(choices=_choices(shell, models, lang)), *damaged.shown(lang, _damaged(models))]

    finder.bind(again_listed, [choice, *damaged.outputs])


def _shown(shell: Shell, models: Sequence[Any], model_id: str, lang: str) -> list[Any]:
    usable = [info for info in models if info.problem is None]
    chosen = next((info for info in usable if info.id == model_id), usable[0] if usable else None)
    return [
        gr.Radio(choices=_choices(shell, models, lang), value=chosen.id if chosen else None),
        _about(shell, chosen, lang) if chosen else html.note(_NONE.to(lang)),
    ]


def _choices(shell: Shell, models: Sequence[Any], lang: str) -> list[tuple[str, str]]:
    return [(_label(shell, info, lang), info.id) for info in models if info.problem is None]


def _label(shell: Shell, info: Any, lang: str) -> str:
    """Name, size and whether it fits, on three lines; the style sheet makes a card of them."""
    fits = _FITS[fit(shell, info.id)[0]].to(lang)
    size = _SIZE.with_(parameters=html.amount(info.parameters), bytes=html.size(info.bytes)).to(lang)
    return f"{info.name.to(lang)}\n{size}\n{fits}"


def _about(shell: Shell, info: Any, lang: str) -> str:
    kind, need, room = fit(shell, info.id)
    tiles = [
        (Text("parameters", "参数"), html.amount(info.parameters)),
        (Text("on disk", "占用磁盘"), html.size(info.bytes)),
        (Text("longest text (tokens)", "最长文本（词元）"), f"{info.context:,}" if info.context else "–"),
    ]
    if need:
        memory = Text("{need} of {room}", "{need} / {room}").with_(need=html.size(need), room=html.size(room))
        tiles.append((Text("memory to train with LoRA", "LoRA 训练所需内存"), memory.to(lang)))
    badges = [html.badge(_FITS[kind].to(lang), kind)]
    if info.shipped:
        badges.append(html.badge(_SHIPPED.to(lang), "plain"))
    if not info.has_template:
        badges.append(
            html.badge(Text("no chat template: plain text only", "没有对话模板：只能用纯文本").to(lang), "tight")
        )
    head = html.Markup(f'<p class="badges">{html.join(badges, " ")}</p>')
    numbers = html.kpis((label.to(lang), value) for label, value in tiles)
    return html.card(
        info.name.to(lang),
        info.about.to(lang) if info.about else "",
        head,
        numbers,
        html.note(_BUILT.with_(name=info.architecture).to(lang)),
    )


def _damaged(models: Sequence[Any]) -> list[DamagedThing]:
    return [
        DamagedThing(info.id, info.name, info.problem, place=info.place) for info in models if info.problem is not None
    ]


def fit(shell: Shell, model_id: str) -> tuple[str, int, int]:
    """Whether LoRA training of a model fits with the settings that are usual: ("" | "tight" | "no", bytes, of bytes)."""
    try:
        forecast = shell.engine.forecast(RunConfig().changed({"model.base": model_id}))
    except WorkbenchError:
        return "", 0, 0
    share = forecast.memory_bytes / max(forecast.memory_total, 1)
    kind = "no" if share > 1 else "tight" if share > TIGHT else ""
    return kind, forecast.memory_bytes, forecast.memory_total
