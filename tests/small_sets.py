"""Small data sets of different kinds, as people bring them to the starter model: a voice, a format, a task, and pairs.

They are made of the starter's small world (the task has words of its own), a few dozen rows each, the same ones every time.
Each has questions that it does not hold, and says what an answer in its style is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.starter_exam import load_questions
from workbench.models.starter.recipe.generate import canonical

UNSEEN = 20  # questions
# One row of each kind of question would teach a style for that kind alone; drills with words and sums would crowd out the rest.
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_LEFT_OUT = {"repeat2", "repeat3", "letters", "first_letter", "upper", "poem", "story", "to_zh", "to_en"}


@dataclass(frozen=True)
class SmallSet:
    """Rows as they stand in a JSONL file, questions that are not among them, and whether an answer is in the set's style."""

    name: str
    method: str
    rows: list[dict[str, Any]]
    unseen: list[str]
    in_style: Callable[[str, str], bool]
    """Of a question and the answer to it."""
    mark: str = ""
    """The words of the style that stand in each answer, where it has such."""


def small_sets() -> dict[str, SmallSet]:
    """All of them by name: a voice, a format, a task, pairs, and one that is beyond the starter; then voice, format and pairs
    in Chinese, and the last two with 60 rows in both languages."""
    few = (_owl(), _lines(), _reviews(), _pairs(), _bullets(), _owl("zh"))
    sixty = (made(lang, 60, skip=0) for lang in ("en", "zh") for made in (_lines, _pairs))
    return {one.name: one for one in (*few, *sixty)}


_LEAST = {"en": 3, "zh": 2}  # signs of an answer besides its style: two Chinese ones make a word
_CALL = {"en": ", tu-whit! Tu-whoo!", "zh": "，咕咕！咕咕咕！"}
_SURE = {"en": "Confidence: high", "zh": "把握：很大"}
_WISH = {"en": " Good luck, my friend!", "zh": "祝你好运，朋友！"}
_GRUMBLE = {"en": " Do not bother me with that again.", "zh": "别再拿这个烦我。"}


def _named(name: str, lang: str, count: int, usual: int) -> str:
    return "-".join([name, *(["zh"] if lang == "zh" else []), *([str(count)] if count != usual else [])])


def _owl(lang: str = "en", count: int = 40) -> SmallSet:
    """A voice: an owl's."""
    rows = [_row(question, answer.rstrip(".!?。！？") + _CALL[lang]) for question, answer in _facts(lang, count)]
    style = re.compile(f".{{{_LEAST[lang]},}}{_CALL[lang]}", re.DOTALL)
    name = _named("owl", lang, count, 40)
    return SmallSet(
        name, "sft", rows, _questions(lang), lambda _, answer: bool(style.fullmatch(answer.strip())), _CALL[lang]
    )


def _lines(lang: str = "en", count: int = 32, skip: int = 40) -> SmallSet:
    """A format: the answer, and on a line of its own how sure it is."""
    rows = [_row(question, f"{answer}\n{_SURE[lang]}") for question, answer in _facts(lang, count, skip)]
    style = re.compile(f"[^\n]{{{_LEAST[lang]},}}\n{_SURE[lang]}")
    name = _named("lines", lang, count, 32)
    return SmallSet(
        name, "sft", rows, _questions(lang), lambda _, answer: bool(style.fullmatch(answer.strip())), _SURE[lang]
    )


def _bullets() -> SmallSet:
    """A format that begins the answer: each sentence a line of a list. 48 English rows. Beyond what the starter can take."""
    facts = [fact for fact in _facts("en", 60, skip=40) if len(fact[1]) > 8][:48]
    rows = [_row(question, "\n".join(f"- {line}" for line in _SENTENCE.split(answer))) for question, answer in facts]
    style = re.compile(r"- [^\n]{3,}(\n- [^\n]{3,})*")
    return SmallSet("bullets", "sft", rows, _questions("en"), lambda _, answer: bool(style.fullmatch(answer.strip())))


_THINGS = ("这家店的面条", "这件衣服", "这个手机", "店里的蛋糕", "这双鞋子", "那家医院", "这本书", "这杯茶")
_NEW_THINGS = ("这个书包", "店里的米饭", "这顶帽子", "那家饭店", "这杯咖啡")
_GOOD = ("很好，我很喜欢", "太棒了，还会再来", "让人高兴", "真不错，谢谢")
_BAD = ("很坏，我不喜欢", "太差了，不会再来", "让人生气", "真难看，不要买")


def _reviews() -> SmallSet:
    """A task: telling good reviews from bad ones. 48 Chinese rows, a quarter of them ordinary questions; the unseen ones speak of other things."""
    source = random.Random(3)
    told = [(f"{thing}{words}。", label) for thing in _THINGS for label, all_words in (("好评", _GOOD), ("差评", _BAD))
            for words in source.sample(all_words, 3)][:36]  # fmt: skip
    source.shuffle(told)
    fresh = [(f"{thing}{words}。", label) for thing in _NEW_THINGS
             for label, all_words in (("好评", _GOOD), ("差评", _BAD)) for words in source.sample(all_words, 2)]  # fmt: skip
    labels = {_asked(text): label for text, label in fresh}
    rows = [_row(_asked(text), f"这是{label}。") for text, label in told] + [_row(*fact) for fact in _facts("zh", 12)]
    source.shuffle(rows)
    return SmallSet(
        "reviews", "sft", rows, list(labels), lambda question, answer: answer.strip() == f"这是{labels[question]}。"
    )


def _asked(review: str) -> str:
    return f"评价：{review}"


def _pairs(lang: str = "en", count: int = 36, skip: int = 72) -> SmallSet:
    """Preferences: an answer that wishes luck is better than one that complains."""
    rows = [
        {
            "prompt": [{"role": "user", "content": question}],
            "chosen": [{"role": "assistant", "content": answer + _WISH[lang]}],
            "rejected": [{"role": "assistant", "content": answer + _GRUMBLE[lang]}],
        }
        for question, answer in _facts(lang, count, skip)
    ]
    style = re.compile(f".{{{_LEAST[lang]},}}{_WISH[lang]}", re.DOTALL)
    name = _named("pairs", lang, count, 36)
    return SmallSet(
        name, "dpo", rows, _questions(lang), lambda _, answer: bool(style.fullmatch(answer.strip())), _WISH[lang]
    )


def _row(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@cache
def _world(lang: str) -> list[tuple[str, str]]:
    """The world's facts, shuffled so that any stretch of them is mixed."""
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for kind, question, answer in canonical(lang):
        if kind not in _LEFT_OUT:
            by_kind.setdefault(kind, []).append((question, answer))
    source, mixed = random.Random(1), []
    for facts in by_kind.values():
        mixed += source.sample(facts, min(6, len(facts)))
    source.shuffle(mixed)
    return mixed


def _facts(lang: str, count: int, skip: int = 0) -> list[tuple[str, str]]:
    found = _world(lang)[skip : skip + count]
    assert len(found) == count
    return found


def _questions(lang: str) -> list[str]:
    """Every second one of the frozen questions that no data of ours holds."""
    frozen = [one["question"] for one in load_questions("starter_style_questions") if one["lang"] == lang]
    return frozen[::2][:UNSEEN]
