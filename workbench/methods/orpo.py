"""Preferences without a reference model: ORPO (Hong et al. 2024, arXiv:2403.07691), with SimPO and CPO as other losses."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from workbench.config.fields import knob
from workbench.config.registry import METHOD_HELP, METHOD_LABEL, MethodOptions
from workbench.config.text import Text
from workbench.methods.base import Method, Parts
from workbench.methods.metrics import Metric
from workbench.methods.rows import encode_rows


class ORPOOptions(MethodOptions):
    """Which loss, and how strongly the preference counts."""

    kind: Literal["orpo"] = knob("orpo", METHOD_LABEL, METHOD_HELP, level="basic")
    objective: Literal["orpo", "simpo", "cpo"] = knob(
        "orpo",
        Text("Preference loss", "偏好损失"),
        Text(
            "How the better answer is told from the other. ORPO imitates it and pushes the other away; SimPO compares likelihoods by "
            "token and asks for a margin; CPO compares whole answers.",
            "如何区分好坏回答。ORPO 模仿好的并远离差的；SimPO 按词元比较可能性并要求间隔；CPO 比较整个回答。",
        ),
        choices={"orpo": Text("ORPO", "ORPO"), "simpo": Text("SimPO", "SimPO"), "cpo": Text("CPO", "CPO")},
    )
    weight: float = knob(
        0.1,
        Text("Strength of the preference (lambda)", "偏好的强度（lambda）"),
        Text(
            "Higher: the two answers are driven further apart; lower: more like imitation alone. Usual are 0.1 with ORPO and CPO, 2 with "
            "SimPO.",
            "调高：两个回答被拉得更开；调低：更接近单纯的模仿。ORPO 和 CPO 常用 0.1，SimPO 常用 2。",
        ),
        gt=0,
        le=10,
    )
    margin: float = knob(
        0.5,
        Text("Margin (gamma)", "间隔（gamma）"),
        Text(
            "By how much the better answer should be ahead. Higher asks for more distance and forgets more.",
            "好回答应领先多少。调高要求更大的差距，也忘得更多。",
        ),
        ge=0,
        le=10,
        also=("simpo_gamma",),
        when=("objective", ("simpo",)),
    )
    imitation: float = knob(
        1.0,
        Text("Imitate the preferred answer too", "同时模仿更好的回答"),
        Text(
            "Weight of the loss of imitating better answers. More keeps them likely; with 0 the language can break.",
            "模仿更好回答的损失权重。调大可保持它们的可能性；为 0 时语言可能变差。",
        ),
        ge=0,
        le=10,
        also=("cpo_alpha",),
    )


class ORPO(Method):
    """Two likelihoods, and no second model."""

    kind: ClassVar[str] = "orpo"
    label: ClassVar[Text] = Text(
        "Prefer the better answer, without a reference (ORPO)", "选择更好的回答，无需参考模型（ORPO）"
    )
    help: ClassVar[Text] = Text(
        "Imitates the better answer of each pair and pushes the other away, in one go. Nothing holds it to the model it was, so it "
        "needs no imitation before, and less memory than DPO.",
        "一步完成：模仿每对中更好的回答，同时远离较差的。它不以原来的模型为参照，因此无需先做模仿训练，占用内存也比 DPO 少。",
    )
    data_kinds: ClassVar[tuple[str, ...]] = ("preference",)
    Options: ClassVar[type[MethodOptions]] = ORPOOptions
    sequences: ClassVar[int] = 2
    ignores: ClassVar[tuple[str, ...]] = ("data.learn",)
    watch: ClassVar[Text] = Text(
        "Watch how often the better answer wins on the pairs kept back; it should rise while the loss falls.",
        "请看留出的偏好对上好回答胜出的比例：它应随损失下降而上升。",
    )
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "accuracy",
            Text("better answer wins", "好回答胜出"),
            Text("How often the better answer is the likelier one, by token.", "按词元计算，好回答更可能的比例。"),
            better="up",
            percent=True,
            main=True,
        ),
        Metric(
            "margin",
            Text("margin", "分差"),
            Text(
                "By how much the better answer is ahead, as the loss counts it. It should rise.",
                "好回答领先多少（按损失的算法）。应当上升。",
            ),
            better="up",
            main=True,
        ),
    )

    def build_trainer(self, parts: Parts) -> Any:
        """See `Method.build_trainer`."""
        train, evaluation = encode_rows(parts)

        from workbench.methods.trainers.odds import OddsTrainer
        from workbench.methods.trainers.scoring import scoring_arguments
        from workbench.models.assembly import lay_on

        options: Any = parts.config.method
        return OddsTrainer(
            loss=options.objective,
            weight=options.weight,
            margin=options.margin,
            imitation=options.imitation,
            rows=train,
            evaluation=evaluation,
            model=lay_on(parts.model, parts.peft_config),
            args=scoring_arguments(parts.arguments, evaluates=bool(evaluation)),
            processing_class=parts.tokenizer,
            callbacks=parts.callbacks,
        )
