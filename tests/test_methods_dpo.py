"""What DPO learns, and that its reference is the model before training."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from tests.method_parts import logged, make_parts, preferences, tiny_llama, watch_steps
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.methods import METHODS

pytestmark = pytest.mark.usefixtures("torch_one_thread")

KINDS = pytest.mark.parametrize("adapter", ["lora", "none"])


def parts_for(folder: Path, rows: list[dict[str, Any]] | None = None, **changes: Any) -> Any:
    rate = 1e-3 if changes.get("adapter__kind") == "none" else 1e-2
    changes = {"optimization__learning_rate": rate, **changes}
    return make_parts(folder, preferences() if rows is None else rows, method__kind="dpo", **changes)


def build(folder: Path, rows: list[dict[str, Any]] | None = None, **changes: Any) -> Any:
    return METHODS["dpo"].build_trainer(parts_for(folder, rows, **changes))


def log_probability(model: Any, row: dict[str, list[int]], side: str) -> float:
    """log P(answer | prompt), computed without any trainer."""
    import torch

    prompt, answer = row["prompt_ids"], row[f"{side}_ids"]
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum().item()


def margin(model: Any, row: dict[str, list[int]]) -> float:
    return log_probability(model, row, "chosen") - log_probability(model, row, "rejected")


@KINDS
def test_training_starts_at_the_reference(adapter: str, tmp_path: Path) -> None:
    trainer = build(tmp_path, steps=1, adapter__kind=adapter, evaluation_rows=preferences(6))
    before = trainer.evaluate()
    trainer.train()
    assert before["eval_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert before["eval_rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert logged(trainer)[0] == pytest.approx(math.log(2), abs=1e-5)
    assert logged(trainer, "rewards/margins")[0] == pytest.approx(0, abs=1e-4)


@KINDS
def test_nothing_random_comes_between_the_model_and_its_reference(adapter: str, tmp_path: Path) -> None:
    """Embedding noise and dropout would move the first margin, which is that of a model against itself."""
    dropout = {"adapter__dropout": 0.5} if adapter == "lora" else {}
    trainer = build(tmp_path, steps=1, adapter__kind=adapter, **dropout, optimization__neftune_alpha=5.0)
    trainer.train()
    assert logged(trainer, "rewards/margins")[0] == pytest.approx(0, abs=1e-4)
    assert logged(trainer)[0] == pytest.approx(math.log(2), abs=1e-5)


@KINDS
def test_the_preferred_answer_gains_on_the_other(adapter: str, tmp_path: Path) -> None:
    trainer = build(tmp_path, steps=15, adapter__kind=adapter)
    row = trainer.train_dataset[0]
    before = margin(trainer.model, row)
    trainer.train()
    assert margin(trainer.model, row) > before + 5
    assert logged(trainer)[-1] < 0.5 < logged(trainer)[0]
    assert logged(trainer, "rewards/margins")[-1] > 1


@pytest.mark.parametrize(
    "changes",
    [
        {"adapter__kind": "lora"},
        {"adapter__kind": "none"},
        {"adapter__bias": "all"},
        {"adapter__bias": "lora_only"},
        {"adapter__modules_to_save": ["lm_head"]},
    ],
    ids=str,
)
def test_margins_are_measured_from_the_model_before_training(changes: dict[str, Any], tmp_path: Path) -> None:
    """What trl logs as margin is beta x (margin now - margin of an untouched copy of the base model)."""
    model = tiny_llama(attention_bias=True, mlp_bias=True)
    untouched = copy.deepcopy(model)
    rows = preferences(4)
    trainer = build(tmp_path, steps=10, evaluation_rows=rows, model=model, **changes)
    trainer.train()
    found = trainer.evaluate()["eval_rewards/margins"]
    expected = [margin(trainer.model, row) - margin(untouched, row) for row in trainer.eval_dataset]
    assert abs(found) > 0.5
    assert found == pytest.approx(0.1 * sum(expected) / len(expected), rel=1e-3)


def test_there_is_one_adapter_and_no_second_model(tmp_path: Path) -> None:
    trainer = build(tmp_path)
    assert list(trainer.model.peft_config) == ["default"]
    assert trainer.ref_model is None
    trainer.model.save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "ref").exists()


@pytest.mark.parametrize("loss", ["sigmoid_norm", "ipo", "hinge", "robust", "apo_zero"])
def test_every_loss_learns_the_preference(loss: str, tmp_path: Path) -> None:
    trainer = build(tmp_path, steps=12, method__loss=loss)
    trainer.train()
    assert logged(trainer)[-1] < logged(trainer)[0]
    assert logged(trainer, "rewards/margins")[-1] > 0.1


def test_imitating_the_preferred_answer_keeps_it_likely(tmp_path: Path) -> None:
    plain, mixed = (build(tmp_path / str(weight), steps=12, method__sft_weight=weight) for weight in (0.0, 1.0))
    row = plain.train_dataset[0]
    plain.train()
    mixed.train()
    assert log_probability(mixed.model, row, "chosen") > log_probability(plain.model, row, "chosen")


@KINDS
def test_going_on_from_a_checkpoint_is_exact(adapter: str, tmp_path: Path) -> None:
    import torch

    def run(checkpoint: str | None) -> Any:
        parts = parts_for(tmp_path, steps=6, adapter__kind=adapter)
        parts.arguments["save_steps"] = 3
        trainer = METHODS["dpo"].build_trainer(parts)
        steps = watch_steps(trainer)
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer, steps

    whole, all_steps = run(None)
    resumed, later_steps = run(str(tmp_path / "out" / "checkpoint-3"))
    assert all_steps == [0, *range(1, 7)]
    assert later_steps == [3, 4, 5, 6], "it went on, and did not begin again with the same seed"
    assert logged(whole)[-3:] == logged(resumed)[-3:]
    for ours, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_dropped_pairs_and_settings_without_effect_are_reported(tmp_path: Path) -> None:
    reports = []
    long = {**preferences(1)[0], "prompt": [{"role": "user", "content": "x" * 99}]}
    parts = parts_for(
        tmp_path, [*preferences(5), long], data__max_length=32, adapter__dropout=0.1, optimization__neftune_alpha=5.0
    )
    parts.report = reports.append
    trainer = METHODS["dpo"].build_trainer(parts)
    texts = " ".join(report.to("en") for report in reports)
    assert len(trainer.train_dataset) == 5
    assert "1 of 6 training rows are left out" in texts
    assert "without dropout" in texts and "without embedding noise" in texts
    assert "不加嵌入噪声" in " ".join(report.to("zh") for report in reports)


def test_nothing_is_reported_of_a_run_without_dropout_and_noise(tmp_path: Path) -> None:
    reports: list[Any] = []
    parts = parts_for(tmp_path)
    parts.report = reports.append
    METHODS["dpo"].build_trainer(parts)
    assert reports == []


def test_stop_is_heard_while_the_reference_is_computed(tmp_path: Path) -> None:
    parts = parts_for(tmp_path, adapter__kind="none")
    parts.progress = lambda done, total: parts.stop.set() if done else None
    with pytest.raises(StopRequested):
        METHODS["dpo"].build_trainer(parts)


def test_a_tokenizer_without_chat_template_is_refused(tmp_path: Path) -> None:
    parts = parts_for(tmp_path)
    parts.tokenizer.chat_template = None
    with pytest.raises(WorkbenchError) as caught:
        METHODS["dpo"].build_trainer(parts)
    assert caught.value.code == "no_chat_template"
