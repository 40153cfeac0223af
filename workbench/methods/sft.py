"""Supervised fine-tuning (SFT): the model learns to give the answers that it is shown."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from workbench.config.fields import knob
from workbench.config.registry import METHOD_HELP, METHOD_LABEL, MethodOptions
from workbench.config.text import Text
from workbench.methods.base import Method, Parts
from workbench.methods.metrics import Metric
from workbench.methods.rows import encode_rows


class SFTOptions(MethodOptions):
    """SFT has no settings of its own yet: what is learned is a matter of the data."""

    kind: Literal["sft"] = knob("sft", METHOD_LABEL, METHOD_HELP, level="basic")


class SFT(Method):
    """Cross entropy on the learned tokens."""

    kind: ClassVar[str] = "sft"
    label: ClassVar[Text] = Text("Imitate good answers (SFT)", "模仿好的回答（SFT）")
    help: ClassVar[Text] = Text(
        "Shows the model questions with good answers until it answers like that.",
        "给模型看问题和好的回答，直到它也这样回答。",
    )
    data_kinds: ClassVar[tuple[str, ...]] = ("chat", "text")
    Options: ClassVar[type[MethodOptions]] = SFTOptions
    watch: ClassVar[Text] = Text(
        "Watch both losses: they should fall together. When that of the rows kept back rises while the other falls, it learns by "
        "heart.",
        "请看两条损失曲线：它们应一起下降。如果留出样本的损失上升而训练损失下降，说明模型在死记硬背。",
    )
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "mean_token_accuracy",
            Text("tokens foreseen", "猜中的词元"),
            Text(
                "How often the likeliest next token is the right one, of the tokens that are learned.",
                "在要学习的词元中，最可能的下一个词元恰好正确的比例。",
            ),
            better="up",
            percent=True,
        ),
    )

    def rows(self, parts: Parts) -> tuple[list[Any], list[Any]]:
        """Encoded rows to learn and to check with; raises as `encode_rows` does."""
        return encode_rows(parts)

    def build_trainer(self, parts: Parts) -> Any:
        """See `Method.build_trainer`."""
        train, evaluation = self.rows(parts)

        from datasets import Dataset
        from trl import SFTConfig

        from workbench.methods.trainers.experts import balance_options
        from workbench.methods.trainers.padding_free import PaddingFreeTrainer

        def dataset(rows: list[Any]) -> Dataset:
            return Dataset.from_dict(
                {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
            )

        arguments = dict(parts.arguments)
        if not evaluation:
            arguments |= {"eval_strategy": "no", "eval_steps": None}
        return PaddingFreeTrainer(
            model=parts.model,
            args=SFTConfig(
                **arguments,
                **balance_options(parts.model),
                max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            train_dataset=dataset(train),
            eval_dataset=dataset(evaluation) if evaluation else None,
            processing_class=parts.tokenizer,
            peft_config=parts.peft_config,
            callbacks=parts.callbacks,
        )
