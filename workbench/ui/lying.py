"""What else lies on this computer: models in the Hub's own cache, to be used where they are, and downloads that are not whole."""

from __future__ import annotations

from typing import Any

from workbench.config.text import Text, same
from workbench.ui import html
from workbench.ui.jobs import DOWNLOAD, button
from workbench.ui.shell import Shell

PIECE = "models-lying"
_CACHE = Text("In the Hugging Face cache on this computer", "本机的 Hugging Face 缓存中")
_USE = Text("Use it", "使用")
_USE_ABOUT = Text("It is used where it lies; nothing is copied.", "就地使用，不会复制。")
_USED = Text("{model} is in the list of models now.", "{model} 已加入模型列表。")
_PARTS = Text("Downloads that are not whole", "未完成的下载")
_GO_ON = Text("Go on", "继续下载")
_DISCARD = Text("Discard", "丢弃")
_DISCARD_ABOUT = Text("{size} become free.", "将释放 {size}。")
_DISCARDED = Text("{size} are free again.", "已释放 {size}。")
_LINE = Text("{model} · {size}", "{model} · {size}")


class Lying:
    """The live piece, and what its buttons do."""

    def __init__(self, shell: Shell) -> None:
        self._engine = shell.engine
        shell.live.piece(PIECE, self.made)
        shell.live.deed("use-cached", self.use)
        shell.live.deed("discard", self.discard)

    def made(self, key: str, lang: str) -> html.Markup:
        """Both lists; nothing where there is nothing."""
        whole = [
            (_LINE.with_(model=model.repo_id, size=html.size(model.bytes)),
             button("use-cached", model.repo_id, _USE.to(lang), _USE_ABOUT.to(lang), then="model-again"))
            for model in self._engine.cached_models()
        ]  # fmt: skip
        parts = [
            (_LINE.with_(model=part.record.repo_id, size=html.size(part.done)),
             html.join([
                 button(DOWNLOAD, part.record.repo_id, _GO_ON.to(lang)),
                 button("discard", part.folder.name, _DISCARD.to(lang),
                        _DISCARD_ABOUT.with_(size=html.size(part.done)).to(lang)),
             ]))
            for part in self._engine.partial_downloads()
        ]  # fmt: skip
        return html.join(_list(title, rows, lang) for title, rows in ((_CACHE, whole), (_PARTS, parts)) if rows)

    def use(self, repo_id: str) -> Text:
        """Take a model of the cache into the list."""
        return _USED.with_(model=same(self._engine.use_cached(repo_id).name.to("en")))

    def discard(self, name: str) -> Text:
        """Throw a download away that is not whole."""
        return _DISCARDED.with_(size=html.size(self._engine.discard_download(name)))


def _list(title: Text, rows: list[tuple[Text, Any]], lang: str) -> html.Markup:
    lines = [
        html.Markup(f'<div class="job over"><div class="state"><b>{html.esc(words.to(lang))}</b></div>'
                    f'<div class="deeds">{html.esc(buttons)}</div></div>')
        for words, buttons in rows
    ]  # fmt: skip
    return html.card(title.to(lang), *lines)
