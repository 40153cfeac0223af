"""Direct preference optimization (DPO, Rafailov et al. 2023, arXiv:2305.18290): of two answers, prefer the better one."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from workbench.config.fields import knob
from workbench.config.registry import METHOD_HELP, METHOD_LABEL, MethodOptions
from workbench.config.text import Text
from workbench.methods.base import Method, Parts
from workbench.methods.metrics import Metric
from workbench.methods.rows import encode_rows


class DPOOptions(MethodOptions):
    """How the preference is turned into a loss."""

    kind: Literal["dpo"] = knob("dpo", METHOD_LABEL, METHOD_HELP, level="basic")
    beta: float = knob(
        0.1,
        Text("Closeness to the base model (beta)", "贴近基座模型的程度（beta）"),
        Text(
            "Higher: the model stays closer to what it was; lower: it follows the preferences further and may lose its language.",
            "调高：更贴近原来的模型；调低：更偏向偏好数据，但语言可能变差。",
        ),
        gt=0,
        le=10,
        also=("pref_beta", "dpo_beta"),
    )
    loss: Literal["sigmoid", "sigmoid_norm", "ipo", "hinge", "robust", "apo_zero"] = knob(
        "sigmoid",
        Text("Preference loss", "偏好损失"),
        Text(
            "How a wrong preference is punished. Sigmoid is DPO as published; the others help with few, noisy or uneven pairs.",
            "偏好判断错误时如何惩罚。sigmoid 即论文中的 DPO；其余适用于数据少、有噪声或长短不一的情况。",
        ),
        choices={
            "sigmoid": Text("sigmoid (DPO)", "sigmoid（DPO）"),
            "sigmoid_norm": Text("sigmoid per token (no reward for length)", "按词元平均的 sigmoid（不偏爱长回答）"),
            "ipo": Text("IPO (less learning by heart)", "IPO（不易死记硬背）"),
            "hinge": Text("hinge (stops at a margin)", "hinge（达到间隔即停）"),
            "robust": Text("robust (some pairs are swapped)", "robust（部分偏好标反）"),
            "apo_zero": Text(
                "APO-zero (good answers are better than the model's)", "APO-zero（好的回答优于模型现有水平）"
            ),
        },
        also=("pref_loss", "loss_type"),
    )
    label_smoothing: float = knob(
        0.1,
        Text("Share of swapped pairs", "标反的比例"),
        Text(
            "How many pairs you expect to be the wrong way round. Only the robust loss uses it: higher trusts each pair less.",
            "估计有多少对偏好标反了。只有 robust 损失会用到：调高则更不相信单个样本。",
        ),
        ge=0,
        lt=0.5,
        also=("dpo_label_smoothing",),
        when=("loss", ("robust",)),
    )
    sft_weight: float = knob(
        0.0,
        Text("Imitate the preferred answer too", "同时模仿更好的回答"),
        Text(
            "Adds so much of the SFT loss on preferred answers. More keeps them likely while the others fall; 0 is plain DPO.",
            "额外加入对更好回答的 SFT 损失。调大可防止它们的概率一起下降；0 即普通 DPO。",
        ),
        ge=0,
        le=10,
        also=("pref_ftx", "rpo_alpha"),
    )


class DPO(Method):
    """Raises the preferred answer over the other, measured against the model before training."""

    kind: ClassVar[str] = "dpo"
    label: ClassVar[Text] = Text("Prefer the better answer (DPO)", "选择更好的回答（DPO）")
    help: ClassVar[Text] = Text(
        "Shows the model two answers to each question, one better than the other, until it prefers the better kind.",
        "每个问题给模型看一好一差两个回答，直到它更偏向好的那种。",
    )
    data_kinds: ClassVar[tuple[str, ...]] = ("preference",)
    Options: ClassVar[type[MethodOptions]] = DPOOptions
    sequences: ClassVar[int] = 2
    ignores: ClassVar[tuple[str, ...]] = ("data.learn",)
    watch: ClassVar[Text] = Text(
        "Watch the margin: it should rise on the pairs kept back, too, and the better answer should win more than half of the "
        "time. A margin that rises without end means that both answers become unlikely: raise beta.",
        "请看分差：在留出的偏好对上也应上升，好回答应胜出一半以上。如果分差无止境地上升，说明两个回答都变得不可能了：请调大 beta。",
    )
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "rewards/margins",
            Text("margin", "分差"),
            Text(
                "By how much more the better answer has gained in likelihood than the other, times beta. It begins at 0 and should "
                "rise.",
                "与训练前相比，好回答的可能性比差回答多增加了多少，乘以 beta。从 0 开始，应当上升。",
            ),
            better="up",
            main=True,
        ),
        Metric(
            "rewards/accuracies",
            Text("better answer wins", "好回答胜出"),
            Text(
                "How often the better answer gained more than the other. 50 % is guessing.",
                "好回答的可能性增加得更多的比例。50% 等于瞎猜。",
            ),
            better="up",
            percent=True,
            main=True,
        ),
        Metric(
            "rewards/chosen",
            Text("gain of better answers", "好回答的变化"),
            Text(
                "How much likelier better answers became than before training. Far below 0, the model forgets to write them.",
                "与训练前相比，好回答的可能性增加了多少。远低于 0 时，模型会忘记如何写它们。",
            ),
            better="up",
        ),
    )

    def build_trainer(self, parts: Parts) -> Any:
        """See `Method.build_trainer`."""
        train, evaluation = encode_rows(parts)
        _report_unused(parts)

        from trl import DPOConfig

        from workbench.methods.trainers.experts import balance_options
        from workbench.methods.trainers.preference import PreferenceTrainer

        # The noise would be drawn anew for the reference, or not at all: margins would begin beside 0.
        arguments = {**parts.arguments, "neftune_noise_alpha": None}
        if not evaluation:
            arguments |= {"eval_strategy": "no", "eval_steps": None}
        return PreferenceTrainer(
            stop=parts.stop,
            progress=parts.progress,
            model=parts.model,
            args=DPOConfig(
                **arguments,
                **_losses(parts.config.method),
                **balance_options(parts.model),
                max_length=None,  # cut already
                precompute_ref_log_probs=_changes_the_base(parts.peft_config),
            ),
            train_dataset=_dataset(train),
            eval_dataset=_dataset(evaluation) if evaluation else None,
            processing_class=parts.tokenizer,
            peft_config=parts.peft_config,
            callbacks=parts.callbacks,
        )


def _changes_the_base(adapter: Any) -> bool:
    """Whether the model is another one after training even with its adapter off; bias terms are not part of an adapter."""
    return adapter is None or adapter.bias != "none"


def _report_unused(parts: Parts) -> None:
    """Say which settings of the run DPO leaves out."""
    if getattr(parts.peft_config, "lora_dropout", 0):
        parts.report(
            Text(
                "DPO trains without dropout: both models must answer under the same conditions.",
                "DPO 训练时不使用 dropout：两个模型必须在相同条件下作答。",
            )
        )
    if parts.config.optimization.neftune_alpha:
        parts.report(
            Text(
                "DPO trains without embedding noise (NEFTune): both models must answer under the same conditions.",
                "DPO 训练时不加嵌入噪声（NEFTune）：两个模型必须在相同条件下作答。",
            )
        )


def _losses(options: Any) -> dict[str, Any]:
    losses: dict[str, float] = {options.loss: 1.0}
    if options.sft_weight:
        losses["sft"] = options.sft_weight
    return {
        "beta": options.beta,
        "loss_type": list(losses),
        "loss_weights": list(losses.values()),
        "label_smoothing": options.label_smoothing if options.loss == "robust" else 0.0,
    }


def _dataset(rows: list[Any]) -> Any:
    from datasets import Dataset

    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    return Dataset.from_dict({name: [getattr(row, name) for row in rows] for name in names})
