"""Models that score: classification and reward. What is learned, that the numbers are those of plain scripts and formulas,
that padding is not needed, and that a run goes on exactly."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.method_parts import logged, make_parts, preferences
from workbench.config.tasks import CLASSIFICATION, REWARD
from workbench.methods import METHODS
from workbench.methods.scores import classified, preferred

torch = pytest.importorskip("torch")
from transformers import AutoTokenizer, LlamaForSequenceClassification, Trainer, TrainingArguments  # noqa: E402

from tests.tiny_models import make_base  # noqa: E402
from workbench.adapters.lora import lora_of  # noqa: E402
from workbench.models.assembly import Head, heads_of, lay_adapter, load_for, places_of_ends  # noqa: E402


def labelled(count: int = 24) -> list[dict[str, Any]]:
    """Texts of very different length; the label is in their first letter."""
    return [
        {"text": "ab"[number % 2] + "x" * (30 if number % 3 == 0 else 4), "label": ("warm", "cold")[number % 2]}
        for number in range(count)
    ]


def encoder(base: Path) -> None:
    """A DistilBERT that fills masks, in place of the Llama."""
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    make_base(base)
    config = DistilBertConfig(
        vocab_size=264, dim=64, hidden_dim=128, n_layers=2, n_heads=4, max_position_embeddings=128, pad_token_id=256
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        DistilBertForMaskedLM(config).save_pretrained(base)


def trainer_for(folder: Path, kind: str, rows: list[dict[str, Any]], **changes: Any) -> Any:
    """A method's trainer on a tiny Llama, its head made and its adapter laid as the engine does it."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base"
    if not base.exists():
        make_base(base)
    method = METHODS[kind]
    labels = method.labels(rows)
    pad = AutoTokenizer.from_pretrained(base).pad_token_id
    model = load_for(base, "fp32", device="cpu", head=Head(method.task, labels, pad, seed=3))
    parts = make_parts(folder, rows, model, **{"method.kind": kind, "data__max_length": 64, **changes})
    if lora_of(parts.config.adapter) is not None:
        parts.model = lay_adapter(model, parts.peft_config)
    parts.labels = labels
    return method.build_trainer(parts)


ROWS = {"classify": labelled, "reward": preferences}


@pytest.mark.parametrize("adapter", ["lora", "none"])
@pytest.mark.parametrize("kind", ["classify", "reward"])
def test_what_is_shown_is_learned_also_of_rows_kept_back(tmp_path: Path, kind: str, adapter: str) -> None:
    rows = ROWS[kind](40)
    trainer = trainer_for(
        tmp_path, kind, rows[:28], evaluation_rows=rows[28:], steps=30, adapter__kind=adapter,
        optimization__learning_rate=2e-3 if adapter == "none" else 1e-2,
    )  # fmt: skip
    trainer.train()
    numbers = trainer.evaluate()
    assert numbers["eval_accuracy"] >= 0.9 and numbers["eval_loss"] < 0.4, numbers
    assert logged(trainer, "accuracy") and logged(trainer, "num_tokens")[-1] > 0
    for metric in METHODS[kind].metrics:
        assert f"eval_{metric.name}" in numbers and metric.label.to("zh") and metric.help.to("zh")


def plain_rows(rows: list[dict[str, Any]], tokenizer: Any) -> list[dict[str, Any]]:
    places = {"cold": 0, "warm": 1}
    return [{**tokenizer(row["text"]), "labels": places[row["label"]]} for row in rows]


@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_losses_are_those_of_a_plain_transformers_script(tmp_path: Path, adapter: str) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import DataCollatorWithPadding, set_seed

    rows = labelled(32)
    set_seed(42)
    ours = trainer_for(tmp_path, "classify", rows, steps=20, adapter__kind=adapter, optimization__learning_rate=1e-3)
    assert ours._packed == "segments", "no padding"
    ours.train()

    base = tmp_path / "base"
    tokenizer = AutoTokenizer.from_pretrained(base)
    torch.manual_seed(3)
    model = LlamaForSequenceClassification.from_pretrained(base, num_labels=2, pad_token_id=tokenizer.pad_token_id)
    set_seed(42)
    if adapter == "lora":
        model = get_peft_model(
            model,
            LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=r".*_proj", modules_to_save=["score"]),
        )
    plain = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(tmp_path / "plain"), per_device_train_batch_size=4, max_steps=20, learning_rate=1e-3,
            lr_scheduler_type="constant", logging_steps=1, report_to="none", use_cpu=True, disable_tqdm=True, seed=42,
            data_seed=42, optim="adamw_torch_fused", weight_decay=0.0, save_strategy="no",
        ),
        train_dataset=plain_rows(rows, tokenizer),
        data_collator=DataCollatorWithPadding(tokenizer),
    )  # fmt: skip
    plain.train()
    assert logged(ours) == pytest.approx(logged(plain), rel=1e-4)


