"""The families of a run's sections, so that the config can be checked without knowing any variant.

`workbench.methods` and `workbench.adapters` make them known when they are imported; the config only looks them up.
"""

from __future__ import annotations

from typing import ClassVar

from workbench.config.fields import knob
from workbench.config.sections import Section
from workbench.config.text import Text
from workbench.config.variants import Variant, family

METHOD_LABEL = Text("Method", "方法")
METHOD_HELP = Text(
    "How the model is taught. It decides which kind of data is needed.", "用什么方式教模型。它决定需要哪种数据。"
)


@family(Text("method", "方法"), default="sft")
class MethodOptions(Variant, Section):
    """Options of a method. A method's own class narrows `kind` to its name and adds its settings."""

    kind: str = knob("sft", METHOD_LABEL, METHOD_HELP, level="basic", also=("stage", "rl"))


ADAPTER_LABEL = Text("What is trained", "微调方式")
ADAPTER_HELP = Text(
    "LoRA trains a small adapter and leaves the base model as it is. Full tuning changes every weight: stronger, but needs several times the memory.",
    "LoRA 只训练一个小适配器，基座模型保持不变。全量微调会改动所有权重：更强，但内存要多几倍。",
)


@family(Text("adapter", "适配器"), default="lora")
class AdapterOptions(Variant, Section):
    """Options of an adapter. Each kind narrows `kind` to its name and adds its settings.

    Attributes:
        whole: whether there is none, and every weight of the model learns.
    """

    whole: ClassVar[bool] = False
    kind: str = knob(
        "lora", ADAPTER_LABEL, ADAPTER_HELP, level="basic", also=("finetuning_type", "use_dora", "peft_use_dora")
    )
