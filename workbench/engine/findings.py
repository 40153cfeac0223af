"""What is known of data before a run learns from it, as sentences: for the Data tab, the card beside Start, the command line.

What a set holds, which columns and rows of it are not used and why, and which rows stand twice. Sets are read through the
library, which keeps what it has read; nothing here needs a model.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.fields import knobs, value_at
from workbench.config.run import RunConfig
from workbench.config.text import Text, counted, listed, same
from workbench.data.columns import Column, use_sentences
from workbench.data.duplicates import shared
from workbench.data.formats import FORMAT_NAMES, KIND_NAMES, Example
from workbench.data.library import DataLibrary, Loaded
from workbench.data.notices import repeat_notices, with_rows
from workbench.engine.plan import EVALUATION_ROWS, kept_back
from workbench.methods import METHODS

MADE_OF = ("instruction", "question", "input", "context")  # roles of columns that together make a question
SEARCHED = 200  # first rows among which one is looked for that shows how a question is put together
TOLD = 20  # problems and columns of a set that are told one by one
NAMED = 4  # columns that are named where little room is

_TRAIN, _EVAL = Text("training data", "训练数据"), Text("evaluation data", "评估数据")
_HEAD = (
    Text("{what} {name}: 1 of {rows} is used", "{what} {name}：{rows}样本中使用 1 条"),
    Text("{what} {name}: {n} of {rows} are used", "{what} {name}：{rows}样本中使用 {n} 条"),
)
_ROWS = (Text("{n} row", "{n} 条"), Text("{n} rows", "{n} 条"))
_CONTENTS = (
    Text("{form} ({kind}), {rows}, of which 1 is used", "{form}（{kind}），{rows}样本，使用 1 条"),
    Text("{form} ({kind}), {rows}, of which {n} are used", "{form}（{kind}），{rows}样本，使用 {n} 条"),
)
_ITEM = Text("  {said}", "  {said}")
_UNUSED = Text("Not used of the {what} “{name}”: {parts}.", "{what}“{name}”中未使用：{parts}。")
_ROWS_UNUSED = Text("{left} of {rows} rows", "{rows} 条样本中的 {left} 条")
_COLUMN_UNUSED, _COLUMNS_UNUSED = Text("column {names}", "列 {names}"), Text("columns {names}", "列 {names}")
_NAMES_AND_MORE = Text("{names} and {n} more", "{names} 以及另外 {n} 列")
_MORE = Text("  and {n} more", "  另有 {n} 项")
_SAME_FILE = Text(
    "The evaluation data is the training data itself: its loss then says how well the rows are remembered, nothing about "
    "new questions. Choose other data, or leave it open and a share of the rows is kept back.",
    "评估数据就是训练数据本身，评估损失只能说明记住了多少，不能说明模型对新问题的表现。请换用其他数据，或留空以自动留出一部分样本。",
)
_ALL_SHARED = (
    Text(
        "The only row of the evaluation data also stands in the training data: the loss on it says how well it is "
        "remembered, nothing about new questions. Choose other data, or leave it open and a share of the rows is kept back.",
        "评估数据仅有的一条样本也在训练数据中，评估损失只能说明记住了多少，不能说明模型对新问题的表现。"
        "请换用其他数据，或留空以自动留出一部分样本。",
    ),
    Text(
        "All {n} rows of the evaluation data also stand in the training data: the loss on them says how well they are "
        "remembered, nothing about new questions. Choose other data, or leave it open and a share of the rows is kept back.",
        "评估数据的 {n} 条样本全部也在训练数据中，评估损失只能说明记住了多少，不能说明模型对新问题的表现。"
        "请换用其他数据，或留空以自动留出一部分样本。",
    ),
)
_ONLY_SHARED = Text(
    "The only row kept for evaluation also stands in the training data, so its loss looks better than it is. Remove the "
    "copy from the file.",
    "留作评估的唯一一条样本也在训练数据中，评估损失会显得偏低。请从文件中去掉重复的样本。",
)
_SHARED = (
    Text(
        "1 of the {total} rows kept for evaluation also stands in the training data, so their loss looks better than it is. "
        "Remove the copy from the file.",
        "留作评估的 {total} 条样本中有 1 条也在训练数据中，评估损失会显得偏低。请从文件中去掉重复的样本。",
    ),
    Text(
        "{n} of the {total} rows kept for evaluation also stand in the training data, so their loss looks better than it is. "
        "Remove the copies from the file.",
        "留作评估的 {total} 条样本中有 {n} 条也在训练数据中，评估损失会显得偏低。请从文件中去掉重复的样本。",
    ),
)


def view(loaded: Loaded) -> dict[str, Any]:
    """A set as it was read: `format`, `kind`, `rows`, `usable`, `problems`, `columns`, `readings`, and `question`.

    `question` is how one looks that is put together from several columns; None where they are not.
    """
    info = loaded.info
    return {
        "format": info.format,
        "kind": info.kind,
        "rows": info.rows,
        "usable": len(loaded.examples),
        "problems": [*loaded.problems, *repeat_notices(loaded)],
        "columns": list(loaded.columns),
        "readings": list(loaded.readings),
        "question": _question(loaded.columns, loaded.examples[:SEARCHED]),
    }


def described(found: dict[str, Any]) -> list[Text]:
    """What `view` found, line by line; with the numbers of a model's tokens where they were counted, too."""
    head = counted(found["usable"], *_CONTENTS).with_(
        form=FORMAT_NAMES[found["format"]], kind=KIND_NAMES[found["kind"]], rows=counted(found["rows"], *_ROWS)
    )
    lines = [
        head,
        Text("columns", "列"),
        *_items(use_sentences(found["columns"])),
    ]
    if found["question"]:
        heading = Text("a question then looks like this", "拼成的问题示例")
        lines += [heading, *_items(map(same, found["question"].splitlines()))]
    if found["problems"]:
        lines += [Text("notes", "注意"), *_items(map(with_rows, found["problems"]))]
    if "tokens" in found:
        counts = Text(
            "{tokens} tokens, {learned} of them learned; the longest row has {longest}; rows cut off: {cut}, with nothing to "
            "learn: {dropped}",
            "共 {tokens} 个词元，其中学习 {learned} 个；最长的样本 {longest} 个；{cut} 条被截断，{dropped} 条没有可学的内容",
        )
        names = ("tokens", "longest", "cut", "dropped")
        lines.append(counts.with_(learned=found["learned_tokens"], **{name: found[name] for name in names}))
    return lines


