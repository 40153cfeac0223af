"""Rows that say the same: what counts as the same, and where the copies stand."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest

from workbench.data.duplicates import key_of, repeats, shared
from workbench.data.formats import inspect_rows

TALK: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Which tide is it?"}, {"role": "assistant", "content": "Low tide."}]
}
PAIR: dict[str, Any] = {
    "prompt": TALK["messages"][:1],
    "chosen": TALK["messages"][1:],
    "rejected": TALK["messages"][:1],
}


def changed(example: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    """A copy of the example with another value at a path."""
    result = copy.deepcopy(example)
    place: Any = result
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return result


@pytest.mark.parametrize("words", ["Which  tide\nis it?", " Which tide is it?\t", "Which\u3000tide is it?"])
def test_rows_are_the_same_however_they_are_spaced(words: str) -> None:
    for example, path in (
        (TALK, ("messages", 0, "content")),
        (PAIR, ("prompt", 0, "content")),
        ({"text": ""}, ("text",)),
    ):
        plain = changed(example, *path, to="Which tide is it?")
        assert key_of(changed(example, *path, to=words)) == key_of(plain)


def test_rows_differ_that_differ_in_a_word_a_role_a_side_or_a_mark() -> None:
    others = [
        changed(TALK, "messages", 1, "content", to="Low tides."),
        changed(TALK, "messages", 1, "content", to="Lowtide."),
        changed(TALK, "messages", 0, "role", to="system"),
        changed(TALK, "messages", 1, "learned", to=False),
        changed(TALK, "messages", 1, "tool_calls", to=[{"function": {"name": "tide", "arguments": {"day": 1}}}]),
        PAIR,
        {**PAIR, "chosen": PAIR["rejected"], "rejected": PAIR["chosen"]},
        {"prompt": TALK["messages"][:1], "completion": TALK["messages"][1:], "label": True},
        {"prompt": TALK["messages"][:1], "completion": TALK["messages"][1:], "label": False},
    ]
    assert len({key_of(example) for example in [TALK, *others]}) == 1 + len(others)


def test_copies_are_found_behind_the_first_of_them() -> None:
    assert repeats([7, 8, 7, 9, 8, 7]) == [2, 4, 5] and repeats([3, 1, 2]) == [] and repeats([]) == []
    assert shared([1, 2, 3], [4, 2, 2, 5]) == 2 and shared([], [1]) == 0 and shared([1], []) == 0


def test_hundreds_of_thousands_of_rows_are_gone_through_once() -> None:
    keys = [number % 150_000 for number in range(300_000)]
    began = time.process_time()
    assert len(repeats(keys)) == 150_000 and shared(keys, keys[::-1]) == 300_000
    assert time.process_time() - began < 5  # comparing them in pairs would take hours


@pytest.mark.parametrize(
    ("row", "usual", "other"),
    [
        ({"question": "q", "answer": "a", "label": 1}, "prompt_completion", "kto"),
        ({"prompt": "q", "completion": "a", "label": True}, "kto", "prompt_completion"),
        ({"messages": TALK["messages"], "标签": "0"}, "messages", "kto"),
        ({"text": "a tale", "category": "long"}, "labelled", "text"),
        ({"messages": TALK["messages"], "rejected_response": "Bad."}, "preference", "messages"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_set_can_be_read_in_the_other_formats_that_its_rows_fit(row: Any, usual: str, other: str) -> None:
    found = inspect_rows([row] * 3)
    assert found.format == usual == found.readings[0] and other in found.readings
    again = inspect_rows([row] * 3, read_as=other)
    assert again.format == other == again.readings[0] and len(again.examples) == 3
    assert again.kind != found.kind and found.kind in {
        inspect_rows([row] * 3, read_as=name).kind for name in again.readings
    }


def test_what_no_row_fits_is_not_offered() -> None:
    rows = [{"question": "q", "answer": "a", "label": "sports"}, {"question": "q", "answer": "b", "label": "cooking"}]
    assert "kto" not in inspect_rows(rows).readings