def test_the_loss_of_rewards_is_the_formula(tmp_path: Path) -> None:
    rows = preferences(3)
    trainer = trainer_for(tmp_path, "reward", rows, method__centre=0.1, optimization__batch_size=3)
    batch = trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[place] for place in range(3)]))
    trainer.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, batch).item()
        alone = [
            [trainer._alone(ids, "cpu").item() for ids in trainer.sequences(trainer.train_dataset[n])] for n in range(3)
        ]
    wanted = sum(math.log1p(math.exp(-(c - r))) + 0.1 * (c + r) ** 2 for c, r in alone) / 3
    assert loss == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "adapter", "padded"),
    [("classify", "lora", False), ("classify", "none", False), ("reward", "lora", False), ("reward", "none", False),
     ("classify", "lora", True), ("classify", "none", True)],
)  # fmt: skip
def test_going_on_from_a_checkpoint_is_exact(tmp_path: Path, kind: str, adapter: str, padded: bool) -> None:
    from transformers import set_seed

    rows, ends = ROWS[kind](30), []
    for name, first in (("whole", 12), ("parts", 7)):
        set_seed(1)
        if padded:
            encoder(tmp_path / name / "base")
        options = {"adapter__kind": adapter, "optimization__learning_rate": 1e-3}
        if adapter == "lora":
            options["adapter__dropout"] = 0.1
        trainer = trainer_for(tmp_path / name, kind, rows, steps=12, **options)
        trainer.args.save_steps = trainer.args.max_steps = first
        trainer.args.save_strategy = "steps"
        trainer.train()
        if first == 7:
            set_seed(99)
            trainer = trainer_for(tmp_path / name, kind, rows, steps=12, **options)
            trainer.train(resume_from_checkpoint=str(next((tmp_path / name / "out").glob("checkpoint-7"))))
        ends.append({name: weight.clone() for name, weight in trainer.model.named_parameters() if weight.requires_grad})
        assert (trainer._packed is None) is padded
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_saved_adapter_gives_the_same_scores_in_plain_peft(tmp_path: Path) -> None:
    from peft import PeftModel

    trainer = trainer_for(tmp_path, "classify", labelled(), steps=6)
    trainer.train()
    trainer.model.save_pretrained(tmp_path / "adapter")
    torch.manual_seed(77)  # whatever the new head begins with
    plain = LlamaForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=2, pad_token_id=256)
    plain = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    trainer.model.eval()
    for row in (trainer.train_dataset[0], trainer.train_dataset[1]):
        ids = torch.tensor([row.input_ids])
        with torch.no_grad():
            assert torch.allclose(plain(ids).logits, trainer._alone(row.input_ids, "cpu"), atol=1e-6)


def test_a_head_is_made_of_the_seed_alone(tmp_path: Path) -> None:
    make_base(tmp_path)
    torch.manual_seed(5)
    one = load_for(tmp_path, "fp32", device="cpu", head=Head(CLASSIFICATION, ("a", "b", "c"), 256, seed=1))
    before = torch.random.get_rng_state()
    other = load_for(tmp_path, "fp32", device="cpu", head=Head(CLASSIFICATION, ("a", "b", "c"), 256, seed=1))
    assert torch.equal(torch.random.get_rng_state(), before) and torch.equal(one.score.weight, other.score.weight)
    third = load_for(tmp_path, "fp32", device="cpu", head=Head(CLASSIFICATION, ("a", "b", "c"), 256, seed=2))
    assert not torch.equal(one.score.weight, third.score.weight)
    assert one.config.id2label == {0: "a", 1: "b", 2: "c"} and heads_of(one) == ["score"]
    assert load_for(tmp_path, "fp32", device="cpu", head=Head(REWARD, (), 256)).config.num_labels == 1


def test_the_end_of_a_text_is_its_last_token_that_is_no_padding() -> None:
    ids = torch.tensor([5, 6, 0, 7, 0, 0, 8])
    assert places_of_ends(ids, [0, 3, 6, 7], 0).tolist() == [1, 3, 6]
    assert places_of_ends(ids, [0, 3, 6, 7], None).tolist() == [2, 5, 6]
    assert places_of_ends(torch.tensor([0, 0]), [0, 2], 0).tolist() == [1]


