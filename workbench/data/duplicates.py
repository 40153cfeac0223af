"""Rows that say the same, however they are spaced: inside a set, and of an evaluation set in the training set, too.

Each row is known by one number of 64 bits, so that a set of any size is gone through once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


def key_of(example: dict[str, Any]) -> int:
    """A number that two examples share when all that they hold is the same but for white space."""
    return hash(tuple(map(_same, example.items())))


def repeats(keys: Sequence[int]) -> list[int]:
    """The places of the rows that stand at an earlier place already."""
    if len(set(keys)) == len(keys):
        return []
    seen: set[int] = set()
    found = []
    for place, key in enumerate(keys):
        if key in seen:
            found.append(place)
        seen.add(key)
    return found


def shared(learned: Sequence[int], kept_back: Sequence[int]) -> int:
    """How many of the rows that are kept back are among those that are learned."""
    return len(kept_back) - sum(Counter(kept_back)[key] for key in set(kept_back).difference(learned))


def _same(value: Any) -> Any:
    """A value as something that can be hashed, in which white space counts no more than a space."""
    kind = type(value)
    if kind is str:
        return " ".join(value.split())
    if kind is list or kind is tuple:
        return tuple(map(_same, value))
    if kind is dict:
        return tuple(map(_same, value.items()))
    return kind, value
