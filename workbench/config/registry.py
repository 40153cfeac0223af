"""The register of training methods' options, so that the config can be checked without knowing any method.

`workbench.methods` fills it when it is imported; the config only looks things up. One of the two registries of the
package (the other is the page's list of tabs).
"""

from __future__ import annotations

from workbench.config.fields import knob
from workbench.config.sections import Section
from workbench.config.text import Text

METHOD_LABEL = Text("Method", "方法")
METHOD_HELP = Text(
    "How the model is taught. It decides which kind of data is needed.", "用什么方式教模型。它决定需要哪种数据。"
)


class MethodOptions(Section):
    """Options of a method. A method's own class narrows `kind` to its name and adds its settings."""

    kind: str = knob("sft", METHOD_LABEL, METHOD_HELP, level="basic", also=("stage", "rl"))


_options: dict[str, type[MethodOptions]] = {}


def register_options(kind: str, options: type[MethodOptions]) -> None:
    """Make the options of the method `kind` known."""
    _options[kind] = options


def options_of(kind: str) -> type[MethodOptions] | None:
    """The options' class of a method, or None when there is no such method."""
    return _options.get(kind)


def method_kinds() -> list[str]:
    """Names of all methods, in alphabetical order."""
    return sorted(_options)
