"""LoRA (Hu et al. 2021, arXiv:2106.09685): two small matrices beside each chosen layer learn, the layer stays as it is."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import ValidationInfo, field_validator

from workbench.adapters.base import Adapter
from workbench.config.fields import knob
from workbench.config.problems import rule_error
from workbench.config.registry import ADAPTER_HELP, ADAPTER_LABEL, AdapterOptions
from workbench.config.text import Text

ALL = "all-linear"


class LoraOptions(AdapterOptions):
    """Size, strength and place of the matrices."""

    kind: Literal["lora"] = knob("lora", ADAPTER_LABEL, ADAPTER_HELP, level="basic")
    rank: int = knob(
        16,
        Text("Rank (r)", "秩（r）"),
        Text(
            "Size of the adapter. Higher: it can learn more and takes more memory; lower: less is forgotten.",
            "适配器的大小。调高：能学更多，也更占内存；调低：忘得更少。",
        ),
        ge=1,
        le=1024,
        also=("lora_rank", "lora_r", "r"),
    )
    alpha: int = knob(
        32,
        Text("Strength (alpha)", "强度（alpha）"),
        Text(
            "How strongly the adapter acts, relative to its rank; twice the rank is usual. Higher works like a higher learning rate.",
            "适配器作用的强度，相对于秩而言，通常取秩的两倍。调高的效果类似调高学习率。",
        ),
        ge=1,
        le=4096,
        also=("lora_alpha",),
    )
    dropout: float = knob(
        0.0,
        Text("Adapter dropout", "适配器 dropout"),
        Text(
            "Switches off a random share of the adapter at each step. Higher: less learning by heart, slower learning.",
            "每一步随机关闭适配器的一部分。调高：不易死记硬背，但学得慢。",
        ),
        ge=0,
        lt=1,
        also=("lora_dropout",),
    )
    target_modules: list[str] = knob(
        ["all-linear"],
        Text("Layers with an adapter", "加适配器的层"),
        Text(
            "Names of the layers that get an adapter. 'all-linear' takes every linear layer; fewer layers use less memory and learn less.",
            "哪些层加适配器。all-linear 表示所有线性层；层数越少越省内存，学得也越少。",
        ),
        min_length=1,
        max_length=64,
        also=("lora_target", "lora_target_modules"),
    )
    bias: Literal["none", "all", "lora_only"] = knob(
        "none",
        Text("Bias terms", "偏置项"),
        Text(
            "Whether the layers' bias terms are trained too. More of them trained changes the base model a little even with the adapter off.",
            "是否同时训练各层的偏置。训练偏置后，即使关闭适配器，基座模型也会略有变化。",
        ),
        choices={
            "none": Text("none", "不训练"),
            "all": Text("all", "全部"),
            "lora_only": Text("only in adapted layers", "仅加了适配器的层"),
        },
    )
    rank_stabilized: bool = knob(
        False,
        Text("Rank-stabilized scaling (rsLoRA)", "秩稳定缩放（rsLoRA）"),
        Text(
            "Scales by the square root of the rank, so that a high rank keeps its strength. Helps from rank 64 on.",
            "按秩的平方根缩放，让高秩也能保持强度。秩在 64 以上时有用。",
        ),
        also=("use_rslora", "peft_use_rslora"),
    )
    modules_to_save: list[str] = knob(
        [],
        Text("Layers trained in full", "完整训练的层"),
        Text(
            "Names of layers that are trained and stored whole, such as embed_tokens. Each one makes the adapter much larger.",
            "完整训练并保存的层名，例如 embed_tokens。每加一个，适配器都会大很多。",
        ),
        max_length=16,
        also=("additional_target", "lora_modules_to_save"),
    )

    @field_validator("target_modules", "modules_to_save")
    @classmethod
    def _each_named_once(cls, value: list[str], info: ValidationInfo) -> list[str]:
        names = [name.strip() for name in value]
        if "" in names:
            raise rule_error(
                f"adapter.{info.field_name}",
                Text("the name of a layer must not be empty", "层名不能为空"),
                Text("Remove the empty entry.", "请删除空的条目。"),
            )
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise rule_error(
                f"adapter.{info.field_name}",
                Text("the layer '{name}' is named more than once", "层名“{name}”重复出现").with_(name=twice[:60]),
                Text("Name every layer once.", "每个层名只写一次。"),
            )
        return names


def lora_of(options: AdapterOptions) -> LoraOptions | None:
    """These options where they are LoRA's, or those of a kind that builds on it."""
    return options if isinstance(options, LoraOptions) else None


class Lora(Adapter):
    """The usual one."""

    kind: ClassVar[str] = "lora"
    name: ClassVar[str] = "LoRA"
    label: ClassVar[Text] = Text("LoRA adapter", "LoRA 适配器")
    help: ClassVar[Text] = Text(
        "A small part beside the model learns; the model itself stays as it is.",
        "只训练模型旁的一小部分，模型本身不变。",
    )
    Options: ClassVar[type[AdapterOptions]] = LoraOptions

    def config(self, options: Any, left_out: list[str], task: str = "CAUSAL_LM") -> Any:
        """See `Adapter.config`."""
        from peft import LoraConfig

        return LoraConfig(
            task_type=task,
            r=options.rank,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=ALL if options.target_modules == [ALL] else options.target_modules,
            exclude_modules=left_out or None,
            bias=options.bias,
            use_rslora=options.rank_stabilized,
            use_dora=self.kind == "dora",
            modules_to_save=options.modules_to_save or None,
        )
