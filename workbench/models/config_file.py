"""What a model's config.json may say: an architecture that can be trained, numbers that can be, and no code to run."""

from __future__ import annotations

import functools
from importlib import metadata
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.problems import short
from workbench.config.tasks import CAUSAL, CLASSIFICATION, REWARD, Task
from workbench.config.text import Text
from workbench.models.reading import entries, model_error, refuse_huge_numbers, short_key
from workbench.models.sources import literal_in

# Keys that make a loader fetch or run something that is not in the weights.
_REFUSED_KEYS = frozenset(
    {"auto_map", "trust_remote_code", "transformers_weights", "custom_pipelines", "fusion_config", "kernel_config"}
    | {"use_kernels", "distributed_config"}
)
_ATTENTION_KEYS = frozenset({"attn_implementation", "_attn_implementation", "experts_implementation"})
_ATTENTION_NAMES = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
# Sizes that every architecture counts from one, by their names of today and of older models.
_COUNTS = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads") + (
    ("n_embd", "n_layer", "n_head", "d_model")
)
ENCODERS = frozenset(
    {
        "distilbert",
        "bert",
        "roberta",
        "xlm-roberta",
        "camembert",
        "electra",
        "albert",
        "deberta",
        "deberta-v2",
        "modernbert",
    }
    | {"mpnet", "mobilebert"}
)
"""Architectures that read a text as a whole and write nothing, of those that transformers sorts texts with."""
_CHOOSE = Text("Choose the folder of a transformers model.", "请选择 transformers 模型所在的文件夹。")


def check_config(config: dict[str, Any], name: str = "config.json") -> None:
    """Refuse a configuration that names code to run or files to fetch, in any of its sections, or that no model can have.

    Errors (`code`): no_config, quantized, remote_code, unknown_architecture, impossible_config.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise model_error(
            Text(
                "{file} does not say which architecture it is (model_type).", "{file} 没有写明架构（model_type）。"
            ).with_(file=name),
            _CHOOSE,
            code="no_config",
        )
    if config.get("quantization_config"):
        method = config["quantization_config"]
        method = method.get("quant_method", "?") if isinstance(method, dict) else "?"
        raise model_error(
            Text("This model is already quantised ({method}).", "该模型已经量化（{method}）。").with_(method=method),
            Text(
                "Take the original model; it can be quantised while it is loaded.",
                "请使用原始模型；加载时可以再量化。",
            ),
            code="quantized",
        )
    refuse_code(config, name)
    refuse_huge_numbers(config, name)
    known, sorts = text_architectures(), sorting_architectures()
    if known is not None and sorts is not None and kind not in known | sorts:
        raise unknown_architecture(kind)
    for section in (config, config.get("text_config")):
        if isinstance(section, dict):
            _check_numbers(section, name)


def refuse_code(value: Any, name: str) -> None:
    """Refuse what names code from outside, anywhere in a value that was read from the file `name`."""
    for key, item in entries(value):
        foreign_attention = key in _ATTENTION_KEYS and item not in (None, *_ATTENTION_NAMES)
        refused = key in _REFUSED_KEYS and item not in (None, False, {}, [])
        if refused or foreign_attention or (key.startswith("_") and key.endswith("_internal")):
            raise model_error(
                Text(
                    "{file} asks for code from outside ({key}); such models are not loaded.",
                    "{file} 要求加载外部代码（{key}）；此类模型不予加载。",
                ).with_(file=name, key=short_key(key)),
                Text(
                    "Choose a model whose architecture transformers knows itself.",
                    "请选择 transformers 原生支持的模型架构。",
                ),
                code="remote_code",
            )


def _check_numbers(section: dict[str, Any], name: str) -> None:
    for key in _COUNTS:
        value = section.get(key)
        # None and lists (one number a layer) have a meaning in some architectures.
        if value is None or isinstance(value, list) or (type(value) is int and value > 0):
            continue
        raise model_error(
            Text(
                "{file} says {key} = {value}; it must be a whole number of at least 1.",
                "{file} 中 {key} = {value}，应为不小于 1 的整数。",
            ).with_(file=name, key=key, value=short(value)),
            Text("Download or copy this file again.", "请重新下载或复制该文件。"),
            code="impossible_config",
        )


@functools.cache
def text_architectures() -> frozenset[str] | None:
    """The names (`model_type`) of all architectures that transformers loads as models that write text.

    None where that list isn't found; loading a model says then what it can't do.
    """
    pairs = literal_in("transformers", "models/auto/modeling_auto.py", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES")
    return frozenset(kind for kind, _ in pairs) if pairs else None


@functools.cache
def sorting_architectures() -> frozenset[str] | None:
    """The same of models that sort texts."""
    pairs = literal_in(
        "transformers", "models/auto/modeling_auto.py", "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES"
    )
    return (
        frozenset(kind for kind, _ in pairs if kind in ENCODERS or kind in (text_architectures() or ()))
        if pairs
        else None
    )


# What an encoder says that it is made for: filling masks; what has a head that sorts cannot write either.
_WRITE_NOTHING = (
    "ForSequenceClassification",
    "ForMaskedLM",
    "ForPreTraining",
    "ForTokenClassification",
    "ForQuestionAnswering",
)


def tasks_of(config: dict[str, Any]) -> tuple[Task, ...]:
    """What the model of a config.json that `check_config` accepts can be trained for."""
    kind, named = config["model_type"], config.get("architectures")
    first = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    writers, sorters = text_architectures(), sorting_architectures()
    found: list[Task] = []
    body = first.endswith("Model") and kind in ENCODERS  # behind which nothing writes
    if (writers is None or kind in writers) and not first.endswith(_WRITE_NOTHING) and not body:
        found.append(CAUSAL)
    if sorters is None or kind in sorters:
        found += [CLASSIFICATION, REWARD]
    return tuple(found)


def unknown_architecture(kind: str) -> WorkbenchError:
    """The error for a `model_type` that transformers has no model for."""
    try:
        version = metadata.version("transformers")
    except metadata.PackageNotFoundError:
        version = "?"
    return model_error(
        Text(
            "transformers {version} can't load the architecture {kind} (model_type in config.json) as a model that "
            "writes or sorts texts.",
            "transformers {version} 无法将 {kind} 架构（config.json 中的 model_type）作为文本生成或文本分类模型加载。",
        ).with_(kind=kind[:60], version=version),
        Text(
            "Choose a model that writes text, such as a Llama or Qwen model.",
            "请选择生成文本的模型，例如 Llama 或 Qwen。",
        ),
        code="unknown_architecture",
    )
