"""Which layers of a model can have an adapter: what is refused by name, and what `all-linear` leaves out. Without torch at import.

What an architecture forbids is known from its `model_type`, before anything is loaded; what only its own code can tell
is asked of the loaded model.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from workbench.adapters.lora import ALL, LoraOptions
from workbench.config.errors import Problem
from workbench.config.text import Text, listed
from workbench.models.layers import NAMED, OUTPUTS
from workbench.models.sources import literal_in

_TARGETS, _FULL = "adapter.target_modules", "adapter.modules_to_save"
# peft (0.21, `_check_lora_target_modules_mamba`) refuses these: fast kernels of state spaces read their weights directly.
_STATE_SPACES = frozenset({"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"})
_STATE_SPACE_LAYERS = ("conv1d", "out_proj")


def problems_of_targets(adapter: LoraOptions, kind: str) -> list[Problem]:
    """What is wrong with the adapter's settings for models of this `model_type` (in config.json); nothing is loaded."""
    named = [] if adapter.target_modules == [ALL] else adapter.target_modules
    return [
        *_output_layer(named, OUTPUTS),
        *_twice(named, adapter.modules_to_save),
        *(_state_space(named) if kind in _STATE_SPACES else []),
        *_experts(adapter, named, kind),
    ]


def expert_names(kind: str) -> dict[str, tuple[str, ...]]:
    """Names of expert layers that peft knows for a `model_type`, with those that have to be named together with each.

    Their weights are one tensor for all experts of a layer, which peft adapts as a parameter. Empty for other models.
    """
    patterns, names, fused = _expert_tables()
    base = "mixtral" if kind == "mixtral" else patterns.get(kind)
    known = names.get(base, {})
    together = fused.get(base, {})
    return {old: tuple(together.get(new, (old,))) for old, new in known.items()}


def left_out(model: Any) -> list[str]:
    """The linear layers of a loaded model that can't have an adapter, and which `all-linear` therefore leaves out."""
    import torch

    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    unfit = [name for name, layer in layers.items() if not _is_plain(layer)]
    if model.config.model_type in _STATE_SPACES:
        unfit += [name for name in layers if name.rpartition(".")[2] in _STATE_SPACE_LAYERS]
    return unfit


def problems_of_layers(adapter: LoraOptions, model: Any) -> list[Problem]:
    """What only the loaded model shows: layers of another kind than an adapter can be put on."""
    import torch
    from transformers.pytorch_utils import Conv1D

    kinds = (torch.nn.Linear, Conv1D, torch.nn.Embedding, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    unfit = set(left_out(model))
    fits = {name for name, layer in model.named_modules() if isinstance(layer, kinds) and name not in unfit}
    if adapter.target_modules == [ALL]:
        return [] if any(_linear(layer) for name, layer in model.named_modules() if name in fits) else [_none_linear()]
    own = {name for name, layer in model.named_modules() if layer is model.get_output_embeddings()} - set(OUTPUTS)
    heads = _output_layer(adapter.target_modules, own)
    known = expert_names(model.config.model_type)
    wrong = [
        target
        for target in adapter.target_modules
        if target.rpartition(".")[2] not in known
        and any(_means(target, name) and name not in fits for name, _ in model.named_modules())
    ]
    if not wrong:
        return heads
    return [
        *heads,
        Problem(
            Text("{names} can't have an adapter in this model", "这个模型的 {names} 不能加适配器").with_(
                names=listed(wrong)
            ),
            Text(
                "Choose all-linear, or name linear layers: {names}.", "请选 all-linear，或填写线性层：{names}。"
            ).with_(names=listed(sorted({name.rpartition(".")[2] for name in fits} - {*OUTPUTS, *own})[:NAMED])),
            _TARGETS,
        ),
    ]


def _linear(layer: Any) -> bool:
    return not type(layer).__name__.startswith(("Embedding", "Conv2d", "Conv3d", "Conv1d"))


def _means(target: str, name: str) -> bool:
    """Whether peft takes the layer `name` for the one that is called `target`."""
    return name == target or name.endswith(f".{target}")


def _is_plain(layer: Any) -> bool:
    """Whether a linear layer gives what one should: some architectures make routers of them, which give several things."""
    import torch

    if type(layer).__module__.partition(".")[0] != "transformers":
        return True  # torch's own, or bitsandbytes', which peft knows
    try:
        with torch.no_grad():
            output = layer(torch.zeros(1, layer.in_features, dtype=layer.weight.dtype, device=layer.weight.device))
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError):
        return False
    return isinstance(output, torch.Tensor) and output.shape == (1, layer.out_features)


