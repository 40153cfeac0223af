"""Layers that can't have an adapter are refused before a run starts, at their field, with what to choose instead."""

from __future__ import annotations

import pytest

from tests.architectures import make_architecture
from tests.homes import done, tiny_config
from workbench.config.errors import WorkbenchError
from workbench.config.registry import AdapterOptions
from workbench.models import adapter_targets
from workbench.models.adapter_targets import expert_names, problems_of_targets

TARGETS, FULL = "adapter.target_modules", "adapter.modules_to_save"


def fields(architecture, settings):
    problems = problems_of_targets(AdapterOptions.read(settings), architecture)
    for problem in problems:
        assert problem.hint is not None and problem.message.to("zh") != problem.message.to("en")
    return [problem.field for problem in problems]


@pytest.mark.parametrize(
    ("kind", "settings", "refused"),
    [
        ("llama", {}, []),
        ("llama", {"dropout": 0.1, "kind": "dora"}, []),
        ("llama", {"target_modules": ["lm_head"]}, [TARGETS]),
        ("llama", {"target_modules": ["q_proj", "lm_head"]}, [TARGETS]),
        ("gpt_neox", {"target_modules": ["embed_out"]}, [TARGETS]),
        ("llama", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}, []),
        ("llama", {"target_modules": ["q_proj", "v_proj"], "modules_to_save": ["layers.0.self_attn.q_proj"]}, [FULL]),
        ("llama", {"target_modules": ["out_proj", "gate_proj"]}, []),
        *(("mamba", {"target_modules": [name]}, [TARGETS]) for name in ("out_proj", "conv1d", "mixer.out_proj")),
        *((kind, {"target_modules": ["out_proj"]}, [TARGETS]) for kind in ("mamba2", "falcon_h1", "nemotron_h")),
        ("mamba", {"kind": "dora", "dropout": 0.1}, []),
        ("qwen3_moe", {"dropout": 0.1}, ["adapter.dropout"]),
        ("mixtral", {"kind": "dora", "dropout": 0.1}, ["adapter.dropout", "adapter.kind"]),
        ("qwen3_moe", {"dropout": 0.1, "target_modules": ["q_proj"]}, []),
        ("deepseek_v3", {"target_modules": ["gate_proj"]}, [TARGETS]),
        ("deepseek_v3", {"target_modules": ["gate_proj", "up_proj", "down_proj"]}, []),
        ("mixtral", {"target_modules": ["w1", "q_proj"]}, [TARGETS]),
        ("mixtral", {"target_modules": ["w2"]}, []),
        ("granitemoe", {"kind": "dora", "dropout": 0.1}, []),
    ],
    ids=str,
)
def test_what_an_architecture_forbids_is_known_before_anything_is_loaded(kind, settings, refused):
    assert fields(kind, settings) == refused


def test_the_names_of_experts_are_those_that_peft_itself_knows():
    from peft.utils import transformers_weight_conversion as conversion

    for kind, base in conversion._MODEL_TO_CONVERSION_PATTERN.items():
        assert expert_names(kind).keys() == conversion._MOE_TARGET_MODULE_MAPPING.get(base, {}).keys()
    assert expert_names("mixtral")["w1"] == ("w1", "w3") and not expert_names("llama")


def test_the_layers_of_state_spaces_are_those_that_peft_itself_refuses():
    from types import SimpleNamespace

    from peft import LoraConfig
    from peft.tuners.tuners_utils import _check_lora_target_modules_mamba as check

    for kind in adapter_targets._STATE_SPACES:
        model = SimpleNamespace(config=SimpleNamespace(model_type=kind))
        for name in adapter_targets._STATE_SPACE_LAYERS:
            with pytest.raises(ValueError, match="incompatible"):
                check(LoraConfig(), model, name)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_an_adapter_on_the_output_layer_is_refused_when_start_is_pressed(engine, tied, method):
    make_architecture(engine.home / "models" / "llama", "llama", tie_word_embeddings=tied)
    data = {"train": "talk" if method == "sft" else "pairs"}
    config = tiny_config(
        model={"base": "llama"}, method={"kind": method}, data=data, adapter={"target_modules": ["lm_head"]}
    )
    with pytest.raises(WorkbenchError, match="output layer") as caught:
        engine.submit(config)
    assert caught.value.field == TARGETS and not engine.runs()


@pytest.mark.parametrize(
    ("kind", "layer"), [("phimoe", "router"), ("gpt_oss", "experts"), ("gpt_oss", "router"), ("olmoe", "experts")]
)
def test_what_only_the_loaded_model_shows_ends_a_run_with_a_sentence_at_its_field(engine, kind, layer):
    make_architecture(engine.home / "models" / kind, kind)
    chosen = {"target_modules": ["q_proj", layer], "dropout": 0.0}
    run = done(engine, tiny_config(model={"base": kind}, adapter=chosen))
    assert run.status == "failed" and run.error["field"] == TARGETS
    assert layer in run.error["message"]["en"] and "q_proj" in run.error["hint"]["en"]


def test_layers_that_all_linear_leaves_out_are_named(engine):
    make_architecture(engine.home / "models" / "mamba", "mamba")
    run = done(engine, tiny_config(model={"base": "mamba"}, optimization={"max_steps": 1}))
    assert run.status == "completed"
    named = [event for event in engine.events(run.id) if event["type"] == "problem" and event.get("field") == TARGETS]
    assert len(named) == 1 and "out_proj" in str(named[0])
