"""The Model tab: which base models are on this computer, and which one is chosen.

The page names models by id only. New ones are found and downloaded here (`ui/finding.py`), or come as folders in the home.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.ui import html
from workbench.ui.damaged import DamagedList, DamagedThing
from workbench.ui.finding import Finder
from workbench.ui.fits import STYLES, badge, fit_of, memory_bar, way_of_training
from workbench.ui.keeping import Keeper, kept
from workbench.ui.shell import QUIET, Shell, made_html
from workbench.ui.tabtools import on_open

ID = "model"
ORDER = 10
TITLE = Text("Model", "模型")

_LEAD = Text("Choose the model to start from.", "选择从哪个模型开始微调。")
_CHOICE = Text("Base models on this computer", "这台电脑上的基座模型")
_NEXT = Text("Next: data", "下一步：数据")
_AGAIN = Text("Look again", "刷新")
_MORE = Text(
    "A model that you have already: put its folder into {folder}, or run python -m workbench models add FOLDER (a folder full of models, too).",
    "已有的模型：把它的文件夹放到 {folder}，或执行 python -m workbench models add 文件夹（也可以是装有多个模型的文件夹）。",
)
_SHIPPED = Text("ships with the workbench", "随工作台自带")
_BUILT = Text("Architecture: {name}", "架构：{name}")
_SIZE = Text("{parameters} parameters · {bytes}", "{parameters} 参数 · {bytes}")
_NONE = Text("There is no usable model yet.", "还没有可用的模型。")


def build(shell: Shell) -> None:
    """Cards to choose from, what is known about the chosen one, and those that can't be used."""
    shell.lead(_LEAD)
    choice = gr.Radio([], label=shell.text(_CHOICE), elem_id="model-choice", elem_classes="cards")
    about = made_html(elem_id="model-about")
    keeper = Keeper(shell)
    damaged = DamagedList(shell, ID, lambda: _damaged(shell.engine.models.list()), shell.engine.delete_model)
    finder = Finder(shell)
    folder = shell.engine.model_folders()[-1]
    gr.Markdown(shell.text(_MORE.with_(folder=folder)), elem_classes="note")
    with gr.Row(elem_classes="next-row"):
        again = gr.Button(shell.text(_AGAIN), scale=0, min_width=140, elem_id="model-again")
        following = gr.Button(shell.text(_NEXT), variant="primary", scale=0, min_width=200, elem_id="model-next")
    following.click(lambda: shell.go("data"), outputs=shell.tabs, **QUIET)

    def show(model_id: str, visitor: Any, request: gr.Request) -> Any:
        lang = shell.lang(request)
        models = shell.engine.models.list()
        chosen = _chosen(models, model_id)
        return [
            *_shown(shell, models, chosen, way_of_training(shell, visitor), lang),
            *keeper.shown(chosen),
            *damaged.shown(lang, _damaged(models)),
        ]

    outputs = [choice, about, *keeper.outputs, *damaged.outputs]
    shell.shared["model.damaged"] = damaged
    chosen = [shell.model, shell.form]
    shell.on_load(show, chosen, outputs)
    shell.model.change(shell.safe(show), chosen, outputs, **QUIET)
    again.click(shell.safe(show), chosen, outputs, **QUIET)
    question = outputs.index(keeper.question)

    def opened(model_id: str, visitor: Any, request: gr.Request) -> Any:
        """The same, but for a question that was asked before this answer came: a click can be quicker than the tab."""
        made = show(model_id, visitor, request)
        made[question] = gr.skip()
        return made

    shell.shared["model.opened"] = (opened, chosen, outputs)
    keeper.bind(show, [choice, shell.form], outputs)
    choice.input(lambda chosen: chosen, choice, shell.model, **QUIET)

    def again_listed(visitor: Any, request: gr.Request) -> list[Any]:
        """The list when a model has come: what is chosen in it stays."""
        lang, models = shell.lang(request), shell.engine.models.list()
        return [
            gr.Radio(choices=_choices(shell, models, way_of_training(shell, visitor), lang)),
            *damaged.shown(lang, _damaged(models)),
        ]

    finder.bind(again_listed, [choice, *damaged.outputs])


def bind(shell: Shell) -> None:
    """Show anew what fits when the tab is opened: the way of training may be another one by now."""
    on_open(shell, ID, *shell.shared["model.opened"])


def _chosen(models: Sequence[Any], model_id: str) -> Any:
    """The usable model of this id, or else the first; None where there is none."""
    usable = [info for info in models if info.problem is None]
    return next((info for info in usable if info.id == model_id), usable[0] if usable else None)


def _shown(shell: Shell, models: Sequence[Any], chosen: Any, way: RunConfig, lang: str) -> list[Any]:
    return [
        gr.Radio(choices=_choices(shell, models, way, lang), value=chosen.id if chosen else None),
        _about(shell, chosen, way, lang) if chosen else html.note(_NONE.to(lang)),
    ]


def _choices(shell: Shell, models: Sequence[Any], way: RunConfig, lang: str) -> list[tuple[str, str]]:
    return [(_label(shell, info, way, lang), info.id) for info in models if info.problem is None]


def _label(shell: Shell, info: Any, way: RunConfig, lang: str) -> str:
    """Name, size and whether it fits, on three lines; the style sheet makes a card of them."""
    fits = badge(fit_of(shell, way, info.id), lang)
    size = _SIZE.with_(parameters=html.amount(info.parameters), bytes=html.size(info.bytes)).to(lang)
    return f"{info.name.to(lang)}\n{size}\n{fits}"


def _about(shell: Shell, info: Any, way: RunConfig, lang: str) -> str:
    fit = fit_of(shell, way, info.id)
    tiles = [
        (Text("parameters", "参数"), html.amount(info.parameters)),
        (Text("on disk", "占用磁盘"), html.size(info.bytes)),
        (Text("longest text (tokens)", "最长文本（词元）"), f"{info.context:,}" if info.context else "–"),
    ]
    if fit is not None:
        tiles.append((Text("memory to train it", "训练所需内存"), html.size(fit.peak_bytes)))
    badges = [html.badge(badge(fit, lang), STYLES[fit.kind])] if fit is not None else []
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
        *([html.note(fit.reason.to(lang)), memory_bar(fit, lang)] if fit is not None else []),
        html.note(_BUILT.with_(name=info.architecture).to(lang)),
        kept(shell, info, lang),
    )


def _damaged(models: Sequence[Any]) -> list[DamagedThing]:
    return [
        DamagedThing(info.id, info.name, info.problem, place=info.place) for info in models if info.problem is not None
    ]
