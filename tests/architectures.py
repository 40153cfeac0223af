"""Tiny random models of many architectures, and the walk of one through everything that people do with a model.

Each is made from its own configuration class with two layers and a byte-level tokenizer, so that no file of somebody
else is needed and a whole walk takes a second.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.homes import WAIT, largest_difference, tiny_config, weights
from tests.steps import at_step
from tests.tiny_models import logits, make_tokenizer

STEPS = ("train", "resume", "chat", "merge", "reload")
ASK = [{"role": "user", "content": "3. white?"}]
ANSWER = 8  # tokens

_COMMON: dict[str, Any] = {
    "vocab_size": 264,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
    "bos_token_id": None,
    "eos_token_id": 257,
    "pad_token_id": 256,
}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "n_inner": 48}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_ROUTED = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_shared_experts": 1}
_LATENT = {
    **{"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8},
    **{"num_key_value_heads": 4, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "head_dim": 4},
}
_STATE = {"state_size": 4, "conv_kernel": 4, "expand": 2, "time_step_rank": 4}
_GEMMA = {"head_dim": 8}

# Architecture -> what its configuration needs beside `_COMMON` (None: a key that it must not get).
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 8},
    "mistral": {},
    "ministral": {"head_dim": 8},
    "gemma": _GEMMA,
    "gemma2": {**_GEMMA, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_GEMMA, "query_pre_attn_scalar": 8},
    "phi": {},
    "phi3": {},
    "gpt_neox": {},
    "gpt_neo": {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "num_heads": 4},
    "gpt2": _GPT2,
    "gptj": {**_GPT2, "rotary_dim": 4},
    "gpt_bigcode": _GPT2,
    "codegen": {**_GPT2, "rotary_dim": 4},
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "bloom": {"n_layer": 2, "n_head": 4},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "expansion_ratio": 2, "max_seq_len": 128},
    "stablelm": {},
    "starcoder2": {},
    "olmo": {},
    "olmo2": {},
    "cohere": {},
    "cohere2": {"head_dim": 8},
    "granite": {},
    "smollm3": {},
    "glm": {"head_dim": 8},
    "glm4": {"head_dim": 8},
    "exaone4": {"sliding_window": None, "layer_types": ["full_attention", "full_attention"]},
    "nemotron": {"head_dim": 8},
    "helium": {"head_dim": 8},
    "seed_oss": {"head_dim": 8},
    "ernie4_5": {"head_dim": 8},
    "hunyuan_v1_dense": {"head_dim": 8},
    "arcee": {},
    "minicpm3": {**_LATENT},
    # mixtures of experts
    "qwen2_moe": {**_EXPERTS, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {**_EXPERTS, "head_dim": 8},
    "mixtral": _LOCAL_EXPERTS,
    "deepseek_v2": {**_ROUTED, **_LATENT, "topk_method": "greedy"},
    "deepseek_v3": {**_ROUTED, **_LATENT},
    "olmoe": {**_EXPERTS},
    "phimoe": _LOCAL_EXPERTS,
    "gpt_oss": {**_LOCAL_EXPERTS, "head_dim": 8},
    "granitemoe": _LOCAL_EXPERTS,
    "glm4_moe": {**_ROUTED, "head_dim": 8, "first_k_dense_replace": 1},
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16},
    "dots1": {**_ROUTED, "head_dim": 8, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1},
    "hunyuan_v1_moe": {"num_experts": 4, "moe_topk": 2, "head_dim": 8},
    "minimax_m2": {**_LOCAL_EXPERTS, "head_dim": 8},
    # state spaces and hybrids
    "mamba": _STATE,
    "falcon_h1": {
        "mamba_d_ssm": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_d_state": 4,
        "mamba_n_groups": 1,
        "head_dim": 8,
    },
    "nemotron_h": {
        "layers_block_type": ["mamba", "attention"],
        "mamba_num_heads": 4,
        "mamba_head_dim": 8,
        "ssm_state_size": 4,
        "n_groups": 1,
        "head_dim": 8,
        "expand": 1,
        "num_hidden_layers": None,
    },
    "mamba2": {"state_size": 4, "expand": 2, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
    "falcon_mamba": _STATE,
    "jamba": {**_STATE, "mamba_d_state": 4, "num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1},
    "bamba": {
        **{"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_n_groups": 1},
        "attn_layer_indices": [1],
    },
    "recurrent_gemma": {"lru_width": 32, "attention_window_size": 16, "head_dim": 8, "num_hidden_layers": 3},
    "rwkv": {"attention_hidden_size": 32, "context_length": 128},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "qwen3_next": {
        **_EXPERTS,
        **{"head_dim": 8, "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8},
        **{"linear_value_head_dim": 8, "layer_types": ["linear_attention", "full_attention"]},
        "shared_expert_intermediate_size": 16,
    },
}


def make_architecture(folder: Path, kind: str, **changes: Any) -> Path:
    """A folder with a random model of this architecture."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(kind, **{**_COMMON, **ARCHITECTURES[kind], **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(str(folder))
    make_tokenizer(folder)
    return folder


