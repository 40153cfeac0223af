"""What a run that is over shows, in a sentence or two: its curve, the rows kept back, the answers; and the next thing to try.

All rules stand here, with the reason for each threshold. A verdict says what the run's own events show and no more: where
nothing was kept back or nothing was asked, it says that this cannot be judged. Knows no page; `jobs.py` asks for it when a
run ends, and the events keep it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.config.run import RunConfig
from workbench.config.text import Text, same
from workbench.engine.answers import broken, kept_words, telling_words
from workbench.engine.events import Verdict

FEW_STEPS = 5  # losses; of fewer, the first and the last ones are the same batches
ENDS = 5  # a fifth of the run at its beginning is compared with the fifth at its end: batches differ, their means less
FALL = 0.05  # of the loss; a mean of some batches differs by a few hundredths from the next one without any learning
LOW = 0.05  # a loss with which every token had a probability of 95 % from the first step on: nothing was left to learn
RISE = 0.05  # of the lowest loss on the rows kept back; a few rows differ by less from one check to the next ...
LEAST_RISE = 0.02  # ... and where they are nearly known by heart, a twentieth of almost nothing is nothing
AFTER_LOWEST = 2  # checks in a row above the lowest one: a single one may be chance
FEW_CHECKS = 3  # fewer have no course

BAD = ("nothing_changed", "broken", "rising", "not_learning", "overfits", "same_answer", "lost", "unchanged")
"""What somebody should do something about, the most serious first."""


@dataclass
class Course:
    """A run's numbers and answers, as its events tell them; what was done again after Resume counts once."""

    loss: list[tuple[int, float]] = field(default_factory=list)
    kept_back: list[tuple[int, float]] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, tuple[int, str]] = field(default_factory=dict)
    step: int = 0
    total: int = 0

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]]) -> Course:
        """Read the events of a run, in order."""
        course = cls()
        for event in events:
            if event["type"] == "status" and event["status"] == "running":
                course._back_to(event.get("from_step") or 0)
            elif event["type"] == "metrics":
                course.step, course.total = event["step"], event["total_steps"]
                for name, series in (("loss", course.loss), ("eval_loss", course.kept_back)):
                    if event.get(name) is not None:
                        series.append((event["step"], event[name]))
            elif event["type"] == "sample":
                if event["step"] == 0:
                    course.before[event["question"]] = event["answer"]
                else:
                    course.after[event["question"]] = (event["step"], event["answer"])
        return course

    def _back_to(self, step: int) -> None:
        self.loss = [point for point in self.loss if point[0] <= step]
        self.kept_back = [point for point in self.kept_back if point[0] <= step]
        self.after = {question: said for question, said in self.after.items() if said[0] <= step}


@dataclass(frozen=True)
class _Finding:
    word: str
    said: Text


def judge(
    course: Course,
    config: RunConfig,
    *,
    stopped: bool = False,
    changed: bool | None = None,
    taught: Mapping[str, str] | None = None,
) -> Verdict:
    """The verdict on a run that is over.

    Args:
        course: of its events.
        config: its settings; what is proposed is counted from them.
        stopped: somebody ended it before its last step.
        changed: whether any weight is another one than before the run; None when nobody looked.
        taught: answers of the rows to those of the run's questions that are among the rows.
    """
    findings: list[_Finding] = []
    if stopped and course.step < course.total:
        said = Text("It was stopped at step {step} of {total}.", "在第 {step} / {total} 步停止。")
        findings.append(_Finding("stopped", said.with_(step=course.step, total=course.total)))
    if changed is False:
        said = Text("No weight of the model was changed by this run.", "这次运行没有改变模型的任何权重。")
        findings.append(_Finding("nothing_changed", said))
    else:
        curve = _of_loss(course)
        findings += [curve, _of_kept_back(course, curve.word == "learning")]
    findings += _of_answers(course, taught or {})
    words = [finding.word for finding in findings]
    worst = next((word for word in BAD if word in words), None) or next(
        (word for word in ("still_falling", "stopped", "few_steps", "nothing_kept_back") if word in words), "learning"
    )
    joined = findings[0].said
    for finding in findings[1:]:
        joined = Text("{before} {after}", "{before}{after}").with_(before=joined, after=finding.said)
    words.sort(key=lambda word: word != worst)
    return Verdict(words, joined.as_dict(), _NEXT[worst](course, config).as_dict())


