"""What lies in an adapter's folder, read without torch or peft and without trusting it.

peft imports modules that an `adapter_config.json` names and matches its patterns as regular expressions. So the file
is read here first, only LoRA (with DoRA and rank-stabilised LoRA) is taken, only keys that are known to be harmless are
passed on, and the weights come from `adapter_model.safetensors` or not at all. The base model that the file names is
ignored: the caller knows which one it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.problems import short
from workbench.config.text import Text
from workbench.models.files import TensorHeader, read_tensor_headers
from workbench.models.reading import contained, damaged, read_json_object

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_INNER = ".base_layer"  # where peft puts the adapter of a second parameter of the same layer
_PLAIN_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")
# No quantifier: cannot be made slow. peft itself writes `.*\.` before the names of fused experts, and matches ends anyway.
_PATTERN_KEY = re.compile(r"\^?(\.\*\\\.)?([\w.\\-]+\$?)")
_LONGEST_NAME, _LONGEST_SHOWN = 512, 60
_LARGEST = 2**31  # of any number: torch and Python's floats know no end of larger ones
_NAMED = ("target_modules", "exclude_modules", "target_parameters", "modules_to_save", "rank_pattern", "alpha_pattern")
_MOST_NAMES = 1000  # or as many as the file has tensors: peft compares each with each layer of the model
_INITIALISATIONS = (True, False, "gaussian", "orthogonal", "pissa", "olora")
_TASKS = (None, "CAUSAL_LM", "SEQ_CLS", "TOKEN_CLS", "FEATURE_EXTRACTION")
# What peft writes into every file and what does not matter when an adapter is loaded.
_IGNORED = frozenset(
    {"base_model_name_or_path", "revision", "peft_version", "peft_type", "inference_mode", "runtime_config"}
    | {"megatron_core", "eva_config", "corda_config", "loftq_config", "lora_ga_config", "qalora_group_size"}
)


@dataclass(frozen=True)
class AdapterFiles:
    """A sound adapter folder: arguments for peft's `LoraConfig`, and the tensors that the file holds."""

    folder: Path
    arguments: dict[str, Any]
    tensors: tuple[TensorHeader, ...]
    base_model: str  # what the file says; never followed

    def targets(self) -> dict[str, tuple[int, ...]]:
        """Path in the model of every adapted layer, with the shape of its A, `(rank, inputs)`.

        The experts of a layer that are stored as one tensor count as one layer: its A has a rank for each expert. A
        layer with several such tensors stands here once for each, with `.base_layer` behind its path.
        """
        return self._shapes(".lora_A.weight")

    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Path in the model of every adapted layer, with the shape of its B, `(outputs, rank)`."""
        return self._shapes(".lora_B.weight")

    def _shapes(self, end: str) -> dict[str, tuple[int, ...]]:
        return {
            tensor.name.removeprefix(_PREFIX).removesuffix(end): tensor.shape
            for tensor in self.tensors
            if tensor.name.endswith(end)
        }


def check_adapter(folder: Path | str) -> AdapterFiles:
    """Look into an adapter's folder and say what is in it, or what is wrong with it.

    Errors (`code`): adapter_missing, invalid_json, adapter_refused, damaged_weights, outside_folder.
    """
    folder = Path(folder)
    config_path = contained(folder, ADAPTER_CONFIG) if folder.is_dir() else None
    if config_path is None:
        raise _error(
            Text("{folder} holds no adapter ({file}).", "{folder} 中没有适配器（{file}）。").with_(
                folder=folder.name, file=ADAPTER_CONFIG
            ),
            code="adapter_missing",
        )
    weights = contained(folder, ADAPTER_WEIGHTS)
    if weights is None:
        raise _error(
            Text(
                "{folder} has no {file}; adapters in pickle files (.bin) can carry programs and are not loaded.",
                "{folder} 中没有 {file}；pickle 格式（.bin）的适配器可能夹带程序，因此不予加载。",
            ).with_(folder=folder.name, file=ADAPTER_WEIGHTS),
            code="adapter_missing",
        )
    config = read_json_object(config_path)
    tensors = tuple(read_tensor_headers(weights))
    arguments = _arguments(config)
    if any(tensor.count == 0 for tensor in tensors):  # a rank without numbers behind it
        raise damaged(weights)
    found = AdapterFiles(folder, arguments, tensors, str(config.get("base_model_name_or_path") or "")[:_LONGEST_NAME])
    _check_ranks(found)
    _check_names(found)
    if any(isinstance(arguments.get(key), str) for key in ("target_modules", "exclude_modules")):
        # A regular expression from a stranger's file can hang; the file's own tensor names say the same.
        arguments["target_modules"] = sorted(found.targets())
        arguments.pop("exclude_modules", None)
    return found


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    """The part of the file that peft gets; anything unknown that is switched on is refused."""
    if config.get("peft_type") != "LORA":
        raise _refused("peft_type", config.get("peft_type"))
    arguments: dict[str, Any] = {}
    for key, value in config.items():
        if key in _IGNORED:
            continue
        if key not in _CHECKS:
            if value not in (None, False, [], {}):
                raise _refused(key, value)
            continue
        if value is None and key not in ("r", "lora_alpha", "target_modules"):
            continue
        if not _CHECKS[key](value):
            raise _refused(key, value)
        arguments[key] = value
    for key in ("r", "lora_alpha", "target_modules"):
        if key not in arguments:
            raise _refused(key, None)
    if not arguments["target_modules"] and not arguments.get("target_parameters"):
        raise _refused("target_modules", arguments["target_modules"])
    for key in ("rank_pattern", "alpha_pattern"):
        if key in arguments:
            arguments[key] = {_plain_pattern(name): item for name, item in arguments[key].items()}
    return arguments


def _plain_pattern(key: str) -> str:
    """A pattern's key without the `.*\\.` that peft writes before it: peft looks for it behind any dot anyway."""
    match = _PATTERN_KEY.fullmatch(key)
    return key if match is None or match[1] is None else match[2]


