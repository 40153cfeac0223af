"""The part of the Model tab that finds models and downloads them: recommended ones, a search, any repository.

A download is a job: it goes on while the page is closed, and its bar is on every page that looks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.config.demo import is_demo
from workbench.config.text import Text
from workbench.engine.offers import Offer
from workbench.ui import html, sourcing
from workbench.ui.fits import badge, fit_of_offer, way_of_training
from workbench.ui.jobs import DOWNLOAD, course
from workbench.ui.lying import PIECE, Lying
from workbench.ui.shell import Shell, made_html, press
from workbench.ui.tabtools import TOLD, panel

_TITLE = Text("Find and download a model", "查找并下载模型")
_WORDS = Text("Search", "搜索")
_WORDS_ABOUT = Text(
    "A name, or a repository such as Qwen/Qwen3-0.6B. Empty: the recommended models.",
    "名称，或仓库名（如 Qwen/Qwen3-0.6B）。留空则列出推荐的模型。",
)
_SEARCH = Text("Search", "搜索")
_RESULTS = Text("Models to download", "可下载的模型")
_DOWNLOAD = Text("Download", "下载")
_NONE = Text("Nothing was found under these words.", "没有找到匹配的模型。")
_DOWNLOADS = Text("{count} downloads", "{count} 次下载")
_GATED = Text(
    "Its owner wants to know who uses it: open its page, accept the terms there, then give your access token below.",
    "使用前需要作者许可：打开它的页面并同意条款，再在下面填写访问令牌。",
)
_PAGE = Text("Its page: {url}", "模型页面：{url}")
_READY = Text("{model} is here now: it is in the list above.", "{model} 已下载完成，可在上面的列表中选择。")
_ELSEWHERE = Text("Source and access token", "下载来源与访问令牌")


class Finder:
    """Its components; `bind` after the list of models is there."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        with gr.Accordion(shell.text(_TITLE), open=False, elem_id="find"):
            with gr.Row(equal_height=False):
                self.words = gr.Textbox(
                    label=shell.text(_WORDS), info=shell.text(_WORDS_ABOUT), scale=4, min_width=240, max_lines=1,
                    elem_id="find-words",
                )  # fmt: skip
                self.search = gr.Button(shell.text(_SEARCH), scale=0, min_width=120, elem_id="find-search")
            self.results = gr.Radio([], label=shell.text(_RESULTS), elem_id="find-results", elem_classes="cards")
            self.about = panel("find-about")
            self.download = gr.Button(
                shell.text(_DOWNLOAD), variant="primary", interactive=False, elem_id="find-download"
            )
            if not is_demo():
                with gr.Accordion(shell.text(_ELSEWHERE), open=False, elem_id="find-source"):
                    sourcing.build(shell)
            Lying(shell)
            self.lying = made_html(elem_id="find-lying")
        self.progress = panel("find-progress")
        self.seen = gr.State("")

    def bind(self, again: Callable[[Any, gr.Request], list[Any]], outputs_again: list[Any]) -> None:
        """React.

        Args:
            again: makes what has changed on the tab when a model has come, for `outputs_again`; no choice is part of it. It
                is given the visitor's id.
        """
        shell = self._shell
        found = gr.State([])

        def look(words: str, visitor: Any, request: gr.Request) -> Any:
            lang, way = shell.lang(request), way_of_training(shell, visitor)
            offers = shell.engine.offers(words)
            choices = [(card_of(offer, fit_of_offer(shell, way, offer), lang), offer.repo_id) for offer in offers]
            about = "" if offers else html.note(_NONE.to(lang))
            return gr.Radio(choices=choices, value=None), offers, about, gr.Button(interactive=False)

        def choose(repo_id: str, offers: list[Offer], visitor: Any, request: gr.Request) -> Any:
            offer = next((offer for offer in offers if offer.repo_id == repo_id), None)
            fit = fit_of_offer(shell, way_of_training(shell, visitor), offer) if offer else None
            return _about(offer, fit, shell.engine.source(), shell.lang(request)) if offer else "", gr.Button(
                interactive=offer is not None
            )

        def begin(repo_id: str, request: gr.Request) -> Any:
            shell.engine.download(repo_id)
            return self._jobs(shell.lang(request)), ""

        def changed(seen: str, visitor: Any, request: gr.Request) -> Any:
            jobs = self._downloads()
            now = " ".join(f"{job.id} {job.status} {job.dismissed}" for job in jobs)
            if now == seen:
                return gr.skip()
            return [self._jobs(shell.lang(request)), now, *again(visitor, request)]

        def lying(request: gr.Request) -> Any:
            return shell.live.slot(PIECE, "", shell.lang(request))

        outputs = [self.results, found, self.about, self.download]
        shell.on_load(_first(look), [shell.form], outputs)
        gr.on([self.search.click, self.words.submit], shell.safe(look), [self.words, shell.form], outputs, **TOLD)
        self.results.input(shell.safe(choose), [self.results, found, shell.form], [self.about, self.download], **TOLD)
        # What a click shows may come later than what a tick showed after it: `seen` is emptied, and the tick looks again.
        begun = self.download.click(shell.safe(begin), self.results, [self.progress, self.seen], **TOLD)
        begun.then(None, None, None, js=press(shell.beat))
        # A model that has come may be the one that the form on the Train tab waits for.
        self.progress.change(None, None, None, js="() => { document.querySelector('button#train-look')?.click() }")
        shell.on_load(lying, outputs=[self.lying])
        shell.on_tick(changed, [self.seen, shell.form], [self.progress, self.seen, *outputs_again])

    def _downloads(self) -> list[Any]:
        """The downloads there were, without those whose model was deleted since."""
        engine = self._shell.engine
        folders = engine.model_folders()
        return [
            job for job in engine.jobs() if job.kind == DOWNLOAD and not all(is_gone(job, folder) for folder in folders)
        ]

    def _jobs(self, lang: str) -> html.Markup:
        """The bars of downloads that run or wait, and what became of the last ones."""
        return course(
            self._shell.live,
            self._downloads(),
            lang,
            lambda job: _READY.with_(model=(job.result or {}).get("model", "")),
        )


