"""Files of LLaMA-Factory's are read as they were meant, and what is not used is named; other tools' names lead to ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

import workbench.methods  # noqa: F401 - makes the methods' options known
from tests.test_commands import say
from workbench.config.errors import WorkbenchError
from workbench.config.fields import knobs, names_elsewhere
from workbench.config.foreign import is_llama_factory, translated
from workbench.config.presets import Preset, load_preset
from workbench.config.run import RunConfig
from workbench.config.versions import migrated

# As in its own examples, for a LoRA with SFT and one with DPO.
SFT = """
### model
model_name_or_path: Qwen/Qwen3-4B-Instruct-2507
trust_remote_code: true

### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all

### dataset
dataset: identity,alpaca_en_demo
template: qwen3_nothink
cutoff_len: 2048
max_samples: 1000
preprocessing_num_workers: 16
dataloader_num_workers: 4

### output
output_dir: saves/qwen3-4b/lora/sft
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
report_to: none

### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null
"""
DPO = """
model_name_or_path: starter
stage: dpo
finetuning_type: full
pref_beta: 0.2
pref_loss: hinge
pref_ftx: 0.5
dataset: shorter-kinder
val_size: 0.1
eval_steps: 50
per_device_eval_batch_size: 2
optim: adamw_bnb_8bit
seed: 7
"""


def read(tmp_path: Path, text: str) -> Preset:
    file = tmp_path / "qwen3_lora_sft.yaml"
    file.write_text(text, encoding="utf-8")
    return load_preset(file)


def notes_of(preset: Preset) -> str:
    return "\n".join(note.to("en") for note in preset.notes)


def test_its_example_for_lora_is_read_whole(tmp_path: Path) -> None:
    preset = read(tmp_path, SFT)
    config = preset.config()
    expected = RunConfig().changed(
        {
            "model.base": "Qwen/Qwen3-4B-Instruct-2507", "data.train": "identity", "data.max_length": 2048,
            "data.max_rows": 1000, "data.eval_share": 0, "adapter.rank": 8, "adapter.alpha": 16, "precision.dtype": "bf16",
            "optimization.batch_size": 1, "optimization.accumulation": 8, "optimization.learning_rate": 1e-4,
            "optimization.epochs": 3.0, "optimization.scheduler": "cosine", "optimization.warmup_ratio": 0.1,
            "checkpoints.every_steps": 500, "output.name": "sft",
        }
    )  # fmt: skip
    assert config == expected
    said = notes_of(preset)
    assert "qwen3_lora_sft.yaml is a LLaMA-Factory file" in said
    assert "Only the first data set is used: identity" in said and "not 'qwen3_nothink' by name" in said
    assert "Not needed here" in said and "plot_loss" in said and "Without a counterpart" not in said


def test_what_the_file_says_nothing_of_is_as_there(tmp_path: Path) -> None:
    config = read(tmp_path, "model_name_or_path: starter\nlora_rank: 64\n").config()
    assert (config.adapter.rank, config.adapter.alpha) == (64, 128), "alpha is twice the rank there"
    assert config.data.max_length == 2048 and config.data.eval_share == 0
    assert config.optimization.learning_rate == 5e-5 and config.optimization.warmup_ratio == 0
    assert (config.optimization.batch_size, config.optimization.epochs) == (8, 3.0)
    assert config.optimization.scheduler == "linear" and config.method.kind == "sft"


def test_its_preferences_are_read_too(tmp_path: Path) -> None:
    config = read(tmp_path, DPO).config()
    assert config.adapter.kind == "none" and config.method.model_dump() == {
        "kind": "dpo", "beta": 0.2, "loss": "hinge", "label_smoothing": 0.1, "sft_weight": 0.5,
    }  # fmt: skip
    assert config.data.eval_share == 0.1 and config.evaluation.every_steps == 50 and config.evaluation.batch_size == 2
    assert config.optimization.optimizer == "adamw_8bit" and config.optimization.seed == 7


@pytest.mark.parametrize(
    "line, path, value",
    [
        ("lora_target: q_proj, v_proj", "adapter.target_modules", ["q_proj", "v_proj"]),
        ("lora_target: [q_proj, v_proj]", "adapter.target_modules", ["q_proj", "v_proj"]),
        ("additional_target: embed_tokens,lm_head", "adapter.modules_to_save", ["embed_tokens", "lm_head"]),
        ("use_dora: true", "adapter.kind", "dora"),
        ("use_rslora: true", "adapter.rank_stabilized", True),
        ("lora_alpha: 5", "adapter.alpha", 5),
        ("quantization_bit: 4", "model.quantization", "nf4"),
        ("quantization_bit: 8", "model.quantization", "int8"),
        ("quantization_bit: null", "model.quantization", "none"),
        ("fp16: true", "precision.dtype", "fp16"),
        ("disable_gradient_checkpointing: true", "precision.activation_checkpointing", "off"),
        ("train_on_prompt: true", "data.learn", "all"),
        ("dataset: all", "data.train", "all"),
        ("eval_dataset: other", "data.eval", "other"),
        ("max_steps: -1", "optimization.max_steps", 0),
        ("max_steps: 20", "optimization.max_steps", 20),
        ("warmup_steps: 0.2", "optimization.warmup_ratio", 0.2),
        ("neftune_noise_alpha: 5", "optimization.neftune_alpha", 5.0),
        ("max_grad_norm: 0.3", "optimization.max_grad_norm", 0.3),
        ("weight_decay: 0.01", "optimization.weight_decay", 0.01),
        ("save_total_limit: 5", "checkpoints.keep", 5),
        (r"output_dir: C:\runs\mine", "output.name", "mine"),
        ("run_name: a run", "output.name", "a run"),
    ],
)
def test_each_of_its_keys_is_the_setting_that_it_means(tmp_path: Path, line: str, path: str, value: Any) -> None:
    preset = read(tmp_path, f"model_name_or_path: starter\n{line}\n")
    section, _, name = path.partition(".")
    assert preset.config().values()[section][name] == value
    assert "Without a counterpart" not in notes_of(preset)


@pytest.mark.parametrize("key", ["mask_history: true", "warmup_steps: 100", "adapter_name_or_path: saves/old", "val_size: 200",
                                 "use_badam: true", "data_seed: 3", "something_new: {a: 1}"])  # fmt: skip
def test_what_has_no_counterpart_is_named(tmp_path: Path, key: str) -> None:
    preset = read(tmp_path, f"stage: sft\n{key}\n")
    assert preset.config() == read(tmp_path, "stage: sft\n").config(), "and changes nothing"
    (line,) = (note for note in preset.notes if note.to("en").startswith("Without a counterpart"))
    name = key.partition(":")[0]
    assert name in line.to("en") and name in line.to("zh")


@pytest.mark.parametrize(
    "line, field",
    [
        ("stage: nosuch", "method.kind"),
        ("finetuning_type: oft", "adapter.kind"),
        ("optim: muon", "optimization.optimizer"),
        ("stage: dpo\npref_loss: simpo", "method.loss"),
        ("quantization_bit: 3", "model.quantization"),
        ("lora_rank: many", "adapter.rank"),
        ("lora_target: {a: 1}", "adapter.target_modules"),
        ("stage: [1]", "method.kind"),
        ("gradient_checkpointing: [1]", "precision.activation_checkpointing"),
    ],
)
def test_another_method_is_refused_at_its_field_and_not_replaced(tmp_path: Path, line: str, field: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        read(tmp_path, f"do_train: true\n{line}\n").config()
    assert caught.value.field == field


def test_our_own_files_stay_ours(tmp_path: Path) -> None:
    assert not is_llama_factory({"model": {"base": "starter"}, "stage": "sft"})
    assert read(tmp_path, "optimization:\n  epochs: 2\n").notes == ()
    with pytest.raises(WorkbenchError) as caught:
        read(tmp_path, "model: {base: starter}\nstage: sft\n").config()
    assert caught.value.field == "stage" and "Here it is called 'method.kind'." in caught.value.hint.to("en")


@settings(max_examples=150, deadline=None)
@given(
    some.dictionaries(
        some.sampled_from([*names_elsewhere(RunConfig), "pref_loss", "template", "nothing"]),
        some.one_of(some.none(), some.booleans(), some.integers(), some.floats(), some.text(max_size=8),
                    some.lists(some.text(max_size=3), max_size=2), some.dictionaries(some.text(max_size=2), some.integers())),
    )
)  # fmt: skip
def test_whatever_stands_in_such_a_file_is_taken_or_told(values: dict[str, Any]) -> None:
    ours, told = translated({**values, "do_train": True}, "file.yaml")
    assert told and all(note.to("zh") for note in told)
    try:
        RunConfig.parse(ours)
    except WorkbenchError as error:
        assert error.field, "a person is told where"


# Other tools' names


def test_no_name_of_another_tool_means_two_settings_or_is_one_of_ours() -> None:
    every = [*knobs(RunConfig)]
    names = [name for setting in every for name in setting.knob.also]
    assert len(names) == len(set(names)) and len(names) > 50
    assert not {setting.path.rpartition(".")[2] for setting in every} & set(names)


@pytest.mark.parametrize(
    "word, here",
    [
        ("lora_alpha=8", "adapter.alpha"),
        ("adapter.lora_r=8", "adapter.rank"),
        ("optimization.per_device_train_batch_size=2", "optimization.batch_size"),
        ("cutoff_len=99", "data.max_length"),
        ("method.pref_beta=0.2", "method.beta"),
    ],
)
def test_a_name_of_another_tool_leads_to_ours(tmp_path: Path, word: str, here: str) -> None:
    said = say("train", "shorter-kinder", word, "--home", tmp_path)
    assert said.code == 2 and f"Here it is called '{here}'." in said.err
    assert f"在这里叫“{here}”。" in say("train", "shorter-kinder", word, "--home", tmp_path, "--lang", "zh").err


def test_the_command_line_says_what_it_read_and_shows_it_as_ours(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(DPO + "mask_history: true\n", encoding="utf-8")
    shown = say("presets", "show", file, "--home", tmp_path)
    assert shown.code == 0 and "mask_history" in shown.err and "mask_history" not in shown.out
    assert RunConfig.parse(migrated(yaml.safe_load(shown.out))[0]) == load_preset(file).config()
    refused = say("train", file, "model.base=nosuch", "--home", tmp_path)
    assert refused.code == 2 and "LLaMA-Factory" in refused.err and "nosuch" in refused.err


def test_the_search_puts_the_name_before_the_label_and_that_before_a_word_of_the_help(tmp_path: Path) -> None:
    from tests.ui_double import FakeEngine
    from workbench.ui.page import build
    from workbench.ui.settingsearch import SHOWN, find

    form = build(FakeEngine(tmp_path)).shell.shared["train.form"]

    def paths(words: str, kind: str = "sft") -> list[str]:
        return [field.setting.path for field in find(form, words, {"method": {"kind": kind}})]

    assert paths("cutoff_len") == paths("CUTOFF") == ["data.max_length"]
    assert paths("r")[0] == "adapter.rank", "a name that is just that"
    assert paths("学习率")[0] == paths("learning rate")[0] == "optimization.learning_rate"
    assert paths("beta")[-1] == "method.beta" and paths("beta", "dpo")[0] == "method.beta"
    assert len(paths("memory")) == SHOWN and paths("memory less")[0] in paths("memory")
    assert paths("") == paths("  ") == paths("no such thing") == []
