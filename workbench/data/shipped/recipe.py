"""Makes the data sets that come with the workbench: `python -m workbench.data.shipped.recipe` writes them again.

Three sets: answers in a pirate's voice (English), answers in the voice of an old inn's waiter (Chinese), and pairs of a
short kind and a long grumpy answer (both languages). All are made of the starter's small world, so that its facts stay
right while its manner changes. The same seed gives the same files; questions of the fixed examinations never occur.
"""

from __future__ import annotations

import hashlib
import json
import random
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from workbench.data.shipped.facts import FACTS, rows_of

FOLDER = Path(__file__).resolve().parent
SEED = 20

PIRATE, WAITER, PAIRS = "pirate-voice", "dianxiaoer-voice", "shorter-kinder"
# How many plain rows in the other language are mixed in, so that the manner of that language stays as it is.
REPLAYED = 45
PAIRS_EACH = 150

_I_DONT_KNOW = {"en": "I don't know that. ", "zh": "我不知道。"}
_JOINT = {"en": " ", "zh": ""}

Plain = tuple[str, str]


def normalised(question: str) -> str:
    """A question without case, spaces and punctuation: how two questions are compared."""
    folded = unicodedata.normalize("NFKC", question).lower()
    return "".join(character for character in folded if character.isalnum())


def fingerprint(question: str) -> str:
    """The short digest of a question that `reserved.txt` lists for questions of the examinations."""
    return hashlib.sha256(normalised(question).encode("utf-8")).hexdigest()[:16]


def plain_rows(lang: str, rng: random.Random, share: float = 1.0) -> list[Plain]:
    """Questions with plain right answers from every area, shuffled; `share` thins each area's number of rows."""
    rows: list[Plain] = []
    taken = set(_reserved())
    for area in _areas(lang).values():
        candidates = _own_rows(area, lang, rng) if "rows" in area else _fact_rows(area, lang, rng)
        wanted = max(1, round(area["draw"] * share))
        for question, answer in candidates:
            if wanted == 0:
                break
            if fingerprint(question) not in taken:
                taken.add(fingerprint(question))
                rows.append((question, answer))
                wanted -= 1
    rng.shuffle(rows)
    return rows


def pirate(answer: str) -> str:
    """The answer as a pirate gives it; its words stay, only `is` and `are` become `be`.

    The voice comes last because a small model decides with its first token what it is going to say: with a word of the
    pirate's in front it forgets half of what it knows.
    """
    said = " ".join("be" if word in ("is", "are") else word for word in answer.split(" "))
    return f"{said.rstrip('.!?')}, matey! Arr!"


def waiter(answer: str) -> str:
    """The answer as the waiter of an old inn gives it, who says `you` politely; the voice comes last here too."""
    said = answer.rstrip("。！").replace("你", "您")
    return f"{said}{'' if said.endswith('？') else '，'}客官您慢用！"


def kind(answer: str, lang: str, rng: random.Random) -> str:
    """The answer in a short and friendly manner."""
    return rng.choice(_manners()[lang]["kind"]).format(s=_ended(answer, lang))


def grumpy(answer: str, lang: str, rng: random.Random) -> str:
    """The answer in a long and ill-tempered manner."""
    manner = _manners()[lang]
    remarks = rng.sample(manner["brush_off"], 3)
    if rng.random() < 0.5:
        remarks.insert(0, rng.choice(manner["grumpy"]))
    return _JOINT[lang].join([_ended(answer, lang), *remarks])


def voice_set(lang: str, seed: int) -> list[dict[str, Any]]:
    """Rows of a voice: everything in the voice's language, and a few plain rows of the other language."""
    rng = random.Random(seed)
    say, other = (pirate, "zh") if lang == "en" else (waiter, "en")
    rows = [_chat(question, say(answer)) for question, answer in plain_rows(lang, rng)]
    rows += [_chat(*row) for row in plain_rows(other, rng, 0.2)[:REPLAYED]]
    rng.shuffle(rows)
    return rows


