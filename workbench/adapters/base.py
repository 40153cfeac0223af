"""What the engine and a kind of adapter say to each other.

A kind is one file beside this one: a subclass of `Adapter` with its options and the config that peft makes it from. It is
discovered, never listed. It imports peft inside its functions only, because the page lists kinds before that is loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from workbench.config.registry import AdapterOptions
from workbench.config.text import Text


class Adapter(ABC):
    """What is trained of a model. Subclass it in a file of its own.

    Attributes:
        kind: the name in `adapter.kind`.
        name: what people call it beside the method's name ("SFT LoRA"); "" where that alone says it.
        label, help: what the form says.
        Options: its settings; `kind` narrowed to its own name.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    label: ClassVar[Text]
    help: ClassVar[Text]
    Options: ClassVar[type[AdapterOptions]]

    @abstractmethod
    def config(self, options: Any, left_out: list[str], task: str = "CAUSAL_LM") -> Any:
        """peft's config of the adapter, or None where every weight learns.

        Args:
            options: the run's, of the class `Options`.
            left_out: names of linear layers that can't have an adapter in this model.
            task: peft's name for what the model is there for.
        """
