"""What people should know before a set is learned from: rows that repeat others, and, with a model, the end of answers and
words that its template loses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workbench.config.text import Text, listed
from workbench.data.duplicates import repeats
from workbench.data.encoded import AnyEncoded
from workbench.data.ends import end_notice, ending_of
from workbench.data.formats import DataProblem, Example
from workbench.data.library import Loaded
from workbench.data.words import loss_notices

_NAMED_ROWS = 12
_ROW = Text("{said} (row {rows})", "{said}（第 {rows} 条）")
_ROWS = Text("{said} (rows {rows})", "{said}（第 {rows} 条）")
_MORE = Text("{said} (rows {rows} and {n} more)", "{said}（第 {rows} 条等，另有 {n} 条）")
_REPEATED = Text(
    "Rows that say the same as an earlier row, and are learned again: {count}",
    "{count} 条样本与前面的样本内容相同，会重复学习",
)


def repeat_notices(loaded: Loaded) -> list[DataProblem]:
    """Rows that stand in the set more than once, all but the first of each; spaces and line breaks count alike."""
    rows = [loaded.numbers[place] for place in repeats(loaded.keys)]
    said = _REPEATED.with_(count=len(rows))
    return [{"code": "repeated", "rows": rows, "message": said, "left_out": False}] if rows else []


def notices(tokenizer: Any, encoded: list[AnyEncoded], numbers: list[int], kind: str) -> list[DataProblem]:
    """Everything to know about rows that were encoded; it keeps nothing from being learned.

    Args:
        tokenizer: what they were encoded with.
        encoded: the rows.
        numbers: their numbers, in the same order.
        kind: the set's, see `formats.KIND_NAMES`; plain text has no answers.
    """
    found: list[DataProblem] = []
    if kind not in ("text", "labels", "prompts") and (said := end_notice(tokenizer, ending_of(tokenizer))):
        found.append({"code": "no_end", "rows": [], "message": said, "left_out": False})
    lost = ((number, row.lost) for number, row in zip(numbers, encoded, strict=True) if row.lost)
    return found + [
        {"code": code, "rows": rows, "message": message, "left_out": False}
        for code, rows, message in loss_notices(lost)
    ]


def with_rows(problem: DataProblem) -> Text:
    """A problem's sentence with the numbers of its rows, for who has no list to show them in."""
    rows = problem["rows"]
    if not rows:
        return problem["message"]
    shown = listed(str(row) for row in rows[:_NAMED_ROWS])
    text = _MORE if len(rows) > _NAMED_ROWS else _ROWS if len(rows) > 1 else _ROW
    return text.with_(said=problem["message"], rows=shown, n=len(rows) - _NAMED_ROWS)


def row_numbers(sets: Iterable[Loaded | None], examples: list[Example]) -> list[int]:
    """The number that each example has in its file, where it is one of these sets'; else its place in the list."""
    known = {
        id(example): number
        for loaded in sets
        if loaded is not None
        for number, example in zip(loaded.numbers, loaded.examples, strict=True)
    }
    return [known.get(id(example), place) for place, example in enumerate(examples, start=1)]
