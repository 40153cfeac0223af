"""The families of a run's sections, so that the config can be checked without knowing any variant.

`workbench.methods` makes the methods known when it is imported; the config only looks them up.
"""

from __future__ import annotations

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
