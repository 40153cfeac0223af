"""The starter's world as rows of columns for the shipped sets: `rows_of(area, lang)` gives what a question can be made of.

Everything comes from `models/starter/recipe/facts.yaml`, so what the sets teach as right is what the starter learned as
right; only what a table cannot hold (sums, days, letters) is worked out here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FACTS = Path(__file__).resolve().parents[2] / "models" / "starter" / "recipe" / "facts.yaml"

Row = dict[str, str]

DAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "zh": "星期一 星期二 星期三 星期四 星期五 星期六 星期日".split(),
}
MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "zh": "一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月".split(),
}
# English words whose letters are asked after.
SPELLED = (
    "cat dog sun moon tree book fish bird milk rain snow hand door ship star bread apple house water green happy table "
    "music tiger lemon chair river garden window flower"
).split()
# Chinese words that are said twice or counted.
SAID = "太阳 月亮 苹果 朋友 老师 学校 火车 香蕉 大象 星星 牛奶 花 雨 书 猫 图书馆 自行车 西红柿 巧克力 飞机场 幼儿园".split()

_PLURAL = {"scissors", "glasses", "shoes", "books", "planes", "trains", "pupils", "trousers", "the stars"}
_NAMES = "abcdefgh"


def rows_of(area: dict[str, Any], lang: str) -> list[Row]:
    """All rows of slot values for an area of `questions_<lang>.yaml` that draws on a table, numbers or words."""
    if "numbers" in area:
        return _numbers(area["numbers"])
    if "words" in area:
        return _words(area["words"], lang)
    rows = [_row(values, lang) for values in _table(area["table"], lang)]
    return [row for row in rows if row]


@cache
def _facts() -> dict[str, Any]:
    return yaml.safe_load(FACTS.read_text(encoding="utf-8"))


def _table(name: str, lang: str) -> list[list[str]]:
    facts = _facts()
    if name == "follows":
        pairs = []
        for names, unit in ((DAYS[lang], "天"), (MONTHS[lang], "个月")):
            pairs += [[first, second, unit] for first, second in zip(names, names[1:] + names[:1], strict=True)]
        return pairs
    if name in ("lives", "found"):
        wanted = {"lives": ("lives", "住"), "found": ("found", "在")}[name]
        return [[row[lang][0], row[lang][2]] for row in facts["places"] if row[lang][1] in wanted]
    if name in ("words_en", "words_zh"):
        return [[row["en"][0], row["zh"][0]] for row in facts["words"]]
    table = [[str(cell) for cell in row[lang]] for row in facts[name] if lang in row]
    if name == "kinds":
        return [[member, row[0]] for row in table for member in row[1:]]
    if name == "parts" and lang == "zh":
        # The second cell holds the measure word before the part.
        return [[row[0], *row[1].split("|")[:2], row[2]] for row in table]
    return table


def _row(cells: list[str], lang: str) -> Row:
    """Columns by letter; a cell's first name is the one that is used."""
    row = {name: cell.split("|")[0] for name, cell in zip(_NAMES, cells, strict=False)}
    if lang == "en":
        many = row["a"] in _PLURAL
        row["a0"] = row["a"].removeprefix("a ").removeprefix("an ").removeprefix("the ")
        row["is"], row["has"] = ("are", "have") if many else ("is", "has")
    return row


def _numbers(kind: str) -> list[Row]:
    pairs = [(a, b) for a in range(21) for b in range(1, 13)]
    if kind == "add":
        return [_named(a, b, a + b) for a, b in pairs if a + b <= 20]
    return [_named(a, b, a - b) for a, b in pairs if a >= b]


def _words(kind: str, lang: str) -> list[Row]:
    words = SPELLED if lang == "en" or kind == "upper" else SAID
    joint = " " if lang == "en" else ""
    change = {
        "upper": str.upper,
        "repeat2": lambda word: joint.join([word] * 2),
        "repeat3": lambda word: joint.join([word] * 3),
        "letters": lambda word: str(len(word)),
        "first_letter": lambda word: word[0],
    }[kind]
    return [_named(word, change(word)) for word in words if len(word) > 1 or kind.startswith("repeat")]


def _named(*cells: object) -> Row:
    return dict(zip(_NAMES, map(str, cells), strict=False))
