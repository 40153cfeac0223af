"""A model's folder is looked into without trusting it, and what is wrong with it is said."""

import json
import os
import re
import struct
import subprocess
import sys

import pytest

from tests.tiny_models import make_base
from workbench.config.errors import WorkbenchError
from workbench.models import reading
from workbench.models.catalog import check_folder
from workbench.models.config_file import text_architectures
from workbench.models.tokenizer_file import check_tokenizer


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("sound") / "llama")


@pytest.fixture
def folder(sound, tmp_path):
    """A copy that a test may spoil."""
    copy = tmp_path / "llama"
    copy.mkdir()
    for path in sound.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def code_of(folder, look=check_folder):
    with pytest.raises(WorkbenchError) as caught:
        look(folder)
    assert caught.value.field == "model.base"
    assert caught.value.to("zh") != caught.value.to("en")
    return caught.value.code


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_sound_folder_is_described_from_its_headers(folder):
    import torch
    from transformers import AutoModelForCausalLM

    files = check_folder(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert files.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert files.bytes == (folder / "model.safetensors").stat().st_size
    assert (files.dtype, files.has_template) == ("fp32", True)


def test_a_folder_in_shards_counts_the_same(sound, tmp_path):
    sharded = make_base(tmp_path / "sharded", shard="100KB")
    files = check_folder(sharded)
    assert len(files.weights) > 1
    assert files.parameters == check_folder(sound).parameters
    files.weights[-1].unlink()
    assert code_of(sharded) == "missing_shard"


def test_a_missing_folder_a_file_and_an_empty_folder_are_told_apart(tmp_path):
    assert code_of(tmp_path / "none") == "not_a_folder"
    (tmp_path / "file").write_text("x")
    assert code_of(tmp_path / "file") == "not_a_folder"
    assert code_of(tmp_path) == "no_config"


@pytest.mark.parametrize("content", ["{", "[1]", '"text"', "\xff\xfe", "[" * 100_000])
def test_a_config_that_is_no_json_object_is_named(folder, content):
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    assert code_of(folder) == "invalid_json"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{\n"a": }', "第 2 行"),
        (b"\xff\xfe", "不是 UTF-8 编码"),
        (b"[" * 100_000, "嵌套过深"),
        (b'{"a": ' + b"1" * 5000 + b"}", "有位数过多的数字"),
        (b" " * 2_000_000, "超过 1 MB"),
    ],
    ids=["syntax", "codec", "deep", "digits", "large"],
)
def test_why_a_file_is_no_json_is_said_in_chinese_too(folder, content, why, monkeypatch):
    monkeypatch.setattr(reading, "_JSON_LIMIT", 1024**2)
    (folder / "config.json").write_bytes(content)
    with pytest.raises(WorkbenchError) as caught:
        check_folder(folder)
    assert caught.value.message.to("zh") == f"config.json 不是可读取的 JSON（{why}）。"
    assert not re.search("[\u4e00-\u9fff]", caught.value.message.to("en"))


