"""From examples to the rows that a trainer gets: encoded, cut, and without those from which nothing can be learned.

What was cut or left out, or lost its words, is reported, never silent.
"""

from __future__ import annotations

from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.data.notices import notices, with_rows
from workbench.data.tokens import encode_many
from workbench.methods.base import Parts


def encode_rows(parts: Parts, *, whole: bool = False) -> tuple[list[Any], list[Any]]:
    """Training and evaluation rows as `encode_many` gives them.

    Args:
        whole: nothing is cut here; whoever asks cuts.

    Raises:
        WorkbenchError: no row is left to learn from, or the chat template refuses one.
        StopRequested: Stop was pressed.
    """
    length = None if whole else max_length(parts)
    total, train_count = len(parts.train) + len(parts.evaluation), len(parts.train)

    def encode(kind: str, examples: list[dict[str, Any]], before: int) -> list[Any]:
        def progress(done: int, of: int) -> None:
            parts.progress(before + done, total)

        return encode_many(parts.tokenizer, kind, examples, parts.config.data.learn, length, parts.stop, progress)

    train = encode(parts.kinds[0], parts.train, 0)
    evaluation = encode(parts.kinds[1], parts.evaluation, train_count)
    _tell_notices(parts, train + evaluation)
    train = _usable(parts, train, length, Text("training", "训练"))
    evaluation = _usable(parts, evaluation, length, Text("evaluation", "评估"))
    if not train:
        raise _nothing_left(max_length(parts))
    return train, evaluation


def max_length(parts: Parts) -> int:
    """Tokens to keep of a row: what the run asks for, and no more than the model can read."""
    context = getattr(parts.model.config.get_text_config(), "max_position_embeddings", None)
    return min(parts.config.data.max_length, context or parts.config.data.max_length)


def _tell_notices(parts: Parts, encoded: list[Any]) -> None:
    """Say how answers end, and which rows lose words, before the first step."""
    examples = [*parts.train, *parts.evaluation]
    for notice in notices(parts.tokenizer, encoded, parts.row_numbers(examples), parts.kinds[0]):
        parts.report(with_rows(notice))


def _usable(parts: Parts, rows: list[Any], length: int | None, use: Text) -> list[Any]:
    kept = [row for row in rows if not row.dropped]
    cut = sum(row.cut > 0 for row in kept)
    if cut:
        parts.report(
            Text(
                "{count} of {rows} {use} rows are longer than {length} tokens and were cut at the end.",
                "{rows} 条{use}样本中有 {count} 条超过 {length} 个词元，末尾已截断。",
            ).with_(count=cut, rows=len(rows), use=use, length=length)
        )
    if len(kept) < len(rows):
        parts.report(
            Text(
                "{count} of {rows} {use} rows are left out: within {length} tokens they have nothing to learn.",
                "{rows} 条{use}样本中有 {count} 条被跳过：在 {length} 个词元以内没有可学的内容。",
            ).with_(count=len(rows) - len(kept), rows=len(rows), use=use, length=length)
        )
    return kept


def _nothing_left(length: int) -> WorkbenchError:
    return WorkbenchError(
        Text(
            "no row has anything to learn within {length} tokens",
            "在 {length} 个词元以内，没有任何一条样本有可学的内容",
        ).with_(length=length),
        Text(
            "Raise the longest row, or look at the Data page for what is learned of each row.",
            "请调大“最大长度”，或在“数据”页查看每条样本学习的部分。",
        ),
        field="data.max_length",
        code="nothing_to_learn",
    )