def before_start(config: RunConfig, data: DataLibrary, allow_paths: bool) -> list[Text]:
    """All that people should know of a run's data, line by line. A set that cannot be read is for `check` to tell of."""
    lines: list[Text] = []
    for what, loaded in _sets(config, data, allow_paths):
        unused = [column for column in loaded.columns if column.role is None]
        problems = [with_rows(problem) for problem in (*loaded.problems, *repeat_notices(loaded))]
        if items := [*_items(problems), *_items(use_sentences(unused))]:
            rows = counted(loaded.info.rows, *_ROWS)
            head = counted(len(loaded.examples), *_HEAD).with_(what=what, name=loaded.info.name, rows=rows)
            lines += [head, *items]
    return [*lines, *overlap(config, data, allow_paths)]


def ignored(config: RunConfig) -> list[Text]:
    """The settings that somebody gave another value than their default and the run's method leaves aside."""
    method, nested = METHODS[config.method.kind], config.values()
    return [
        _IGNORED.with_(label=setting.knob.label, method=method.called)
        for setting in knobs(RunConfig)
        if setting.path in method.ignores and value_at(nested, setting.path) not in (None, setting.default)
    ]


_IGNORED = Text("“{label}” is set, but {method} does not use it.", "设置了“{label}”，但{method}用不到它。")


def unused(config: RunConfig, data: DataLibrary, allow_paths: bool) -> list[Text]:
    """How many rows and which columns of a run's data are not used, one short sentence a set; the reasons are elsewhere."""
    lines = []
    for what, loaded in _sets(config, data, allow_paths):
        left = loaded.info.rows - len(loaded.examples)
        columns = [column.name for column in loaded.columns if column.role is None]
        parts = [_ROWS_UNUSED.with_(left=left, rows=loaded.info.rows)] if left else []
        if columns:
            names = listed(columns[:NAMED])
            if len(columns) > NAMED:
                names = _NAMES_AND_MORE.with_(names=names, n=len(columns) - NAMED)
            parts.append((_COLUMN_UNUSED if len(columns) == 1 else _COLUMNS_UNUSED).with_(names=names))
        if parts:
            lines.append(_UNUSED.with_(what=what, name=loaded.info.name, parts=listed(parts)))
    return lines


def overlap(config: RunConfig, data: DataLibrary, allow_paths: bool) -> list[Text]:
    """Which of the rows that a run is checked with it also learns; empty when none."""
    loaded = _read(data, config.data.train, allow_paths)
    if loaded is None:
        return []
    learned = loaded.keys[: config.data.max_rows or None]
    if not config.data.eval:
        places = kept_back(config, len(learned))
        kept = array("q", [learned[place] for place in places])
        for place in reversed(places):
            del learned[place]
        count = shared(learned, kept)
        return _of_shared(count, len(kept))
    other = _read(data, config.data.eval, allow_paths)
    if other is None:
        return []
    if other.fingerprint == loaded.fingerprint:
        return [_SAME_FILE]
    count, used = shared(learned, other.keys[:EVALUATION_ROWS]), min(len(other.keys), EVALUATION_ROWS)
    if count == len(other.keys):
        return [counted(count, *_ALL_SHARED)]
    return _of_shared(count, used)


def _of_shared(count: int, total: int) -> list[Text]:
    if not count:
        return []
    return [_ONLY_SHARED if total == 1 else counted(count, *_SHARED).with_(total=total)]


def _sets(config: RunConfig, data: DataLibrary, allow_paths: bool) -> Iterator[tuple[Text, Loaded]]:
    """The sets that a run learns from and is checked with, each with what it is called; those that can be read."""
    for what, name in ((_TRAIN, config.data.train), (_EVAL, config.data.eval)):
        loaded = _read(data, name, allow_paths)
        if loaded is not None:
            yield what, loaded


def _read(data: DataLibrary, name: str | None, allow_paths: bool) -> Loaded | None:
    try:
        return data.load(name, allow_paths=allow_paths) if name else None
    except WorkbenchError:
        return None


def _question(columns: Sequence[Column], examples: Sequence[Example]) -> str | None:
    """A question that was put together from several columns, from a row that has all of them."""
    parts = [column.example.removesuffix("…") for column in columns if column.role in MADE_OF]
    asked = [
        message["content"]
        for example in examples
        for message in example.get("prompt") or example.get("messages") or ()
        if message["role"] == "user"
    ]
    if len(parts) < 2 or not asked:
        return None

    def has_all(question: str) -> int:
        return sum(part in " ".join(question.split()) for part in parts)

    return max(asked, key=has_all)  # the first of those with most


def _items(said: Iterable[Text], limit: int = TOLD) -> list[Text]:
    items = list(said)
    lines = [_ITEM.with_(said=text) for text in items[:limit]]
    return lines if len(items) <= limit else [*lines, _MORE.with_(n=len(items) - limit)]
