"""Sections that are one of several: how to train, what kind of adapter, which reward.

A family is a class with `@family(...)`: `kind` says which of its variants a section is. A variant is a subclass that narrows
`kind` to its own name and adds its settings; it is declared in a file of its own, and made known with `add`. Form, YAML,
command line, reference page and messages follow from that, for one section as for a list of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, model_validator
from pydantic_core import PydanticCustomError

from workbench.config.text import Text


@dataclass(frozen=True)
class Kind:
    """A variant as people choose it: its class, what it is called, and what it does."""

    options: type[Variant]
    label: Text
    help: Text


class Variant(BaseModel):
    """A section that is one of several. Values for the family become the variant that their `kind` names.

    Attributes:
        NOUN: what the variants are ("method"), for messages.
        DEFAULT: the kind of a section that names none; None where one has to be named.
        VARIANTS: all that are known, by their kind.
    """

    NOUN: ClassVar[Text]
    DEFAULT: ClassVar[str | None]
    VARIANTS: ClassVar[dict[str, Kind]]

    @classmethod
    def is_family(cls) -> bool:
        """Whether this is a family, and not one of its variants."""
        return "VARIANTS" in cls.__dict__

    @classmethod
    def add(cls, options: type[Variant], label: Text, help: Text) -> None:
        """Make a variant known."""
        cls.VARIANTS[options.model_fields["kind"].default] = Kind(options, label, help)

    @classmethod
    def kinds(cls) -> dict[str, Kind]:
        """All variants by their kind, the usual one first."""
        return dict(sorted(cls.VARIANTS.items(), key=lambda item: item[0] != cls.DEFAULT))

    @classmethod
    def of(cls, kind: Any) -> type[Variant] | None:
        """The class of a kind, of None that of the usual one; None when there is no such kind."""
        named = cls.DEFAULT if kind is None else kind
        found = cls.VARIANTS.get(named) if isinstance(named, str) else None
        return found.options if found is not None else None

    @classmethod
    def read(cls, values: dict[str, Any]) -> Any:
        """The variant that `values` name, checked.

        Raises:
            ValidationError: a value is wrong.
            PydanticCustomError: there is no such variant.
        """
        kind = values.get("kind", cls.DEFAULT)
        options = cls.of(kind)
        if options is None:
            context = {"known": list(cls.kinds()), "noun": cls.NOUN}
            raise PydanticCustomError("no_variant", "there is no such variant", context)
        return options.model_validate({"kind": kind, **values})

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_kind(cls, value: Any, handler: Any) -> Any:
        return cls.read(value) if cls.is_family() and isinstance(value, dict) else handler(value)


Family = TypeVar("Family", bound=type[Variant])


def family(noun: Text, default: str | None) -> Callable[[Family], Family]:
    """Make a subclass of `Variant` a family; see its attributes."""

    def made(base: Family) -> Family:
        base.NOUN, base.DEFAULT, base.VARIANTS = noun, default, {}
        return base

    return made
