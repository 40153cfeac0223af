"""Rows that are packed into one come out exactly as they do alone, or the model is trained with padding."""

from __future__ import annotations

from typing import Any

import pytest

from tests.method_parts import tiny_llama

SIZE = {"vocab_size": 264, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA_LIKE = {
    **SIZE,
    "intermediate_size": 128,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {
    "Llama": LLAMA_LIKE,
    "Qwen3": {**LLAMA_LIKE, "head_dim": 16},
    "Mistral": {**LLAMA_LIKE, "sliding_window": 4},
    "GPTNeoX": {**SIZE, "intermediate_size": 128, "initializer_range": 0.2},
    "GPT2": {"vocab_size": 264, "n_embd": 64, "n_layer": 2, "n_head": 4, "initializer_range": 0.2},
}
PADDED = {
    "Bloom": {**SIZE, "n_head": 4},
    "Falcon": SIZE,
    "Lfm2": {**LLAMA_LIKE, "layer_types": ["conv", "full_attention"]},
}
HEADS = {"GPT2": "GPT2LMHeadModel"}


def make(family: str, settings: dict[str, Any]) -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    return getattr(transformers, HEADS.get(family, f"{family}ForCausalLM"))(config).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_rows_give_the_logits_of_single_rows(family: str, torch_one_thread: Any) -> None:
    from workbench.models.attention import SEGMENTS, attention, find_packed_attention, packed

    torch = torch_one_thread
    model = make(family, FAMILIES[family])
    rows = [torch.randint(3, 260, (length,)).tolist() for length in (17, 1, 30, 8)]

    name = find_packed_attention(model)
    with torch.no_grad():
        alone = torch.cat([model(input_ids=torch.tensor([row])).logits[0] for row in rows])
        with attention(model, name):
            together = model(**packed(rows), use_cache=False).logits[0]

    assert name == SEGMENTS
    assert (alone - together).abs().max() < 1e-5
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("family", PADDED)
def test_models_that_cannot_keep_rows_apart_are_found_out(family: str, torch_one_thread: Any) -> None:
    from workbench.models.attention import find_packed_attention

    assert find_packed_attention(make(family, PADDED[family])) is None


def test_an_attention_that_lets_rows_see_each_other_is_refused(monkeypatch: Any, torch_one_thread: Any) -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from workbench.models import attention

    def leaky(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        return sdpa_attention_forward(module, query, key, value, None, **options)

    monkeypatch.setitem(attention.AttentionInterface._global_mapping, attention.SEGMENTS, leaky)
    assert attention.find_packed_attention(tiny_llama()) is None


def test_what_is_switched_at_each_step_is_what_transformers_switches(torch_one_thread: Any, monkeypatch: Any) -> None:
    from workbench.models.attention import SEGMENTS, attention_settings, packed, switched

    torch = torch_one_thread
    model = make("Qwen3", FAMILIES["Qwen3"])
    rows = [[5, 6, 7], [8, 9, 10, 11]]
    settings = attention_settings(model, SEGMENTS)
    assert attention_settings(model, None) == attention_settings(model, "sdpa") == []
    monkeypatch.setattr(model, "set_attn_implementation", None)  # it walks over all layers
    with torch.no_grad():
        alone = torch.cat([model(input_ids=torch.tensor([row])).logits[0] for row in rows])
        with switched(settings):
            assert model.config._attn_implementation == model.model.config._attn_implementation == SEGMENTS
            together = model(**packed(rows), use_cache=False).logits[0]
    assert (alone - together).abs().max() < 1e-5
    assert model.config._attn_implementation == "sdpa"
