"""What a run that is over shows, in a sentence or two: its curve, the rows kept back, the answers.

All rules stand here, with the reason for each threshold; what to try next stands in `advice.py`. A verdict says what the run's own events show and no more: where
nothing was kept back or nothing was asked, it says that this cannot be judged. Knows no page; `jobs.py` asks for it when a
run ends, and the events keep it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.config.run import RunConfig
from workbench.config.tasks import CAUSAL
from workbench.config.text import Text, counted, listed, same
from workbench.engine.advice import hardly_begun, next_to_try
from workbench.engine.answers import broken, first_gone, kept_words, telling_words
from workbench.engine.events import Verdict
from workbench.engine.history import History, lowest
from workbench.engine.names import RECENT, recent_steps
from workbench.methods import METHODS
from workbench.methods.base import Method
from workbench.methods.metrics import OF_EVALUATION

FEW_STEPS = 5  # losses; of fewer, the first and the last ones are the same batches
FALL = 0.05  # of the loss; a mean of some batches differs by a few hundredths from the next one without any learning
LOW = 0.05  # a loss with which every token had a probability of 95 % from the first step on: nothing was left to learn
RISE = 0.05  # of the lowest loss on the rows kept back; a few rows differ by less from one check to the next ...
LEAST_RISE = 0.02  # ... and where they are nearly known by heart, a twentieth of almost nothing is nothing
AFTER_LOWEST = 2  # checks in a row above the lowest one: a single one may be chance
FEW_CHECKS = 3  # fewer have no course

BAD = (
    "nothing_changed",
    "broken",
    "rising",
    "kept_back_rises",
    "not_learning",
    "overfits",
    "same_answer",
    "lost",
    "unchanged",
)
"""What somebody should do something about, the most serious first."""
_OTHERS = ("stopped", "still_falling", "higher_at_end", "few_steps", "nothing_kept_back")
"""What else decides what to try next, in this order."""
_FROM_THE_START = ("nothing_changed", "rising")
"""What is serious of a run that was stopped when it had hardly begun, too: going on does not mend it."""


@dataclass(frozen=True)
class _Finding:
    word: str
    said: Text


def judge(
    history: History,
    config: RunConfig,
    *,
    stopped: bool = False,
    changed: bool | None = None,
    taught: Mapping[str, str] | None = None,
    parameters: float = 0,
) -> Verdict:
    """The verdict on a run that is over.

    Args:
        history: of its events.
        config: its settings; what is proposed is counted from them.
        stopped: somebody ended it before its last step.
        changed: whether any weight is another one than before the run; None when nobody looked.
        taught: answers of the rows to those of the run's questions that are among the rows.
        parameters: of the base model; 0 when nobody knows.
    """
    findings: list[_Finding] = []
    stopped = stopped and history.step < history.total
    if changed is False:
        said = Text("No weight of the model was changed by this run.", "这次运行没有改变模型的任何权重。")
        findings.append(_Finding("nothing_changed", said))
    else:
        curve = _of_loss(history)
        findings += [curve, _of_kept_back(history, curve.word == "learning")]
    method = METHODS[config.method.kind]
    if method.task == CAUSAL:
        findings += _of_answers(history, taught or {})
    findings += _of_numbers(history, method)
    words = [*(["stopped"] if stopped else []), *(finding.word for finding in findings)]
    serious = _FROM_THE_START if stopped and hardly_begun(history) else BAD
    worst = next((word for word in (*serious, *_OTHERS) if word in words), "learning")
    joined = findings[0].said
    for finding in findings[1:]:
        joined = Text("{before} {after}", "{before}{after}").with_(before=joined, after=finding.said)
    words.sort(key=lambda word: word != worst)
    return Verdict(words, joined.as_dict(), next_to_try(worst, history, config, words, parameters).as_dict())


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


def _of_numbers(history: History, method: Method) -> list[_Finding]:
    """The method's main numbers on the rows kept back."""
    found = [
        _NUMBER.with_(label=metric.label, value=metric.written(history.numbers[name]))
        for metric in method.metrics
        if metric.main and (name := f"{OF_EVALUATION}{metric.name}") in history.numbers
    ]
    return [_Finding("measured", _NUMBERS.with_(numbers=listed(found)))] if found else []


