"""What an answer tells, in words, and whether it is one at all; judged from its text alone, in English and Chinese."""

from __future__ import annotations

import re

# The same piece five times in a row, or one sign a dozen times: nobody writes so, and models that broke do.
_AGAIN = re.compile(r"(.{2,60}?)\1{4,}|(\S)\2{11,}", re.DOTALL)
_WORD = re.compile(r"\d+|[^\W\d_\u3400-\u9fff]+|[\u3400-\u9fff]")
# Words that stand in every answer and tell nothing of the question; in Chinese, signs.
_EMPTY = frozenset(
    "a an the is are was were be been am do does did has have had of in on at to for from with by and or not no it its "
    "this that these those he she they them his her their you your yours i me my mine we us our as so if can will would "
    "there here what which who how when where yes very called".split()
) | frozenset("的是了在有和与或不也就都很个一这那我你他她它们吗呢吧啊呀叫会能可以要用来到说上下中")  # fmt: skip


def broken(answer: str) -> bool:
    """Whether an answer is empty, repeats itself without end, or holds signs that are none."""
    said = answer.strip()
    return not said or _AGAIN.search(said) is not None or "\ufffd" in said[:-1]


def kept_words(answer: str) -> set[str]:
    """All words of an answer: words and numbers in small letters, Chinese sign by sign."""
    return set(_WORD.findall(answer.casefold()))


def telling_words(question: str, answer: str) -> set[str]:
    """The words of an answer that the question did not bring and that are not in every answer."""
    return kept_words(answer) - kept_words(question) - _EMPTY
