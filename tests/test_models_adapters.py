"""Adapters of mixtures of experts load as peft wrote them, and what a stranger wrote into one neither hangs nor fills memory."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from tests.architectures import make_architecture
from tests.tiny_models import logits, make_adapter
from workbench.config.errors import WorkbenchError
from workbench.models.adapters import check_adapter

torch = pytest.importorskip("torch")
from workbench.models.loading import load_adapter, load_model  # noqa: E402


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_architecture(tmp_path_factory.mktemp("experts") / "mixtral", "mixtral")


@pytest.fixture(scope="module")
def adapter(base):
    return make_adapter(base.parent / "adapter", base)


@pytest.fixture
def copy(adapter, tmp_path):
    """The adapter, and a function that changes its config."""
    folder = tmp_path / "adapter"
    shutil.copytree(adapter, folder)

    def change(**values):
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        return folder

    return change


def code_of(look, *arguments):
    with pytest.raises(WorkbenchError) as caught:
        look(*arguments)
    assert caught.value.to("zh") and len(caught.value.to("en")) < 500
    return caught.value.code


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"r": 3, "target_modules": ["gate"]},
        {"target_modules": ["w2", "q_proj"]},
        {"target_modules": ["w1", "w3"]},
    ],
    ids=str,
)
def test_an_adapter_on_experts_loads_as_plain_peft_loads_it(base, tmp_path, options):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = make_adapter(tmp_path / "adapter", base, **options)
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), folder)
    expected = logits(plain)
    assert torch.equal(logits(load_adapter(load_model(base, "fp32", device="cpu"), folder)), expected)
    assert not torch.equal(logits(load_model(base, "fp32", device="cpu")), expected)


def test_what_peft_writes_before_the_names_of_experts_is_not_handed_back_to_it(adapter):
    written = json.loads((adapter / "adapter_config.json").read_text())
    assert list(written["rank_pattern"]) == [".*\\.gate_up_proj"]
    arguments = check_adapter(adapter).arguments
    assert arguments["rank_pattern"] == {"gate_up_proj": 8} and arguments["alpha_pattern"] == {"gate_up_proj": 16}


HUGE = 10**400


def nested(value, depth):
    for _ in range(depth):
        value = {"a": value}
    return value


REFUSED = [
    *({key: HUGE} for key in ("r", "lora_alpha", "lora_dropout", "layers_to_transform", "bias", "use_dora", "new")),
    *({key: -HUGE} for key in ("r", "lora_alpha", "lora_dropout")),
    *({key: {"q_proj": HUGE}} for key in ("rank_pattern", "alpha_pattern", "trainable_token_indices")),
    {"trainable_token_indices": [HUGE]},
    {"layers_to_transform": [HUGE]},
    {"peft_type": HUGE},
    {"target_modules": HUGE},
    {"target_modules": [HUGE]},
    {"alpha_pattern": {"(a+)+$": 1}},
    {"alpha_pattern": {".*.*\\.x": 1}},
    {"alpha_pattern": {".*\\..*\\.x": 1}},
    {"alpha_pattern": {"a" * 10_000: 1}},
    {"alpha_pattern": {"x\\": 1}},
    {"alpha_pattern": {f"layer{number}": 1 for number in range(5000)}},
    {"target_parameters": ".*"},
    {"target_parameters": ["(a+)+"]},
    {"target_parameters": [f"p{number}" for number in range(5000)]},
    {"target_modules": [f"p{number}" for number in range(5000)]},
    {"target_modules": "(a+)+$"},  # beside parameters
    {"exclude_modules": "(a+)+$"},
    {"target_modules": [], "target_parameters": []},
    {"rank_pattern": {".*\\.gate_up_proj": 10**6}},
    {"rank_pattern": {".*\\.gate_up_proj": 7}, "r": 5},
    {"x" * 5000: [1]},
    {"target_modules": [f"p{number}" for number in range(10**6)]},
    {"layers_to_transform": list(range(5000))},
    {"layers_to_transform": [0], "layers_pattern": "(a+)+$"},
    {"r": 10**9},
    {"r": 4.0},
    {"lora_alpha": float("inf")},
    {"lora_alpha": float("nan")},
    {"lora_dropout": 1},
    {"trainable_token_indices": {"a": {"b": [1]}}},
    {"trainable_token_indices": nested({"a": [1]}, 900)},
    {"new": nested([], 900)},
]


@pytest.mark.parametrize("values", REFUSED, ids=lambda values: str(values)[:60])
def test_what_peft_would_not_write_is_refused_with_a_short_sentence(copy, values):
    assert code_of(check_adapter, copy(**values)) == "adapter_refused"


def test_a_number_with_more_digits_than_python_reads_is_refused(copy):
    path = copy() / "adapter_config.json"
    path.write_text(path.read_text().replace('"r": 4', f'"r": 1{"0" * 5000}'))
    assert code_of(check_adapter, path.parent) == "invalid_json"


@pytest.mark.parametrize(
    "name", ["model.embed_tokens.lora_embedding_A", "model.layers.0.self_attn.q_proj.lora_A.weight"]
)
@pytest.mark.parametrize("shape", [[10**9, 0], [0, 4], [0]])
def test_a_rank_without_numbers_behind_it_is_refused(copy, name, shape):
    folder = copy(r=10**9, rank_pattern={"q_proj": 4, "gate_up_proj": 8})
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors[f"base_model.model.{name}"] = torch.zeros(shape)
    save_file(tensors, path)
    assert code_of(check_adapter, folder) == "damaged_weights"


def test_a_rank_that_is_a_single_number_is_no_rank(copy):
    folder = copy()
    path = folder / "adapter_model.safetensors"
    save_file({**load_file(path), "base_model.model.model.embed_tokens.lora_embedding_A": torch.tensor(1.0)}, path)
    check_adapter(folder)


def test_a_regular_expression_that_excludes_is_not_run_either(base, tmp_path):
    folder = make_adapter(tmp_path / "adapter", base, target_modules=["q_proj", "v_proj"])
    expected = logits(load_adapter(load_model(base, "fp32", device="cpu"), folder))
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "exclude_modules": "(q|_|p|r|o|j)+(a+)+$"}))
    arguments = check_adapter(folder).arguments
    assert "exclude_modules" not in arguments and all("layers." in name for name in arguments["target_modules"])
    assert torch.equal(logits(load_adapter(load_model(base, "fp32", device="cpu"), folder)), expected)


@pytest.mark.parametrize("side", ["lora_A", "lora_B"])
@pytest.mark.parametrize("layer", ["experts.base_layer", "experts", "gate", "q_proj"])
@pytest.mark.parametrize("axis", [0, 1])
def test_tensors_that_do_not_fit_the_experts_are_refused_before_peft_sees_them(base, copy, side, layer, axis):
    folder = copy()
    tensors = load_file(folder / "adapter_model.safetensors")
    name = next(name for name in tensors if name.endswith(f"{layer}.{side}.weight"))
    tensors[name] = torch.cat([tensors[name]] * 2, dim=axis).contiguous()
    save_file(tensors, folder / "adapter_model.safetensors")
    model = load_model(base, "fp32", device="cpu")
    assert code_of(load_adapter, model, folder) in ("adapter_mismatch", "adapter_refused")