_NUMBER = Text("{label} {value}", "{label} {value}")
_NUMBERS = Text("On the rows kept back: {numbers}.", "在留出的样本上：{numbers}。")


# The curve


def _of_loss(history: History) -> _Finding:
    values = [value for _, value in history.loss]
    if len(values) < FEW_STEPS:
        zh = "步数太少（{n}），还看不出有没有在学。"
        one = Text("A single step does not show whether it learns.", zh)
        more = Text("So few steps ({n}) do not show whether it learns.", zh)
        return _Finding("few_steps", counted(len(values), one, more))
    count = recent_steps(len(values))  # batches differ, their means less; at the end it is the loss that the page shows
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


def _of_kept_back(history: History, learning: bool) -> _Finding:
    checks = history.kept_back
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
    at = lowest(checks)
    (step, low), last, later = checks[at], checks[-1][1], checks[at + 1 :]
    risen = last - low >= max(RISE * low, LEAST_RISE)
    numbers = {"step": step, "low": _loss(low), "first": _loss(checks[0][1]), "last": _loss(last)}
    if risen and len(later) >= AFTER_LOWEST:
        if not learning:  # nothing was learned by heart then
            said = Text(
                "Since step {step} the loss on the rows kept back rises (from {low} to {last}): on them it gets worse.",
                "从第 {step} 步起，留出样本的损失在上升（从 {low} 到 {last}）：模型在这些样本上变差了。",
            )
            return _Finding("kept_back_rises", said.with_(**numbers))
        said = Text(
            "Since step {step} the loss on the rows kept back rises (from {low} to {last}): from there on it learns by heart.",
            "从第 {step} 步起，留出样本的损失在上升（从 {low} 到 {last}）：之后是在死记硬背。",
        )
        return _Finding("overfits", said.with_(**numbers))
    if risen:
        said = Text(
            "On the rows kept back the loss was higher at the last check ({last}) than at step {step} ({low}); a single "
            "check may be chance.",
            "最后一次检查时，留出样本的损失（{last}）高于第 {step} 步（{low}）；只凭一次检查，可能只是偶然。",
        )
        return _Finding("higher_at_end", said.with_(**numbers))
    if _still_falls(checks):
        said = Text(
            "On the rows kept back the loss still fell at the end (to {last}).",
            "到结束时，留出样本的损失仍在下降（降到 {last}）。",
        )
        return _Finding("still_falling", said.with_(**numbers))
    said = Text(
        "On the rows kept back the loss went from {first} to {last} and ended at its lowest, or near it.",
        "留出样本的损失从 {first} 变到 {last}，结束时处于或接近最低值。",
    )
    return _Finding("holds", said.with_(**numbers))


def _still_falls(checks: Sequence[tuple[int, float]]) -> bool:
    """Whether the last fifth of the run lowered the loss by as much as counts, and its end is the lowest of all."""
    early = next(
        value for step, value in reversed(checks) if step <= checks[-1][0] * (1 - 1 / RECENT) or step == checks[0][0]
    )
    last = checks[-1][1]
    return last <= min(value for _, value in checks) and early - last >= max(FALL * early, LEAST_RISE)


# The answers; of each sentence the one for a single answer, and the one for several