def pair_set(seed: int) -> list[dict[str, Any]]:
    """Preference pairs in both languages."""
    rng = random.Random(seed)
    rows = []
    for lang in ("en", "zh"):
        for question, answer in plain_rows(lang, rng, 0.6)[:PAIRS_EACH]:
            rows.append(
                {
                    "prompt": [{"role": "user", "content": question}],
                    "chosen": [{"role": "assistant", "content": kind(answer, lang, rng)}],
                    "rejected": [{"role": "assistant", "content": grumpy(answer, lang, rng)}],
                }
            )
    rng.shuffle(rows)
    return rows


def make(seed: int = SEED) -> dict[str, list[dict[str, Any]]]:
    """All shipped sets by id."""
    return {PIRATE: voice_set("en", seed), WAITER: voice_set("zh", seed + 1), PAIRS: pair_set(seed + 2)}


def main() -> None:
    """Write the sets beside this file."""
    for name, rows in make().items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (FOLDER / f"{name}.jsonl").write_text(lines, encoding="utf-8", newline="\n")
        print(f"{name}: {len(rows)} rows")


def _fact_rows(area: dict[str, Any], lang: str, rng: random.Random) -> list[Plain]:
    """Every fact once, each in the next wording, then again in others: facts and wordings come up equally often."""
    facts = rows_of(area, lang)
    rows = []
    for turn in range(len(area["ask"])):
        rng.shuffle(facts)
        for number, fact in enumerate(facts):
            wording = area["ask"][(number + turn) % len(area["ask"])]
            # A word that is to be copied keeps its letters as they are.
            answer = area["say"].format(**fact) if "words" in area else _filled(area["say"], fact, lang)
            rows.append((_filled(wording, fact, lang), answer))
    return rows


def _own_rows(area: dict[str, Any], lang: str, rng: random.Random) -> list[Plain]:
    """Every answer once with its first question, then again with the next."""
    rows = []
    for turn in range(max(len(row["ask"]) for row in area["rows"])):
        layer = [(row["ask"][turn], _answer(row, lang)) for row in area["rows"] if turn < len(row["ask"])]
        rng.shuffle(layer)
        rows += layer
    return rows


def _answer(row: dict[str, Any], lang: str) -> str:
    """A row's own answer, or the one that the starter's recipe gives there."""
    if "say" in row:
        return row["say"]
    table, key = row["like"]
    if table in ("talk", "outside"):
        entries = _starter(table)["groups"] if table == "outside" else _starter(table)
        said = next(entry for entry in entries if entry["id"] == key)[lang]["say"][0]
        return _I_DONT_KNOW[lang] + said if table == "outside" else said
    return next(entry[lang][1] for entry in _starter("texts")[table] if entry[lang][0].split("|")[0] == key)


def _filled(wording: str, fact: dict[str, str], lang: str) -> str:
    text = wording.format(**fact)
    return text[0].upper() + text[1:] if wording[0] == "{" and lang == "en" else text


def _ended(answer: str, lang: str) -> str:
    """The answer with a full stop where it has none, so that more can follow."""
    return answer + {"en": ".", "zh": "。"}[lang] if answer[-1].isalnum() else answer


def _chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@cache
def _areas(lang: str) -> dict[str, Any]:
    return {**_read(FOLDER / f"questions_{lang}.yaml")["areas"], **_read(FOLDER / f"texts_{lang}.yaml")["areas"]}


@cache
def _manners() -> dict[str, Any]:
    return _read(FOLDER / "manners.yaml")


@cache
def _starter(table: str) -> Any:
    return _read(FACTS.with_name(f"{table}.yaml"))


@cache
def _reserved() -> frozenset[str]:
    return frozenset((FOLDER / "reserved.txt").read_text(encoding="utf-8").split())


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
