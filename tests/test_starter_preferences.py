"""DPO on the shipped pairs: the tuned starter prefers the shorter, kinder answer also on questions that it never saw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.voices import UNWATCHED, load
from workbench.config.presets import find_preset
from workbench.data.tokens import encode_many
from workbench.engine import Engine

PAIRS = Path(__file__).parent / "data" / "unseen_pairs.jsonl"


def log_probability(model, prompt: list[int], answer: list[int]) -> float:
    """Natural logarithm of the answer's probability after the prompt, summed over its tokens."""
    import torch

    ids = torch.tensor([prompt + answer])
    with torch.no_grad():
        scores = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    return float(scores.gather(1, torch.tensor(answer)[:, None]).sum())


def preferences(model, tokenizer) -> list[tuple[float, float]]:
    """Of each unseen pair: log-probability of chosen minus rejected, as a sum and as a mean over tokens."""
    pairs = [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    found = []
    for pair in encode_many(tokenizer, "preference", pairs):
        chosen = log_probability(model, pair.prompt_ids, pair.chosen_ids)
        rejected = log_probability(model, pair.prompt_ids, pair.rejected_ids)
        found.append((chosen - rejected, chosen / len(pair.chosen_ids) - rejected / len(pair.rejected_ids)))
    return found


def share(values) -> float:
    values = list(values)
    return sum(value > 0 for value in values) / len(values)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("dpo") / "home")
    run = engine.submit(find_preset("shorter-kinder").config().changed(UNWATCHED))
    assert engine.wait(run, 600)
    assert engine.run(run).status == "completed", engine.run(run).error
    yield engine, run
    engine.close()


def test_the_margin_grows(tuned):
    engine, run = tuned
    margins = [event["more"]["rewards/margins"] for event in engine.events(run) if event.get("loss") is not None]
    assert abs(margins[0]) < 1e-4
    assert sum(margins[-10:]) / 10 > 1.0


def test_unseen_pairs_are_preferred_as_taught(tuned):
    engine, run = tuned
    base = engine.models.resolve("starter").folder
    before = preferences(*load(base))
    after = preferences(*load(base, engine.result(run)))
    assert len(after) == 40
    moved = share(now[0] - then[0] for now, then in zip(after, before, strict=True))
    per_token = share(value[1] for value in before), share(value[1] for value in after)
    print(f"margin against the reference {moved:.0%}; by the mean over tokens {per_token[0]:.0%} -> {per_token[1]:.0%}")
    assert moved >= 0.75
    assert per_token[0] <= 0.40 and per_token[1] >= 0.75
