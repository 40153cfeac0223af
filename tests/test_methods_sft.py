"""What SFT learns, and that doing it without padding changes nothing but the time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.method_parts import chats, logged, make_parts, preferences, tiny_llama, watch_steps
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.methods import METHODS

pytestmark = pytest.mark.usefixtures("torch_one_thread")


def build(folder: Path, train: list[dict[str, Any]] | None = None, **changes: Any) -> Any:
    return METHODS["sft"].build_trainer(make_parts(folder, chats() if train is None else train, **changes))


def stock(folder: Path, **changes: Any) -> Any:
    """trl's own trainer with padding, on the same rows."""
    from trl import SFTConfig, SFTTrainer

    parts = make_parts(folder, chats(), **changes)
    rows = build(folder / "rows", **changes).train_dataset
    return SFTTrainer(
        model=parts.model,
        args=SFTConfig(**parts.arguments, max_length=None),
        train_dataset=rows,
        processing_class=parts.tokenizer,
        peft_config=parts.peft_config,
    )


def answer_loss(model: Any, tokenizer: Any) -> float:
    """Mean loss of the answers, computed row by row and without any trainer."""
    import torch

    from workbench.data.tokens import encode_many

    total = count = 0.0
    for row in encode_many(tokenizer, "chat", chats(6)):
        with torch.no_grad():
            logits = model.eval()(input_ids=torch.tensor([row.input_ids])).logits[0, :-1]
        labels = torch.tensor(row.labels[1:])
        total += torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum").item()
        count += (labels != -100).sum().item()
    return total / count


@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_answers_are_learned(adapter: str, tmp_path: Path) -> None:
    trainer = build(tmp_path, steps=40, adapter__kind=adapter)
    before = answer_loss(trainer.model, trainer.processing_class)
    trainer.train()
    after = answer_loss(trainer.model, trainer.processing_class)
    assert before > 4
    assert after < 0.6
    assert trainer.padding_free


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"adapter__kind": "none", "optimization__learning_rate": 1e-3},
        {"optimization__accumulation": 3},
        {"precision__activation_checkpointing": "on"},
        {"optimization__batch_size": 1},
    ],
    ids=["lora", "full", "accumulation", "checkpointing", "one row"],
)
def test_losses_are_those_of_stock_trl(changes: dict[str, Any], tmp_path: Path) -> None:
    ours, theirs = build(tmp_path / "a", steps=5, **changes), stock(tmp_path / "b", steps=5, **changes)
    ours.train()
    theirs.train()
    assert logged(ours) == pytest.approx(logged(theirs), rel=1e-4)
    assert logged(ours, "grad_norm") == pytest.approx(logged(theirs, "grad_norm"), rel=1e-3)
    assert logged(ours, "mean_token_accuracy") == pytest.approx(logged(theirs, "mean_token_accuracy"), abs=1e-4)
    assert logged(ours, "num_tokens") == logged(theirs, "num_tokens")


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_operations_are_transformers_count_without_a_walk_at_each_step(kind: str, tmp_path: Path) -> None:
    from transformers import Trainer

    rows = chats() if kind == "sft" else preferences()
    trainer = METHODS[kind].build_trainer(make_parts(tmp_path, rows, method__kind=kind))
    batch = next(iter(trainer.get_train_dataloader()))
    expected = Trainer.floating_point_ops(trainer, batch)
    assert trainer.floating_point_ops(batch) == expected > 0
    trainer.model.num_parameters = None  # type: ignore[method-assign]
    assert trainer.floating_point_ops(batch) == expected
    assert trainer.floating_point_ops({}) == Trainer.floating_point_ops(trainer, {}) == 0


def test_bf16_is_computed_in_bf16(tmp_path: Path) -> None:
    import torch

    trainer = build(tmp_path, steps=2, precision__dtype="bf16")
    seen = set()
    layer = trainer.model.get_base_model().model.layers[0].mlp.down_proj.base_layer
    layer.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    trainer.train()
    assert seen == {torch.bfloat16}


def test_a_bf16_base_model_is_packed_too(tmp_path: Path) -> None:
    import torch

    trainer = build(tmp_path, steps=30, precision__dtype="bf16", model=tiny_llama().to(torch.bfloat16))
    trainer.train()
    assert trainer.padding_free
    assert logged(trainer)[-1] < 0.7 * logged(trainer)[0]


def test_models_that_cannot_be_packed_are_trained_with_padding(tmp_path: Path) -> None:
    from transformers import BloomConfig, BloomForCausalLM

    config = BloomConfig(vocab_size=264, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.1)
    trainer = build(tmp_path, model=BloomForCausalLM(config), steps=30)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.train()
    assert batch["input_ids"].shape[0] == 4
    assert "attention_mask" in batch
    assert logged(trainer)[-1] < 0.7 * logged(trainer)[0]


def test_many_logits_at_once_are_left_to_trls_head(tmp_path: Path, monkeypatch: Any) -> None:
    from workbench.methods.trainers import padding_free

    usual = build(tmp_path / "a", steps=3)
    usual.train()
    monkeypatch.setattr(padding_free, "MOST_LOGITS", 0)
    pieces = build(tmp_path / "b", steps=3)
    pieces.train()
    assert logged(pieces) == pytest.approx(logged(usual), rel=1e-4)


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_evaluation_is_the_same_for_every_batch_size(family: str, tmp_path: Path) -> None:
    from transformers import BloomConfig, BloomForCausalLM

    losses = []
    for size in (1, 2, 5):
        config = BloomConfig(vocab_size=264, hidden_size=32, n_layer=1, n_head=4)
        import torch

        torch.manual_seed(0)
        model = tiny_llama() if family == "llama" else BloomForCausalLM(config)
        trainer = build(
            tmp_path / str(size),
            model=model,
            evaluation_rows=chats(7),
            evaluation__batch_size=size,
            adapter__kind="none",
        )
        losses.append(trainer.evaluate()["eval_loss"])
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)
    if family == "llama":
        assert losses[0] == pytest.approx(answer_loss_of(tiny_llama(), chats(7), tmp_path), rel=1e-4)


