"""The shape of a model from its config.json: counts against the catalogue and against transformers, and hostile numbers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import make_base
from workbench.models.curated import CuratedModel, curated_models
from workbench.models.shape import Shape, shape_of

LLAMA_70B = {
    "model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": False,
}  # fmt: skip
MIXTRAL = {
    "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000, "num_local_experts": 8,
    "num_experts_per_tok": 2, "tie_word_embeddings": False,
}  # fmt: skip
SMALL = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "tie_word_embeddings": False,
}  # fmt: skip


def known(config: Any) -> Shape:
    shape = shape_of(config)
    assert shape is not None
    return shape


@pytest.mark.parametrize("model", curated_models(), ids=lambda model: model.id)
def test_the_count_is_that_of_the_catalogue(model: CuratedModel) -> None:
    shape = known(model.config())
    assert shape.parameters == pytest.approx(model.parameters, rel=0.02)
    assert shape.linear_parameters + shape.expert_parameters < shape.parameters
    assert shape.encoder == (model.shape.model_type == "distilbert")


def test_published_counts_of_large_models() -> None:
    assert known(LLAMA_70B).parameters == 70_553_706_496  # as on its page
    mixtral = known(MIXTRAL)
    assert mixtral.parameters == 46_702_792_704
    assert mixtral.expert_parameters == 32 * 8 * 3 * 4096 * 14336
    assert mixtral.active_ffn == 2 * 14336


@pytest.mark.parametrize("tied", [True, False])
def test_a_tiny_model_is_counted_exactly(tmp_path: Path, tied: bool) -> None:
    from transformers import AutoModelForCausalLM

    folder = make_base(tmp_path / "base", tied=tied)
    model = AutoModelForCausalLM.from_pretrained(str(folder))
    assert known(json.loads((folder / "config.json").read_text())).parameters == model.num_parameters()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("llama", {}), ("llama", {"attention_bias": True}), ("mistral", {}), ("qwen2", {}), ("qwen3", {}), ("olmo2", {}),
        ("glm4", {}), ("glm4", {"attention_bias": False}), ("gemma3_text", {}), ("gpt_neox", {"num_key_value_heads": 4}),
        ("qwen3_moe", {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}),
        ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    ],
)  # fmt: skip
def test_architectures_are_counted_as_transformers_and_peft_do(kind: str, more: dict[str, Any]) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = {**SMALL, **more}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **config, pad_token_id=0))
    shape = known({"model_type": kind, **config})
    assert shape.parameters == model.num_parameters()
    linears = [m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m.out_features != 300]
    assert shape.linear_parameters == sum(linear.weight.numel() for linear in linears)
    assert shape.largest_linear <= max(linear.weight.numel() for linear in linears) * 3  # some keep q, k and v in one
    if kind not in ("gpt_neox", "glm4"):  # these have several matrices in one layer, which an adapter meets as one
        tuned = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
        assert shape.lora_parameters(2) == tuned.get_nb_trainable_parameters()[0]


def test_a_70b_model_needs_no_time() -> None:
    begin = time.process_time()  # of this process alone: other work on the machine does not count
    for _ in range(100):
        known(LLAMA_70B)
    assert time.process_time() - begin < 0.2  # so one takes a hundredth of that


@pytest.mark.parametrize(
    "value",
    [None, -1, 0, True, 1.5, float("nan"), float("inf"), 10**4000, "many", [], {}, [[]], {"a": None}],
    ids=lambda value: str(value)[:8] if not isinstance(value, int) else hex(value)[:8],
)
def test_no_number_of_a_file_harms(value: Any) -> None:
    more = (
        "head_dim", "num_experts", "num_experts_per_tok", "moe_intermediate_size", "mlp_only_layers", "text_config",
        "decoder_sparse_step", "first_k_dense_replace", "n_shared_experts", "architectures", "id2label", "kv_lora_rank",
    )  # fmt: skip
    for kind in ("llama", "distilbert", "qwen3_moe", "gpt2", value):
        for key in (*LLAMA_70B, *more):
            for config in ({**LLAMA_70B, "model_type": kind, key: value}, {**MIXTRAL, "model_type": kind, key: value}):
                shape = shape_of(config)
                if shape is not None:
                    assert 0 < shape.linear_parameters < shape.parameters
                    assert shape.active_ffn >= 0
    assert shape_of(value) is None
    assert shape_of(dict.fromkeys((*LLAMA_70B, *more), value)) is None or value == 10**4000
