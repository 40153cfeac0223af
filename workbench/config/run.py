"""`RunConfig`: everything that a run is, checked. The one source for form, YAML, command line, documents and run record."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from workbench.config.errors import WorkbenchError
from workbench.config.optimization import OptimizationSection
from workbench.config.problems import called_here, problems_of, rule_error, short, suggestion
from workbench.config.registry import MethodOptions, method_kinds, options_of
from workbench.config.sections import (
    AdapterSection,
    CheckpointsSection,
    DataSection,
    EvaluationSection,
    ModelSection,
    OutputSection,
    PrecisionSection,
    Section,
)
from workbench.config.text import Text, writable

DEFAULT_METHOD = "sft"


class RunConfig(Section):
    """A run: model, data, method, adapter, precision, optimization, evaluation, checkpoints, output."""

    model: ModelSection = Field(default_factory=ModelSection)
    data: DataSection = Field(default_factory=DataSection)
    method: SerializeAsAny[MethodOptions] = Field(default_factory=lambda: _options_for({"kind": DEFAULT_METHOD}))
    adapter: AdapterSection = Field(default_factory=AdapterSection)
    precision: PrecisionSection = Field(default_factory=PrecisionSection)
    optimization: OptimizationSection = Field(default_factory=OptimizationSection)
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection)
    checkpoints: CheckpointsSection = Field(default_factory=CheckpointsSection)
    output: OutputSection = Field(default_factory=OutputSection)

    @field_validator("method", mode="wrap")
    @classmethod
    def _method_by_kind(cls, value: Any, handler: Any) -> MethodOptions:
        # A wrap validator on the field keeps the path of an error inside (`method.beta`); a `before` validator on the
        # whole model would lose it.
        if isinstance(value, MethodOptions):
            return value
        if not isinstance(value, dict):
            return handler(value)
        return _options_for(value)

    @model_validator(mode="after")
    def _rules_between_fields(self) -> RunConfig:
        if self.adapter.kind == "none" and self.model.quantization != "none":
            raise rule_error(
                "model.quantization",
                Text("a quantized model cannot be tuned in full", "量化后的模型不能做全量微调"),
                Text("Choose a LoRA adapter, or set quantization to none.", "请选择 LoRA 适配器，或将量化设为不量化。"),
            )
        if self.adapter.kind != "lora" and self.adapter.bias == "lora_only":
            raise rule_error(
                "adapter.bias",
                Text("'only in adapted layers' needs a LoRA adapter", "“仅加了适配器的层”需要 LoRA 适配器"),
                Text("Set it to none.", "请设为不训练。"),
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
            problems = problems_of(error, cls, _narrowed(values))
            first = problems[0]
            raise WorkbenchError(
                first.message, first.hint, first.field, problems=tuple(problems), code="invalid"
            ) from None

    def values(self) -> dict[str, Any]:
        """Plain nested dictionaries, ready for YAML or JSON; `parse` of it gives an equal config."""
        return self.model_dump(mode="json")

    def changed(self, values: dict[str, Any]) -> RunConfig:
        """A copy with some settings replaced, given by dotted paths."""
        merged = self.values()
        for path, value in values.items():
            put(merged, path, value)
        return RunConfig.parse(merged)


def put(values: dict[str, Any], path: str, value: Any) -> None:
    """Set `values["a"]["b"]` for the path `a.b`. A new `method.kind` drops the options of the old method."""
    section, _, name = path.partition(".")
    inner = values.setdefault(section, {})
    if not name or not isinstance(inner, dict):
        raise WorkbenchError(
            Text("'{path}' is no setting", "“{path}”不是一个设置项").with_(path=path),
            called_here(path, RunConfig)
            or Text(
                "Settings are written as section.key, for example optimization.learning_rate.",
                "设置项写作“分区.键”，例如 optimization.learning_rate。",
            ),
            writable(path),
        )
    if path == "method.kind" and inner.get("kind") != value:
        inner.clear()
    inner[name] = value


def _options_for(value: dict[str, Any]) -> MethodOptions:
    options = _options_class(value)
    if options is None:
        kind = value.get("kind")
        raise rule_error(
            "method.kind",
            Text("there is no method {kind}", "没有 {kind} 这种方法").with_(kind=short(kind)),
            suggestion(kind if isinstance(kind, str) else "", method_kinds()),
        )
    return options.model_validate({"kind": DEFAULT_METHOD, **value})


def _options_class(method: dict[str, Any]) -> type[MethodOptions] | None:
    kind = method.get("kind", DEFAULT_METHOD)
    return options_of(kind) if isinstance(kind, str) else None


def _narrowed(values: Any) -> dict[str, type[MethodOptions]]:
    """The class of the section `method`, which the config's own field does not tell: it depends on the kind."""
    method = values.get("method") if isinstance(values, dict) else None
    options = _options_class(method) if isinstance(method, dict) else None
    return {"method": options} if options is not None else {}