def taught_answers(rows: Iterable[Mapping[str, Any]], questions: Sequence[str]) -> dict[str, str]:
    """What the rows (normalised) themselves answer to these questions, where they ask them as their first."""
    wanted, found = set(questions), {}
    for row in rows:
        messages = [*row.get("prompt", ()), *row.get("messages", ()), *row.get("chosen", ())]
        asked = next((str(message["content"]) for message in messages if message["role"] == "user"), "")
        said = next((str(message["content"]) for message in messages if message["role"] == "assistant"), None)
        asked = " ".join(asked.split())  # as questions are taken from rows
        if asked in wanted and said is not None:
            found[asked] = said
    return found


# The curve


def _of_loss(course: Course) -> _Finding:
    values = [value for _, value in course.loss]
    if len(values) < FEW_STEPS:
        said = Text("So few steps ({n}) do not show whether it learns.", "步数太少（{n}），还看不出有没有在学。").with_(
            n=len(values)
        )
        return _Finding("few_steps", said)
    count = max(2, len(values) // ENDS)
    first, last = statistics.fmean(values[:count]), statistics.fmean(values[-count:])
    # Twice the error of a mean of so many batches: what differs by less may be the batches.
    noise = max(FALL * first, 2 * statistics.stdev(values[-count:]) / count**0.5)
    numbers = {"first": _loss(first), "last": _loss(last)}
    if first < LOW:
        said = Text(
            "The training loss was low from the first steps on ({first}): the model knew this already.",
            "训练损失从一开始就很低（{first}）：模型原本就会这些内容。",
        )
        return _Finding("known", said.with_(**numbers))
    if last > first + noise:
        said = Text("The training loss rose from {first} to {last}.", "训练损失从 {first} 升到了 {last}。")
        return _Finding("rising", said.with_(**numbers))
    if last > first - noise:
        said = Text(
            "It hardly learned: the training loss went from {first} to {last}, which chance can do.",
            "几乎没有学到东西：训练损失从 {first} 变到 {last}，这样的变化可能只是偶然。",
        )
        return _Finding("not_learning", said.with_(**numbers))
    said = Text(
        "It learned: the training loss fell from {first} to {last}.", "学到了：训练损失从 {first} 降到 {last}。"
    )
    return _Finding("learning", said.with_(**numbers))


def _of_kept_back(course: Course, learning: bool) -> _Finding:
    checks = course.kept_back
    if not checks:
        said = Text(
            "No rows were kept back, so whether it only learned by heart cannot be judged.",
            "没有留出样本，无法判断是否只是死记硬背。",
        )
        return _Finding("nothing_kept_back", said)
    if len(checks) < FEW_CHECKS:
        said = Text(
            "The rows kept back were checked too seldom ({n}) to say whether it learned by heart.",
            "留出的样本检查次数太少（{n} 次），看不出是否在死记硬背。",
        )
        return _Finding("few_checks", said.with_(n=len(checks)))
    lowest = min(range(len(checks)), key=lambda at: checks[at][1])
    step, low = checks[lowest]
    last, later = checks[-1][1], checks[lowest + 1 :]
    risen = last - low >= max(RISE * low, LEAST_RISE)
    numbers = {"step": step, "low": _loss(low), "first": _loss(checks[0][1]), "last": _loss(last)}
    if risen and len(later) >= AFTER_LOWEST and min(value for _, value in later) > low:
        said = Text(
            "Since step {step} the loss on the rows kept back rises (from {low} to {last}): from there on it learns by heart.",
            "从第 {step} 步起，留出样本的损失在上升（从 {low} 到 {last}）：之后是在死记硬背。",
        )
        return _Finding("overfits" if learning else "kept_back_rises", said.with_(**numbers))
    if _still_falls(checks):
        said = Text(
            "On the rows kept back the loss still fell at the end (to {last}).",
            "到结束时，留出样本的损失仍在下降（降到 {last}）。",
        )
        return _Finding("still_falling", said.with_(**numbers))
    said = Text(
        "On the rows kept back the loss went from {first} to {last} and did not rise again.",
        "留出样本的损失从 {first} 变到 {last}，没有回升。",
    )
    return _Finding("holds", said.with_(**numbers))


def _still_falls(checks: Sequence[tuple[int, float]]) -> bool:
    """Whether the last fifth of the run lowered the loss by as much as counts, and its end is the lowest of all."""
    early = next(
        value for step, value in reversed(checks) if step <= checks[-1][0] * (1 - 1 / ENDS) or step == checks[0][0]
    )
    last = checks[-1][1]
    return last <= min(value for _, value in checks) and early - last >= max(FALL * early, LEAST_RISE)


# The answers


def _of_answers(course: Course, taught: Mapping[str, str]) -> list[_Finding]:
    asked = [question for question in course.before if question in course.after]
    if not asked:
        said = Text(
            "No question was answered before and after, so the answers cannot be judged.",
            "没有同时得到训练前后回答的问题，无法判断回答。",
        )
        return [_Finding("not_asked", said)]
    pairs = [(question, course.before[question], course.after[question][1]) for question in asked]
    found, count = [], {"all": len(asked)}
    spoiled = [question for question, before, after in pairs if broken(after) and not broken(before)]
    gone = [pair for pair in pairs if pair[0] not in spoiled and _lost(*pair, taught.get(pair[0]))]
    if spoiled:
        said = Text(
            "{n} of {all} answers are broken now (empty, or the same again and again), for example to “{question}”.",
            "{all} 个回答中有 {n} 个现在是坏的（空白，或不断重复），例如“{question}”。",
        )
        found.append(_Finding("broken", said.with_(n=len(spoiled), question=_short(spoiled[0]), **count)))
    if gone:
        question, before, after = gone[0]
        words = sorted(telling_words(question, before) - kept_words(after), key=before.casefold().find)
        said = Text(
            "{n} of {all} answers no longer hold what they said before training: “{word}” is gone from the answer to “{question}”.",
            "{all} 个回答中有 {n} 个不再包含训练前说过的内容：“{question}”的回答里没有了“{word}”。",
        )
        found.append(_Finding("lost", said.with_(n=len(gone), word=words[0], question=_short(question), **count)))
    if len(asked) >= 3 and len({after.strip() for _, _, after in pairs}) == 1 < len({before for _, before, _ in pairs}):
        said = Text("All {all} questions get the same answer now.", "{all} 个问题现在得到的都是同一个回答。")
        found.append(_Finding("same_answer", said.with_(**count)))
    if found:
        return found
    moved = sum(before.strip() != after.strip() for _, before, after in pairs)
    if not moved:
        said = Text("None of the {all} answers changed.", "{all} 个回答都没有变化。")
        return [_Finding("unchanged", said.with_(**count))]
    said = Text("{n} of {all} answers changed, and none is broken.", "{all} 个回答中有 {n} 个变了，没有坏掉的。")
    return [_Finding("changed", said.with_(n=moved, **count))]


def _lost(question: str, before: str, after: str, taught: str | None) -> bool:
    """Whether most of what an answer told is gone; not where the rows themselves answer without it."""
    told = telling_words(question, before)
    numbers = {word for word in told if word.isdigit()}
    told = numbers or told  # where a number is the answer, the words around it are not
    if taught is not None and 2 * len(told & kept_words(taught)) < len(told):
        return False
    return not broken(before) and 2 * len(told & kept_words(after)) < len(told)


# What to do next


def _again(course: Course, config: RunConfig) -> Text:
    return Text(
        "Try half the learning rate ({rate}) with {length}.", "试试把学习率减半（{rate}），训练{length}。"
    ).with_(rate=_number(config.optimization.learning_rate / 2), length=_length(config, 2))


def _higher(course: Course, config: RunConfig) -> Text:
    return Text(
        "Try {length}, or a learning rate three times as high ({rate}).",
        "试试训练{length}，或把学习率提高到三倍（{rate}）。",
    ).with_(rate=_number(config.optimization.learning_rate * 3), length=_length(config, 2))


def _lower(course: Course, config: RunConfig) -> Text:
    return Text("Try a third of the learning rate ({rate}).", "试试把学习率降到三分之一（{rate}）。").with_(
        rate=_number(config.optimization.learning_rate / 3)
    )


def _sooner(course: Course, config: RunConfig) -> Text:
    step = min(course.kept_back, key=lambda point: point[1])[0]
    return Text(
        "Try {length}, which end near step {step}, or bring more rows.",
        "试试只训练{length}（大约到第 {step} 步），或增加样本。",
    ).with_(length=_length(config, step / max(course.total, 1)), step=step)


def _gentler(course: Course, config: RunConfig) -> Text:
    return Text(
        "Read the answers below. If this is not what the rows should teach: {again} Ordinary questions and answers among "
        "the rows help it to keep what it knew.",
        "请看下面的回答。如果这不是样本要教的：{again}在样本里混入一些普通问答，也有助于保住它原来会的。",
    ).with_(again=_again(course, config))


def _longer(course: Course, config: RunConfig) -> Text:
    return Text("Talk to it; {length} may teach it more.", "先和它聊聊看；训练{length}也许还能学到更多。").with_(
        length=_length(config, 1.5)
    )


def _plain(text: Text) -> Callable[[Course, RunConfig], Text]:
    return lambda course, config: text


_NEXT: dict[str, Callable[[Course, RunConfig], Text]] = {
    "nothing_changed": _plain(
        Text(
            "The steps were too small for these weights: try a learning rate that is much higher (2e-4 is usual).",
            "步子太小，权重动不了：请把学习率调高很多（通常为 2e-4）。",
        )
    ),
    "broken": _gentler,
    "rising": _lower,
    "not_learning": _higher,
    "overfits": _sooner,
    "same_answer": _gentler,
    "lost": _gentler,
    "unchanged": _higher,
    "still_falling": _longer,
    "stopped": _plain(Text("Resume goes on from there.", "点“继续训练”可以接着训练。")),
    "few_steps": _higher,
    "nothing_kept_back": _plain(
        Text("Talk to it; next time keep a tenth of the rows back.", "先和它聊聊；下次请留出十分之一的样本。")
    ),
    "learning": _plain(Text("Talk to it, or export it.", "可以和它聊聊，或者导出。")),
}


def _length(config: RunConfig, factor: float) -> Text:
    """A run of so many times the length, in the setting that decides it."""
    steps = config.optimization.max_steps
    if steps:
        return Text("{n} steps", " {n} 步").with_(n=max(1, round(steps * factor)))
    epochs = max(1.0, config.optimization.epochs * factor)
    return Text("{n} epochs", " {n} 轮").with_(n=_number(round(epochs) if epochs >= 3 else epochs))


def _loss(value: float) -> Text:
    return same(f"{value:.3f}") if value >= 0.001 else Text("below 0.001", "不到 0.001")


def _number(value: float) -> str:
    return f"{value:.3g}"


def _short(question: str) -> Text:
    return same(question if len(question) <= 60 else question[:59] + "…")
