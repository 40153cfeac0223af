"""Continued pre-training: the model reads plain texts and learns to write on as they do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar, Literal

from workbench.config.fields import knob
from workbench.config.registry import METHOD_HELP, METHOD_LABEL, MethodOptions
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.data.encoded import Encoded
from workbench.methods.base import Parts
from workbench.methods.rows import encode_rows, max_length
from workbench.methods.sft import SFT


class PretrainOptions(MethodOptions):
    """How the texts are laid out."""

    kind: Literal["pretrain"] = knob("pretrain", METHOD_LABEL, METHOD_HELP, level="basic")
    packing: bool = knob(
        True,
        Text("Fill rows up", "拼满每一行"),
        Text(
            "On: texts are laid one behind the other and cut into rows of the full length, so that nothing of a long text is lost. "
            "Off: each text is a row of its own, and what is longer is cut.",
            "开：把文本首尾相接，再切成等长的行，长文本不会丢失内容。关：每段文本单独成行，超长部分会被截断。",
        ),
    )


class Pretrain(SFT):
    """Cross entropy on every token."""

    kind: ClassVar[str] = "pretrain"
    label: ClassVar[Text] = Text("Read texts first (continued pre-training)", "先读文本（继续预训练）")
    short: ClassVar[Text | None] = Text("pre-training", "预训练")
    help: ClassVar[Text] = Text(
        "Lets the model read plain texts of a field, so that it knows its words before it learns to answer. It does not learn to "
        "answer from them.",
        "让模型先读某个领域的文本，熟悉其中的用语，之后再学习回答。它不会从中学会回答。",
    )
    data_kinds: ClassVar[tuple[str, ...]] = ("text",)
    Options: ClassVar[type[MethodOptions]] = PretrainOptions
    ignores: ClassVar[tuple[str, ...]] = ("data.learn",)
    watch: ClassVar[Text] = Text(
        "Watch the loss on the texts kept back: it should fall and stay down. It ends higher than with answers, since most of a "
        "text cannot be foreseen.",
        "请看留出文本上的损失：它应下降并保持在低处。它会比学习回答时高，因为文本的大部分内容无法预测。",
    )

    def count(self, config: RunConfig, rows: int, tokens: float) -> int:
        """See `Method.count`."""
        return math.ceil(tokens / config.data.max_length) if getattr(config.method, "packing", True) else rows

    def rows(self, parts: Parts) -> tuple[list[Any], list[Any]]:
        """See `SFT.rows`."""
        if not getattr(parts.config.method, "packing", True):
            return encode_rows(parts)
        train, evaluation = encode_rows(parts, whole=True)
        length = max_length(parts)
        return filled(train, length), filled(evaluation, length)


def filled(rows: Sequence[Encoded], length: int) -> list[Encoded]:
    """All tokens in order, in rows of `length`; the last one may be shorter, and one of a single token has nothing to learn."""
    ids = [*chain.from_iterable(row.input_ids for row in rows)]
    pieces = [ids[start : start + length] for start in range(0, len(ids), length)]
    return [Encoded(piece, [*piece]) for piece in pieces if len(piece) > 1]
