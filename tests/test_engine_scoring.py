"""Classification and reward through the engine: from a file to the answer, what is refused before anything is loaded, and
what is taken home."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import make_base, make_tokenizer
from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.engine import Engine

torch = pytest.importorskip("torch")
from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: E402


def write_labels(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows(rows)
    return path


def reviews(count: int) -> list[tuple[str, str]]:
    words = ("good", "fine", "bad", "dull")
    return [(f"a {words[n % 4]} film no {n}", "liked" if n % 4 < 2 else "disliked") for n in range(count)]


def pairs(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"{n} plus 1?", "chosen": f"It is {n + 1}, dear.", "rejected": "No idea!"} for n in range(count)]


def make_encoder(folder: Path) -> Path:
    """A DistilBERT that fills masks, without a head that sorts and without a chat template."""
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    config = DistilBertConfig(
        vocab_size=264, dim=64, hidden_dim=128, n_layers=2, n_heads=4, max_position_embeddings=128, pad_token_id=256
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        DistilBertForMaskedLM(config).save_pretrained(folder)
    make_tokenizer(folder, template=None)
    return folder


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = tmp_path_factory.mktemp("home")
    make_base(home / "models" / "tiny")
    make_encoder(home / "models" / "encoder")
    engine = Engine(home)
    engine.data.add(write_labels(home / "reviews.csv", reviews(60)), "reviews")
    engine.data.add(write_labels(home / "single.csv", [("one text", "same"), ("another", "same")]), "single")
    engine.data.add(write_labels(home / "strange.csv", [("one text", "liked"), ("another", "meh")]), "strange")
    (home / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs(40)), encoding="utf-8")
    engine.data.add(home / "pairs.jsonl", "pairs")
    yield engine
    engine.close()


def config_for(method: str, data: str, base: str = "tiny", **changes: Any) -> RunConfig:
    given = {
        "model.base": base, "data.train": data, "data.max_length": 64, "data.eval_share": 0.2, "method.kind": method,
        "precision.dtype": "fp32", "precision.threads": 1, "optimization.max_steps": 40, "optimization.batch_size": 8,
        "optimization.learning_rate": 5e-3, "evaluation.questions": ["a good film no 900", "a dull film no 901"],
        **{name.replace("__", "."): value for name, value in changes.items()},
    }  # fmt: skip
    kind = {name: given.pop(name) for name in ("method.kind", "adapter.kind") if name in given}
    return RunConfig().changed(kind).changed(given)


def run(engine: Engine, config: RunConfig) -> str:
    run_id = engine.submit(config)
    assert engine.wait(run_id, 300)
    record = engine.run(run_id)
    assert record.status == "completed", (record.error, engine.log(run_id)[-2000:])
    return run_id


@pytest.fixture(scope="module")
def sorted_by(engine: Engine) -> str:
    return run(engine, config_for("classify", "reviews"))


def said(engine: Engine, target: str, text: str, **options: Any) -> str:
    return [*engine.chat(target, [{"role": "user", "content": text}], **options)][-1]


def test_a_classifier_learns_says_its_numbers_and_answers_with_labels(engine: Engine, sorted_by: str) -> None:
    events = engine.events(sorted_by)
    last = [event for event in events if event.get("eval_loss") is not None][-1]
    assert last["more"]["eval_accuracy"] >= 0.9 and last["more"]["eval_macro_f1"] > 0.8
    found = [event for event in events if event["type"] == "findings"][-1]
    assert found["labels"] == ["disliked", "liked"] and sum(map(sum, found["table"])) == 12
    samples = [event for event in events if event["type"] == "sample"]
    assert samples[-2]["answer"].startswith("liked  ") and samples[-1]["answer"].startswith("disliked  ")
    verdict = next(event for event in events if event["type"] == "verdict")
    assert (
        "accuracy" in verdict["message"]["en"]
        and "准确率" in verdict["message"]["zh"]
        and "lost" not in verdict["words"]
    )
    answer = said(engine, sorted_by, "a good film no 77")
    assert answer.splitlines()[0].startswith("liked  ") and len(answer.splitlines()) == 2
    with pytest.raises(WorkbenchError, match="before its training"):
        said(engine, sorted_by, "a good film", tuned=False)


def test_what_is_taken_home_sorts_in_plain_libraries(engine: Engine, sorted_by: str) -> None:
    from peft import PeftModel

    folder = engine.merge(sorted_by, dtype="fp32")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    merged = AutoModelForSequenceClassification.from_pretrained(folder)
    base = AutoModelForSequenceClassification.from_pretrained(
        engine.home / "models" / "tiny", num_labels=2, pad_token_id=tokenizer.pad_token_id
    )
    plain = PeftModel.from_pretrained(base, engine.result(sorted_by)).eval()
    for text in ("a good film no 5", "a dull film no 6"):
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            ours = merged(**inputs).logits
            assert torch.allclose(ours, plain(**inputs).logits, atol=1e-5)
        label = merged.config.id2label[int(ours.argmax())]
        assert said(engine, sorted_by, text).startswith(f"{label}  {100 * ours.softmax(-1).max():.1f}")
    with zipfile.ZipFile(engine.export_adapter(sorted_by)) as archive:
        assert json.loads(archive.read("labels.json")) == {"labels": ["disliked", "liked"]}
        card = archive.read("README.md").decode("utf-8")
    assert "AutoModelForSequenceClassification.from_pretrained(base, num_labels=2" in card
    assert "['disliked', 'liked']" in card and "generate" not in card
    # The merged one stands among the models, sorts, and does not write.
    (made,) = [info for info in engine.models.list() if info.id.startswith(sorted_by)]
    assert made.tasks == ("classification", "reward") and not made.writes
    assert said(engine, made.id, "a good film no 5").startswith("liked")
    (problem,) = [p for p in engine.check(config_for("sft", "pairs", made.id)) if p.field == "model.base"]
    assert "does not write" in problem.message.to("en")


@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_an_encoder_without_a_template_sorts_and_is_never_asked_to_write(engine: Engine, adapter: str) -> None:
    (info,) = [info for info in engine.models.list() if info.id == "encoder"]
    assert info.problem is None and info.tasks == ("classification", "reward")
    rate = 1e-2 if adapter == "lora" else 2e-3
    run_id = run(
        engine, config_for("classify", "reviews", "encoder", adapter__kind=adapter, optimization__learning_rate=rate)
    )
    last = [event for event in engine.events(run_id) if event.get("eval_loss") is not None][-1]
    assert last["more"]["eval_accuracy"] >= 0.9
    assert said(engine, run_id, "a dull film no 4").startswith("disliked")
    folder = engine.merge(run_id, dtype="fp32")
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.id2label == {0: "disliked", 1: "liked"}
    with pytest.raises(WorkbenchError, match="reads texts and writes none"):
        said(engine, "encoder", "Hello?")
    problems = {problem.field for problem in engine.check(config_for("sft", "pairs", "encoder"))}
    assert "model.base" in problems


def test_a_reward_model_prefers_and_says_what_it_needs(engine: Engine) -> None:
    run_id = run(engine, config_for("reward", "pairs"))
    events = engine.events(run_id)
    last = [event for event in events if event.get("eval_loss") is not None][-1]
    assert last["more"]["eval_accuracy"] > 0.75 and last["more"]["eval_margin"] > 0
    assert any("not asked" in event["message"]["en"] for event in events if event["type"] == "problem")
    assert not [event for event in events if event["type"] in ("sample", "unanswered")]
    better = float(said(engine, run_id, "7 plus 1?\n---\nIt is 8, dear."))
    assert better > float(said(engine, run_id, "7 plus 1?\n---\nNo idea!"))
    with pytest.raises(WorkbenchError, match="there is none") as caught:
        said(engine, run_id, "7 plus 1?")
    assert "---" in caught.value.to("zh")


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        (config_for("classify", "single"), "data.train", "the same label"),
        (config_for("classify", "reviews", data__eval="strange"), "data.eval", "meh"),
        (config_for("classify", "pairs"), "data.train", "labelled text"),
        (config_for("reward", "reviews"), "data.train", "preference pairs"),
        (config_for("sft", "reviews"), "data.train", "conversations"),
    ],
    ids=["one-label", "label-in-one-split", "pairs-to-sort", "labels-to-prefer", "labels-to-imitate"],
)
def test_what_cannot_be_learned_is_said_at_its_field_before_anything_is_loaded(
    engine: Engine, config: RunConfig, field: str, words: str
) -> None:
    problems = {problem.field: problem.message for problem in engine.check(config)}
    assert words in problems[field].to("en") and problems[field].to("zh")
    with pytest.raises(WorkbenchError):
        engine.submit(config)


def test_a_setting_that_a_method_leaves_aside_is_named(engine: Engine) -> None:
    said = [text.to("en") for text in engine.findings(config_for("reward", "pairs", data__learn="all"))]
    assert "“Learn from” is set, but reward model does not use it." in said, said
    assert not [
        text
        for text in engine.findings(config_for("sft", "pairs", data__learn="all"))
        if "does not use" in text.to("en")
    ]