def _output_layer(named: list[str], outputs: Iterable[str]) -> list[Problem]:
    heads = [name for name in named if name.rpartition(".")[2] in outputs]
    if not heads:
        return []
    return [
        Problem(
            Text(
                "{names} is the output layer, which is trained whole or not at all",
                "{names} 是输出层，只能整层训练或不训练",
            ).with_(names=listed(heads)),
            Text(
                "Take it out of this list; to train it, write it into 'Layers trained in full'.",
                "请从这里删去；如需训练它，请填到“完整训练的层”中。",
            ),
            _TARGETS,
        )
    ]


def _twice(named: list[str], whole: list[str]) -> list[Problem]:
    both = [name for name in named if any(_means(name, other) or _means(other, name) for other in whole)]
    if not both:
        return []
    return [
        Problem(
            Text("{names} is to have an adapter and to be trained in full", "{names} 既要加适配器，又要完整训练").with_(
                names=listed(both)
            ),
            Text("Take it out of one of the two lists.", "请从两个列表之一中删去。"),
            _FULL,
        )
    ]


def _state_space(named: list[str]) -> list[Problem]:
    wrong = [name for name in named if name.rpartition(".")[2] in _STATE_SPACE_LAYERS]
    if not wrong:
        return []
    return [
        Problem(
            Text(
                "{names} can't have an adapter in a state-space model such as this one",
                "这类状态空间模型的 {names} 不能加适配器",
            ).with_(names=listed(wrong)),
            Text(
                "Choose all-linear, or name other layers such as in_proj, x_proj.",
                "请选 all-linear，或填写其他层，例如 in_proj、x_proj。",
            ),
            _TARGETS,
        )
    ]


def _experts(adapter: LoraOptions, named: list[str], kind: str) -> list[Problem]:
    known = expert_names(kind)
    wanted = {name.rpartition(".")[2] for name in named} & known.keys() if named else set(known)
    if not wanted:
        return []
    problems = []
    missing = sorted({other for name in wanted for other in known[name]} - wanted)
    if missing:
        problems.append(
            Problem(
                Text(
                    "the experts of this model hold {names} in one piece with {wanted}",
                    "这个模型的专家把 {names} 与 {wanted} 存放在一起",
                ).with_(names=listed(missing), wanted=listed(sorted(wanted & _partners(known, missing)))),
                Text("Name {names} as well.", "请同时填写 {names}。").with_(names=listed(missing)),
                _TARGETS,
            )
        )
    without = Text(
        "or name layers outside the experts, such as q_proj, v_proj.", "或只填写专家以外的层，例如 q_proj、v_proj。"
    )
    if adapter.dropout:
        problems.append(
            Problem(
                Text("an adapter on experts can't have dropout", "加在专家上的适配器不能使用 dropout"),
                Text("Set it to 0, {without}", "请设为 0，{without}").with_(without=without),
                "adapter.dropout",
            )
        )
    if adapter.kind == "dora":
        problems.append(
            Problem(
                Text("DoRA does not work on experts", "DoRA 不能用于专家"),
                Text("Choose LoRA, {without}", "请选择 LoRA，{without}").with_(without=without),
                "adapter.kind",
            )
        )
    return problems


def _partners(known: dict[str, tuple[str, ...]], names: list[str]) -> set[str]:
    return {other for name in names for other in known[name]}


def _none_linear() -> Problem:
    return Problem(
        Text("this model has no linear layer for an adapter", "这个模型没有可加适配器的线性层"),
        Text("Choose full tuning under 'What is trained'.", "请在“微调方式”中选择全量微调。"),
        _TARGETS,
    )


@functools.cache
def _expert_tables() -> tuple[dict[str, str], dict[str, dict[str, str]], dict[str, dict[str, list[str]]]]:
    """peft's own tables: which architectures store experts like which, what their layers were called, what is in one piece."""
    conversion = "utils/transformers_weight_conversion.py"
    return (
        literal_in("transformers", "conversion_mapping.py", "_MODEL_TO_CONVERSION_PATTERN") or {},
        literal_in("peft", conversion, "_MOE_TARGET_MODULE_MAPPING") or {},
        literal_in("peft", conversion, "_MOE_FUSED_TARGETS") or {},
    )
