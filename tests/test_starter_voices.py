"""The Chinese first run and a small set of one's own: what they teach, and what they leave. The page's own test walks the English run."""

from __future__ import annotations

from tests.benchmarks.small_sets import BASE, config_of, measure
from tests.small_sets import small_sets
from tests.voices import UNWATCHED, load, right_answers, voice_share
from workbench.config.presets import find_preset
from workbench.engine import Engine


def test_the_chinese_first_run_teaches_its_voice_and_the_starter_still_knows_what_it_knew(tmp_path):
    engine = Engine(tmp_path / "home")
    run = engine.submit(find_preset("first-run-zh").config().changed(UNWATCHED))
    assert engine.wait(run, 600)
    assert engine.run(run).status == "completed", engine.run(run).error
    base, result = engine.models.resolve("starter").folder, engine.result(run)
    engine.close()

    model, tokenizer = load(base)
    share, right = voice_share(model, tokenizer, "zh"), right_answers(model, tokenizer)
    tuned, tokenizer = load(base, result)
    tuned_share, still = voice_share(tuned, tokenizer, "zh"), right_answers(tuned, tokenizer)
    print(f"voice {share:.0%} -> {tuned_share:.0%}; right {len(right)} of 60, {len(right - still)} of them lost")
    assert share <= 0.10
    assert tuned_share >= 0.85
    assert len(right - still) <= 12


def test_a_small_set_of_ones_own_is_learned_with_what_is_suggested_and_the_starter_still_knows_what_it_knew():
    known = right_answers(*load(BASE))
    reviews = small_sets()["reviews"]
    found = measure(reviews, config_of(reviews, 42, suggested=True), "suggested", known)
    print(found)
    assert found.steps == 102 and found.style >= 16 and found.unseen == 20
    assert found.lost <= 12
