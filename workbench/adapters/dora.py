"""DoRA (Liu et al. 2024, arXiv:2402.09353): LoRA that learns the length of each weight apart from its direction."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator

from workbench.adapters.lora import Lora, LoraOptions
from workbench.config.fields import knob
from workbench.config.problems import rule_error
from workbench.config.registry import ADAPTER_HELP, ADAPTER_LABEL, AdapterOptions
from workbench.config.text import Text


class DoraOptions(LoraOptions):
    """Those of LoRA."""

    kind: Literal["dora"] = knob("dora", ADAPTER_LABEL, ADAPTER_HELP, level="basic")  # type: ignore[assignment]

    @field_validator("bias")
    @classmethod
    def _no_bias_of_lora_alone(cls, value: str) -> str:
        if value == "lora_only":
            raise rule_error(
                "adapter.bias",
                Text("'only in adapted layers' needs a LoRA adapter", "“仅加了适配器的层”需要 LoRA 适配器"),
                Text("Set it to none.", "请设为不训练。"),
            )
        return value


class Dora(Lora):
    """LoRA that takes longer and sometimes learns better."""

    kind: ClassVar[str] = "dora"
    name: ClassVar[str] = "DoRA"
    label: ClassVar[Text] = Text("DoRA adapter (slower, sometimes better)", "DoRA 适配器（较慢，有时更好）")
    help: ClassVar[Text] = Text(
        "LoRA that also learns how large each weight is: closer to full tuning, and slower.",
        "在 LoRA 的基础上还学习每个权重的大小：更接近全量微调，也更慢。",
    )
    Options: ClassVar[type[AdapterOptions]] = DoraOptions
