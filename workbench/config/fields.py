"""How a setting is declared: once, with everything that form, YAML, validation and reference page need.

`knob(...)` makes a pydantic field that carries a `Knob`: label, help (what happens when it goes up or down), level, unit
and the names of its choices. `knobs(model)` walks a config and yields every setting with its dotted path, those of all
variants (`workbench.config.variants`) with what has to be chosen for them, so that no widget, no document and no test has to
keep a list of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from workbench.config.text import Text, same
from workbench.config.variants import Variant

Level = Literal["basic", "advanced"]


@dataclass(frozen=True)
class Knob:
    """What people read about a setting. `choices` names the values of a closed choice, `also` are names in other tools,
    `when` is the setting beside it that decides whether it counts, with the values for which it does."""

    label: Text
    help: Text
    level: Level = "advanced"
    unit: Text | None = None
    choices: tuple[tuple[str, Text], ...] = ()
    also: tuple[str, ...] = ()
    when: tuple[str, tuple[str, ...]] | None = None


class When(NamedTuple):
    """That the setting at a path has one of these values; where it is left out, it has its default."""

    path: str
    values: tuple[str, ...]
    default: str | None

    def holds(self, nested: Mapping[str, Any]) -> bool:
        """Whether it is so in nested values."""
        value = value_at(nested, self.path)
        return (self.default if value is None else value) in self.values


@dataclass(frozen=True)
class Setting:
    """A setting found in a config: where it is, how it reads, and what it accepts.

    `kind` is one of "number", "integer", "switch", "choice", "text", "texts" (a list of strings), "rows" (a list of sections of
    the family `rows`). It counts where all of `when` holds.
    """

    path: str
    knob: Knob
    kind: str
    default: Any
    optional: bool
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[tuple[str, Text], ...] = ()
    when: tuple[When, ...] = ()
    rows: type[Variant] | None = None

    def applies(self, nested: Mapping[str, Any]) -> bool:
        """Whether it counts beside these values of the whole config."""
        return all(one.holds(nested) for one in self.when)


def knob(
    default: Any,
    label: Text,
    help: Text,
    *,
    level: Level = "advanced",
    unit: Text | None = None,
    choices: dict[str, Text] | None = None,
    also: tuple[str, ...] = (),
    when: tuple[str, tuple[str, ...]] | None = None,
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
        when: the name of a setting of the same section, and its values for which this one counts; always, if None.
        bounds: pydantic's constraints (`gt`, `ge`, `lt`, `le`, `max_length`, `pattern`).
    """
    about = Knob(label, help, level, unit, tuple((choices or {}).items()), also, when)
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
    """Every setting of `model` and of the sections inside it, in the order of their declaration.

    Of a section that is one of several: its `kind`, then the settings of all variants, one that several share but once.
    """
    for name, info in model.model_fields.items():
        path, inner = f"{prefix}{name}", section_in(info)
        about = knob_of(info)
        if about is not None:
            yield _setting(prefix, name, model, info)
        elif inner is not None and issubclass(inner, Variant):
            yield from variant_knobs(inner, f"{path}.")
        elif inner is not None:
            yield from knobs(inner, f"{path}.")


def variant_knobs(base: type[Variant], prefix: str) -> Iterator[Setting]:
    """The `kind` of a section of a family, then the settings of all its variants."""
    kinds = base.kinds()
    yield _kind_setting(base, prefix)
    found: dict[tuple[str, int], tuple[Setting, list[str]]] = {}
    for kind, variant in kinds.items():
        for name, info in variant.options.model_fields.items():
            about = knob_of(info)
            if about is not None and name != "kind":
                place = found.setdefault((name, id(about)), (_setting(prefix, name, variant.options, info), []))
                place[1].append(kind)
    for setting, of in found.values():
        yield replace(setting, when=(When(f"{prefix}kind", tuple(of), base.DEFAULT), *setting.when))