def test_a_file_that_the_system_does_not_let_read_is_named(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("workbench.models.files.read_tensor_headers", refuse)
    with pytest.raises(WorkbenchError) as caught:
        check_folder(folder)
    assert caught.value.message.to("zh") == "无法读取 model.safetensors（没有读取权限）。"


@pytest.mark.parametrize("kind", ["nosuch", "vit"])
def test_an_architecture_that_writes_no_text_is_found_before_it_is_loaded(folder, kind):
    change(folder / "config.json", model_type=kind)
    assert code_of(folder) == "unknown_architecture"


def test_the_architectures_are_those_that_transformers_itself_loads():
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert text_architectures() == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    # transformers asks by the class of the configuration, which another kind of model might share.
    kind_of = {config: kind for kind, config in CONFIG_MAPPING_NAMES.items()}
    loadable = {kind for kind, config in CONFIG_MAPPING_NAMES.items() if kind_of[config] in text_architectures()}
    assert loadable == text_architectures()
    assert CONFIG_MAPPING["llama"] in MODEL_FOR_CAUSAL_LM_MAPPING


def test_without_a_list_of_architectures_none_is_refused(folder, monkeypatch):
    monkeypatch.setattr("workbench.models.config_file.text_architectures", lambda: None)
    change(folder / "config.json", model_type="nosuch")
    check_folder(folder)


@pytest.mark.parametrize("key", ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"])
@pytest.mark.parametrize("value", [0, -1, "64", 1.5, True, {}])
def test_a_number_that_no_model_can_have_is_named(folder, key, value):
    change(folder / "config.json", **{key: value})
    with pytest.raises(WorkbenchError, match=f"config.json says {key} = "):
        check_folder(folder)
    assert code_of(folder) == "impossible_config"


def test_a_number_may_be_absent_or_one_for_each_layer(folder):
    change(folder / "config.json", num_key_value_heads=None, num_attention_heads=[4, 4], text_config={"n_layer": 2})
    check_folder(folder)
    change(folder / "config.json", text_config={"n_layer": 0})
    assert code_of(folder) == "impossible_config"


@pytest.mark.parametrize(
    "extra",
    [
        {"auto_map": {"AutoModelForCausalLM": "evil.Model"}},
        {"trust_remote_code": True},
        {"_attn_implementation_internal": "someone/kernel"},
        {"_experts_implementation_internal": "someone/kernel"},
        {"attn_implementation": "someone/kernel"},
        {"_attn_implementation": {"": "someone/kernel"}},
        {"text_config": {"_attn_implementation_internal": "someone/kernel"}},
        {"layers": [{"auto_map": {"AutoConfig": "evil.Config"}}]},
        {"transformers_weights": "../other/pytorch_model.bin"},
    ],
)
def test_a_config_that_asks_for_foreign_code_is_refused(folder, extra):
    change(folder / "config.json", **extra)
    assert code_of(folder) == "remote_code"


def test_a_tokenizer_that_asks_for_foreign_code_is_refused(folder):
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    assert code_of(folder) == "remote_code"


def test_known_attention_names_are_harmless(folder):
    change(folder / "config.json", attn_implementation="sdpa", auto_map=None, trust_remote_code=False)
    check_folder(folder)


def test_a_quantised_model_is_refused_with_its_method(folder):
    change(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    assert code_of(folder) == "quantized"


def test_an_adapter_is_not_taken_for_a_base_model(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/somewhere/else"}')
    assert code_of(folder) == "adapter_folder"


def test_pickled_weights_are_refused_and_the_reason_given(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WorkbenchError, match="pickle"):
        check_folder(folder)
    assert code_of(folder) == "no_safetensors"


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_weights_that_are_cut_off_are_found(folder, keep):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    assert code_of(folder) == "damaged_weights"


@pytest.mark.parametrize(
    "header",
    [b"[]", b"{}", b"not json", b'{"a": 5}', b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}'],
)
def test_a_header_that_makes_no_sense_is_found(folder, header):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert code_of(folder) == "damaged_weights"


def test_a_header_that_claims_to_be_huge_is_not_read(folder):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    assert code_of(folder) == "damaged_weights"


def test_a_folder_without_tokenizer_says_so(folder):
    (folder / "tokenizer.json").unlink()
    assert code_of(folder) == "no_tokenizer"


@pytest.mark.parametrize("keep", [0, 1, 1000])
def test_a_tokenizer_that_is_cut_off_is_seen_in_the_list(folder, keep):
    path = folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:keep])
    assert code_of(folder) == "broken_tokenizer"


# The tokenizers library does not survive this one: its error cuts a letter in two, and telling so ends the process.
DEADLY = {
    "version": "1.0",
    "added_tokens": [],
    "model": {
        "type": "BPE",
        "continuing_subword_prefix": "x",
        "vocab": {"a": 0, "中": 1, "a中": 2},
        "merges": [["a", "中"]],
    },
}


@pytest.mark.parametrize("content", [{}, {"model": {"type": "BPE"}}, {"model": 5}, DEADLY])
def test_a_tokenizer_that_looks_whole_and_is_not_is_found_by_reading_it(folder, content):
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    check_folder(folder)
    assert code_of(folder, check_tokenizer) == "broken_tokenizer"


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer.model": "\n\x0esentencepiece"},
        {"vocab.json": '{"a": 0}\n', "merges.txt": "a b\n"},
        {"vocab.txt": "a\n"},
    ],
    ids=["sentencepiece", "merges", "words"],
)
def test_other_kinds_of_tokenizers_pass_unless_they_are_cut_off(folder, files):
    (folder / "tokenizer.json").unlink()
    for name, content in files.items():
        (folder / name).write_text(content)
    check_folder(folder)
    check_tokenizer(folder)
    (folder / next(iter(files))).write_text("")
    assert code_of(folder) == "broken_tokenizer"


def test_a_template_is_seen_in_either_place(folder):
    (folder / "chat_template.jinja").unlink()
    assert not check_folder(folder).has_template
    change(folder / "tokenizer_config.json", chat_template="{{ messages }}")
    assert check_folder(folder).has_template


def test_an_index_cannot_name_files_outside_the_folder(folder):
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "../llama/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert code_of(folder) == "outside_folder"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_out_of_the_folder_are_refused_but_the_hub_cache_is_read(sound, folder, tmp_path):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(sound / "model.safetensors")
    assert code_of(folder) == "outside_folder"
    snapshot = tmp_path / "models--org--llama" / "snapshots" / "abc"
    blobs = tmp_path / "models--org--llama" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in sound.iterdir():
        (blobs / path.name).write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    assert check_folder(snapshot).parameters == check_folder(sound).parameters


def test_the_catalog_needs_no_torch(sound):
    heavy = {"torch", "transformers", "peft", "safetensors", "tokenizers"}
    code = (
        "import sys, workbench.export.adapter; from workbench.models.catalog import ModelCatalog;"
        "from workbench.models.tokenizer_file import check_tokenizer; from pathlib import Path;"
        "check_tokenizer(ModelCatalog(Path(sys.argv[1])).resolve(sys.argv[1], allow_paths=True).folder);"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(sound)], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