def _first(look: Any) -> Any:
    def first(visitor: Any, request: gr.Request) -> Any:
        return look("", visitor, request)

    return first


def is_gone(job: Any, models: Path) -> bool:
    """Whether a download came to its end and its model is not in this folder. A record is a file: only a name in it counts."""
    name = (job.result or {}).get("model")
    return isinstance(name, str) and (models / name).parent == models and not (models / name).is_dir()


def card_of(offer: Offer, fit: Any, lang: str) -> str:
    """Name, size, licence and whether it fits, on three lines; the style sheet makes a card of them."""
    size = [html.amount(offer.parameters) if offer.parameters else "", html.size(offer.bytes) if offer.bytes else ""]
    if offer.downloads:
        size.append(_DOWNLOADS.with_(count=html.amount(offer.downloads)).to(lang))
    facts = [badge(fit, lang), offer.licence or "", Text("on request", "需申请").to(lang) if offer.gated else ""]
    return "\n".join([offer.title, " · ".join(filter(None, size)), " · ".join(filter(None, facts))])


def _about(offer: Offer, fit: Any, source: Any, lang: str) -> html.Markup:
    page = source.page(offer.repo_id)
    parts = [html.note(offer.about.to(lang))] if offer.about.to(lang) else []
    if fit is not None:
        parts.append(html.note(fit.reason.to(lang)))
    if offer.gated:
        parts.append(html.note(_GATED.to(lang)))
    parts.append(html.note(html.linked(_PAGE.with_(url=page).to(lang))))
    return html.card(offer.title, html.join(parts))
