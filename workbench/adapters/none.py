"""No adapter: every weight of the model learns."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from workbench.adapters.base import Adapter
from workbench.config.fields import knob
from workbench.config.registry import ADAPTER_HELP, ADAPTER_LABEL, AdapterOptions
from workbench.config.text import Text


class WholeOptions(AdapterOptions):
    """There is nothing to set."""

    whole: ClassVar[bool] = True
    kind: Literal["none"] = knob("none", ADAPTER_LABEL, ADAPTER_HELP, level="basic")


class Whole(Adapter):
    """Full tuning."""

    kind: ClassVar[str] = "none"
    name: ClassVar[str] = ""
    label: ClassVar[Text] = Text("the whole model (full tuning)", "整个模型（全量微调）")
    help: ClassVar[Text] = Text(
        "Every weight learns: stronger, but it takes several times the memory and forgets more.",
        "所有权重都参与训练：更强，但内存要多几倍，也更容易遗忘。",
    )
    Options: ClassVar[type[AdapterOptions]] = WholeOptions

    def config(self, options: Any, left_out: list[str], task: str = "CAUSAL_LM") -> Any:
        """See `Adapter.config`."""
        return None
