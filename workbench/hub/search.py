"""Searching a source for models by words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.hub.client import ANSWER_SECONDS, answered, ask, within
from workbench.hub.errors import hub_error
from workbench.hub.listing import check_id, licence_of, total_of
from workbench.hub.sources import Source
from workbench.hub.tokens import Token

__all__ = ["Found", "search"]

MOST = 100  # results of one search
_LONGEST = 200  # characters
_ASKED = ("downloads", "gated", "pipeline_tag", "tags", "cardData", "safetensors")


@dataclass(frozen=True)
class Found:
    """A model that a search found.

    Attributes:
        parameters: None where the source doesn't know.
        bytes: of its weights as they are stored, None where the source doesn't know.
        licence: as the repository names it, "" where it doesn't.
        pipeline: what it is for, as the source names it ("text-generation").
    """

    repo_id: str
    parameters: int | None
    bytes: int | None
    licence: str
    downloads: int
    gated: bool
    pipeline: str


def search(source: Source, words: str, limit: int = 20, token: Token | None = None) -> tuple[Found, ...]:
    """The models whose names have these words, most downloaded first; only those with safetensors, within ten seconds.

    Raises:
        WorkbenchError: (`hub_words`) nothing to look for; those of `errors.py`.
    """
    wanted = " ".join(words.split())
    if not wanted or len(wanted) > _LONGEST or not wanted.isprintable():
        raise hub_error(
            Text("a search takes one to {most} characters", "搜索词应为 1 到 {most} 个字符").with_(most=_LONGEST),
            Text("Give a part of the model's name.", "请输入模型名称的一部分。"),
            code="hub_words",
        )
    limit = max(1, min(limit, MOST))
    with answered(source, token=token):
        if source.kind == "modelscope":
            from workbench.hub import modelscope

            return within(ANSWER_SECONDS, lambda: modelscope.search(source, wanted, limit))
        query: dict[str, Any] = {
            "search": wanted,
            "limit": limit,
            "sort": "downloads",
            "filter": "safetensors",
            "expand": list(_ASKED),
        }
        listed = within(ANSWER_SECONDS, lambda: ask(source, "/api/models", token, **query))
        if not isinstance(listed, list):
            raise ValueError("no list of models")
        return tuple(found for each in listed[:limit] if (found := _found(each)) is not None)


def _found(each: Any) -> Found | None:
    """A result; None for one with a name that can be none, or that isn't given out at all."""
    if not isinstance(each, dict) or not isinstance(each.get("id"), str):
        return None
    try:
        repo_id = check_id(each["id"])
    except WorkbenchError:
        return None
    tags = each.get("tags")
    kept = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    pipeline, downloads = each.get("pipeline_tag"), each.get("downloads")
    return Found(
        repo_id=repo_id,
        parameters=total_of(each.get("safetensors")),
        bytes=_stored(each.get("safetensors")),
        licence=licence_of(each.get("cardData"), kept),
        downloads=downloads if type(downloads) is int and downloads >= 0 else 0,
        gated=bool(each.get("gated")),
        pipeline=pipeline[:60] if isinstance(pipeline, str) and pipeline.isprintable() else "",
    )


_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_BYTES |= {"F8_E4M3": 1, "F8_E5M2": 1}


def _stored(weights: Any) -> int | None:
    """Bytes of weights of which the source counts the numbers of each type."""
    counts = weights.get("parameters") if isinstance(weights, dict) else None
    if not isinstance(counts, dict) or not counts:
        return None
    if not all(name in _BYTES and type(count) is int and 0 <= count < 2**53 for name, count in counts.items()):
        return None
    return sum(_BYTES[name] * count for name, count in counts.items())
