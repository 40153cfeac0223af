"""Whether the sizes in a model's config.json are those of its weights: compared by arithmetic, before anything is built.

A model is built from its config.json, whatever its weights are: with a few zeros more in a number of layers, building never
ends or takes all memory. So what the file counts must be found in the names and shapes of the tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from workbench.config.problems import short
from workbench.config.text import Text
from workbench.models.reading import entries, model_error

# Names that stand before a layer's number in the names of tensors, of all architectures of transformers 5.23.
_BEFORE_NUMBERS = frozenset({"layers", "layer", "h", "blocks", "block", "attentions"})
_LAYERS = frozenset({"num_hidden_layers", "num_layers", "n_layer", "n_layers", "decoder_layers", "num_decoder_layers"})
# Encoders whose weights a model that only writes does not have, and layers that are gone through several times.
_NOT_STORED = frozenset(
    {
        "bart",
        "bigbird_pegasus",
        "blenderbot",
        "blenderbot-small",
        "marian",
        "mbart",
        "mvp",
        "pegasus",
        "plbart",
        "whisper",
    }
    | {"hrm_text"}
)
_MOST_LAYERS = 1000  # where the weights cannot tell
_WIDTHS = frozenset({"vocab_size", "hidden_size", "n_embd", "d_model"})
_COUNTS = re.compile(
    r"(^|_)(layers?|heads?|experts?|groups?|ngroups|blocks?|cycles|depth|period|offset|codebooks|types|stages?|inputs)(_|$)"
    r"|^(n|num)_(?!positions|ctx)"
)
_SIZES = re.compile(
    r"(^|_)(size|dims?|width|rank|lowrank|kernel|conv|expand|ratio|inner|extent|channels|multiplier|mult|positions|ctx|len|length)"
    r"(_|$)|(^|_)d_|intermediate|embeddings"
)
_NO_SIZES = re.compile(r"(^|_)(id|ids|index|token|tokens|ngram|hash|rate|max_position_embeddings|logits)(_|$)")
# Many times more than any model has, and still soon built.
_LARGEST_COUNT, _LARGEST_SIZE, _SPARE = 2**15, 2**24, 2


def check_sizes(config: dict[str, Any], tensors: Iterable[tuple[str, tuple[int, ...]]], name: str) -> None:
    """Refuse a configuration that counts more than the weights hold.

    Args:
        config: what config.json says; `check_config` has found no fault in it.
        tensors: name and shape of every tensor.
        name: the file, for the error.

    Raises:
        WorkbenchError: (`impossible_config`) with both numbers.
    """
    tensors = list(tensors)
    layers = stored_layer_count(tensor for tensor, _ in tensors)
    largest = max((side for _, shape in tensors for side in shape), default=0)
    for section in (config, config.get("text_config")):
        if isinstance(section, dict):
            _check_section(section, layers, largest, config["model_type"] in _NOT_STORED, name)
    for key, value in entries(config):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or _NO_SIZES.search(key):
            continue
        most = _LARGEST_COUNT if _COUNTS.search(key) else _LARGEST_SIZE if _SIZES.search(key) else None
        if most is not None and value > max(most, largest) and value != float("inf"):
            raise _too_large(name, key, value, max(most, largest))


def stored_layer_count(names: Iterable[str]) -> int:
    """How many layers the tensors with these names belong to: one more than the highest number of one."""
    known, other = 0, 0
    for name in names:
        parts = name.split(".")
        for before, part in zip(("", *parts), parts, strict=False):
            if not (part.isascii() and part.isdecimal()) or len(part) > 9:
                continue
            if before in _BEFORE_NUMBERS:
                known = max(known, int(part) + 1)
            other = max(other, int(part) + 1)
    return known or other


def _check_section(section: dict[str, Any], layers: int, largest: int, repeated: bool, name: str) -> None:
    for key in _LAYERS & section.keys():
        value, most = section[key], max(layers, _MOST_LAYERS) if repeated else layers
        if type(value) is int and value > most:
            raise model_error(
                Text(
                    "{file} says {key} = {value}, but the weights hold {layers} layers.",
                    "{file} 中 {key} = {value}，而权重文件只有 {layers} 层。",
                ).with_(file=name, key=key, value=short(value), layers=layers),
                _BELONGING,
                code="impossible_config",
            )
    for key in _WIDTHS & section.keys():
        value = section[key]
        if type(value) is int and value > _SPARE * largest:
            raise _too_large(name, key, value, largest)


def _too_large(name: str, key: str, value: Any, most: int) -> Exception:
    return model_error(
        Text(
            "{file} says {key} = {value}, which does not belong to these weights: {most} at most.",
            "{file} 中 {key} = {value}，与权重文件不符：最多为 {most}。",
        ).with_(file=name, key=key, value=short(value), most=most),
        _BELONGING,
        code="impossible_config",
    )


_BELONGING = Text(
    "Put the config.json that belongs to these weights into the folder.",
    "请在文件夹中放入与这些权重配套的 config.json。",
)