def test_scores_of_many_rows_are_what_they_are_by_hand() -> None:
    shares = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]]
    numbers, shown = classified(shares, [0, 1, 0, 1], ("no", "yes"), lambda place: f"row {place}")
    assert numbers == {"accuracy": 0.5, "macro_f1": pytest.approx(0.5)}
    assert shown["table"] == [[1, 1], [1, 1]] and shown["labels"] == ["no", "yes"]
    assert [(one["label"], one["said"], one["share"], one["text"]) for one in shown["wrong"]] == [
        ("no", "yes", 0.7, "row 2"), ("yes", "no", 0.6, "row 3"),
    ]  # fmt: skip
    # F1 of three classes, of which nobody has or says the third: (2*2/(2*2+1+0) + 2*1/(2*1+0+1)) / 2
    numbers, _ = classified([[1, 0, 0]] * 3 + [[0, 1, 0]], [0, 0, 1, 1], ("a", "b", "c"), str)
    assert numbers["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert preferred([1.0, 0.0, 2.0], [0.0, 0.0, 3.0]) == {"accuracy": 0.5, "margin": 0.0, "reward": 1.0}


def test_rows_of_an_encoder_are_padded_and_learned(tmp_path: Path) -> None:
    encoder(tmp_path / "base")
    rows = labelled(40)
    trainer = trainer_for(
        tmp_path, "classify", rows[:28], evaluation_rows=rows[28:], steps=40, optimization__learning_rate=5e-3
    )
    assert trainer._packed is None and heads_of(trainer._base) == ["pre_classifier", "classifier"]
    trainer.train()
    assert trainer.evaluate()["eval_accuracy"] >= 0.9


def test_rows_of_like_length_come_together_each_once_and_in_another_order_each_epoch() -> None:
    from workbench.methods.trainers.scoring import LikeLengths

    lengths = [5 if number % 3 else 31 for number in range(400)]
    order = LikeLengths(lengths, 4, seed=1)
    first = list(order)
    order.set_epoch(1)
    assert sorted(first) == list(range(400)) and list(order) != first
    order.set_epoch(0)
    assert list(order) == first and list(LikeLengths(lengths, 4, seed=2)) != first
    batches = [first[start : start + 4] for start in range(0, 400, 4)]
    mixed = sum(len({lengths[place] for place in batch}) > 1 for batch in batches)
    assert mixed <= 0.1 * len(batches)


def test_a_judge_and_a_policy_over_one_base_say_what_each_says_alone(tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    from tests.tiny_models import make_adapter
    from workbench.config.errors import WorkbenchError
    from workbench.models.loading import load_adapter, load_model
    from workbench.models.roles import add_judge, role

    trainer = trainer_for(tmp_path, "reward", preferences(12), steps=6)
    trainer.train()
    trainer.model.save_pretrained(tmp_path / "reward")
    policy = make_adapter(tmp_path / "policy", tmp_path / "base")
    ids = torch.tensor([[97, 98, 99, 100, 101], [102, 103, 104, 256, 256]])

    alone = load_adapter(load_model(tmp_path / "base", "fp32", device="cpu"), policy)
    plain = LlamaForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=1, pad_token_id=256)
    plain = PeftModel.from_pretrained(plain, tmp_path / "reward").eval()
    with torch.no_grad():
        words, base_words, points = alone(ids).logits, None, plain(ids, attention_mask=(ids != 256).int()).logits
        with alone.disable_adapter():
            base_words = alone(ids).logits

    both = load_adapter(load_model(tmp_path / "base", "fp32", device="cpu"), policy, name="policy", trainable=True)
    numbers = sum(weight.numel() for weight in both.parameters())
    learning = {name for name, weight in both.named_parameters() if weight.requires_grad}
    judge = add_judge(both, tmp_path / "reward", "reward", pad=256)
    both.eval()
    assert torch.equal(judge.scores(ids, (ids != 256).int()), points)
    with torch.no_grad():
        assert torch.equal(both(ids).logits, words), "the judge has left the policy as it was"
        with role(both, None):
            assert torch.equal(both(ids).logits, base_words), "the reference is the base itself"
        assert torch.equal(both(ids).logits, words)
    assert {name for name, weight in both.named_parameters() if weight.requires_grad} == learning
    assert both.active_adapter == "policy"
    added = sum(weight.numel() for weight in both.parameters()) - numbers
    assert added == sum(w.numel() for n, w in trainer.model.named_parameters() if "lora_" in n), "no second base"

    with pytest.raises(WorkbenchError, match="does not belong"):
        add_judge(both, policy, "other", pad=256)
    narrow = get_peft_model(
        LlamaForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=1),
        LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["q_proj"]),
    )
    narrow.save_pretrained(tmp_path / "narrow")
    assert add_judge(both, tmp_path / "narrow", "narrow", pad=256).scores(ids).shape == (2, 1)


