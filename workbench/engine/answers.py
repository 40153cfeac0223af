"""What an answer tells, in words, and whether it is one at all; judged from its text alone, in English and Chinese."""

from __future__ import annotations

import re

# The same piece five times in a row, or one sign a dozen times: nobody writes so, and models that broke do. Code, tables and
# lists do: they indent, rule and fill lines with one sign, and repeat cells, numbers and tags.
_AGAIN = re.compile(r"(.{2,60}?)\1{4,}")
_ONE_SIGN = re.compile(r"([^\s0])\1{11,}")  # a trillion has twelve zeros
_LAYOUT = r"[-=._|~*#+·…—\u2500-\u257f]"
_RULE = re.compile(rf"({_LAYOUT})\1+")
_PAST_A_LINE = re.compile(rf"({_LAYOUT})\1{{119,}}")  # longer than any rule or leader
_OFTENER = 12  # times that cells, tags and numbers stand in a row only where a model broke
_CHINESE = r"\u3400-\u9fff"
_WORD = re.compile(rf"\d+|[^\W\d_{_CHINESE}]+|[{_CHINESE}]")
# Words that stand in every answer and tell nothing of the question; in Chinese, signs.
_EMPTY = frozenset(
    "a an the is are was were be been am do does did has have had of in on at to for from with by and or not no it its "
    "this that these those he she they them his her their you your yours i me my mine we us our as so if can will would "
    "there here what which who how when where yes very called".split()
) | frozenset("的是了在有和与或不也就都很个一这那我你他她它们吗呢吧啊呀叫会能可以要用来到说上下中")  # fmt: skip

# Chinese signs inside words of small letters. Chinese text without spaces joins Latin words by one sign, too, but that is a
# word of its own ("numpy和pandas", "x加y"), so those are not counted; three others are not there by chance.
_INSIDE_WORD = re.compile(rf"(?<=[a-z])[{_CHINESE}](?=[a-z])")
_JOINING = _EMPTY | frozenset(
    "及跟同至对比为把被再又且并但等之里而即做加减乘除写读给让向从转换连接出进装看学查跑调建改传发打先后前"
)
_TIMES_INSIDE = 3
_LONGEST_GONE = 6  # Chinese signs that are named as one word


def broken(answer: str) -> bool:
    """Whether an answer is empty, repeats itself without end, holds signs that are none or mixes scripts in its words."""
    said = answer.strip()
    if not said or "\ufffd" in said[:-1] or _PAST_A_LINE.search(said):
        return True
    if sum(sign not in _JOINING for sign in _INSIDE_WORD.findall(said)) >= _TIMES_INSIDE:
        return True
    said = _RULE.sub(r"\1", " ".join(said.split()))
    return _ONE_SIGN.search(said) is not None or any(map(_says_nothing, _AGAIN.finditer(said)))


def _says_nothing(again: re.Match[str]) -> bool:
    """Whether a piece that stands there again and again is more than layout."""
    piece, times = again[1], len(again[0]) // len(again[1])
    if not any(sign.isalnum() for sign in piece):
        return False
    words = any(sign.isalpha() for sign in piece) and not set(piece) & set("|<>")
    return words or times >= _OFTENER


def kept_words(answer: str) -> set[str]:
    """All words of an answer: words and numbers in small letters, Chinese sign by sign."""
    return set(_WORD.findall(answer.casefold()))


def telling_words(question: str, answer: str) -> set[str]:
    """The words of an answer that the question did not bring and that are not in every answer."""
    return kept_words(answer) - kept_words(question) - _EMPTY


def first_gone(question: str, before: str, after: str) -> str:
    """The first telling word of an answer that a later one lacks, as it stood there; of Chinese signs two, where it can be."""
    gone = telling_words(question, before) - kept_words(after)
    words = list(_WORD.finditer(before))
    at = next((place for place, word in enumerate(words) if word[0].casefold() in gone), None)
    if at is None:
        return min(gone, default="")
    first = last = at
    if _is_sign(words[at][0]):
        while last - at + 1 < _LONGEST_GONE and _next_to(words, last) and words[last + 1][0] in gone:
            last += 1
        if last == at and _next_to(words, at) and words[at + 1][0] not in _EMPTY:
            last += 1
        elif last == at and at and _next_to(words, at - 1) and words[at - 1][0] not in _EMPTY:
            first -= 1
    return before[words[first].start() : words[last].end()]


def _is_sign(word: str) -> bool:
    return "\u3400" <= word <= "\u9fff"


def _next_to(words: list[re.Match[str]], at: int) -> bool:
    """Whether this word and the one after it are Chinese signs with nothing between them."""
    if at + 1 >= len(words):
        return False
    one, other = words[at], words[at + 1]
    return one.end() == other.start() and _is_sign(one[0]) and _is_sign(other[0])
