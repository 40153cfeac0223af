"""The limit: a Llama with LoRA and its training loop in plain PyTorch, with nothing in it that the task does not need.

Rows lie one behind the other, attention goes row by row, and the head sees the learned positions only.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, linear, rms_norm, scaled_dot_product_attention, silu

Row = tuple[list[int], list[int]]  # input ids and labels

RANK, ALPHA = 8, 16


class LoRALinear(nn.Module):
    """A frozen weight with a trainable low-rank part."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.register_buffer("weight", weight)
        self.a = nn.Parameter(torch.empty(RANK, inputs))
        self.b = nn.Parameter(torch.zeros(outputs, RANK))
        nn.init.kaiming_uniform_(self.a, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight) + linear(linear(x, self.a), self.b) * (ALPHA / RANK)


class Layer(nn.Module):
    """Attention and MLP, each after its norm."""

    def __init__(self, weights: dict[str, Tensor], prefix: str, head: int, epsilon: float) -> None:
        super().__init__()
        self.head, self.epsilon = head, epsilon
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, LoRALinear(weights[f"{prefix}self_attn.{name}.weight"]))
        for name in ("gate_proj", "up_proj", "down_proj"):
            setattr(self, name, LoRALinear(weights[f"{prefix}mlp.{name}.weight"]))
        self.register_buffer("before_attention", weights[f"{prefix}input_layernorm.weight"])
        self.register_buffer("before_mlp", weights[f"{prefix}post_attention_layernorm.weight"])

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, lengths: list[int]) -> Tensor:
        h = rms_norm(x, x.shape[-1:], self.before_attention, self.epsilon)
        q, k, v = (project(h).view(len(h), -1, self.head) for project in (self.q_proj, self.k_proj, self.v_proj))
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        rows = [
            scaled_dot_product_attention(*(part.transpose(0, 1)[None] for part in row), is_causal=True, enable_gqa=True)
            for row in zip(q.split(lengths), k.split(lengths), v.split(lengths), strict=True)
        ]
        x = x + self.o_proj(torch.cat([row[0].transpose(0, 1).flatten(1) for row in rows]))
        h = rms_norm(x, x.shape[-1:], self.before_mlp, self.epsilon)
        return x + self.down_proj(silu(self.gate_proj(h)) * self.up_proj(h))


class Llama(nn.Module):
    """The trunk and head of a model folder, with LoRA on every linear layer of the trunk."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        super().__init__()
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
        head = config["hidden_size"] // config["num_attention_heads"]
        epsilon = config["rms_norm_eps"]
        self.epsilon = epsilon
        self.layers = nn.ModuleList(
            Layer(weights, f"model.layers.{number}.", head, epsilon) for number in range(config["num_hidden_layers"])
        )
        for name, source in (("tokens", "model.embed_tokens"), ("norm", "model.norm"), ("head", "lm_head")):
            self.register_buffer(name, weights[f"{source}.weight"])
        self.register_buffer("speeds", 1.0 / 10000.0 ** (torch.arange(0, head, 2) / head))

    def forward(self, ids: Tensor, lengths: list[int], places: Tensor) -> Tensor:
        positions = torch.cat([torch.arange(length) for length in lengths])
        angles = (positions[:, None] * self.speeds).repeat(1, 2)[:, None]
        x = embedding(ids, self.tokens)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin, lengths)
        return linear(rms_norm(x[places], x.shape[-1:], self.norm, self.epsilon), self.head)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, as Llama has it."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin


def train(
    folder: Path, rows: list[Row], batch: int, bf16: bool, began: Callable[[], None], stepped: Callable[[], None]
) -> list[float]:
    """One pass over `rows`; the losses of its steps."""
    torch.manual_seed(42)
    model = Llama(folder, torch.bfloat16 if bf16 else torch.float32)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0, fused=True)
    losses = []
    began()
    for ids, labels, lengths in batches(rows, batch):
        places = (labels[1:] != -100).nonzero().squeeze(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(ids, lengths, places)
        loss = cross_entropy(logits.float(), labels[places + 1])
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        stepped()
    return losses


def batches(rows: list[Row], size: int) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
    """Shuffled batches: ids and labels of rows one behind the other, and the rows' lengths."""
    order = random.Random(42).sample(range(len(rows)), len(rows))
    for start in range(0, len(order), size):
        chosen = [rows[number] for number in order[start : start + size]]
        ids = torch.tensor([token for row in chosen for token in row[0]])
        labels = torch.tensor([label for row in chosen for label in [-100, *row[1][1:]]])
        yield ids, labels, [len(row[0]) for row in chosen]
