"""Files of repositories as they are found on the Hub. The weights are made up: they download, and load nowhere."""

from __future__ import annotations

import json

from tests.hub.store import made

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


def pickles(size: int = 10_000) -> dict[str, bytes | str]:
    """A model whose weights are pickles only."""
    return {"config.json": CONFIG, "tokenizer.json": "{}", "pytorch_model.bin": b"\x80\x02" + made(size)}


def code(size: int = 10_000) -> dict[str, bytes | str]:
    """A model that needs its own code."""
    config = {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling_own.OwnModel"}}
    own = {"config.json": json.dumps(config), "modeling_own.py": "raise SystemExit('this code ran')\n"}
    return {**own, "tokenizer.json": "{}", "model.safetensors": made(size)}
