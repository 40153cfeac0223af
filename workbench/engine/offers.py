"""Models that can be had: those that are recommended, and what a search of the source finds. Also how a download is begun."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workbench.config.errors import WorkbenchError
from workbench.config.problems import short
from workbench.config.text import Text, same
from workbench.engine.fitting import guessed_shape
from workbench.hub import CachedModel, Found, Source, Token, check_id, plan, search
from workbench.models.curated import CuratedModel, curated_models
from workbench.models.shape import Shape, shape_of

_NOTHING = same("")
_NOT_LISTED = Text(
    "The search does not list it; whether it is there and can be used is asked before its download begins.",
    "搜索结果中没有它；开始下载前会确认它是否存在、能否使用。",
)


@dataclass(frozen=True)
class Offer:
    """A model that is not on this computer, as far as it is known; `model_id` is what a recommended one is called here."""

    repo_id: str
    title: str
    parameters: int | None
    bytes: int | None
    licence: str
    gated: bool
    about: Text
    downloads: int | None = None
    model_id: str | None = None

    @property
    def shape(self) -> Shape | None:
        """From which its memory is estimated: a recommended one's own, else a guess; None where its size isn't known."""
        for model in curated_models():
            if self.model_id == model.id:
                return shape_of(model.config())
        return guessed_shape(self.parameters) if self.parameters else None


def recommended(source: Source, words: str = "") -> list[Offer]:
    """Those of the shipped list that the source has and that can be trained here, the smallest first. Needs no network."""
    # No method learns to sort texts into classes so far, and such a model could only be refused once it is here.
    usable = [model for model in curated_models() if model.kind != "classifier"]
    offers = [_recommended(model, source) for model in sorted(usable, key=lambda model: model.parameters)]
    wanted = words.lower().split()
    return [
        offer for offer in offers if offer and all(word in f"{offer.title} {offer.repo_id}".lower() for word in wanted)
    ]


def is_recommended(repo_id: str) -> bool:
    """Whether a repository is one of the shipped list, at any source."""
    return any(repo_id in (model.repository, model.modelscope) for model in curated_models())


def found(source: Source, words: str, token: Token | None) -> list[Offer]:
    """What the source has under these words, the repository first whose id or address they are: a search may not know it.

    Raises:
        WorkbenchError: the source does not answer, or refuses.
    """
    named = None
    with contextlib.suppress(WorkbenchError):
        named = check_id(words, source) if "/" in words else None
    offers = [_recommended(model, source) for model in curated_models()]
    known = {offer.repo_id.lower(): offer for offer in offers if offer is not None}
    listed = [known.get(one.repo_id.lower()) or _found(one) for one in search(source, named or words, token=token)]
    if named is None:
        return listed
    exact = next((offer for offer in listed if offer.repo_id.lower() == named.lower()), None)
    others = [offer for offer in listed if offer is not exact]
    return [exact or known.get(named.lower()) or Offer(named, named, None, None, "", False, _NOT_LISTED), *others]


def request_for(source: Source, repository: str) -> dict[str, str | None]:
    """What a download job is asked for: a repository's id or address, or the id of a recommended model.

    Raises:
        WorkbenchError: it is none of them, or the source has no copy of that model.
    """
    for model in curated_models():
        if repository in (model.id, model.repository, model.modelscope):
            there = _there(model, source)
            if there is None:
                raise WorkbenchError(
                    Text("no copy of {model} is known on {source}", "{source} 上没有已知的 {model}").with_(
                        model=model.title, source=source.name
                    ),
                    Text("Choose another source of models, or another model.", "请换一个下载来源，或换一个模型。"),
                    code="hub_missing",
                )
            return {"repo_id": there, "model_id": model.id}
    return {"repo_id": check_id(repository, source), "model_id": None}


def shape_named(source: Source, name: str, token: Token | None) -> Shape:
    """The shape of a model that is not here: a recommended one's, else as its config.json at the source says.

    Raises:
        WorkbenchError: there is none of this name, it can't be trained here, or the source does not answer.
    """
    for model in curated_models():
        if name in (model.id, model.repository, model.modelscope):
            shape = shape_of(model.config())
            return shape or guessed_shape(model.parameters)
    found = plan(source, check_id(name, source), token=token)
    return shape_of(found.config) or guessed_shape(found.parameters or found.bytes / 2)


def not_cached(repo_id: str) -> WorkbenchError:
    """A model that is not whole in the Hub's cache, or not there."""
    return WorkbenchError(
        Text("{model} is not whole in the Hugging Face cache", "Hugging Face 缓存中没有完整的 {model}").with_(
            model=short(repo_id)
        ),
        Text("Download it.", "请下载它。"),
        code="not_cached",
    )


def unregistered(found: list[CachedModel], folders: Iterable[Path]) -> list[CachedModel]:
    """Of the models in the Hub's cache those that are not in the list of models yet."""
    known = {os.path.realpath(folder) for folder in folders}
    return [model for model in found if os.path.realpath(model.folder) not in known]


def can_come(name: str) -> bool:
    """Whether a model of this name can be asked for at the source: a recommended one, or `owner/name`. Asks nobody."""
    if any(name in (model.id, model.repository) for model in curated_models()):
        return True
    if name.count("/") != 1:
        return False
    try:
        return check_id(name) == name
    except WorkbenchError:
        return False


def _there(model: CuratedModel, source: Source) -> str | None:
    """A recommended model's repository at a source; ModelScope calls some otherwise."""
    return model.modelscope if source.kind == "modelscope" else model.repository


def _recommended(model: CuratedModel, source: Source) -> Offer | None:
    there = _there(model, source)
    if there is None:
        return None
    facts = (model.parameters, model.download, model.licence, model.gated, model.good_for)
    return Offer(there, model.title, *facts, model_id=model.id)


def _found(one: Found) -> Offer:
    return Offer(
        one.repo_id, one.repo_id, one.parameters, one.bytes, one.licence, one.gated, _NOTHING, downloads=one.downloads
    )
