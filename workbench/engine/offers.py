"""Models that can be had: those that are recommended, and what a search of the source finds. Also how a download is begun."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, same
from workbench.hub import Found, Source, Token, check_id, search
from workbench.models.curated import CuratedModel, curated_models

_NOTHING = same("")


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


def recommended() -> list[Offer]:
    """Those of the shipped list that can be trained here, the smallest first. Needs no network."""
    # No method learns to sort texts into classes so far, and such a model could only be refused once it is here.
    usable = [model for model in curated_models() if model.kind != "classifier"]
    return [_recommended(model) for model in sorted(usable, key=lambda model: model.parameters)]


def found(source: Source, words: str, token: Token | None) -> list[Offer]:
    """What the source has under these words; an id of a repository, or its address, finds that one first.

    Raises:
        WorkbenchError: the source does not answer, or refuses.
    """
    known = {model.repository.lower(): _recommended(model) for model in curated_models()}
    return [known.get(one.repo_id.lower()) or _found(one) for one in search(source, words, token=token)]


def request_for(repository: str) -> dict[str, str | None]:
    """What a download job is asked for: a repository's id or address, or the id of a recommended model.

    Raises:
        WorkbenchError: it is none of them.
    """
    model = next((model for model in curated_models() if repository in (model.id, model.repository)), None)
    if model is not None:
        return {"repo_id": model.repository, "model_id": model.id}
    return {"repo_id": check_id(repository), "model_id": None}


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


def _recommended(model: CuratedModel) -> Offer:
    return Offer(
        model.repository, model.title, model.parameters, model.download, model.licence, model.gated, model.good_for,
        model_id=model.id,
    )  # fmt: skip


def _found(one: Found) -> Offer:
    return Offer(
        one.repo_id, one.repo_id, one.parameters, one.bytes, one.licence, one.gated, _NOTHING, downloads=one.downloads
    )
