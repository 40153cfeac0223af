"""The shape of a model, from its config.json alone: how many weights it has, and in which layers. Without torch, at once.

The numbers of a file are anybody's: what is no whole number above zero is taken as not said, and what is larger than any
model has is cut, so that the arithmetic always ends. Whether they belong to the weights is for `config_sizes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MOST = 2**40  # products of a few of these are still soon computed and soon printed

# Each number under all names that architectures of transformers 5 have for it; the first that is there counts.
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads")
_FFN = ("intermediate_size", "n_inner", "ffn_dim", "hidden_dim", "d_ff")
_POSITIONS = ("max_position_embeddings", "n_positions")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_ACTIVE = ("num_experts_per_tok", "moe_top_k", "num_experts_per_token")

_ENCODERS = frozenset({"distilbert", "bert", "roberta", "xlm-roberta", "camembert", "electra"})
_PLAIN = _ENCODERS | {"gpt_neox", "gpt2", "gpt_bigcode", "gptj", "phi", "opt", "bloom", "falcon", "starcoder2"}
_BIASED = _PLAIN - {
    "gptj",
    "falcon",
}  # a bias on every linear layer; gptj has some on its two outer ones, too few to count
_QKV_BIASED = frozenset({"qwen2", "qwen2_moe"})
_POSITIONED = _ENCODERS | {"gpt2", "gpt_bigcode", "opt"}  # a learned vector for each place in the text
_TIED = _ENCODERS | {
    "gpt2",
    "gpt_bigcode",
    "opt",
    "bloom",
    "falcon",
    "gemma",
    "gemma2",
    "gemma3_text",
    "gemma3",
    "cohere",
}
_FOUR_NORMS = frozenset({"gemma2", "gemma3_text", "gemma3", "glm4"})
_HEAD_NORMS = frozenset(
    {"qwen3", "qwen3_moe", "gemma3_text", "gemma3"}
)  # one vector of a head's width for q and k each
_WIDE_NORMS = frozenset({"olmo2", "olmo3", "olmoe"})  # as wide as all heads together
_ONE_KV_HEAD = frozenset({"falcon", "gpt_bigcode"})  # where `multi_query` is said or left out


@dataclass(frozen=True, kw_only=True)
class Experts:
    """The experts of `layers` layers: `active` of `count` are chosen for a token, all tokens pass `shared`."""

    count: int
    active: int
    ffn: int  # width of one
    shared: int  # width of what every token passes besides, of all shared ones together
    layers: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A model's sizes. Weights are counted in numbers, not in bytes; tied ones once."""

    model_type: str
    layers: int
    hidden: int
    ffn: int  # of layers without experts
    heads: int
    kv_width: int  # of keys (and of values): heads of them x width of a head
    vocabulary: int
    tied: bool
    experts: Experts | None
    encoder: bool  # reads only, as BERT does: it has classes or masks instead of a next token
    parameters: int
    linear_parameters: int  # weights of linear layers, which nf4 and int8 hold in fewer bits; the output layer is none
    expert_parameters: int  # kept by transformers 5 as one block for all experts of a layer, which is no linear layer
    largest_linear: int
    linear_ends: int  # inputs + outputs of all that an adapter on all linear layers adapts, experts too

    @property
    def other_parameters(self) -> int:
        """Weights that stay as they are when the linear layers are quantised: embeddings, norms, biases, experts."""
        return self.parameters - self.linear_parameters

    @property
    def active_ffn(self) -> float:
        """The mean width that a token passes in a layer, of the experts that are chosen for it."""
        if self.experts is None:
            return self.ffn
        sparse = self.experts.layers / self.layers
        return sparse * (self.experts.active * self.experts.ffn + self.experts.shared) + (1 - sparse) * self.ffn

    def lora_parameters(self, rank: int) -> int:
        """Weights of a LoRA adapter on all linear layers: rank x (inputs + outputs) of each (arXiv:2106.09685, 4.1).

        Of experts peft adapts each, the two matrices that lie in one with twice the rank, and the layer that chooses.
        """
        return rank * self.linear_ends


def shape_of(config: Any) -> Shape | None:
    """The shape that a config.json describes; None where it does not say width, layers and vocabulary.

    Architectures that are not known are counted as a Llama; those with several parts by the part that writes text.
    """
    if not isinstance(config, Mapping):
        return None
    inner = config.get("text_config")
    if isinstance(inner, Mapping):
        config = {**config, **inner}
    hidden, layers = _number(config, _HIDDEN), _number(config, _LAYERS)
    vocabulary = _number(config, ("vocab_size",))
    if not (hidden and layers and vocabulary):
        return None
    said = config.get("model_type")
    kind = said[:64] if isinstance(said, str) else ""
    tied = config.get("tie_word_embeddings")
    heads = _number(config, _HEADS) or 1
    ffn = _number(config, _FFN) or 4 * hidden
    attention, kv_width = _attention(config, kind, hidden, heads)
    dense = _mlp(kind, hidden, ffn)
    experts = _experts(config, kind, layers, ffn)
    sparse = experts.layers if experts else 0
    linears = [*((matrix, layers) for matrix in attention), *((matrix, layers - sparse) for matrix in dense)]
    expert_parameters, routers = 0, 0
    if experts:
        linears += [(matrix, sparse) for matrix in _mlp(kind, hidden, experts.shared) if experts.shared]
        expert_parameters = sparse * experts.count * sum(_size(m) for m in _mlp(kind, hidden, experts.ffn))
        routers = sparse * experts.count * hidden
    ends = sum((inputs + outputs) * count for (inputs, outputs), count in linears)
    if experts:
        ends += sparse * (experts.count * (3 * hidden + 5 * experts.ffn) + hidden + experts.count)
    is_tied = tied if isinstance(tied, bool) else kind in _TIED
    linear = sum(_size(matrix) * count for matrix, count in linears)
    small = layers * _small(config, kind, hidden, attention, dense)
    outer = _outer(config, kind, hidden, vocabulary, is_tied)
    return Shape(
        model_type=kind,
        layers=layers,
        hidden=hidden,
        ffn=ffn,
        heads=heads,
        kv_width=kv_width,
        vocabulary=vocabulary,
        tied=is_tied,
        experts=experts,
        encoder=kind in _ENCODERS,
        parameters=linear + expert_parameters + routers + small + outer,
        linear_parameters=linear,
        expert_parameters=expert_parameters,
        largest_linear=max(_size(matrix) for matrix, count in linears if count),
        linear_ends=ends,
    )


