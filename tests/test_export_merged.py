"""A merged folder answers as base and adapter did together, and appears whole or not at all."""

import re
import runpy
import shutil
import threading

import pytest
from safetensors.torch import load_file, save_file

from tests.tiny_models import logits, make_adapter, make_base, make_tokenizer
from workbench.config.errors import StopRequested, WorkbenchError

torch = pytest.importorskip("torch")
from workbench.export.merged import merge  # noqa: E402
from workbench.models.files import check_folder  # noqa: E402
from workbench.models.loading import load_adapter, load_model  # noqa: E402


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("merge") / "tiny-llama")


@pytest.fixture(scope="module")
def adapter(base):
    return make_adapter(base.parent / "adapter", base)


def plain(folder, dtype="float32"):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))


def tuned(base, adapter):
    return logits(load_adapter(load_model(base, "fp32", device="cpu"), adapter))


def code_of(*arguments, **options):
    with pytest.raises(WorkbenchError) as caught:
        merge(*arguments, **options)
    caught.value.to("zh")
    return caught.value.code


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"use_rslora": True}], ids=str)
def test_the_merged_folder_answers_like_base_and_adapter(base, tmp_path, options):
    adapter = make_adapter(tmp_path / "adapter", base, **options)
    expected = tuned(base, adapter)
    folder = merge(base, adapter, tmp_path / "merged", "fp32")
    assert folder == tmp_path / "merged"
    assert (logits(plain(folder)) - expected).abs().max() < 1e-5
    assert (logits(plain(base)) - expected).abs().max() > 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "merged"]


def test_the_merged_folder_brings_tokenizer_template_settings_and_a_card_that_runs(
    base, adapter, tmp_path, monkeypatch, capsys
):
    folder = merge(base, adapter, tmp_path / "merged", "fp32")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert (folder / "generation_config.json").read_bytes() == (base / "generation_config.json").read_bytes()
    assert check_folder(folder).has_template
    for path in folder.glob("*[nda]"):
        assert str(base.parent).encode() not in path.read_bytes()
    (tmp_path / "use.py").write_text(
        re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S).group(1)
    )
    monkeypatch.chdir(folder)
    result = runpy.run_path(str(tmp_path / "use.py"))
    assert result["output"].shape[1] > result["inputs"]["input_ids"].shape[1]
    assert capsys.readouterr().out


def test_the_template_that_was_trained_with_is_the_one_that_is_taken(base, adapter, tmp_path):
    shutil.copytree(adapter, tmp_path / "adapter")
    make_tokenizer(tmp_path / "adapter", template="{{ messages[-1]['content'] }}")
    folder = merge(base, tmp_path / "adapter", tmp_path / "merged", "fp32", card="My card.")
    assert (folder / "chat_template.jinja").read_text() == "{{ messages[-1]['content'] }}"
    assert (folder / "README.md").read_text() == "My card."


@pytest.mark.parametrize(("chosen", "stored"), [("auto", "bf16"), ("bf16", "bf16"), ("fp16", "fp16"), ("fp32", "fp32")])
def test_the_dtype_asked_for_is_the_one_written(tmp_path, chosen, stored):
    base = make_base(tmp_path / "base", dtype="bfloat16")
    adapter = make_adapter(tmp_path / "adapter", base)
    weights = (base / "model.safetensors").read_bytes()
    folder = merge(base, adapter, tmp_path / "merged", chosen)
    assert check_folder(folder).dtype == stored
    assert (base / "model.safetensors").read_bytes() == weights  # though it is mapped into memory and merged in place
    found, expected = logits(plain(folder)), tuned(base, adapter)
    assert (found - expected).norm() / expected.norm() < 0.05


def test_an_output_layer_that_was_trained_apart_stays_apart(base, tmp_path):
    adapter = make_adapter(tmp_path / "adapter", base, target_modules=["q_proj"], modules_to_save=["lm_head"])
    expected = tuned(base, adapter)
    folder = merge(base, adapter, tmp_path / "merged", "fp32")
    assert (logits(plain(folder)) - expected).abs().max() < 1e-5


def test_merging_what_quantising_left_answers_like_the_quantised_model(base, adapter, tmp_path):
    expected = logits(load_adapter(load_model(base, "fp32", "nf4", device="cpu"), adapter))
    folder = merge(base, adapter, tmp_path / "merged", "fp32", quantization="nf4")
    assert (logits(plain(folder)) - expected).abs().max() < 1e-3
    assert "quantization_config" not in check_folder(folder).config


def test_a_fully_tuned_model_is_copied_as_it_is(base, tmp_path):
    folder = merge(base, None, tmp_path / "copy", "auto")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "generation_config.json"):
        assert (folder / name).read_bytes() == (base / name).read_bytes()
    assert torch.equal(logits(plain(folder)), logits(plain(base)))


def test_a_fully_tuned_model_in_shards_is_copied_and_cast(tmp_path):
    base = make_base(tmp_path / "base", shard="100KB")
    copied = merge(base, None, tmp_path / "copy", "fp32")
    assert len(check_folder(copied).weights) == len(check_folder(base).weights) > 1
    cast = merge(base, None, tmp_path / "cast", "bf16")
    assert check_folder(cast).dtype == "bf16"
    assert torch.equal(logits(plain(cast, "bfloat16")), logits(plain(base, "bfloat16")))


def test_contradictory_generation_settings_do_not_stop_a_merge(base, adapter, tmp_path):
    shutil.copytree(base, tmp_path / "base")
    settings = '{"do_sample": false, "temperature": 0.5, "top_p": 0.5, "eos_token_id": 257}'
    (tmp_path / "base" / "generation_config.json").write_text(settings)
    folder = merge(tmp_path / "base", adapter, tmp_path / "merged", "fp32")
    assert (folder / "generation_config.json").read_text() == settings


def test_a_folder_in_use_is_refused_and_left_as_it_was(base, adapter, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    assert code_of(base, adapter, tmp_path / "full") == "destination_exists"
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"
    (tmp_path / "file").write_text("keep")
    assert code_of(base, adapter, tmp_path / "file") == "destination_exists"
    for inside in (base / "merged", base, adapter / "merged", base.parent):
        assert code_of(base, adapter, inside) == "destination_exists"
    (tmp_path / "empty").mkdir()
    assert (merge(base, adapter, tmp_path / "empty") / "config.json").is_file()


def test_a_full_disk_is_found_before_anything_is_loaded(base, adapter, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr("workbench.export.merged.load_for", lambda *_, **__: pytest.fail("was loaded"))
    assert code_of(base, adapter, tmp_path / "merged") == "disk_full"
    assert not list(tmp_path.iterdir())


def test_progress_is_told_and_stop_is_heard_at_every_step(base, adapter, tmp_path):
    told = []
    merge(
        base, adapter, tmp_path / "whole", progress=lambda text, done, total: told.append((text.to("zh"), done, total))
    )
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert {total for *_, total in told} == {len(told)}
    for last in range(len(told) - 1):
        stop = threading.Event()

        def progress(text, done, total, stop=stop, last=last):
            if done == last:
                stop.set()

        with pytest.raises(StopRequested):
            merge(base, adapter, tmp_path / "stopped", progress=progress, stop=stop)
        assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_weights_that_are_not_finite_are_not_exported(base, adapter, tmp_path):
    shutil.copytree(adapter, tmp_path / "adapter")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(weights)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    assert code_of(base, tmp_path / "adapter", tmp_path / "merged") == "not_finite"
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
