"""How a setting is declared: once, with everything that form, YAML, validation and reference page need.

`knob(...)` makes a pydantic field that carries a `Knob`: label, help (what happens when it goes up or down), level, unit
and the names of its choices. `knobs(model)` walks a config and yields every setting with its dotted path, so that no
widget, no document and no test has to keep a list of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from workbench.config.text import Text, same

Level = Literal["basic", "advanced"]


@dataclass(frozen=True)
class Knob:
    """What people read about a setting. `choices` names the values of a closed choice, `also` are names in other tools."""

    label: Text
    help: Text
    level: Level = "advanced"
    unit: Text | None = None
    choices: tuple[tuple[str, Text], ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """A setting found in a config: where it is, how it reads, and what it accepts.

    `kind` is one of "number", "integer", "switch", "choice", "text", "texts" (a list of strings).
    """

    path: str
    knob: Knob
    kind: str
    default: Any
    optional: bool
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[tuple[str, Text], ...] = ()


def knob(
    default: Any,
    label: Text,
    help: Text,
    *,
    level: Level = "advanced",
    unit: Text | None = None,
    choices: dict[str, Text] | None = None,
    also: tuple[str, ...] = (),
    **bounds: Any,
) -> Any:
    """Declare one setting.

    Args:
        default: right for most people; a list is copied for every config.
        label: the words of the form.
        help: one or two sentences; says what happens when the value goes up or down.
        level: `basic` fields are shown, `advanced` ones folded away.
        unit: what is counted (tokens, rows, steps).
        choices: names of the values of a `Literal`, in the order in which they are offered.
        also: what LLaMA-Factory, transformers, TRL, peft, Axolotl and Unsloth call it, where that is another word.
        bounds: pydantic's constraints (`gt`, `ge`, `lt`, `le`, `max_length`, `pattern`).
    """
    about = Knob(label, help, level, unit, tuple((choices or {}).items()), also)
    extra: dict[str, Any] = {"json_schema_extra": {"knob": about}}
    if isinstance(default, list):
        extra["default_factory"] = lambda: list(default)
    else:
        extra["default"] = default
    return Field(description=help.en, **extra, **bounds)


def knob_of(info: FieldInfo) -> Knob | None:
    """The `Knob` of a field, or None for a section."""
    extra = info.json_schema_extra
    found = extra.get("knob") if isinstance(extra, dict) else None
    return found if isinstance(found, Knob) else None


def knobs(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """Every setting of `model` and of the sections inside it, in the order of their declaration."""
    for name, info in model.model_fields.items():
        path = f"{prefix}{name}"
        about = knob_of(info)
        if about is not None:
            yield _setting(path, about, info)
        elif isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from knobs(info.annotation, f"{path}.")


def names_elsewhere(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """The paths of the settings of `model` by the names that other tools give them."""
    return {name: setting.path for setting in knobs(model, prefix) for name in setting.knob.also}


def _setting(path: str, about: Knob, info: FieldInfo) -> Setting:
    kind, optional, values = _kind(info.annotation)
    bounds: dict[str, float] = {}
    for rule in info.metadata:
        if isinstance(rule, Ge | Gt):
            bounds["minimum"] = rule.ge if isinstance(rule, Ge) else rule.gt  # type: ignore[assignment]
        if isinstance(rule, Le | Lt):
            bounds["maximum"] = rule.le if isinstance(rule, Le) else rule.lt  # type: ignore[assignment]
    named = dict(about.choices)
    choices = tuple((value, named.get(value, same(value))) for value in values)
    default = info.get_default(call_default_factory=True)
    return Setting(path, about, kind, default, optional, **bounds, choices=choices)


def _kind(annotation: Any) -> tuple[str, bool, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", False, get_args(annotation)
    if get_origin(annotation) is list:
        return "texts", False, ()
    arms = [arm for arm in get_args(annotation) if arm is not type(None)]
    if arms and get_origin(annotation) is not None:  # `X | None`
        return _kind(arms[0])[0], True, ()
    return {float: "number", int: "integer", bool: "switch"}.get(annotation, "text"), False, ()