_BROKEN = (
    Text(
        "The answer to “{question}” is broken now (empty, garbled, or the same again and again).",
        "“{question}”的回答现在是坏的（空白、乱码，或不断重复）。",
    ),
    Text(
        "{n} of {all} answers are broken now (empty, garbled, or the same again and again), for example to “{question}”.",
        "{all} 个回答中有 {n} 个现在是坏的（空白、乱码，或不断重复），例如“{question}”。",
    ),
)
_LOST = (
    Text(
        "The answer to “{question}” no longer holds what it said before training: “{word}” is gone.",
        "“{question}”的回答不再包含训练前说过的内容：没有了“{word}”。",
    ),
    Text(
        "{n} of {all} answers no longer hold what they said before training: “{word}” is gone from the answer to “{question}”.",
        "{all} 个回答中有 {n} 个不再包含训练前说过的内容：“{question}”的回答里没有了“{word}”。",
    ),
)
_UNCHANGED = (
    Text("The answer did not change.", "回答没有变化。"),
    Text("None of the {n} answers changed.", "{n} 个回答都没有变化。"),
)
_CHANGED = (
    Text("The answer changed, and is not broken.", "回答变了，没有坏掉。"),
    Text("{moved} of {n} answers changed, and none is broken.", "{n} 个回答中有 {moved} 个变了，没有坏掉的。"),
)
_STILL_BROKEN = (
    Text(
        "The answer changed; it is broken (empty, garbled, or the same again and again), as it was before training.",
        "回答变了，但和训练前一样是坏的（空白、乱码，或不断重复）。",
    ),
    Text(
        "{moved} of {n} answers changed. Broken (empty, garbled, or the same again and again), as before training: {bad}.",
        "{n} 个回答中有 {moved} 个变了。和训练前一样是坏的（空白、乱码，或不断重复）：{bad} 个。",
    ),
)


def _of_answers(history: History, taught: Mapping[str, str]) -> list[_Finding]:
    asked = [question for question in history.before if question in history.after]
    if not asked:
        said = Text(
            "No question was answered before and after, so the answers cannot be judged.",
            "没有同时得到训练前后回答的问题，无法判断回答。",
        )
        return [_Finding("not_asked", said)]
    pairs = [(question, history.before[question], history.after[question][1]) for question in asked]
    found, count = [], {"all": len(asked)}
    spoiled = [question for question, before, after in pairs if broken(after) and not broken(before)]
    gone = [pair for pair in pairs if pair[0] not in spoiled and _lost(*pair, taught.get(pair[0]))]
    if spoiled:
        said = counted(len(spoiled), *_BROKEN).with_(question=_short(spoiled[0]), **count)
        found.append(_Finding("broken", said))
    if gone:
        question, before, after = gone[0]
        said = counted(len(gone), *_LOST).with_(
            word=first_gone(question, before, after), question=_short(question), **count
        )
        found.append(_Finding("lost", said))
    if len(asked) >= 3 and len({after.strip() for _, _, after in pairs}) == 1 < len({before for _, before, _ in pairs}):
        said = Text("All {all} questions get the same answer now.", "{all} 个问题现在得到的都是同一个回答。")
        found.append(_Finding("same_answer", said.with_(**count)))
    if found:
        return found
    moved = sum(before.strip() != after.strip() for _, before, after in pairs)
    if not moved:
        return [_Finding("unchanged", counted(len(asked), *_UNCHANGED))]
    bad = sum(broken(after) for _, _, after in pairs)
    said = counted(len(asked), *(_STILL_BROKEN if bad else _CHANGED))
    return [_Finding("changed", said.with_(moved=moved, bad=bad))]


def _lost(question: str, before: str, after: str, taught: str | None) -> bool:
    """Whether most of what an answer told is gone; not where the rows themselves answer without it."""
    told = telling_words(question, before)
    numbers = {word for word in told if word.isdigit()}
    told = numbers or told  # where a number is the answer, the words around it are not
    if taught is not None and 2 * len(told & kept_words(taught)) < len(told):
        return False
    return not broken(before) and 2 * len(told & kept_words(after)) < len(told)


def _loss(value: float) -> Text:
    return same(f"{value:.3f}") if value >= 0.001 else Text("below 0.001", "0.001 以下")


def _short(question: str) -> Text:
    return same(question if len(question) <= 60 else question[:59] + "…")
