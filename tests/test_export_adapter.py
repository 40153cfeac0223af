"""The adapter's zip works elsewhere in plain transformers and peft, and the card says how."""

import json
import re
import runpy
import shutil
import zipfile

import pytest
import yaml

from tests.tiny_models import logits, make_adapter, make_base
from workbench.config.errors import WorkbenchError
from workbench.export.adapter import zip_adapter
from workbench.export.card import portable_name, write_card

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("export") / "tiny-llama")


@pytest.fixture(scope="module")
def adapter(base):
    return make_adapter(base.parent / "adapter", base)


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def snippet(card):
    return re.search(r"```python\n(.*?)```", card, re.DOTALL).group(1)


def test_the_zip_gives_the_same_answers_in_plain_transformers_and_peft(base, adapter, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from workbench.models.loading import load_adapter, load_model

    tuned = logits(load_adapter(load_model(base, "fp32", device="cpu"), adapter))
    path = zip_adapter(adapter, tmp_path / "exports" / "mine.zip", None)
    zipfile.ZipFile(path).extractall(tmp_path / "elsewhere")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    assert not torch.allclose(logits(plain), tuned)
    plain = PeftModel.from_pretrained(plain, tmp_path / "elsewhere")
    assert torch.equal(logits(plain), tuned)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "elsewhere")
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "<|user|>hi<|end|>"


def test_the_same_adapter_gives_the_same_bytes(adapter, tmp_path):
    first = zip_adapter(adapter, tmp_path / "a.zip", None).read_bytes()
    for path in adapter.iterdir():
        path.touch()
    second = zip_adapter(adapter, tmp_path / "b.zip", None).read_bytes()
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip"]


def test_the_zip_holds_what_is_needed_and_nothing_of_this_computer(adapter, base, tmp_path):
    folder = tmp_path / "adapter"
    shutil.copytree(adapter, folder)
    (folder / "optimizer.pt").write_bytes(b"x")
    (folder / "training_args.bin").write_bytes(b"x")
    archive = zipfile.ZipFile(zip_adapter(folder, tmp_path / "mine.zip", "A card of my own."))
    assert sorted(archive.namelist()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert archive.read("README.md") == b"A card of my own."
    assert json.loads(archive.read("adapter_config.json"))["base_model_name_or_path"] == "tiny-llama"
    assert not any(str(base.parent).encode() in archive.read(name) for name in archive.namelist())


def test_the_base_models_name_can_be_given(adapter, tmp_path):
    archive = zipfile.ZipFile(zip_adapter(adapter, tmp_path / "mine.zip", None, base_model="org/tiny-llama"))
    assert json.loads(archive.read("adapter_config.json"))["base_model_name_or_path"] == "org/tiny-llama"
    assert front_matter(archive.read("README.md").decode())["base_model"] == "org/tiny-llama"


def test_a_folder_without_adapter_leaves_no_zip_behind(base, tmp_path):
    with pytest.raises(WorkbenchError) as caught:
        zip_adapter(base, tmp_path / "mine.zip", None)
    assert caught.value.code == "adapter_missing"
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_older_zip(adapter, tmp_path, monkeypatch):
    path = zip_adapter(adapter, tmp_path / "mine.zip", "old")
    before = path.read_bytes()
    monkeypatch.setattr("workbench.export.adapter._add_file", lambda *_: (_ for _ in ()).throw(OSError("disk gone")))
    with pytest.raises(OSError, match="disk gone"):
        zip_adapter(adapter, path, "new")
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.zip"]


def test_a_full_disk_is_found_before_writing(adapter, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(WorkbenchError) as caught:
        zip_adapter(adapter, tmp_path / "mine.zip", None)
    assert caught.value.code == "disk_full"


def test_the_cards_code_runs_where_the_zip_was_unpacked(adapter, base, tmp_path, monkeypatch, capsys):
    zipfile.ZipFile(zip_adapter(adapter, tmp_path / "mine.zip", None)).extractall(tmp_path / "elsewhere")
    shutil.copytree(base, tmp_path / "elsewhere" / "tiny-llama")
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "use.py").write_text(snippet((tmp_path / "elsewhere" / "README.md").read_text()))
    result = runpy.run_path(str(tmp_path / "use.py"))
    assert result["output"].shape[1] > result["inputs"]["input_ids"].shape[1]
    assert capsys.readouterr().out.endswith("\n")


@pytest.mark.parametrize("kind", ["adapter", "model"])
@pytest.mark.parametrize("chat", [True, False])
def test_every_cards_code_is_python(kind, chat):
    card = write_card(base='we"ird\nname', kind=kind, chat=chat, dtype="bf16", tokenizer_inside=False)
    compile(snippet(card), "card", "exec")
    assert 'dtype="bfloat16"' in card


def test_the_card_tells_what_the_run_was():
    card = write_card(
        base="Qwen/Qwen2.5-0.5B",
        name="Pirate",
        method="sft",
        made="supervised fine-tuning",
        dataset="pirate talk",
        settings={"adapter.rank": 16, "optimization.learning_rate": 3e-3, "adapter.target_modules": ["q", "v"]},
        losses={"training": 0.41234567, "evaluation": None},
        license="apache-2.0",
        languages=["en", "zh"],
    )
    assert front_matter(card) == {
        "base_model": "Qwen/Qwen2.5-0.5B",
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "language": ["en", "zh"],
        "tags": ["lora", "sft", "fine-tuned"],
    }
    for part in (
        "# Pirate",
        "pirate talk",
        "supervised",
        "| optimization.learning_rate | 0.003 |",
        "| q, v |",
        "0.412346",
    ):
        assert part in card
    assert "evaluation" not in card


def test_what_is_unknown_is_left_out_of_the_card():
    card = write_card(base="starter")
    assert "license" not in card and "Settings" not in card and "losses" not in card and "datasets" not in card


def test_a_card_holds_no_token_no_folder_and_no_markup_of_others():
    card = write_card(
        base="/home/anna/models/starter/model",
        name="<script>alert(1)</script>",
        dataset="a | b\n# heading",
        settings={"output.name": "hf_abcdefghijklmnop", "x": "`code` <b>"},
    )
    assert front_matter(card)["base_model"] == "starter"
    for part in ("hf_abc", "/home", "anna", "<script>", "<b>", "\n# heading"):
        assert part not in card
    assert "a \\| b # heading" in card


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("starter", "starter"),
        ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B"),
        ("/home/anna/models/llama", "llama"),
        ("/app/workbench/models/starter/model", "starter"),
        ("C:\\Users\\anna\\models\\llama", "llama"),
        ("C:/Users/anna/models/llama/", "llama"),
        ("./models/llama", "llama"),
        ("/cache/hub/models--org--llama-1b/snapshots/0123abc", "org/llama-1b"),
    ],
)
def test_a_folder_becomes_a_name_that_means_something_elsewhere(base, name):
    assert portable_name(base) == name
