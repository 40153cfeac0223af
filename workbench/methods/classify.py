"""Classification: the model learns which of several labels a text has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from workbench.config.errors import Problem
from workbench.config.fields import knob
from workbench.config.registry import METHOD_HELP, METHOD_LABEL, MethodOptions
from workbench.config.run import RunConfig
from workbench.config.tasks import CLASSIFICATION, Task
from workbench.config.text import Text, listed
from workbench.methods.base import Method, Parts
from workbench.methods.metrics import Metric
from workbench.methods.rows import encode_rows

MOST_LABELS = 1000
_NAMED = 5


class ClassifyOptions(MethodOptions):
    """There is nothing to set: the labels are a matter of the data."""

    kind: Literal["classify"] = knob("classify", METHOD_LABEL, METHOD_HELP, level="basic")


class Classify(Method):
    """Cross entropy over the labels."""

    kind: ClassVar[str] = "classify"
    label: ClassVar[Text] = Text("Sort texts by label (classification)", "给文本分类")
    short: ClassVar[Text | None] = Text("classification", "分类")
    help: ClassVar[Text] = Text(
        "Shows the model texts with their labels until it knows the label of a text that it never saw.",
        "给模型看带标签的文本，直到它能判断没见过的文本属于哪个标签。",
    )
    data_kinds: ClassVar[tuple[str, ...]] = ("labels",)
    Options: ClassVar[type[MethodOptions]] = ClassifyOptions
    task: ClassVar[Task] = CLASSIFICATION
    ignores: ClassVar[tuple[str, ...]] = ("data.learn",)
    watch: ClassVar[Text] = Text(
        "Watch the accuracy on the rows kept back: it should rise well above the share of the most frequent label. When it falls "
        "while that of the training still rises, the rows are learned by heart.",
        "请看留出样本上的准确率：它应明显高于最常见标签所占的比例。如果它下降而训练准确率仍在上升，说明模型在死记硬背。",
    )
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "accuracy",
            Text("accuracy", "准确率"),
            Text(
                "How many rows get their own label. Compare it with the share of the most frequent one.",
                "有多少样本得到了正确的标签。请与最常见标签所占的比例比较。",
            ),
            better="up",
            percent=True,
            main=True,
        ),
        Metric(
            "macro_f1",
            Text("macro F1", "宏平均 F1"),
            Text(
                "The mean over the labels of how well each is found; a rare label counts as much as a frequent one.",
                "各标签识别效果的平均值；少见的标签与常见的同样重要。",
            ),
            better="up",
            percent=True,
            main=True,
        ),
    )

    def labels(self, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """In alphabetical order; numbers by their value."""
        found = {str(row["label"]) for row in rows}
        if all(label.lstrip("-").isdecimal() for label in found):
            return tuple(sorted(found, key=lambda label: (int(label), label)))
        return tuple(sorted(found))

    def check(
        self, config: RunConfig, rows: Sequence[dict[str, Any]], evaluation: Sequence[dict[str, Any]]
    ) -> list[Problem]:
        """See `Method.check`."""
        counts = Counter(str(row["label"]) for row in rows)
        if len(counts) < 2:
            return [
                Problem(
                    Text("all rows have the same label: {label}", "所有样本的标签都相同：{label}").with_(
                        label=", ".join(counts)[:60]
                    ),
                    Text("Choose data with two labels or more.", "请选择至少有两种标签的数据。"),
                    "data.train",
                )
            ]
        if len(counts) > MOST_LABELS:
            return [
                Problem(
                    Text("the data has {count} different labels", "数据中有 {count} 种不同的标签").with_(
                        count=len(counts)
                    ),
                    Text(
                        "At most {most} can be learned. Is the label column the right one?",
                        "最多可学 {most} 种。请确认标签列是否正确。",
                    ).with_(most=MOST_LABELS),
                    "data.train",
                )
            ]
        unknown = sorted({str(row["label"]) for row in evaluation} - counts.keys())
        if unknown:
            names = listed(label[:40] for label in unknown[:_NAMED])
            return [
                Problem(
                    Text(
                        "labels of the evaluation data that the training data does not have: {names}",
                        "评估数据中有训练数据里没有的标签：{names}",
                    ).with_(names=names),
                    Text("Choose an evaluation set with the same labels.", "请选择标签相同的评估数据。"),
                    "data.eval",
                )
            ]
        return []

    def findings(self, trainer: Any) -> dict[str, Any] | None:
        """See `Method.findings`."""
        return trainer.last_verdict

    def build_trainer(self, parts: Parts) -> Any:
        """See `Method.build_trainer`."""
        train, evaluation = encode_rows(parts)

        from workbench.methods.trainers.scoring import ClassTrainer, scoring_arguments

        return ClassTrainer(
            labels=parts.labels,
            rows=train,
            evaluation=evaluation,
            model=parts.model,
            args=scoring_arguments(parts.arguments, evaluates=bool(evaluation)),
            processing_class=parts.tokenizer,
            callbacks=parts.callbacks,
        )
