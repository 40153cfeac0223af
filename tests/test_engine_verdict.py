"""What is said of a run that is over: of its curve, of the rows kept back, of its answers; from made events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from workbench.config.run import RunConfig
from workbench.engine import advice, verdict
from workbench.engine.answers import broken, first_gone
from workbench.engine.events import Verdict
from workbench.engine.history import History
from workbench.engine.names import recent_steps
from workbench.engine.verdict import BAD, judge, taught_answers

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
    return judge(History.of(events), config, **more)


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
        (run(answers=[("Sky?", "Blue.", "Blue.")]), "unchanged", "The answer did not change.", "没有变化"),
        (run(answers=[("Sky?", "Blue.", "port" * 9)]), "broken", "The answer to “Sky?” is broken now", "是坏的"),
        (run(answers=[("Sky?", "Blue.", "  ")]), "broken", "“Sky?”", "“Sky?”"),
        (
            run(answers=[*GOOD, ("The capital of France?", "It is Paris.", "The capital of France is Thank you for asking")]),
            "lost", "no longer holds what it said before training: “Paris” is gone", "没有了“Paris”",
        ),
        (run(answers=[("天空是什么颜色？", "天空是蓝色的。", "天空是谢谢您的光临。")]), "lost", "“蓝色”", "没有了“蓝色”"),
        (run(answers=[("Legs?", "A spider has 8 legs.", "A spider has 6 legs.")]), "lost", "“8”", "“8”"),
        (
            run(answers=[(q, f"{q} is far.", f"Far from {q}") for q in ("Rome", "Bern")] + [("Oslo", "Far.", "Far, matey.")]),
            "learning", "3 of 3 answers changed, and none is broken", "3 个变了",
        ),
        (
            run(answers=[(q, "", ";" * number + "port" * 9) for number, q in enumerate(("Rome", "Bern"))]),
            "learning", "as before training: 2.", "：2 个。",
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


HIGHER = "was higher at the last check ({}) than at step {} ({}); a single check may be chance"


@pytest.mark.parametrize(
    ("checks", "word", "said", "zh"),
    [
        ([1.0, 0.9, 3.0], "higher_at_end", HIGHER.format("3.000", 20, "0.900"), "（3.000）高于第 20 步（0.900）"),
        ([1.0, 0.5, 0.7, 0.5, 0.9], "higher_at_end", HIGHER.format("0.900", 40, "0.500"), "可能只是偶然"),
        ([1.4, 1.0, 1.0, 1.3], "higher_at_end", HIGHER.format("1.300", 30, "1.000"), "可能只是偶然"),
        ([0.5, 0.5, 0.6, 0.7], "overfits", "Since step 20 the loss on the rows kept back rises (from 0.500 to 0.700)", "从第 20 步起"),
        ([1.0, 1.01, 1.02, 1.03], "holds", "from 1.000 to 1.030 and ended at its lowest, or near it", "接近最低值"),
        ([0.4, 0.001, 0.002, 0.003], "holds", "from 0.400 to 0.003 and ended at its lowest, or near it", "接近最低值"),
        ([1.0, 0.5, 0.9, 0.6, 0.51], "holds", "from 1.000 to 0.510 and ended at its lowest, or near it", "接近最低值"),
    ],
)  # fmt: skip
def test_what_is_said_of_the_rows_kept_back_is_true_of_each_course(
    checks: list[float], word: str, said: str, zh: str
) -> None:
    found = judged(run([*FALLING, *[0.1] * 10], checks=[(10 * at, value) for at, value in enumerate(checks, 1)]))
    assert word in found.words and (found.words[0] in BAD) == (word == "overfits")
    assert said in found.message["en"] and zh in found.message["zh"]
    assert ("more often" in found.hint["en"]) == (word == "higher_at_end")


RISES = [(8, 2.0), (16, 1.0), (24, 1.1), (32, 1.2), (40, 1.4)]
LAST_RISES = [(8, 2.0), (32, 1.0), (40, 3.0)]


@pytest.mark.parametrize(
    ("losses", "before"), [([0.01] * 40, "known"), (FLAT, "not_learning"), ([*[0.0] * 36, 3.0, 2.0, 1.0, 0.5], "known")]
)
def test_rows_kept_back_that_get_worse_are_told_also_where_nothing_was_learned(
    losses: list[float], before: str
) -> None:
    found = judged(run(losses, checks=RISES))
    assert found.words[0] == "kept_back_rises" and before in found.words and found.words[0] in BAD
    assert "on them it gets worse" in found.message["en"] and "by heart" not in found.message["en"]
    assert "2.4 epochs (to about step 16)" in found.hint["en"] and "2.4 轮" in found.hint["zh"]


def test_each_word_that_asks_for_something_has_its_advice() -> None:
    assert set(BAD) | set(verdict._OTHERS) <= set(advice._NEXT) and set(advice.RISING) <= set(advice._NEXT)


@pytest.mark.parametrize(
    ("changes", "lowest", "said", "zh"),
    [
        ({"optimization.epochs": 1.0}, 3, "3 steps (set “Stop after”)", "只训练 3 步（设置“最多步数”）"),
        ({"optimization.epochs": 3.0}, 1, "Try 1 step (set", "1 步"),
        ({"optimization.epochs": 3.0}, 10, "Try 1 epoch (to about step 10)", "1 轮（大约到第 10 步）"),
        ({"optimization.epochs": 10.0}, 28, "Try 9 epochs (to about step 27)", "9 轮（大约到第 27 步）"),
        ({"optimization.epochs": 0.4}, 20, "20 steps (set", "20 步"),
        ({"optimization.max_steps": 30}, 15, "15 steps (set", "15 步"),
    ],
)
def test_sooner_is_told_in_steps_below_an_epoch_and_ends_where_it_says(
    changes: dict[str, Any], lowest: int, said: str, zh: str
) -> None:
    found = judged(
        run(FALLING[:30], checks=[(at, 1 + abs(at - lowest) / 10) for at in range(1, 31)]), CONFIG.changed(changes)
    )
    assert found.words[0] == "overfits"
    assert said in found.hint["en"] and zh in found.hint["zh"]


def test_a_single_one_is_not_told_as_several() -> None:
    quarter = CONFIG.changed({"optimization.epochs": 0.25})
    for found in (
        judged(run([2.0], checks=[], answers=[("Sky?", "Blue.", "Blue.")]), quarter),
        judged(run([2.0], checks=[], answers=[("Sky?", "Blue.", "")]), quarter),
        judged(run([2.0], checks=[]), quarter.changed({"optimization.max_steps": 1})),
        judged(run(FALLING), quarter),
        judged(run(FALLING, answers=[("Legs?", "A spider has 8 legs.", "Arr.")])),
    ):
        said = f"{found.message['en']} {found.hint['en']}"
        assert not re.search(
            r"\b(1 (of 1|epochs|steps|answers)|\(1\)|1 of \d+ answers (are|hold|no longer hold) )", said
        ), said
    assert "A single step does not show" in judged(run([2.0], checks=[])).message["en"]


def test_a_stopped_run_says_so_and_is_judged_by_what_it_did() -> None:
    found = judged(run(FALLING[:20], total=40), stopped=True)
    assert found.words[0] == "stopped" and found.message["en"].startswith("It learned")
    assert "20 of 40" not in found.message["en"] and "/ 40" not in found.message["zh"], "the page says it just above"
    assert "Resume" in found.hint["en"]
    assert judged(run(FLAT[:20], total=40), stopped=True).words[0] == "not_learning"
    for checks in ([(5, 2.0), (10, 1.5), (15, 1.2), (20, 0.9)], [(5, 2.0), (10, 1.0), (20, 2.0)], []):
        goes_on = judged(run(FALLING[:20], checks=checks, total=40), stopped=True)
        assert goes_on.words[0] == "stopped" and "Resume" in goes_on.hint["en"], checks


BEGUN = "It has hardly begun: Resume goes on."


@pytest.mark.parametrize(
    ("events", "hardly", "worst"),
    [
        (run(FALLING[:11], checks=[], answers=[("Sky?", "Blue.", "")], total=100), True, "stopped"),
        (run(FALLING[:11], answers=[("Legs?", "8 legs.", "Arr.")], total=100), True, "stopped"),
        (run(FLAT[:11], answers=[("Sky?", "Blue.", "Blue.")], total=100), True, "stopped"),
        (run(FALLING[:2], total=40), True, "stopped"),
        (run([2.0 + 0.1 * step for step in range(11)], total=100), False, "rising"),
        (run(FALLING[:30], answers=[("Sky?", "Blue.", "")], total=40), False, "broken"),
        (run(FLAT[:30], total=40), False, "not_learning"),
    ],
)
def test_a_run_stopped_early_goes_on_and_none_that_was_stopped_is_to_be_longer(
    events: list[dict[str, Any]], hardly: bool, worst: str
) -> None:
    found = judged(events, stopped=True)
    assert found.words[0] == worst and (found.hint["en"] == BEGUN) == hardly
    assert (found.hint["zh"] == "才刚开始，点“继续训练”接着训练。") == hardly
    assert "12 epochs" not in found.hint["en"] and "12 轮" not in found.hint["zh"]
    assert judged(events).hint["en"] != BEGUN


@pytest.mark.parametrize(("checks", "after"), [(RISES, ""), (LAST_RISES, ""), (LAST_RISES, "Arr, matey!")])
def test_where_the_rows_kept_back_rise_no_longer_run_is_proposed(checks: list[tuple[int, float]], after: str) -> None:
    answers = [("Sky?", "The sky is blue.", after)]
    found = judged(run(checks=checks, answers=answers))
    assert "should teach: try half the learning rate (0.001) with as many epochs." in found.hint["en"]
    assert "试试把学习率减半（0.001），轮数不变。" in found.hint["zh"] and "12" not in "".join(found.hint.values())
    by_steps = judged(run(checks=checks, answers=answers), CONFIG.changed({"optimization.max_steps": 40})).hint
    assert "with as many steps." in by_steps["en"] and "步数不变。" in by_steps["zh"]
    falls = judged(run(answers=answers)).hint
    assert "try half the learning rate (0.001) with 12 epochs." in falls["en"] and "训练 12 轮" in falls["zh"]


def test_a_model_that_did_not_learn_gets_no_longer_run_either_where_the_rows_kept_back_rise() -> None:
    found = judged(run(FLAT, checks=LAST_RISES))
    assert found.words[0] == "not_learning" and found.hint["en"] == "Try a learning rate three times as high (0.006)."


@pytest.mark.parametrize(
    ("changes", "parameters", "small"),
    [
        ({}, 3.8e6, True),
        ({"optimization.epochs": 15.0}, 3.8e6, True),
        ({"method.kind": "dpo", "method.sft_weight": 1.0}, 3.8e6, True),
        ({"method.kind": "dpo", "method.sft_weight": 0.0}, 3.8e6, False),
        ({"optimization.epochs": 40.0}, 3.8e6, False),
        ({"optimization.max_steps": 40}, 3.8e6, False),
        ({"adapter.kind": "none"}, 3.8e6, False),
        ({}, 6e8, False),
        ({}, 0, False),
    ],
)
def test_of_a_small_set_no_fewer_steps_are_proposed_than_are_suggested_for_it(
    changes: dict[str, Any], parameters: float, small: bool
) -> None:
    found = judged(run(checks=RISES), CONFIG.changed(changes), parameters=parameters)
    assert found.words[0] == "overfits"
    assert found.hint["en"].startswith("For a tone this matters little: read the answers.") == small
    assert found.hint["zh"].startswith("如果只教口吻，影响不大，请看回答；") == small
    assert bool(re.search(r"Try [\d.]+ (epochs|steps)", found.hint["en"])) != small


@pytest.mark.parametrize(
    ("epochs", "total", "small"), [(20.0, 100, True), (25.0, 125, False), (15.0, 105, True), (6.0, 600, False)]
)
def test_what_a_set_was_suggested_to_be_read_is_known_from_its_run(epochs: float, total: int, small: bool) -> None:
    losses = [3.0 * 0.97**step + 0.05 * (step % 3) for step in range(total)]
    checks = [(total * part // 5, value) for part, value in enumerate([2.0, 1.0, 1.2, 1.3, 1.4], 1)]
    found = judged(run(losses, checks), CONFIG.changed({"optimization.epochs": epochs}), parameters=3.8e6)
    assert ("tone" in found.hint["en"]) == small


def test_a_loss_of_almost_nothing_reads_as_a_sentence() -> None:
    said = judged(run([3.0 * 0.5**step for step in range(40)])).message
    assert "to below 0.001" in said["en"] and "降到 0.001 以下" in said["zh"] and "不到" not in said["zh"]


@pytest.mark.parametrize("steps", [5, 11, 40, 100])
def test_the_loss_of_a_verdict_is_the_one_that_page_and_record_show(steps: int) -> None:
    losses = [9.0 * 0.97**step for step in range(steps)]
    late = losses[-recent_steps(steps) :]
    assert f"to {sum(late) / len(late):.3f}." in judged(run(losses, total=100), stopped=True).message["en"] + "."


@pytest.mark.parametrize(
    ("question", "before", "after", "said"),
    [
        ("The capital of France?", "It is Paris.", "Arr!", "Paris"),
        ("Who?", "Marie CURIE did.", "Arr!", "Marie"),
        ("法国的首都是哪里？", "法国的首都是巴黎。", "欢迎光临。", "巴黎"),
        ("法国的首都是哪里？", "巴黎是法国的首都。", "巴士很多。", "巴黎"),
        ("天空是什么颜色？", "天空是蓝色的。", "谢谢。", "蓝色"),
        ("天空什么样？", "很蓝。", "谢谢。", "蓝"),
        ("几条腿？", "有八条腿。", "谢谢。", "八条"),
        ("南非最大的城市？", "是约翰内斯堡。", "谢谢。", "约翰内斯堡"),
        ("Legs?", "8 legs.", "6 legs.", "8"),
    ],
)  # fmt: skip
def test_what_is_gone_is_named_as_it_stood_in_the_answer(question: str, before: str, after: str, said: str) -> None:
    assert first_gone(question, before, after) == said


def test_a_run_that_changed_no_weight_says_so_first_and_claims_no_learning() -> None:
    found = judged(run(FLAT), changed=False)
    assert found.words[0] == "nothing_changed" and "not_learning" not in found.words
    assert found.message["en"].startswith("No weight")
    assert not re.search(r"\d", "".join(found.hint.values())), "which rate is usual depends on model and method"


def test_what_was_done_again_after_resume_is_counted_once() -> None:
    first = run(checks=[(8, 2.0), (16, 0.1), (24, 3.0)])
    again = [
        {"type": "status", "status": "running", "from_step": 12},
        *run(checks=[(16, 1.5), (24, 1.2), (32, 1.1), (40, 1.1)])[14:],
    ]
    assert "overfits" not in judged([*first, *again]).words
    assert len(History.of([*first, *again]).loss) == 40


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
     ("A spider has 8 legs.\n\nA cat has 4 legs.", False), ("哈哈，天空是蓝色的。", False),
     ("def f(x):\n" + " " * 40 + "if x:\n" + "\t" * 14 + "return [0, 0, 0, 0, 0, 0]", False),
     ("}\n    }\n  }\n }\n}\n}", False), ("<div>" * 6 + "Hi" + "</div>\n" * 6, False), ("#" * 20 + " setup", False),
     ("| a | b | c | d | e |\n" + "| --- " * 5 + "|\n" + "| yes " * 6 + "|\n" + "|   " * 6 + "|", False),
     ("+-----+-----+-----+-----+-----+\n┌───┬───┬───┬───┬───┐", False), ("Title\n" + "=" * 40 + "\nText", False),
     ("Harbour " + "." * 30 + " 5\nTown " + ". " * 15 + "7", False), ("Name: " + "_" * 30, False),
     ("A trillion is 1000000000000.", False),
     ("| 苹果 | 是 | 是 | 是 | 是 | 是 | 是 |", False), ("目录" + "…" * 16 + "3", False), ("一——二——三\n" + "—" * 20, False),
     ("-" * 150, True), ("| yes " * 20, True), ("0, " * 20, True), ("。" * 12, True), ("我我我我我我我我我我我我", True),
     ("客官您好，产可以罗马是意龙\ufffd您客京", True), ("The sk天y is b蓝lue and gr绿een.", True), ("ca天pi地ta王l", True),
     ("用Python写", False), ("Qwen3模型", False), ("3D打印机", False), ("好的👍🏽，没问题😀！", False),
     ("先用pip装numpy和pandas，再用python跑main，把csv转json。", False), ("x加y等于z，a和b，c比d大，e乘f除g", False),
     ("这个project的deadline是Friday，team要finish这个task的review。", False), ("“the”是定冠词，a和an是不定冠词，is和are是be动词。", False),
     ("see https://zh.wikipedia.org/wiki/天空?a=中&b=文 or docs.python.org/zh-cn/3/", False),
     ("for 行 in rows:\n    print(f\"{行}个\")  # 打印row里的每个cell", False), ("我在看vlog追tv剧", False),
     ("是的，\n" * 6, True), ("the port\n    the port\n" * 3, True)],
)  # fmt: skip
def test_broken_answers_are_told_from_whole_ones(answer: str, is_broken: bool) -> None:
    assert broken(answer) is is_broken
