"""Sizes in a config.json that its weights do not have are refused by arithmetic, before anything is built of them."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.architectures import ARCHITECTURES, make_architecture
from tests.test_architectures import ALIKE
from tests.tiny_models import make_base
from workbench.config.errors import WorkbenchError
from workbench.models.catalog import ModelCatalog
from workbench.models.config_sizes import check_sizes, stored_layer_count
from workbench.models.files import check_folder

LARGE = 10**9
HUGE = 10**400


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("sound") / "llama")


@pytest.fixture
def folder(sound, tmp_path):
    """A copy that a test may spoil."""
    for path in sound.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def change(path, **values):
    old = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**old, **values}))


def refusal(look, *arguments, **options) -> str:
    began = time.process_time()
    with pytest.raises(WorkbenchError) as caught:
        look(*arguments, **options)
    assert time.process_time() - began < 5
    assert (caught.value.code, caught.value.field) == ("impossible_config", "model.base")
    assert re.search("[\u4e00-\u9fff]", caught.value.to("zh")) and len(caught.value.to("en")) < 400
    return caught.value.message.to("en")


@pytest.mark.parametrize("value", [3, 1000, LARGE, HUGE])
def test_more_layers_than_the_weights_hold_are_refused_with_both_numbers(folder, value):
    change(folder / "config.json", num_hidden_layers=value)
    said = refusal(check_folder, folder)
    if value < HUGE:
        assert said == f"config.json says num_hidden_layers = {value}, but the weights hold 2 layers."


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_size": LARGE},
        {"vocab_size": LARGE},
        {"vocab_size": 128 * 264},
        {"intermediate_size": LARGE},
        {"num_attention_heads": LARGE},
        {"num_key_value_heads": LARGE},
        {"head_dim": LARGE},
        {"text_config": {"num_hidden_layers": LARGE}},
        {"text_config": {"hidden_size": LARGE}},
        {"some_config": {"num_layers": LARGE}},
        {"some_config": [{"deeper": {"depth": LARGE}}]},
        {"rope_dims": [16, LARGE]},
        {"hidden_size": float(LARGE)},
        {"head_dim": 1e30},
    ],
    ids=str,
)
def test_a_size_that_the_weights_do_not_have_is_named_wherever_it_stands(folder, values):
    change(folder / "config.json", **values)
    key = re.findall(r"'(\w+)'", str(values))[-1]
    assert f" {key} = " in refusal(check_folder, folder)


# Architecture, a tensor of its second and last layer, and what counts its parts.
OTHERS = [
    ("gpt2", "h.1.attn.c_attn.weight", {"n_layer": LARGE}),
    ("gpt2", "h.1.attn.c_attn.weight", {"n_head": LARGE}),
    ("gpt2", "h.1.attn.c_attn.weight", {"n_inner": LARGE}),
    ("gpt_neo", "transformer.h.1.mlp.c_fc.weight", {"num_layers": LARGE}),
    ("gpt_neo", "transformer.h.1.mlp.c_fc.weight", {"attention_types": [[["global", "local"], LARGE]]}),
    ("gptj", "transformer.h.1.attn.q_proj.weight", {"n_positions": LARGE}),
    ("mpt", "transformer.blocks.1.norm_1.weight", {"n_layers": LARGE}),
    ("mpt", "transformer.blocks.1.norm_1.weight", {"expansion_ratio": LARGE}),
    ("opt", "model.decoder.layers.1.fc1.weight", {"ffn_dim": LARGE}),
    ("bart", "model.decoder.layers.1.fc1.weight", {"decoder_layers": LARGE}),
    ("bart", "model.decoder.layers.1.fc1.weight", {"encoder_layers": LARGE}),
    ("qwen3_moe", "model.layers.1.mlp.experts.3.up_proj.weight", {"num_experts": LARGE}),
    ("qwen3_moe", "model.layers.1.mlp.experts.3.up_proj.weight", {"num_hidden_layers": 3}),
    ("qwen3_moe", "model.layers.1.mlp.experts.3.up_proj.weight", {"moe_intermediate_size": LARGE}),
    ("mixtral", "model.layers.1.block_sparse_moe.gate.weight", {"num_local_experts": LARGE}),
    ("deepseek_v3", "model.layers.1.mlp.gate.weight", {"n_routed_experts": LARGE}),
    ("deepseek_v3", "model.layers.1.mlp.gate.weight", {"n_group": LARGE}),
    ("deepseek_v3", "model.layers.1.mlp.gate.weight", {"q_lora_rank": LARGE}),
    ("mamba", "backbone.layers.1.mixer.in_proj.weight", {"state_size": LARGE}),
    ("mamba2", "backbone.layers.1.mixer.in_proj.weight", {"expand": LARGE}),
    ("falcon_h1", "model.layers.1.mamba.in_proj.weight", {"mamba_d_state": LARGE}),
    ("bamba", "model.layers.1.mamba.in_proj.weight", {"mamba_n_heads": LARGE}),
    ("jamba", "model.layers.1.mamba.in_proj.weight", {"attn_layer_period": LARGE}),
    ("gemma3_text", "model.layers.1.mlp.up_proj.weight", {"layer_types": [LARGE]}),
]


@pytest.mark.parametrize(("kind", "tensor", "values"), OTHERS, ids=str)
def test_every_architecture_has_names_of_its_own_for_its_sizes(kind, tensor, values):
    key = next(iter(values))
    said = refusal(
        check_sizes, {"model_type": kind, **values}, [(tensor, (32, 48)), ("embed", (264, 32))], "config.json"
    )
    assert f" {key} = " in said


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        (["model.layers.0.a", "model.layers.1.mlp.experts.127.w1.weight"], 2),
        (["transformer.h.11.attn.bias", "lm_head.weight"], 12),
        (["encoder.3.weight"], 4),
        (["vision.blocks.2.x", "language_model.model.layers.5.x"], 6),
        (["model.layers.9999999999999.x", "model.layers.²³.x", "model.layers.1.x"], 2),
        (["embed"], 0),
    ],
)
def test_layers_are_counted_in_the_names_of_tensors(names, layers):
    assert stored_layer_count(names) == layers


@pytest.mark.parametrize("kind", [kind for kind in ARCHITECTURES if kind in ALIKE])
def test_an_architecture_that_is_not_walked_is_accepted_too(tmp_path, kind):
    assert check_folder(make_architecture(tmp_path, kind)).config["model_type"] == kind


def test_the_starter_and_infinite_limits_of_state_spaces_are_accepted(folder):
    catalog = ModelCatalog(folder / "none")
    assert catalog.resolve("starter").problem is None
    change(folder / "config.json", time_step_limit=[0.0, float("inf")], max_position_embeddings=10_485_760)
    check_folder(folder)


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("config.json", "rope_theta"),
        ("config.json", "max_position_embeddings"),
        ("config.json", "eos_token_id"),
        ("tokenizer_config.json", "model_max_length"),
        ("special_tokens_map.json", "pad_token"),
        ("added_tokens.json", "<|pad|>"),
    ],
)
@pytest.mark.parametrize("digits", [400, 10_000])
@pytest.mark.parametrize("inside", [False, True])
def test_a_number_of_many_digits_is_named_with_its_file(folder, file, key, digits, inside):
    number = f"-1{'0' * digits}"
    change(folder / file, **{key: {"a": ["number"]} if inside else "number"})
    (folder / file).write_text((folder / file).read_text().replace('"number"', number))
    with pytest.raises(WorkbenchError) as caught:
        check_folder(folder)
    assert caught.value.code in ("impossible_config", "invalid_json") and file in caught.value.to("zh")
    assert len(caught.value.to("en")) < 300


@pytest.mark.parametrize("digits", [400, 10_000])
def test_such_a_number_in_the_settings_of_answers_is_named_and_keeps_nothing_from_loading(folder, digits):
    from workbench.models.generation_settings import read_generation_settings

    (folder / "generation_config.json").write_text('{"eos_token_id": 1' + "0" * digits + "}")
    check_folder(folder)
    assert "generation_config.json" in str(read_generation_settings(folder).notice())


def test_usual_large_numbers_are_no_fault(folder):
    change(folder / "tokenizer_config.json", model_max_length=1000000000000000019884624838656)
    check_folder(folder)


@pytest.mark.parametrize("depth", [500, 970, 3000, 100_000])
def test_a_config_that_is_nested_deeply_ends_in_a_sentence(folder, depth):
    text = (folder / "config.json").read_text().rstrip().removesuffix("}")
    (folder / "config.json").write_text(f'{text}, "deep": {"[" * depth}{"]" * depth}}}')
    try:
        check_folder(folder)
    except WorkbenchError as error:
        assert error.code == "invalid_json" and depth > 500


@pytest.mark.parametrize("values", [{"intermediate_size": 2**22}, {"head_dim": 2**15}])
def test_what_only_building_shows_is_stopped_in_the_middle(folder, values):
    from workbench.models.loading import load_model

    change(folder / "config.json", **values)
    check_folder(folder)
    assert "far larger than its weights" in refusal(load_model, folder, "fp32", device="cpu")


def test_tables_that_are_not_stored_count_too(tmp_path):
    from workbench.models.loading import load_model

    change(make_architecture(tmp_path, "gpt_neo") / "config.json", max_position_embeddings=2**20)
    assert "far larger than its weights" in refusal(load_model, tmp_path, "fp32", device="cpu")
