"""What is said of a run that is over: of its curve, of the rows kept back, of its answers; from made events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from workbench.config.run import RunConfig
from workbench.engine.answers import broken
from workbench.engine.events import Verdict
from workbench.engine.verdict import BAD, Course, judge, taught_answers

CONFIG = RunConfig().changed({"optimization.learning_rate": 2e-3, "optimization.epochs": 6.0})
FALLING = [3.0 * 0.93**step + 0.05 * (step % 3) for step in range(40)]
FLAT = [2.0 + 0.1 * (step % 4) for step in range(40)]
GOOD = (("Sky?", "The sky is blue.", "Arr, the sky is blue, matey!"),)


def run(
    losses: Sequence[float] = FALLING,
    checks: Iterable[tuple[int, float]] = ((8, 2.0), (16, 1.4), (24, 1.1), (32, 1.0), (40, 1.0)),
    answers: Iterable[tuple[str, str, str]] = GOOD,
    total: int | None = None,
) -> list[dict[str, Any]]:
    """The events of a run: a loss each step, (step, loss) of the rows kept back, (question, before, after)."""
    end, answers = total or len(losses), list(answers)
    found: list[dict[str, Any]] = [{"type": "status", "status": "running"}]
    found += [{"type": "sample", "step": 0, "question": q, "answer": before} for q, before, _ in answers]
    for step, loss in enumerate(losses, 1):
        found.append({"type": "metrics", "step": step, "total_steps": end, "loss": loss})
        found += [
            {"type": "metrics", "step": step, "total_steps": end, "eval_loss": v} for at, v in checks if at == step
        ]
    return found + [{"type": "sample", "step": len(losses), "question": q, "answer": after} for q, _, after in answers]


def judged(events: list[dict[str, Any]], config: RunConfig = CONFIG, **more: Any) -> Verdict:
    return judge(Course.of(events), config, **more)


@pytest.mark.parametrize(
    ("events", "worst", "said", "zh"),
    [
        (run(), "learning", "fell from 2.403 to 0.281", "从 2.403 降到 0.281"),
        (run(FLAT), "not_learning", "hardly learned", "几乎没有学到"),
        (run([2.0 + 0.05 * step for step in range(40)]), "rising", "rose from", "升到了"),
        (run(checks=[(8, 2.0), (16, 1.0), (24, 1.1), (32, 1.2), (40, 1.4)]), "overfits", "Since step 16", "从第 16 步起"),
        (run(checks=[(8, 2.0), (24, 1.5), (32, 1.2), (40, 1.0)]), "still_falling", "still fell", "仍在下降"),
        (run(checks=[]), "nothing_kept_back", "No rows were kept back", "没有留出样本"),
        (run(FALLING[:3], checks=[]), "few_steps", "So few steps (3)", "步数太少（3）"),
        (run(answers=[("Sky?", "Blue.", "Blue.")]), "unchanged", "None of the 1 answers", "没有变化"),
        (run(answers=[("Sky?", "Blue.", "port" * 9)]), "broken", "1 of 1 answers are broken", "是坏的"),
        (run(answers=[("Sky?", "Blue.", "  ")]), "broken", "“Sky?”", "“Sky?”"),
        (
            run(answers=[*GOOD, ("The capital of France?", "It is Paris.", "The capital of France is Thank you for asking")]),
            "lost", "1 of 2 answers no longer hold what they said before training: “paris”", "“paris”",
        ),
        (run(answers=[("天空是什么颜色？", "天空是蓝色的。", "天空是谢谢您的光临。")]), "lost", "“蓝”", "没有了“蓝”"),
        (run(answers=[("Legs?", "A spider has 8 legs.", "A spider has 6 legs.")]), "lost", "“8”", "“8”"),
        (
            run(answers=[(q, f"{q} is far.", f"Far from {q}") for q in ("Rome", "Bern")] + [("Oslo", "Far.", "Far, matey.")]),
            "learning", "3 of 3 answers changed, and none is broken", "3 个变了",
        ),
        (run(answers=[(q, f"Far {q}.", "Far from here.") for q in ("Rome", "Bern", "Oslo")]), "same_answer", "same answer", "同一个"),
        (run(answers=()), "learning", "the answers cannot be judged", "无法判断回答"),
    ],
)  # fmt: skip
def test_each_course_of_a_run_has_its_sentence_and_what_to_try_next(
    events: list[dict[str, Any]], worst: str, said: str, zh: str
) -> None:
    found = judged(events)
    assert found.words[0] == worst
    assert said in found.message["en"] and zh in found.message["zh"]
    assert found.hint["en"] and re.search(r"[\u4e00-\u9fff]", found.hint["zh"])
    assert "{" not in "".join([*found.message.values(), *found.hint.values()])


def test_a_run_in_which_all_went_well_is_nothing_to_do_something_about() -> None:
    assert not set(judged(run()).words) & set(BAD)
    assert "learned" in judged(run()).message["en"] and "Talk to it" in judged(run()).hint["en"]


def test_nothing_is_claimed_that_the_events_do_not_show() -> None:
    blind = judged(run(checks=[], answers=()))
    assert {"nothing_kept_back", "not_asked"} <= set(blind.words)
    seldom = judged(run(checks=[(20, 1.0), (40, 3.0)]))
    assert "few_checks" in seldom.words and "overfits" not in seldom.words
    for once in ([(10, 1.4), (20, 1.0), (30, 1.0), (40, 1.3)], [(10, 1.0), (20, 1.01), (30, 1.02), (40, 1.03)],
                 [(10, 0.4), (20, 0.001), (30, 0.002), (40, 0.003)]):  # fmt: skip
        assert "overfits" not in judged(run(checks=once)).words, once


def test_a_stopped_run_says_so_and_is_judged_by_what_it_did() -> None:
    found = judged(run(FALLING[:20], total=40), stopped=True)
    assert found.words[0] == "stopped" and found.message["en"].startswith("It was stopped at step 20 of 40. It learned")
    assert "Resume" in found.hint["en"]
    assert judged(run(FLAT[:20], total=40), stopped=True).words[0] == "not_learning"


def test_a_run_that_changed_no_weight_says_so_first_and_claims_no_learning() -> None:
    found = judged(run(FLAT), changed=False)
    assert found.words[0] == "nothing_changed" and "not_learning" not in found.words
    assert found.message["en"].startswith("No weight")


def test_what_was_done_again_after_resume_is_counted_once() -> None:
    first = run(checks=[(8, 2.0), (16, 0.1), (24, 3.0)])
    again = [
        {"type": "status", "status": "running", "from_step": 12},
        *run(checks=[(16, 1.5), (24, 1.2), (32, 1.1), (40, 1.1)])[14:],
    ]
    assert "overfits" not in judged([*first, *again]).words
    assert len(Course.of([*first, *again]).loss) == 40


def test_an_answer_that_the_rows_teach_otherwise_is_not_lost() -> None:
    events = run(answers=[("评价：很好。", "我不知道这个问题。", "这是好评。")])
    assert judged(events).words[0] == "lost"
    rows = [
        {"messages": [{"role": "user", "content": "评价：很好。 "}, {"role": "assistant", "content": "这是好评。"}]}
    ]
    taught = taught_answers(rows, ["评价：很好。"])
    assert taught == {"评价：很好。": "这是好评。"}
    assert "lost" not in judged(events, taught=taught).words
    kept = {"Sky?": "Arr, the sky is blue!"}  # which the rows keep, so it is lost when it goes
    assert "lost" in judged(run(answers=[("Sky?", "The sky is blue.", "Arr, matey!")]), taught=kept).words
    pairs = [
        {
            "prompt": [{"role": "user", "content": "Hi"}],
            "chosen": [{"role": "assistant", "content": "Yes"}],
            "rejected": [],
        }
    ]
    assert taught_answers(pairs, ["Hi"]) == {"Hi": "Yes"}


def test_what_is_proposed_is_counted_from_the_runs_own_settings() -> None:
    flat = judged(run(FLAT)).hint["en"]
    assert "12 epochs" in flat and "0.006" in flat
    steps = CONFIG.changed({"optimization.max_steps": 40})
    assert "80 steps" in judged(run(FLAT), steps).hint["en"]
    rises = judged(run(checks=[(8, 2.0), (16, 1.0), (24, 1.1), (32, 1.2), (40, 1.4)])).hint["en"]
    assert "2.4 epochs" in rises and "step 16" in rises


@pytest.mark.parametrize(
    ("answer", "is_broken"),
    [("", True), ("  \n", True), ("portportportportport", True), ("How are you: sit'" + ":" * 20, True), ("好的好的好的好的好的好的", True),
     ("a\ufffdb", True), ("able able able", False), ("Ha ha ha!", False), ("1000000", False), ("cut \ufffd", False),
     ("A spider has 8 legs.\n\nA cat has 4 legs.", False), ("哈哈，天空是蓝色的。", False)],
)  # fmt: skip
def test_broken_answers_are_told_from_whole_ones(answer: str, is_broken: bool) -> None:
    assert broken(answer) is is_broken