def _kind_setting(base: type[Variant], prefix: str) -> Setting:
    setting = _setting(prefix, "kind", base, base.model_fields["kind"])
    choices = tuple((kind, one.label) for kind, one in base.kinds().items())
    return replace(setting, kind="choice", default=base.DEFAULT, choices=choices)


def section_in(info: FieldInfo) -> type[BaseModel] | None:
    """The class of the section in a field, or of the sections in a list of them; None for a field that is a value."""
    annotation = info.annotation
    while get_args(annotation):  # a list, or pydantic's marks around a class
        annotation = get_args(annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def section_at(model: type[BaseModel], way: Sequence[str | int], nested: Any) -> type[BaseModel] | None:
    """The class that declares what lies in the section at the end of `way`; None where nothing is declared.

    Args:
        model: the class of the whole.
        way: names of sections, and numbers of those that stand in a list.
        nested: the values, which decide of which variant a section is.
    """
    place: type[BaseModel] | None = model
    for part in way:
        nested = _part(nested, part)
        if isinstance(part, str):
            info = place.model_fields.get(part) if place is not None else None
            place = section_in(info) if info is not None else None
        if place is not None and issubclass(place, Variant) and place.is_family() and isinstance(nested, dict):
            place = place.of(nested.get("kind")) or place
    return place


def value_at(nested: Any, path: str) -> Any:
    """What stands at a dotted path; None when nothing does."""
    for part in path.split("."):
        nested = _part(nested, int(part) if part.isdecimal() else part)
    return nested


def _part(nested: Any, part: str | int) -> Any:
    if isinstance(part, int):
        return nested[part] if isinstance(nested, list) and part < len(nested) else None
    return nested.get(part) if isinstance(nested, Mapping) else None


def names_elsewhere(model: type[BaseModel], nested: Mapping[str, Any] | None = None) -> dict[str, str]:
    """The paths of the settings of `model` by the names that other tools give them.

    Args:
        nested: the values beside them, where one name is of several variants; None for those of all.
    """
    every = list(knobs(model))
    count = [setting for setting in every if nested is not None and setting.applies(nested)]
    return {name: setting.path for setting in (*every, *count) for name in setting.knob.also}


def _setting(prefix: str, name: str, model: type[BaseModel], info: FieldInfo) -> Setting:
    about = knob_of(info)
    assert about is not None
    kind, optional, values = _kind(info.annotation)
    inner = section_in(info)
    bounds: dict[str, float] = {}
    for rule in info.metadata:
        if isinstance(rule, Ge | Gt):
            bounds["minimum"] = rule.ge if isinstance(rule, Ge) else rule.gt  # type: ignore[assignment]
        if isinstance(rule, Le | Lt):
            bounds["maximum"] = rule.le if isinstance(rule, Le) else rule.lt  # type: ignore[assignment]
    named = dict(about.choices)
    choices = tuple((value, named.get(value, same(value))) for value in values)
    default = info.get_default(call_default_factory=True)
    when: tuple[When, ...] = ()
    if about.when is not None:
        beside, accepted = about.when
        when = (When(f"{prefix}{beside}", accepted, model.model_fields[beside].default),)
    rows = inner if inner is not None and issubclass(inner, Variant) else None
    return Setting(
        f"{prefix}{name}",
        about,
        "rows" if rows else kind,
        default,
        optional,
        **bounds,
        choices=choices,
        when=when,
        rows=rows,
    )


def _kind(annotation: Any) -> tuple[str, bool, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", False, get_args(annotation)
    if get_origin(annotation) is list:
        return "texts", False, ()
    arms = [arm for arm in get_args(annotation) if arm is not type(None)]
    if arms and get_origin(annotation) is not None:  # `X | None`
        return _kind(arms[0])[0], True, ()
    return {float: "number", int: "integer", bool: "switch"}.get(annotation, "text"), False, ()
