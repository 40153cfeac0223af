"""Everything that can be known to be wrong before a run starts, and what it will cost. Quick: files are read, nothing is loaded."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.adapters.lora import ALL, LoraOptions, lora_of
from workbench.config.disk import disk_full, free_bytes
from workbench.config.errors import Problem, WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.tasks import CAUSAL
from workbench.config.text import Text, listed
from workbench.data.formats import require_kind
from workbench.data.library import DataLibrary, Loaded
from workbench.engine.fitting import (
    SAMPLE_ROWS,
    disk_bytes,
    memory_fit,
    shape_of_folder,
    text_tokens,
    this_machine,
    tokens_of_rows,
)
from workbench.engine.hardware import cuda_module, torch_is_loaded, unsupported_card
from workbench.engine.plan import EVALUATION_ROWS, Basis, Forecast, Measured, plan_steps, split_counts
from workbench.engine.records import RunRecord
from workbench.methods import METHODS
from workbench.models.adapter_targets import expert_names, problems_of_targets
from workbench.models.catalog import ModelCatalog, ModelInfo
from workbench.models.layers import OUTPUTS, missing_layers, stored_layers
from workbench.models.reading import read_json_object
from workbench.models.templates import check_template, folder_template
from workbench.models.tokenizer_file import check_tokenizer

LIKE_RUNS = 5  # newest runs whose speed is looked at
TELLING_STEPS = 20
NEWER_TORCH = Text(
    "It is newer than this torch: install one for it (pytorch.org, Get started, the highest CUDA version; on AMD the newest"
    " ROCm). To train on the processor instead, start with CUDA_VISIBLE_DEVICES set to -1.",
    "显卡比 torch 新：请到 pytorch.org 的 Get started 页安装支持它的版本（选最高的 CUDA 版本；AMD 显卡选最新的 ROCm）。"
    "如要改用处理器训练，请将 CUDA_VISIBLE_DEVICES 设为 -1 后启动。",
)
OLDER_TORCH = Text(
    "It is older than what this torch was built for: install torch for a lower CUDA version (pytorch.org, Previous versions)."
    " To train on the processor instead, start with CUDA_VISIBLE_DEVICES set to -1.",
    "显卡比 torch 支持的型号旧：请到 pytorch.org 的 Previous versions 页安装较低 CUDA 版本的 torch。"
    "如要改用处理器训练，请将 CUDA_VISIBLE_DEVICES 设为 -1 后启动。",
)
SLOWEST = 2.5e10  # floating-point operations a second of a plain computer: the guess before anything ran here


@dataclass(frozen=True)
class Checked:
    """Every problem that stops a run, each with the field to change (none when it can start), and what it would work with."""

    problems: list[Problem]
    model: ModelInfo | None
    loaded: Loaded | None
    evaluation: Loaded | None


def check(config: RunConfig, models: ModelCatalog, data: DataLibrary, home: Path, *, allow_paths: bool) -> Checked:
    """Look for all that is wrong with a run."""
    problems: list[Problem] = []
    other = None
    model = _try(problems, "model.base", lambda: models.resolve(config.model.base, allow_paths))
    loaded = _try(problems, "data.train", lambda: data.load(config.data.train, allow_paths=allow_paths))
    if loaded is not None:
        problems += _kind(config, loaded, "data.train")
        if model is not None and METHODS[config.method.kind].task == CAUSAL:
            problems += _template(config, model, loaded)
    if config.data.eval:
        other = _try(problems, "data.eval", lambda: data.load(config.data.eval or "", allow_paths=allow_paths))
        if other is not None:
            problems += _kind(config, other, "data.eval")
    if loaded is not None and not problems:
        problems += METHODS[config.method.kind].check(config, loaded.examples, other.examples if other else [])
    problems += _hardware(config)
    if model is not None:
        _try(problems, "model.base", lambda: check_tokenizer(model.folder))
        _try(problems, "model.base", lambda: _try_template(model.folder))
        problems += (
            _task(config, model) + _model_fits(config, model) + _layers(config, model) + _disk(config, model, home)
        )
    return Checked(problems, model, loaded, other)


def refuse(problems: list[Problem]) -> None:
    """Raise all problems as one error, if there are any."""
    if problems:
        first = problems[0]
        raise WorkbenchError(first.message, first.hint, first.field, problems=tuple(problems), code="invalid")


def forecast(
    config: RunConfig,
    models: ModelCatalog,
    data: DataLibrary,
    home: Path,
    history: list[RunRecord],
    *,
    allow_paths: bool,
    measured: Callable[[str], Measured | None] = lambda data: None,
) -> Forecast:
    """What a run will need. Seconds follow what was measured, or the speed of earlier runs that are like it; without either,
    a cautious guess.

    Args:
        measured: gives what trial steps of such a run took, for the fingerprint of its data.

    Raises:
        WorkbenchError: model or data cannot be used.
    """
    model = models.resolve(config.model.base, allow_paths)
    loaded = data.load(config.data.train, allow_paths=allow_paths)
    learned, kept = split_counts(config, len(loaded.examples))
    sample = loaded.examples[:SAMPLE_ROWS]
    mean = sum(map(text_tokens, sample)) / len(sample) if sample else 1.0
    rows = max(METHODS[config.method.kind].count(config, learned, learned * mean), 1)
    mean *= learned / rows
    plan = plan_steps(config, rows)
    per_row = min(mean, config.data.max_length)
    tokens = int(per_row * plan.total * config.optimization.batch_size * config.optimization.accumulation)
    per_step = config.optimization.batch_size * config.optimization.accumulation
    other = data.load(config.data.eval, allow_paths=allow_paths).examples if config.data.eval else []
    # Evaluating goes forward only, which is a third of a step.
    evaluating = (kept or min(len(other), EVALUATION_ROWS)) * (plan.total // plan.evaluate_every) / 3
    trial = measured(loaded.fingerprint)
    basis: Basis = "measured" if trial else "runs"
    speeds = [run.tokens_per_second for run in history if _alike(run, config) and run.tokens_per_second]
    if trial is not None:
        # It asks before the first step and at each evaluation, the last one at the end; with nothing to evaluate on, only then.
        rounds = 1 + (max(plan.total // plan.evaluate_every, 1) if kept or other else 1)
        answers = len(config.evaluation.questions) * rounds
        seconds = trial.seconds(plan.total + evaluating / per_step, answers)
    elif speeds:
        seconds = (tokens + per_row * evaluating) / statistics.median(speeds[:LIKE_RUNS])
    else:
        work = (6.0 if config.adapter.whole else 4.0) * max(model.parameters, 1)
        basis, seconds = "guess", (tokens + per_row * evaluating) * work / SLOWEST + plan.total * 0.02
    shape = shape_of_folder(model.folder, model.parameters)
    fit = memory_fit(shape, config, this_machine(), tokens_of_rows(config, loaded.examples))
    return Forecast(
        rows=rows,
        evaluation_rows=kept,
        steps=plan.total,
        tokens=tokens,
        seconds=seconds,
        disk_bytes=disk_bytes(shape, config),
        free_disk_bytes=free_bytes(home),
        fit=fit,
        basis=basis,
        measured=trial,
    )


def _alike(run: RunRecord, config: RunConfig) -> bool:
    """Whether a run says how fast another one will be; the first steps of a short one are slow."""
    same = (run.base_model, run.method, run.adapter) == (config.model.base, config.method.kind, config.adapter.kind)
    return same and run.last_step >= TELLING_STEPS


def _try(problems: list[Problem], path: str, read: Any) -> Any:
    try:
        return read()
    except WorkbenchError as error:
        problems += [Problem(found.message, found.hint, path) for found in error.problems]
        return None


def inputs(
    config: RunConfig, models: ModelCatalog, data: DataLibrary, *, allow_paths: bool, checked: Checked | None = None
) -> tuple[ModelInfo, Loaded]:
    """Model and training data of a run that was checked, as they are now. Cheap: for who holds what nobody can take away.

    Args:
        checked: what the check found; where all of it is there as it was, nothing is looked up again.

    Raises:
        WorkbenchError: meanwhile something was deleted, or is read in a way that the method cannot learn from.
    """
    if checked is not None and checked.model is not None and checked.loaded is not None:
        sets = [found for found in (checked.loaded, checked.evaluation) if found is not None]
        if models.holds(checked.model) and all(data.holds(found) for found in sets):
            return checked.model, checked.loaded
    model = models.resolve(config.model.base, allow_paths)
    loaded = data.load(config.data.train, allow_paths=allow_paths)
    refuse(_kind(config, loaded, "data.train"))
    if config.data.eval:
        refuse(_kind(config, data.load(config.data.eval, allow_paths=allow_paths), "data.eval"))
    return model, loaded


def _kind(config: RunConfig, loaded: Loaded, path: str) -> list[Problem]:
    try:
        info, wanted = loaded.info, METHODS[config.method.kind].data_kinds
        require_kind(info.kind, wanted, info.name, path, readings=loaded.readings, columns=loaded.columns)
    except WorkbenchError as error:
        return list(error.problems)
    return []


def _template(config: RunConfig, model: ModelInfo, loaded: Loaded) -> list[Problem]:
    if model.has_template:
        return []
    if loaded.info.kind == "text":
        if not config.evaluation.questions:
            return []
        return [
            Problem(
                Text(
                    "this model has no chat template, so it cannot be asked questions",
                    "这个模型没有对话模板，无法向它提问",
                ),
                Text("Remove the questions, or choose a chat model.", "请去掉这些问题，或选择聊天模型。"),
                "evaluation.questions",
            )
        ]
    return [
        Problem(
            Text(
                "this model has no chat template, so it cannot read conversations", "这个模型没有对话模板，读不了对话"
            ),
            Text(
                "Choose an 'instruct' or 'chat' model, or train on plain text.",
                "请选择 instruct 或 chat 模型，或用纯文本训练。",
            ),
            "model.base",
        )
    ]


def _try_template(folder: Path) -> None:
    template = folder_template(folder)
    if template:
        check_template(template)


def check_card(device: str) -> None:
    """Refuse a graphics card that nothing can be computed on, before a model is loaded for it.

    Raises:
        WorkbenchError: (`no_kernels`) the installed torch was not built for it.
    """
    number = device.partition(":")[2]
    card = unsupported_card(int(number) if number.isdigit() else 0) if device.startswith("cuda") else None
    if card is not None:
        raise WorkbenchError(
            Text(
                "the installed torch can't compute on this graphics card: {card} ({capability})",
                "当前安装的 torch 不支持这块显卡：{card}（{capability}）",
            ).with_(card=card.card, capability=card.capability),
            NEWER_TORCH if card.newer else OLDER_TORCH,
            code="no_kernels",
        )


def check_device(config: RunConfig, device: str) -> None:
    """Refuse what a device cannot do. Asked again by the training itself: before torch is loaded nobody knows the device.

    Raises:
        WorkbenchError: fp16 without a graphics card; a graphics card that the installed torch can't compute on.
    """
    check_card(device)
    if config.precision.dtype == "fp16" and not device.startswith("cuda"):
        raise WorkbenchError(
            Text("fp16 needs a graphics card", "fp16 需要显卡"),
            Text("Choose auto, bf16 or fp32.", "请选择自动、bf16 或 fp32。"),
            field="precision.dtype",
            code="no_card",
        )


def _hardware(config: RunConfig) -> list[Problem]:
    if not torch_is_loaded():
        return []
    try:
        check_device(config, "cuda" if cuda_module() is not None else "cpu")
    except WorkbenchError as error:
        return list(error.problems)
    return []


def _task(config: RunConfig, model: ModelInfo) -> list[Problem]:
    """What a model is not there for."""
    method = METHODS[config.method.kind]
    if method.task in model.tasks:
        return []
    if method.task == CAUSAL:
        said = Text("this model does not write, so it can't learn to answer", "这个模型不会写文本，无法学习回答")
    else:
        said = Text("this model's architecture can't get a head for this method", "这个模型的架构不支持此方法")
    usable = listed(other.label for other in METHODS.values() if other.task in model.tasks)
    hint = Text("Choose another model, or another method: {names}.", "请选择其他模型，或换用其他方法：{names}。")
    return [Problem(said, hint.with_(names=usable) if model.tasks else _OTHER_MODEL, "model.base")]


_OTHER_MODEL = Text("Choose another model.", "请选择其他模型。")


def _model_fits(config: RunConfig, model: ModelInfo) -> list[Problem]:
    if model.context and config.data.max_length > model.context:
        return [
            Problem(
                Text("this model reads at most {context} tokens", "这个模型最多读 {context} 个词元").with_(
                    context=model.context
                ),
                Text("Set the longest row to {context} or less.", "请把最大长度设为 {context} 或更小。").with_(
                    context=model.context
                ),
                "data.max_length",
            )
        ]
    return []


def _layers(config: RunConfig, model: ModelInfo) -> list[Problem]:
    """Layers that the model does not have or that take no adapter; asked again when it is loaded, where they are all there."""
    adapter = lora_of(config.adapter)
    if adapter is None:
        return []
    kind = read_json_object(model.folder / "config.json")["model_type"]
    if adapter.target_modules == [ALL] and not adapter.modules_to_save:
        return problems_of_targets(adapter, kind)
    layers = stored_layers(model.folder)
    return named_layers(adapter, layers, kind) if layers is not None else problems_of_targets(adapter, kind)


def named_layers(adapter: LoraOptions, layers: dict[str, int], kind: str) -> list[Problem]:
    """Problems with the names of layers in the adapter's settings.

    Args:
        adapter: these settings.
        layers: those of the model, with the dimensions of their largest weight; an adapter needs two.
        kind: the model's architecture, `model_type` in its config.
    """
    problems = problems_of_targets(adapter, kind)
    if adapter.target_modules != [ALL]:
        named = [name for name in adapter.target_modules if name.rpartition(".")[2] not in OUTPUTS]
        linear = [name for name, dimensions in layers.items() if dimensions > 1 and name not in OUTPUTS]
        problems += missing_layers(named, [*linear, *expert_names(kind)], "adapter.target_modules")
    return problems + missing_layers(adapter.modules_to_save, layers, "adapter.modules_to_save")


def _disk(config: RunConfig, model: ModelInfo, home: Path) -> list[Problem]:
    needed = disk_bytes(shape_of_folder(model.folder, model.parameters), config)
    if free_bytes(home) >= needed:
        return []
    error = disk_full(home, needed)
    return [Problem(error.message, error.hint, None)]
