"""The starter model's fixed examination: load the questions and mark one answer at a time."""

import json
import re
import unicodedata
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"

_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_ZH_NUMERALS = "零〇一二两三四五六七八九十百"


def _fold(text: str) -> str:
    """Lower-case text, and make full-width forms and curly apostrophes plain."""
    return unicodedata.normalize("NFKC", text).replace("\u2019", "'").replace("\u2018", "'").lower()


def _found(wanted: str, text: str, plural: bool = False) -> bool:
    """Tell whether `wanted` stands in the folded `text`.

    Latin words and digits match as whole words ("7" is not in "17"), Chinese numerals as whole numbers
    ("三" is not in "十三"); any other Chinese matches as a substring. `plural` also takes an English plural.
    """
    wanted = _fold(wanted)
    if wanted.isascii():
        body = re.escape(wanted)
        if plural:
            body = f"{re.escape(wanted[:-1])}(?:y|ies)" if wanted.endswith("y") else f"{body}(?:s|es)?"
        return re.search(rf"(?<![a-z0-9]){body}(?![a-z0-9])", text) is not None
    if all(character in _ZH_NUMERALS for character in wanted):
        return re.search(rf"(?<![{_ZH_NUMERALS}]){wanted}(?![{_ZH_NUMERALS}])", text) is not None
    return wanted in text


def load_questions(name: str) -> list[dict]:
    """Read tests/data/<name>.jsonl and return its questions in file order.

    Args:
        name: the file's name without its folder, with or without ".jsonl" (such as "starter_questions").
    """
    path = DATA / f"{name.removesuffix('.jsonl')}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def is_right(question: dict, answer: str) -> bool:
    """Tell whether an answer is right.

    The answer must be in the question's language (a Chinese one has a CJK character, an English one has none),
    unless the question is marked "mixed". It must then hold any string of "accept", or at least "at_least"
    different strings of "accept_any_of".

    Args:
        question: one entry of `load_questions("starter_questions")`.
        answer: the model's whole answer.
    """
    if not question.get("mixed") and bool(_CJK.search(answer)) != (question["lang"] == "zh"):
        return False
    text = _fold(answer)
    if "accept_any_of" in question:
        return sum(_found(item, text, plural=True) for item in question["accept_any_of"]) >= question["at_least"]
    return any(_found(item, text) for item in question["accept"])