@dataclass
class Walk:
    """What became of one architecture: the steps that worked, the largest differences, and why it ended early."""

    kind: str
    done: list[str] = field(default_factory=list)
    differences: dict[str, float] = field(default_factory=dict)
    failure: str = ""
    seconds: float = 0.0


def walk(engine: Any, patch: pytest.MonkeyPatch, model: str, /, *, resume: bool, **adapter: Any) -> Walk:
    """Train, resume, chat, merge and reload one architecture.

    Args:
        engine: one whose home holds this model and the data set `talk`.
        patch: to stop a run at a step.
        resume: whether to stop a run, resume it, and compare it with one that was never stopped.
        adapter: settings of the adapter other than the usual ones.
    """
    outcome, began = Walk(model), time.process_time()
    try:
        for step, differences in _steps(engine, patch, model, resume, adapter):
            outcome.done.append(step)
            outcome.differences |= differences
    except Exception as error:  # noqa: BLE001 - the table tells of every architecture
        outcome.failure = f"{type(error).__name__}: {error}"
    outcome.seconds = time.process_time() - began
    return outcome


def _steps(
    engine: Any, patch: pytest.MonkeyPatch, kind: str, resume: bool, adapter: dict[str, Any]
) -> Iterator[tuple[str, dict[str, float]]]:
    from transformers import AutoTokenizer

    config = tiny_config(
        model={"base": kind},
        adapter=adapter if adapter.get("kind") == "none" else {"dropout": 0.0, **adapter},
        optimization={"max_steps": 3, "learning_rate": 2e-2, "warmup_ratio": 0.0},
        evaluation={"every_steps": 3},
        data={"max_rows": 16},
        checkpoints={"every_steps": 3},
    )
    run = _completed(engine, engine.submit(config))
    yield "train", {}
    if resume:
        at_step(patch, 1, engine.stop)
        again = engine.submit(config)
        assert engine.wait(again, WAIT)
        assert engine.run(again).status == "stopped", engine.run(again).error
        _completed(engine, engine.resume(again))
        yield (
            "resume",
            {"resume": largest_difference(weights(engine.store.path(again)), weights(engine.store.path(run)))},
        )
    answers = {tuned: list(engine.chat(run, ASK, max_new_tokens=ANSWER, tuned=tuned))[-1] for tuned in (False, True)}
    yield "chat", {}
    merged = engine.merge(run, dtype="fp32")
    yield "merge", {}
    base, result = engine.models.resolve(kind).folder, engine.result(run)
    tokenizer = AutoTokenizer.from_pretrained(result)
    plain = _plain(base)
    untrained = logits(plain)
    assert answers[False] == _answer(plain, tokenizer), "chat and plain transformers differ (base)"
    tuned = _plain(base, result)
    expected = logits(tuned)
    assert answers[True] == _answer(tuned, tokenizer), "chat and plain peft differ (tuned)"
    assert (expected - untrained).abs().max() > 1e-3, "nothing was learned"
    yield (
        "reload",
        {
            "own": float((logits(_ours(base, result)) - expected).abs().max()),
            "merged": float((logits(_plain(merged)) - expected).abs().max()),
        },
    )


def _completed(engine: Any, run: str) -> str:
    assert engine.wait(run, WAIT)
    record = engine.run(run)
    assert record.status == "completed", record.error
    return run


def _plain(base: Path, result: Path | None = None) -> Any:
    """A model, or what a run made of it, as other people load it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if result is not None and result.name == "model":
        return AutoModelForCausalLM.from_pretrained(str(result), dtype="float32").eval()
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype="float32").eval()
    return model if result is None else PeftModel.from_pretrained(model, str(result)).eval()


def _ours(base: Path, result: Path) -> Any:
    from workbench.models.loading import load_adapter, load_model

    if result.name == "model":
        return load_model(result, "fp32", device="cpu")
    return load_adapter(load_model(base, "fp32", device="cpu"), result)


def _answer(model: Any, tokenizer: Any) -> str:
    inputs = tokenizer.apply_chat_template(ASK, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    output = model.generate(**inputs, max_new_tokens=ANSWER, do_sample=False)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
