"""`RunConfig`: everything that a run is, checked. The one source for form, YAML, command line, documents and run record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from workbench.config.errors import WorkbenchError
from workbench.config.fields import knob_of, knobs, section_at, value_at
from workbench.config.optimization import OptimizationSection
from workbench.config.problems import called_here, problems_of, rule_error
from workbench.config.registry import AdapterOptions, MethodOptions
from workbench.config.sections import (
    CheckpointsSection,
    DataSection,
    EvaluationSection,
    ModelSection,
    OutputSection,
    PrecisionSection,
    Section,
)
from workbench.config.text import Text, listed, writable
from workbench.config.variants import Variant

_IDLE = Text(
    "“{label}” ({path}) is not used: it counts only where {decides} is {values}",
    "“{label}”（{path}）不会起作用：仅当 {decides} 为 {values} 时才有用",
)


class RunConfig(Section):
    """A run: model, data, method, adapter, precision, optimization, evaluation, checkpoints, output."""

    model: ModelSection = Field(default_factory=ModelSection)
    data: DataSection = Field(default_factory=DataSection)
    method: SerializeAsAny[MethodOptions] = Field(default_factory=lambda: MethodOptions.read({}))
    adapter: SerializeAsAny[AdapterOptions] = Field(default_factory=lambda: AdapterOptions.read({}))
    precision: PrecisionSection = Field(default_factory=PrecisionSection)
    optimization: OptimizationSection = Field(default_factory=OptimizationSection)
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection)
    checkpoints: CheckpointsSection = Field(default_factory=CheckpointsSection)
    output: OutputSection = Field(default_factory=OutputSection)

    @model_validator(mode="after")
    def _rules_between_fields(self) -> RunConfig:
        if self.adapter.whole and self.model.quantization != "none":
            raise rule_error(
                "model.quantization",
                Text("a quantized model cannot be tuned in full", "量化后的模型不能做全量微调"),
                Text("Choose a LoRA adapter, or set quantization to none.", "请选择 LoRA 适配器，或将量化设为不量化。"),
            )
        return self

    @classmethod
    def parse(cls, values: dict[str, Any]) -> RunConfig:
        """Check `values` (nested dictionaries, as in YAML).

        Raises:
            WorkbenchError: with one `Problem` for each wrong setting, its field as a dotted path.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = problems_of(error, cls, values)
            first = problems[0]
            raise WorkbenchError(
                first.message, first.hint, first.field, problems=tuple(problems), code="invalid"
            ) from None

    def values(self) -> dict[str, Any]:
        """Plain nested dictionaries, ready for YAML or JSON; `parse` of it gives an equal config."""
        return self.model_dump(mode="json")

    def idle(self) -> list[Text]:
        """The settings that were given another value than their default and count for nothing beside the others, with why."""
        nested, lines = self.values(), []
        for setting in knobs(RunConfig):
            missing = next((one for one in setting.when if not one.holds(nested)), None)
            if missing is not None and value_at(nested, setting.path) not in (None, setting.default):
                given = {"path": setting.path, "decides": missing.path, "values": listed(list(missing.values))}
                lines.append(_IDLE.with_(label=setting.knob.label, **given))
        return lines

    def changed(self, values: dict[str, Any]) -> RunConfig:
        """A copy with some settings replaced, given by dotted paths."""
        merged = self.values()
        for path, value in values.items():
            put(merged, path, value)
        return RunConfig.parse(merged)


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Set `values["a"]["b"]` for the path `a.b`, or `values["rows"][0]["b"]` for `rows.0.b`; the row after the last is made.

    A new `kind` keeps those options of the old one that it has too, and drops the others.

    Raises:
        WorkbenchError: the path leads nowhere.
    """
    *way, name = path.split(".")
    place: Any = values
    for index, part in enumerate(way):
        place = _inside(place, part, wants_list=(way[index + 1 :] or [""])[0].isdecimal())
    if not way or not name or not isinstance(place, dict):
        raise WorkbenchError(
            Text("'{path}' is no setting", "“{path}”不是一个设置项").with_(path=path),
            called_here(path, RunConfig)
            or Text(
                "Settings are written as section.key, for example optimization.learning_rate.",
                "设置项写作“分区.键”，例如 optimization.learning_rate。",
            ),
            writable(path),
        )
    if name == "kind" and (base := family_at(way)) is not None and place.get("kind", base.DEFAULT) != value:
        kept = {key: kept for key, kept in place.items() if alike(base.of(place.get("kind")), base.of(value), key)}
        place.clear()
        place.update(kept)
    place[name] = value


def _inside(place: Any, part: str, wants_list: bool) -> Any:
    """The section or the list at a part of a path, made where nothing is; None where it can't be one."""
    if isinstance(place, dict):
        return place.setdefault(part, [] if wants_list else {})
    if isinstance(place, list) and part.isdecimal() and int(part) <= len(place):
        if int(part) == len(place):
            place.append({})
        return place[int(part)]
    return None


def family_at(way: Sequence[str]) -> type[Variant] | None:
    """The family of the section at a path, `rewards.0` for one of a list; None where a section has no variants."""
    found = section_at(RunConfig, [int(part) if part.isdecimal() else part for part in way], None)
    return found if found is not None and issubclass(found, Variant) else None


def alike(one: type[Variant] | None, other: type[Variant] | None, name: str) -> bool:
    """Whether two variants share the declaration of an option, which therefore keeps its value from one to the other."""
    infos = [options.model_fields.get(name) if options is not None else None for options in (one, other)]
    known = [knob_of(info) if info is not None else None for info in infos]
    return known[0] is not None and known[0] is known[1] and name != "kind"
