"""Attention for rows that lie one behind the other in a single long row: each sees itself and nothing of the others.

Without FlashAttention, transformers keeps such rows apart with a mask as large as the square of the long row. The
attention registered here as `segments` computes each row on its own instead, which needs no mask and less work.
Imports torch; imported only when something is trained.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.utils import is_flash_attn_2_available

SEGMENTS = "segments"
_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
_FLASH = "flash_attention_2"

_LOG = logging.getLogger(__name__)
_PLAIN_LAYERS = {"full_attention", "sliding_attention"}


def segment_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cu_seq_lens_q: torch.Tensor | None = None,
    sliding_window: int | None = None,
    position_bias: torch.Tensor | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of one long row, computed segment by segment (an `AttentionInterface` function).

    Args:
        module: the attention layer.
        query: (1, heads, tokens, width), as key and value.
        key: see query.
        value: see query.
        attention_mask: always None.
        cu_seq_lens_q: borders of the segments, from 0 to the number of tokens.
        sliding_window: how many tokens back a token sees, itself included.
        position_bias: not supported.
        options: the rest, for transformers' sdpa attention.
    """
    if cu_seq_lens_q is None or attention_mask is not None or position_bias is not None or query.shape[0] != 1:
        raise ValueError("segment attention takes one unmasked row together with its borders")
    lengths = cu_seq_lens_q.diff().tolist()
    rows = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    with _quick_kernels(query.device):
        outputs = [
            sdpa_attention_forward(module, q, k, v, _window_mask(q, sliding_window), **options)[0] for q, k, v in rows
        ]
    return torch.cat(outputs, dim=1), None


def _quick_kernels(device: torch.device) -> AbstractContextManager[Any]:
    """On CUDA, torch's own attention kernels.

    cuDNN's, which torch prefers in 16 bit on recent cards, prepares a plan for every new length and layout in memory:
    for short rows that takes far longer than the attention itself.
    """
    return sdpa_kernel(_KERNELS) if device.type == "cuda" else nullcontext()


# No mask function is registered under this name, and so transformers makes no mask.
AttentionInterface.register(SEGMENTS, segment_attention)


def find_packed_attention(model: Any) -> str | None:
    """The attention with which this model keeps the rows of a packed batch apart, or None when there is none.

    Names and flags of a model's class only say what should work; so each candidate is tried on two short rows, which
    must come out as they do on their own.
    """
    if not _is_plain_decoder(model):
        return None
    on_cuda = next(model.parameters()).device.type == "cuda"
    candidates = [_FLASH, SEGMENTS] if on_cuda and is_flash_attn_2_available() else [SEGMENTS]
    for name in candidates:
        try:
            if _keeps_rows_apart(model, name):
                return name
        except (ValueError, TypeError, RuntimeError, ImportError, AttributeError, KeyError, IndexError):
            _LOG.info("%s does not work with %s", name, type(model).__name__, exc_info=True)
    return None


@contextmanager
def attention(model: Any, name: str | None) -> Iterator[None]:
    """Switch a model to another attention for a while; None leaves it as it is.

    A model that is not switched back would answer nobody: generation comes with padding and a cache.
    """
    before = model.config._attn_implementation
    if name is None or name == before:
        yield
        return
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def attention_settings(model: Any, name: str | None) -> list[tuple[Any, str, str]]:
    """What `attention(model, name)` changes: every config with its own attention and with the other one.

    Finding that takes a walk over all layers of a model, as the switch itself does; what is found here can be switched at
    each step without one, by `switched`.
    """
    configs = {id(part.config): part.config for part in model.modules() if isinstance(part, PreTrainedModel)}
    before = {key: config._attn_implementation for key, config in configs.items()}
    with attention(model, name):
        found = [(config, before[key], config._attn_implementation) for key, config in configs.items()]
    return [each for each in found if each[1] != each[2]]


@contextmanager
def switched(settings: list[tuple[Any, str, str]]) -> Iterator[None]:
    """Another attention for a while, from `attention_settings`."""
    for config, _, other in settings:
        config._attn_implementation_internal = other
    try:
        yield
    finally:
        for config, own, _ in settings:
            config._attn_implementation_internal = own


def packed(rows: list[list[int]], device: torch.device | str = "cpu") -> dict[str, Any]:
    """Model inputs for rows laid one behind the other, with the names that transformers' attentions look for."""
    lengths = torch.tensor([len(row) for row in rows])
    borders = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32).to(device)
    longest = int(lengths.max())
    return {
        "input_ids": torch.tensor([[token for row in rows for token in row]], device=device),
        "position_ids": torch.cat([torch.arange(len(row)) for row in rows])[None].to(device),
        "cu_seq_lens_q": borders,
        "cu_seq_lens_k": borders,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def _window_mask(query: torch.Tensor, window: int | None) -> torch.Tensor | None:
    length = query.shape[2]
    if window is None or length <= window:
        return None
    place = torch.arange(length, device=query.device)
    back = place[:, None] - place[None, :]
    return ((back >= 0) & (back < window))[None, None]


def _is_plain_decoder(model: Any) -> bool:
    config = model.config.get_text_config()
    return (
        model.is_backend_compatible()
        and model.config._attn_implementation == "sdpa"
        and not config.is_encoder_decoder
        and not getattr(config, "attention_chunk_size", None)
        and set(getattr(config, "layer_types", None) or ()) <= _PLAIN_LAYERS
    )


@torch.no_grad()
def _keeps_rows_apart(model: Any, name: str) -> bool:
    device = next(model.parameters()).device
    tokens = [1 + number % (model.get_input_embeddings().num_embeddings - 1) for number in range(3, 15)]
    rows = [tokens[:5], tokens[5:]]
    training = model.training
    model.eval()
    try:
        alone = torch.cat([_logits(model, input_ids=torch.tensor([row], device=device)) for row in rows])
        joined = _logits(model, input_ids=torch.tensor([tokens], device=device))
        with attention(model, name):
            together = _logits(model, **packed(rows, device))
    finally:
        model.train(training)
    # Rows that see each other come out as `joined`; those that do not differ from `alone` by rounding only.
    leak = (joined - alone).abs().max()
    return bool((together - alone).abs().max() <= 0.1 * leak)


def _logits(model: Any, **inputs: Any) -> torch.Tensor:
    """What a model says of each token, or, of a body without a head, what it makes of it."""
    output = model(**inputs, use_cache=False)
    return getattr(output, "logits", getattr(output, "last_hidden_state", None))[0].float()