def _check_ranks(found: AdapterFiles) -> None:
    """A rank that the file's tensors don't have would make peft allocate for nothing, or for ever."""
    ranks = [shape[0] for shape in found.targets().values() if len(shape) == 2]
    ranks += [tensor.shape[0] for tensor in found.tensors if tensor.name.endswith("lora_embedding_A") and tensor.shape]
    stated = {found.arguments["r"], *found.arguments.get("rank_pattern", {}).values()}
    if not ranks:
        raise _error(
            Text("{file} holds no LoRA weights.", "{file} 中没有 LoRA 权重。").with_(file=ADAPTER_WEIGHTS),
            code="damaged_weights",
        )
    if found.arguments.get("target_parameters"):  # an A of experts has a rank for each of them
        sound = all(any(rank % each == 0 for each in stated) for rank in ranks)
    else:
        sound = set(ranks) <= stated
    if not sound or max(stated) > max(ranks):
        raise _refused("r", found.arguments["r"])


def _check_names(found: AdapterFiles) -> None:
    """Names for as many layers as the file has, and no regular expression beside parameters, which only names tell apart."""
    most = max(_MOST_NAMES, len(found.tensors))
    for key in (*_NAMED, "layers_to_transform"):
        value = found.arguments.get(key)
        if isinstance(value, (list, dict)) and len(value) > most:
            raise _refused(key, value)
        if isinstance(value, str) and found.arguments.get("target_parameters"):
            raise _refused(key, value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and _is_name(item) for item in value)


def _is_name(value: str) -> bool:
    return len(value) <= _LONGEST_NAME and _PLAIN_NAME.fullmatch(value) is not None


def _patterns(value: Any, check: Any) -> bool:
    return isinstance(value, dict) and all(_is_pattern(key) and check(item) for key, item in value.items())


def _is_pattern(key: str) -> bool:
    if len(key) > _LONGEST_NAME or not _PATTERN_KEY.fullmatch(key):
        return False
    try:
        re.compile(key)
    except re.error:
        return False
    return True


def _indices(value: Any) -> bool:
    if isinstance(value, dict):  # one list for each of several layers
        return all(_is_name(key) and isinstance(item, list) and _indices(item) for key, item in value.items())
    return isinstance(value, list) and all(_whole(item) for item in value)


_CHECKS: dict[str, Any] = {
    "task_type": lambda value: value in _TASKS,
    "r": lambda value: _whole(value) and value > 0,
    "lora_alpha": _number,
    "lora_dropout": lambda value: _number(value) and 0 <= value < 1,
    "target_modules": lambda value: isinstance(value, str) or _names(value),
    "target_parameters": _names,
    "exclude_modules": lambda value: isinstance(value, str) or _names(value),
    "fan_in_fan_out": _flag,
    "bias": lambda value: value in ("none", "all", "lora_only"),
    "use_rslora": _flag,
    "use_dora": _flag,
    "lora_bias": _flag,
    "modules_to_save": _names,
    "ensure_weight_tying": _flag,
    "init_lora_weights": lambda value: value in _INITIALISATIONS,
    "layers_to_transform": lambda value: _whole(value) or _indices(value),
    "layers_pattern": lambda value: _names([value] if isinstance(value, str) else value),
    "rank_pattern": lambda value: _patterns(value, lambda item: _whole(item) and item > 0),
    "alpha_pattern": lambda value: _patterns(value, _number),
    "trainable_token_indices": _indices,
}


def _refused(key: str, value: Any) -> WorkbenchError:
    return _error(
        Text(
            "The adapter's {file} sets {key} to {value}, which is not accepted here.",
            "适配器的 {file} 中 {key} 为 {value}，这里不接受。",
        ).with_(file=ADAPTER_CONFIG, key=key[:_LONGEST_SHOWN], value=short(value)),
        code="adapter_refused",
    )


def _error(message: Text, *, code: str) -> WorkbenchError:
    hint = Text(
        "Use an adapter that this workbench or peft saved as LoRA in safetensors format.",
        "请使用由本工作台或 peft 以 safetensors 格式保存的 LoRA 适配器。",
    )
    return WorkbenchError(message, hint, code=code)