def answer_loss_of(model: Any, rows: list[dict[str, Any]], folder: Path) -> float:
    import torch

    from workbench.data.tokens import encode_many

    encoded = encode_many(make_parts(folder / "t", rows).tokenizer, "chat", rows)
    total = count = 0.0
    for row in encoded:
        labels = torch.tensor([row.labels])
        with torch.no_grad():
            loss = model.eval()(input_ids=torch.tensor([row.input_ids]), labels=labels).loss.item()
        total += loss * row.learned
        count += row.learned
    return total / count


def test_going_on_from_a_checkpoint_is_exact_with_dropout(tmp_path: Path) -> None:
    import torch

    def run(folder: Path, resume: bool) -> Any:
        parts = make_parts(
            folder, chats(), steps=8, adapter__dropout=0.2, evaluation_rows=chats(4), optimization__accumulation=2
        )
        parts.arguments |= {"save_steps": 5, "eval_steps": 3}
        trainer = METHODS["sft"].build_trainer(parts)
        steps = watch_steps(trainer)
        trainer.train(resume_from_checkpoint=str(folder / "out" / "checkpoint-5") if resume else None)
        return trainer, steps

    whole, all_steps = run(tmp_path, resume=False)
    resumed, later_steps = run(tmp_path, resume=True)
    assert all_steps == [0, *range(1, 9)]
    assert later_steps == [5, 6, 7, 8], "it went on, and did not begin again with the same seed"
    assert logged(whole)[-3:] == logged(resumed)[-3:]
    for ours, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_model_can_answer_after_training_as_before(tmp_path: Path) -> None:
    import torch

    trainer = build(tmp_path, steps=60)
    trainer.train()
    tokenizer = trainer.processing_class
    tokenizer.padding_side = "left"
    prompts = [
        tokenizer.apply_chat_template([row["messages"][0]], add_generation_prompt=True, tokenize=False)
        for row in chats(4)
    ]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    with torch.no_grad():
        out = trainer.model.eval().generate(**inputs, max_new_tokens=5, do_sample=False)
    answers = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert [answer[:2] for answer in answers] == ["no", "ye", "no", "ye"]


def test_cut_and_left_out_rows_are_reported(tmp_path: Path) -> None:
    reports = []
    parts = make_parts(tmp_path, chats(), data__max_length=17)
    parts.report = reports.append
    trainer = METHODS["sft"].build_trainer(parts)
    assert len(trainer.train_dataset) == 16
    texts = [report.to("en") for report in reports]
    assert any("8 of 24 training rows are left out" in text for text in texts)
    assert all(report.to("zh") for report in reports)


def test_nothing_left_to_learn_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError) as caught:
        build(
            tmp_path,
            [{"messages": [{"role": "user", "content": "x" * 99}, {"role": "assistant", "content": "y"}]}],
            data__max_length=16,
        )
    assert caught.value.code == "nothing_to_learn"
    assert caught.value.field == "data.max_length"


def test_stop_is_heard_while_rows_are_prepared(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, chats())
    parts.stop = threading.Event()
    parts.stop.set()
    with pytest.raises(StopRequested):
        METHODS["sft"].build_trainer(parts)


def test_progress_counts_both_sets(tmp_path: Path) -> None:
    seen = []
    parts = make_parts(tmp_path, chats(6), evaluation_rows=chats(3))
    parts.progress = lambda done, total: seen.append((done, total))
    METHODS["sft"].build_trainer(parts)
    assert seen[-1] == (9, 9)


def test_embedding_noise_keeps_its_scale_by_padding(tmp_path: Path) -> None:
    assert not build(tmp_path, optimization__neftune_alpha=5.0).padding_free


# Continued pre-training


def test_texts_are_read_without_losing_a_token_and_are_foreseen_better_afterwards(tmp_path):
    texts = [{"text": "the tide turns and the tide turns " * (1 + number % 9)} for number in range(30)]
    parts = make_parts(
        tmp_path, texts[:24], evaluation_rows=texts[24:], steps=25, **{"method.kind": "pretrain"}, data__max_length=48
    )
    trainer = METHODS["pretrain"].build_trainer(parts)
    from workbench.data.tokens import encode_many

    whole = [token for row in encode_many(parts.tokenizer, "text", texts[:24]) for token in row.input_ids]
    assert [token for row in trainer.train_dataset["input_ids"] for token in row] == whole
    assert {len(row) for row in trainer.train_dataset["input_ids"][:-1]} == {48}
    assert list(trainer.train_dataset["labels"]) == list(trainer.train_dataset["input_ids"]), "every token is learned"
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < 0.5 * before


def test_texts_may_stay_rows_of_their_own(tmp_path):
    texts = [{"text": "a" * 80}, {"text": "b" * 10}]
    parts = make_parts(tmp_path, texts, **{"method.kind": "pretrain"}, method__packing=False, data__max_length=32)
    trainer = METHODS["pretrain"].build_trainer(parts)
    assert [len(row) for row in trainer.train_dataset["input_ids"]] == [32, 11]
    count = METHODS["pretrain"].count
    assert count(parts.config, 100, 6400.0) == 100
    packed = parts.config.changed({"method.packing": True})
    assert count(packed, 100, 6401.0) == 201