# Preferences without a reference


def odds_trainer(folder: Path, rows: list[dict[str, Any]], **changes: Any) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    parts = make_parts(folder, rows, **{"method.kind": "orpo", "data__max_length": 64, **changes})
    return METHODS["orpo"].build_trainer(parts)


@pytest.mark.parametrize(("loss", "weight"), [("orpo", 0.3), ("simpo", 2.0), ("cpo", 0.1)])
def test_losses_without_a_reference_are_the_formulas(tmp_path: Path, loss: str, weight: float) -> None:
    rows = preferences(3)
    trainer = odds_trainer(
        tmp_path, rows, method__objective=loss, method__weight=weight, method__imitation=0.7, optimization__batch_size=3,
        adapter__kind="none", **({"method__margin": 0.4} if loss == "simpo" else {}),
    )  # fmt: skip
    assert trainer._packed == "segments"
    trainer.model.eval()
    wanted, chosen_sum, chosen_tokens = 0.0, 0.0, 0
    for place in range(3):
        row, sums, counts = trainer.train_dataset[place], [], []
        for answer in (row.chosen_ids, row.rejected_ids):
            ids = torch.tensor([row.prompt_ids + answer])
            with torch.no_grad():
                logs = trainer.model(ids).logits[0].log_softmax(-1)
            first = len(row.prompt_ids)
            sums.append(sum(logs[first + n - 1, token].item() for n, token in enumerate(answer)))
            counts.append(len(answer))
        better, worse = sums[0] / counts[0], sums[1] / counts[1]
        if loss == "orpo":
            odds = [math.log(math.exp(mean) / (1 - math.exp(mean))) for mean in (better, worse)]
            wanted += weight * math.log1p(math.exp(-(odds[0] - odds[1]))) / 3
        elif loss == "simpo":
            wanted += math.log1p(math.exp(-(weight * (better - worse) - 0.4))) / 3
        else:
            wanted += math.log1p(math.exp(-weight * (sums[0] - sums[1]))) / 3
        chosen_sum, chosen_tokens = chosen_sum + sums[0], chosen_tokens + counts[0]
    wanted -= 0.7 * chosen_sum / chosen_tokens
    for packed_attention in ("segments", None):  # the same with padding
        trainer._packed = packed_attention
        batch = trainer._prepare_inputs(trainer.data_collator([trainer.train_dataset[place] for place in range(3)]))
        with torch.no_grad():
            assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("loss", ["orpo", "simpo", "cpo"])
@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_the_better_answer_wins_on_pairs_kept_back(tmp_path: Path, loss: str, adapter: str) -> None:
    rows = preferences(40)
    trainer = odds_trainer(
        tmp_path, rows[:28], evaluation_rows=rows[28:], steps=25, method__objective=loss, adapter__kind=adapter,
        method__weight=2.0 if loss == "simpo" else 0.1, optimization__learning_rate=2e-3 if adapter == "none" else 1e-2,
    )  # fmt: skip
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_accuracy"] > 0.75 and after["eval_margin"] > before["eval_margin"]
    assert after["eval_loss"] < before["eval_loss"]


def test_a_run_without_a_reference_goes_on_exactly(tmp_path: Path) -> None:
    from transformers import set_seed

    rows, ends = preferences(30), []
    for name, first in (("whole", 12), ("parts", 7)):
        set_seed(1)
        trainer = odds_trainer(tmp_path / name, rows, steps=12, adapter__dropout=0.1)
        trainer.args.save_steps = trainer.args.max_steps = first
        trainer.args.save_strategy = "steps"
        trainer.train()
        if first == 7:
            set_seed(99)
            trainer = odds_trainer(tmp_path / name, rows, steps=12, adapter__dropout=0.1)
            trainer.train(resume_from_checkpoint=str(next((tmp_path / name / "out").glob("checkpoint-7"))))
        ends.append({name: weight.clone() for name, weight in trainer.model.named_parameters() if weight.requires_grad})
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
