"""Models load from safetensors in the dtype asked for, whole, and with gradients that are right."""

import json
import warnings

import pytest
from safetensors.torch import load_file, save_file

from tests.test_models_files import DEADLY
from tests.tiny_models import logits, make_adapter, make_base, randomise
from workbench.config.errors import WorkbenchError

torch = pytest.importorskip("torch")
from workbench.models import loading  # noqa: E402


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def adapter(base):
    return make_adapter(base.parent / "adapter", base)


@pytest.fixture
def copy(base, tmp_path):
    """A copy of the base that a test may spoil."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in base.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def code_of(function, *arguments, **options):
    with pytest.raises(WorkbenchError) as caught:
        function(*arguments, **options)
    caught.value.to("zh")
    return caught.value.code


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_model_loads_in_the_dtype_asked_for(base, name):
    model = loading.load_model(base, name, device="cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {loading.DTYPES[name]}
    assert not model.training and model.config._attn_implementation == "sdpa"


def test_attention_can_be_chosen(base):
    model = loading.load_model(base, "fp32", device="cpu", attention="eager")
    assert model.config._attn_implementation == "eager"


def test_a_model_without_sdpa_falls_back_to_eager_unless_sdpa_was_asked_for(base, monkeypatch):
    from transformers import LlamaForCausalLM

    monkeypatch.setattr(LlamaForCausalLM, "_supports_sdpa", False)
    assert loading.load_model(base, "fp32", device="cpu").config._attn_implementation == "eager"
    assert code_of(loading.load_model, base, "fp32", device="cpu", attention="sdpa") == "damaged_weights"


def test_a_missing_tensor_is_an_error_and_not_a_random_one(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert code_of(loading.load_model, copy, "fp32", device="cpu") == "missing_tensors"


def test_a_tensor_of_the_wrong_shape_is_an_error(copy):
    change(copy / "config.json", intermediate_size=96)
    with pytest.raises(WorkbenchError, match="config.json of copy names other sizes") as caught:
        loading.load_model(copy, "fp32", device="cpu")
    assert caught.value.code == "damaged_weights"


def test_pickled_weights_and_foreign_code_are_never_loaded(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert code_of(loading.load_model, copy, "fp32", device="cpu") == "no_safetensors"
    change(copy / "config.json", auto_map={"AutoModelForCausalLM": "evil.Model"})
    assert code_of(loading.load_model, copy, "fp32", device="cpu") == "remote_code"


@pytest.mark.parametrize("kind", ["no_such_architecture", "vit"])
def test_an_architecture_that_writes_no_text_is_named(copy, kind):
    change(copy / "config.json", model_type=kind)
    with pytest.raises(WorkbenchError, match=kind) as caught:
        loading.load_model(copy, "fp32", device="cpu")
    assert caught.value.code == "unknown_architecture"


@pytest.mark.parametrize(("key", "value"), [("vocab_size", None), ("hidden_size", 65), ("rms_norm_eps", "small")])
def test_a_config_that_only_its_architecture_finds_wrong_is_named(copy, key, value):
    change(copy / "config.json", **{key: value})
    with pytest.raises(WorkbenchError, match="config.json") as caught:
        loading.load_model(copy, "fp32", device="cpu")
    assert (caught.value.code, caught.value.field) == ("impossible_config", "model.base")


@pytest.mark.parametrize(("key", "value"), [("head_dim", 0), ("pad_token_id", 10**9)])
def test_whatever_a_config_makes_an_architecture_raise_is_about_the_model(copy, key, value):
    change(copy / "config.json", **{key: value})
    assert code_of(loading.load_model, copy, "fp32", device="cpu") == "damaged_weights"


def test_a_tokenizer_always_has_a_padding_token(copy):
    change(copy / "tokenizer_config.json", pad_token=None)
    assert loading.load_tokenizer(copy).pad_token == "<|pad|>"
    text = (copy / "tokenizer.json").read_text().replace("<|pad|>", "<|other|>")
    (copy / "tokenizer.json").write_text(text)
    assert loading.load_tokenizer(copy).pad_token == "<|end|>"


@pytest.mark.parametrize("content", ["{", "{}", '{"model": {"type": "BPE"}}', json.dumps(DEADLY, ensure_ascii=False)])
def test_a_broken_tokenizer_is_reported_as_one(copy, content):
    (copy / "tokenizer.json").write_text(content)
    assert code_of(loading.load_tokenizer, copy) == "broken_tokenizer"


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(base):
    tokenizer, model = loading.load_tokenizer(base), loading.load_model(base, "fp32", device="cpu")
    loading.check_vocabulary(model, tokenizer)
    tokenizer.add_tokens([f"<extra{number}>" for number in range(20)])
    assert code_of(loading.check_vocabulary, model, tokenizer) == "vocabulary_mismatch"


def test_auto_is_bf16_on_a_cpu_only_where_the_hardware_computes_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert loading.pick_dtype("auto", "cpu") == "bf16"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert loading.pick_dtype("auto", "cpu") == "fp32"
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert loading.pick_dtype("auto", "cpu") == "fp32"
    assert loading.pick_dtype("fp16", "cpu") == "fp16"


def test_auto_is_fp16_on_older_cards(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert loading.pick_dtype("auto", "cuda:0") == "fp16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert loading.pick_dtype("auto", "cuda:0") == "bf16"


def test_the_device_is_the_card_that_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert loading.pick_device() == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert loading.pick_device() == "mps"
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert loading.pick_device() == "xpu:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert loading.pick_device() == "cuda:3"


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_intels_card_is_what_it_computes(monkeypatch, supported, expected):
    monkeypatch.setattr(torch.xpu, "is_bf16_supported", lambda: supported)
    assert loading.pick_dtype("auto", "xpu:0") == expected


def gradients(model):
    """Gradients of a LoRA model for one text: of its adapter and of the input embeddings."""
    model.train()
    model.zero_grad()
    tokens = torch.arange(1, 40).unsqueeze(0)
    embedded = model.get_input_embeddings()(tokens).detach().requires_grad_()
    model(inputs_embeds=embedded, labels=tokens).loss.backward()
    adapter = [parameter.grad.flatten() for name, parameter in model.named_parameters() if "lora_" in name]
    return torch.cat(adapter), embedded.grad.flatten()


def lora(model):
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    randomise(model)
    return model


def test_no_four_bit_layer_may_pack_its_weights(base, monkeypatch):
    """Asked of the layers themselves, on any processor: only those with AVX512-BF16 would pack them."""
    from bitsandbytes.nn import modules

    monkeypatch.setattr(modules, "has_avx512bf16", lambda: True)
    assert modules.Linear4bit(8, 8).support_avx512bf16_for_cpu, "bitsandbytes asks elsewhere now"
    model = loading.load_model(base, "fp32", "nf4", device="cpu")
    layers = [module for module in model.modules() if isinstance(module, modules.Linear4bit)]
    assert len(layers) == 14  # seven in each of two blocks
    assert [layer.support_avx512bf16_for_cpu for layer in layers] == [False] * 14


def test_four_bit_gradients_stay_right_after_an_evaluation(base):
    whole = loading.load_model(base, "fp32", "nf4", device="cpu").dequantize(dtype=torch.float32)
    expected = gradients(lora(whole))
    model = lora(loading.load_model(base, "fp32", "nf4", device="cpu"))
    logits(model)  # in eval mode and without gradients: what packs the weights of an unguarded model
    for found, wanted in zip(gradients(model), expected, strict=True):
        assert torch.nn.functional.cosine_similarity(found, wanted, dim=0) > 0.999
        assert found.norm().item() == pytest.approx(wanted.norm().item(), rel=0.01)


def test_int8_loads_and_answers_nearly_the_same(base):
    reference = logits(loading.load_model(base, "fp32", device="cpu"))
    found = logits(loading.load_model(base, "fp32", "int8", device="cpu"))
    assert (found - reference).norm() / reference.norm() < 0.1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dora": True},
        {"use_rslora": True, "lora_dropout": 0.1},
        {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"v_proj": 8}, "alpha_pattern": {"v_proj": 3}},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["q_proj"], "trainable_token_indices": [1, 2]},
        {"init_lora_weights": "pissa"},
    ],
    ids=str,
)
def test_an_adapter_loads_as_plain_peft_loads_it(tmp_path, options):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = make_base(tmp_path / "base", tied=False)
        folder = make_adapter(tmp_path / "adapter", base, **options)
        plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        before = logits(plain)
        expected = logits(PeftModel.from_pretrained(plain, folder))
        model = loading.load_adapter(loading.load_model(base, "fp32", device="cpu"), folder)
    assert torch.equal(logits(model), expected)
    assert (expected - before).abs().max() > 0.01
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_an_adapter_can_go_on_training_and_a_second_one_joins_it(base, adapter):
    model = loading.load_adapter(loading.load_model(base, "fp32", device="cpu"), adapter, trainable=True)
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert names and all("lora_" in name for name in names)
    expected = logits(model)
    assert loading.load_adapter(model, adapter, name="second") is model
    model.set_adapter("second")
    assert torch.equal(logits(model), expected)
    with model.disable_adapter():
        assert not torch.allclose(logits(model), expected)


@pytest.fixture
def spoiled(adapter, tmp_path):
    folder = tmp_path / "spoiled"
    folder.mkdir()
    for path in adapter.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(
    "extra",
    [
        {"peft_type": "PROMPT_TUNING"},
        {"peft_type": None},
        {"auto_mapping": {"base_model_class": "Evil", "parent_library": "evil"}},
        {"megatron_config": {"a": 1}},
        {"tokenizer_kwargs": {"trust_remote_code": True}},
        {"something_new": 3},
        {"r": 10**9},
        {"r": True},
        {"r": "4"},
        {"rank_pattern": {"(a+)+": 4}},
        {"rank_pattern": {"q_proj": 10**9}},
        {"lora_alpha": float("nan")},
        {"lora_dropout": 1.0},
        {"target_modules": None},
        {"target_modules": ["(a+)+$"]},
        {"modules_to_save": [".*"]},
        {"init_lora_weights": "pissa_niter_4"},
        {"layers_pattern": "(a+)+"},
        {"layer_replication": [[0, 10**6]]},
    ],
    ids=str,
)
def test_an_adapter_config_from_a_stranger_is_refused(base, spoiled, extra):
    change(spoiled / "adapter_config.json", **extra)
    model = loading.load_model(base, "fp32", device="cpu")
    assert code_of(loading.load_adapter, model, spoiled) == "adapter_refused"
    assert not any("lora" in name for name, _ in model.named_modules())


def test_a_regular_expression_for_target_modules_is_not_run(base, adapter, spoiled):
    expected = logits(loading.load_adapter(loading.load_model(base, "fp32", device="cpu"), adapter))
    change(spoiled / "adapter_config.json", target_modules="(.*.*.*)*x", exclude_modules="(a+)+$")
    model = loading.load_adapter(loading.load_model(base, "fp32", device="cpu"), spoiled)
    assert torch.equal(logits(model), expected)


def test_the_base_model_that_an_adapter_names_is_ignored(base, spoiled):
    change(spoiled / "adapter_config.json", base_model_name_or_path="/nowhere/else", revision="evil")
    model = loading.load_adapter(loading.load_model(base, "fp32", device="cpu"), spoiled)
    assert "/nowhere" not in str(model.peft_config["default"].base_model_name_or_path)


def test_an_adapter_in_a_pickle_is_refused(base, spoiled):
    (spoiled / "adapter_model.safetensors").rename(spoiled / "adapter_model.bin")
    model = loading.load_model(base, "fp32", device="cpu")
    assert code_of(loading.load_adapter, model, spoiled) == "adapter_missing"


def test_an_adapter_that_is_cut_off_is_refused(base, spoiled):
    weights = spoiled / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    model = loading.load_model(base, "fp32", device="cpu")
    assert code_of(loading.load_adapter, model, spoiled) == "damaged_weights"


def test_an_adapter_without_some_of_its_tensors_is_refused(base, spoiled):
    weights = spoiled / "adapter_model.safetensors"
    tensors = load_file(weights)
    del tensors[next(name for name in tensors if "lora_B" in name)]
    save_file(tensors, weights, metadata={"format": "pt"})
    model = loading.load_model(base, "fp32", device="cpu")
    assert code_of(loading.load_adapter, model, spoiled) == "adapter_mismatch"


def test_an_adapter_for_another_model_is_refused_before_it_touches_this_one(adapter, tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=264, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    other = LlamaForCausalLM(config)
    assert code_of(loading.load_adapter, other, adapter) == "adapter_mismatch"
    config.hidden_size, config.num_hidden_layers = 64, 1
    shallow = LlamaForCausalLM(config)
    assert code_of(loading.load_adapter, shallow, adapter) == "adapter_mismatch"
    assert not any("lora" in name for model in (other, shallow) for name, _ in model.named_modules())
