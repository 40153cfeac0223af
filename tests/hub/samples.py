"""Files of repositories as they are found on the Hub. The weights are made up: they download, and load nowhere."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

from tests.hub.store import made

STARTER = Path(__file__).resolve().parents[2] / "workbench" / "models" / "starter" / "model"
CONFIG = json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})


def shards(count: int = 20, size: int = 10_000) -> dict[str, bytes | str]:
    """A model whose weights lie in several files: `count` files in all, and some of them nobody needs."""
    names = [f"model-{number:05}-of-{count - 6:05}.safetensors" for number in range(1, count - 5)]
    index = {
        "metadata": {"total_size": size * len(names)},
        "weight_map": {f"w{n}": name for n, name in enumerate(names)},
    }
    small = {
        "config.json": CONFIG,
        "tokenizer.json": "{}",
        "tokenizer_config.json": "[]",
        "generation_config.json": "{ }",
    }
    weights: dict[str, bytes | str] = {name: made(size, seed) for seed, name in enumerate(names)}
    return {"README.md": "# Model", **small, "model.safetensors.index.json": json.dumps(index), **weights}


@functools.cache
def real(width: int = 48, layers: int = 4) -> dict[str, bytes | str]:
    """A model that is taken for one: the starter's small files, and made up weights of a smaller shape (0.4 MB)."""
    files = {path.name: path.read_bytes() for path in sorted(STARTER.iterdir()) if path.suffix != ".safetensors"}
    config = json.loads(files["config.json"])
    config |= {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "head_dim": width // 4,
    }
    shapes: dict[str, list[int]] = {"embed_tokens": [config["vocab_size"], width], "norm": [width]}
    for layer in range(layers):
        at = f"layers.{layer}"
        shapes |= {f"{at}.{name}_layernorm": [width] for name in ("input", "post_attention")}
        shapes |= {f"{at}.self_attn.{name}_proj": [width, width] for name in "qkvo"}
        shapes |= {f"{at}.mlp.{name}_proj": [2 * width, width] for name in ("gate", "up")}
        shapes[f"{at}.mlp.down_proj"] = [width, 2 * width]
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[f"model.{name}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    weights = len(text).to_bytes(8, "little") + text + made(end)
    return {**files, "config.json": json.dumps(config), "model.safetensors": weights}


def real_shards(count: int = 20) -> dict[str, bytes | str]:
    """The same in `count` files in all, as one that was saved in parts."""
    whole = {name: data for name, data in real().items() if name != "model.safetensors"}
    shards = count - len(whole) - 1
    data = real()["model.safetensors"]
    assert isinstance(data, bytes)
    start = 8 + int.from_bytes(data[:8], "little")
    header = {name: entry for name, entry in json.loads(data[8:start]).items() if name != "__metadata__"}
    parts: list[list[str]] = [list(header)[number::shards] for number in range(shards)]
    named = {f"model-{number:05}-of-{shards:05}.safetensors": part for number, part in enumerate(parts, 1)}
    for file, tensors in named.items():
        body, own = b"", {}
        for name in tensors:
            first, end = header[name]["data_offsets"]
            own[name] = {**header[name], "data_offsets": [len(body), len(body) + end - first]}
            body += data[start + first : start + end]
        text = json.dumps(own).encode()
        whole[file] = len(text).to_bytes(8, "little") + text + body
    index = {"metadata": {}, "weight_map": {name: file for file, tensors in named.items() for name in tensors}}
    return {**whole, "model.safetensors.index.json": json.dumps(index)}


def pickles(size: int = 10_000) -> dict[str, bytes | str]:
    """A model whose weights are pickles only."""
    return {"config.json": CONFIG, "tokenizer.json": "{}", "pytorch_model.bin": b"\x80\x02" + made(size)}


def code(size: int = 10_000) -> dict[str, bytes | str]:
    """A model that needs its own code."""
    config = {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling_own.OwnModel"}}
    own = {"config.json": json.dumps(config), "modeling_own.py": "raise SystemExit('this code ran')\n"}
    return {**own, "tokenizer.json": "{}", "model.safetensors": made(size)}
