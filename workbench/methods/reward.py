"""Reward model (Ouyang et al. 2022, arXiv:2203.02155, 3.5): the model learns to say with one number how good an answer is."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from workbench.config.fields import knob
from workbench.config.registry import METHOD_HELP, METHOD_LABEL, MethodOptions
from workbench.config.tasks import REWARD, Task
from workbench.config.text import Text
from workbench.methods.base import Method, Parts
from workbench.methods.metrics import Metric
from workbench.methods.rows import encode_rows


class RewardOptions(MethodOptions):
    """How the better answer is told from the other."""

    kind: Literal["reward"] = knob("reward", METHOD_LABEL, METHOD_HELP, level="basic")
    centre: float = knob(
        0.0,
        Text("Keep scores around zero", "让分数保持在零附近"),
        Text(
            "Adds so much of the squared sum of both scores to the loss. Higher: scores lie around 0 and can be compared between "
            "runs; 0: only their difference is learned.",
            "按此权重把两个分数之和的平方加入损失。调高：分数集中在 0 附近，不同运行之间可以比较；0：只学习分数之差。",
        ),
        ge=0,
        le=1,
        also=("center_rewards_coefficient",),
    )


class Reward(Method):
    """Bradley and Terry's loss over pairs."""

    kind: ClassVar[str] = "reward"
    label: ClassVar[Text] = Text("Judge answers (reward model)", "给回答打分（奖励模型）")
    short: ClassVar[Text | None] = Text("reward model", "奖励模型")
    help: ClassVar[Text] = Text(
        "Shows the model two answers to each question, one better than the other, until it gives the better one the higher score. "
        "It does not write; another model can learn from its scores.",
        "每个问题给模型看一好一差两个回答，直到它给好的打更高的分。它不会写作；别的模型可以根据它的分数学习。",
    )
    data_kinds: ClassVar[tuple[str, ...]] = ("preference",)
    Options: ClassVar[type[MethodOptions]] = RewardOptions
    sequences: ClassVar[int] = 2
    task: ClassVar[Task] = REWARD
    ignores: ClassVar[tuple[str, ...]] = ("data.learn", "evaluation.questions")
    watch: ClassVar[Text] = Text(
        "Watch how often the better answer wins on the pairs kept back: 50 % is guessing, from 75 % on it can be used.",
        "请看留出的偏好对上好回答胜出的比例：50% 等于瞎猜，达到 75% 以上就可以使用。",
    )
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "accuracy",
            Text("better answer wins", "好回答胜出"),
            Text(
                "How often the better answer has the higher score. 50 % is guessing.",
                "好回答得分更高的比例。50% 等于瞎猜。",
            ),
            better="up",
            percent=True,
            main=True,
        ),
        Metric(
            "margin",
            Text("margin", "分差"),
            Text("By how much the better answer's score is higher, in the mean.", "好回答的分数平均高出多少。"),
            better="up",
            main=True,
        ),
        Metric(
            "reward",
            Text("mean score", "平均分"),
            Text(
                "The mean of all scores. It may lie anywhere unless scores are kept around zero.",
                "所有分数的平均值。若没有让分数保持在零附近，它可以是任意值。",
            ),
        ),
    )

    def build_trainer(self, parts: Parts) -> Any:
        """See `Method.build_trainer`."""
        train, evaluation = encode_rows(parts)

        from workbench.methods.trainers.scoring import RewardTrainer, scoring_arguments

        return RewardTrainer(
            centre=getattr(parts.config.method, "centre", 0.0),
            rows=train,
            evaluation=evaluation,
            model=parts.model,
            args=scoring_arguments(parts.arguments, evaluates=bool(evaluation)),
            processing_class=parts.tokenizer,
            callbacks=parts.callbacks,
        )