def _number(config: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """The first of these that is a whole number above 0; 0 where none is."""
    for name in names:
        value = config.get(name)
        if type(value) is int and value > 0:
            return min(value, _MOST)
    return 0


def _size(matrix: tuple[int, int]) -> int:
    return matrix[0] * matrix[1]


def _mlp(kind: str, hidden: int, width: int) -> list[tuple[int, int]]:
    """Inputs and outputs of each of its matrices: two, or three with a gate (arXiv:2002.05202)."""
    up = [(hidden, width)] if kind in _PLAIN else [(hidden, width), (hidden, width)]
    return [*up, (width, hidden)]


def _attention(config: Mapping[str, Any], kind: str, hidden: int, heads: int) -> tuple[list[tuple[int, int]], int]:
    """Inputs and outputs of each matrix, and the width of the keys."""
    latent = _number(config, ("kv_lora_rank",))
    if latent:  # keys and values by way of a narrow layer (DeepSeek-V2, arXiv:2405.04434, 2.1)
        plain, turned = _number(config, ("qk_nope_head_dim",)), _number(config, ("qk_rope_head_dim",))
        value, narrow = _number(config, ("v_head_dim",)), _number(config, ("q_lora_rank",))
        wide = heads * (plain + turned)
        queries = [(hidden, narrow), (narrow, wide)] if narrow else [(hidden, wide)]
        keys = [(hidden, latent + turned), (latent, heads * (plain + value))]
        return [*queries, *keys, (heads * value, hidden)], wide
    head = _number(config, ("head_dim",)) or max(hidden // heads, 1)
    one = kind in _ONE_KV_HEAD and config.get("multi_query", True) is True
    kv_heads = (1 if one and not config.get("new_decoder_architecture") else _number(config, _KV_HEADS)) or heads
    return [(hidden, heads * head), (hidden, kv_heads * head), (hidden, kv_heads * head), (heads * head, hidden)], (
        kv_heads * head
    )


def _experts(config: Mapping[str, Any], kind: str, layers: int, ffn: int) -> Experts | None:
    count = _number(config, _EXPERTS)
    if not count:
        return None
    width = _number(config, ("moe_intermediate_size",)) or ffn
    shared = _number(config, ("shared_expert_intermediate_size",)) or width * _number(config, ("n_shared_experts",))
    dense = min(_number(config, ("first_k_dense_replace",)), layers)
    listed = config.get("mlp_only_layers")
    dense += min(len(listed), layers - dense) if isinstance(listed, list) else 0
    every = _number(config, ("decoder_sparse_step",)) or 1
    sparse = (layers - dense) // every
    if not sparse:
        return None
    active = min(_number(config, _ACTIVE) or 1, count)
    return Experts(count=count, active=active, ffn=width, shared=shared, layers=sparse)


def _small(
    config: Mapping[str, Any], kind: str, hidden: int, attention: list[tuple[int, int]], mlp: list[tuple[int, int]]
) -> int:
    """Biases and norms of a layer."""
    norms = (4 if kind in _FOUR_NORMS else 2) * hidden
    biases = 0
    if kind in _BIASED:
        norms *= 2  # these norms shift as well as scale
        biases = sum(outputs for _, outputs in (*attention, *mlp))
    elif kind in _QKV_BIASED or (kind == "glm4" and config.get("attention_bias", True) is True):
        biases = sum(outputs for _, outputs in attention[:3])
    elif config.get("attention_bias") is True and kind != "glm4":
        biases = sum(outputs for _, outputs in attention)
    if kind in _HEAD_NORMS:
        norms += 2 * (_number(config, ("head_dim",)) or hidden // (_number(config, _HEADS) or 1))
    elif kind in _WIDE_NORMS:
        norms += attention[0][1] + attention[1][1]
    return norms + biases


def _outer(config: Mapping[str, Any], kind: str, hidden: int, vocabulary: int, tied: bool) -> int:
    """Everything outside the layers: embeddings, the last norm, the output layer or the classes."""
    count = vocabulary * hidden * (1 if tied else 2)
    if kind in _POSITIONED:
        count += (_number(config, _POSITIONS) or 512) * hidden
    if kind not in _ENCODERS:
        return count + hidden * (2 if kind in _BIASED else 1)
    if kind != "distilbert":
        count += (_number(config, ("type_vocab_size",)) or 2) * hidden
    dense = hidden * hidden + hidden
    if _classifies(config):
        named = config.get("id2label")
        classes = len(named) if isinstance(named, Mapping) else 2
        return count + 2 * hidden + dense + (hidden + 1) * max(classes, 1)
    return count + 2 * hidden + dense + 2 * hidden + vocabulary  # fills masks, as these are published


def _classifies(config: Mapping[str, Any]) -> bool:
    named = config.get("architectures")
    return isinstance(named, list) and any("SequenceClassification" in name for name in named if isinstance(name, str))
