"""The text generator: endless chat rows about the starter's world, from a seed.

Contract: `Generator().rows(seed, chunk, count)` returns `count` rows, each a list of messages
(`{"role", "content"}`), the same for the same arguments on every machine and in every process. Rows never contain a
question whose hash stands in `held_out.txt` (the frozen exam), and with `split="train"` never a (fact, phrasing) pair
that `split="valid"` draws from. `canonical(lang)` gives each fact once, for whoever builds on what the starter knows. Knows
nothing about tokens.
"""

import hashlib
import random
import re
import unicodedata
import zlib

from .wording import Phrasings, capital_first, disturb, draw, dress, fill, plain_end_mark
from .world import HERE, LANGUAGES, Fact, Noun, load_world

# How often an intent is drawn. Mostly by how many facts it has and how much its wording varies.
WEIGHTS = {
    "capital": 1.7, "capital_of": 1.3, "colour": 1.2, "colour_of": 0.3, "colour_choice": 0.3, "sound": 1.0,
    "sound_of": 0.6, "baby": 0.9, "baby_of": 0.5, "opposite": 1.8, "add": 1.7, "sub": 1.8, "after": 1.2, "before": 1.2,
    "seasons_order": 0.3, "days_order": 0.15, "units": 0.6, "legs": 0.7, "parts": 0.6, "use": 1.6, "use_rev": 2.4,
    "job": 1.3, "job_rev": 1.9, "kind": 1.6, "list": 1.0, "upper": 1.6, "repeat2": 0.7, "repeat3": 0.6, "letters": 1.3,
    "first_letter": 1.0, "to_zh": 1.6, "to_en": 1.5, "lives": 0.7, "found": 0.8, "feeling": 0.9, "advice": 1.2,
    "howto": 0.9, "story": 0.8, "poem": 0.6, "talk": 1.7, "outside": 4.6,
}  # fmt: skip
_ZH_WEIGHTS = {"upper": 0.2}
_TABLES = ("facts.yaml", "texts.yaml", "phrasings_en.yaml")
_KEEP_CASE = {"upper", "repeat2", "repeat3", "letters", "first_letter"}
_PLAIN = {"feeling", "talk"}  # said by themselves more often than wrapped
_CANONICAL_LINE = {("en", "letters"): 1}  # the first phrasing is not always the plainest one
_DONT_KNOW = {"en": "I don't know that.", "zh": "我不知道。"}
_FOLLOW = {
    "en": [
        "And {x}?",
        "And {x}",
        "What about {x}?",
        "How about {x}?",
        "and what about {x}",
        "The same for {x}?",
        "And for {x}?",
    ],
    "zh": ["那{x}呢？", "{x}呢？", "那{x}呢", "{x}呢", "那么{x}呢？", "换成{x}呢？"],
}
_SYSTEM = {
    "en": [
        "You are a helpful assistant.", "You are Starter.", "Answer the question.", "Be short and friendly.",
        "You are a small language model.", "Answer in one or two sentences.", "Be kind.", "You help people.",
        "You are a friendly assistant that answers simple questions.", "Please answer briefly.", "Be honest.",
        "You are Starter, a small language model that comes with the workbench.",
    ],
    "zh": [
        "你是一个有用的助手。", "你是小起。", "请回答问题。", "回答要简短友好。", "你是一个小语言模型。", "用一两句话回答。",
        "要友善。", "你帮助别人。", "你是回答简单问题的友好助手。", "请简短地回答。", "要诚实。", "你是小起，工作台自带的小语言模型。",
    ],
}  # fmt: skip
_SYLLABLES = "ba bi bo blo bri dax do dra fe fi flo fu ga gli go gru ki kla kor la li lo mo mi nar ne plo pri qua ra ru sni spo tas ti tro va vi wu xo za zi zor".split()
_ENDS = ["", "", "b", "ck", "f", "g", "k", "l", "m", "n", "p", "r", "sh", "t", "x", "zz"]


def normalise(text: str) -> str:
    """Lower case, full-width folded, letters and digits only: how two questions are compared."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())


def fingerprint(text: str) -> str:
    """What stands in held_out.txt for a question."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()[:16]


class Generator:
    """Draws rows. Building one parses the tables (about a second); drawing keeps no state."""

    def __init__(self, split: str = "train"):
        if split not in ("train", "valid"):
            raise ValueError(f"split must be 'train' or 'valid', not {split!r}")
        self.split = split
        self.world = load_world()
        self.phrasings = {lang: Phrasings(table) for lang, table in self.world.phrasings.items()}
        held_out = HERE / "held_out.txt"
        self.held_out = set(held_out.read_text().split()) if held_out.exists() else set()
        self._talk = {lang: [self._parsed(t["id"], t[lang], lang) for t in self.world.talk] for lang in LANGUAGES}
        self._outside = {
            lang: [self._parsed(g["id"], g[lang], lang) for g in self.world.outside["groups"]] for lang in LANGUAGES
        }
        self._intents = {lang: list(WEIGHTS) for lang in LANGUAGES}
        self._weights = {lang: self._cumulative(lang) for lang in LANGUAGES}
        self._characters = "".join(self.world.words["zh_characters"].split())
        self._strays = {"en": self._unused_words(), "zh": self._characters}

    def _parsed(self, name: str, entry: dict, lang: str) -> tuple:
        return name, [self.phrasings[lang].parse(a) for a in entry["ask"]], entry["say"]

    def _unused_words(self) -> list[str]:
        """English words that no fact and no phrasing needs, so that they can stand anywhere without a meaning."""
        used = set(re.findall(r"[a-z]+", " ".join((HERE / f).read_text("utf-8").lower() for f in _TABLES)))
        return [w for w in self.world.words["en"].split() if w not in used]

    def _cumulative(self, lang: str) -> list[float]:
        total, out = 0.0, []
        for intent, weight in WEIGHTS.items():
            total += _ZH_WEIGHTS.get(intent, weight) if lang == "zh" else weight
            out.append(total)
        return out

    def rows(self, seed: int, chunk: int, count: int) -> list[list[dict]]:
        """`count` rows of one chunk; chunks are independent, so they can be drawn in any process."""
        rng = random.Random(f"{seed}/{chunk}/{self.split}")
        return [self.row(rng) for _ in range(count)]

    def row(self, rng: random.Random) -> list[dict]:
        """One conversation: now and then a system turn, usually one question, sometimes several."""
        lang = "zh" if rng.random() < 0.5 else "en"
        messages = []
        if rng.random() < 0.1:
            messages.append({"role": "system", "content": rng.choice(_SYSTEM[lang])})
        dice = rng.random()
        turns = 1 if dice < 0.86 else 2 if dice < 0.95 else 3 if dice < 0.985 else rng.randint(4, 8)
        fact = None
        for _ in range(turns):
            if messages and rng.random() < 0.06:
                lang = "zh" if lang == "en" else "en"
                fact = None
            follow = self._follow(fact, lang, rng) if fact and rng.random() < 0.3 else None
            question, answer, fact = follow or self.turn(lang, rng)
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return messages

    def turn(self, lang: str, rng: random.Random) -> tuple[str, str, Fact | None]:
        """One question with its answer, and the fact behind it where there is one."""
        while True:
            intent = rng.choices(self._intents[lang], cum_weights=self._weights[lang])[0]
            if intent == "talk":
                core, answer, fact = *self._small_talk(lang, rng), None
            elif intent == "outside":
                core, answer, fact = *self._outside_world(lang, rng), None
            else:
                asked = self._ask(intent, lang, rng)
                if asked is None:
                    continue
                core, answer, fact = asked
            question = dress(
                core, lang, rng, keep_case=intent in _KEEP_CASE, small_talk=0.04 if intent in _PLAIN else 0.2
            )
            if self._allowed(core) and self._allowed(question):
                return question, answer, fact

    def _allowed(self, question: str) -> bool:
        return fingerprint(question) not in self.held_out

    def _ask(self, intent: str, lang: str, rng: random.Random) -> tuple[str, str, Fact] | None:
        facts = self.world.facts[lang].get(intent)
        if not facts:
            return None
        i = int(rng.random() * len(facts))
        fact = facts[i]
        lines = self.phrasings[lang].ask[intent]
        j = int(rng.random() * len(lines))
        held = zlib.crc32(f"{intent}/{lang}/{i}/{j}".encode()) % 40 == 0
        # Feelings and lists have few facts: holding out a pair there would hold out too much of the wording.
        if len(facts) > 20 and held != (self.split == "valid"):
            return None
        template = draw(lines[j], rng)
        if intent not in _KEEP_CASE and rng.random() < 0.25:
            template = disturb(template, lang, rng, self._strays[lang])
        return fill(template, self._values(fact, rng)), self._answer(fact, rng), fact

    def _values(self, fact: Fact, rng: random.Random) -> dict[str, str]:
        values: dict[str, str] = {}
        for name, choices in fact.ask.items():
            value = choices[int(rng.random() * len(choices))]
            values |= value.slots(name) if isinstance(value, Noun) else {name: value}
        return values

    def _answer(self, fact: Fact, rng: random.Random) -> str:
        say = self.phrasings[fact.lang].say[fact.intent]
        return fill(say[0] if len(say) == 1 or rng.random() < 0.96 else rng.choice(say[1:]), fact.say)

    def _follow(self, fact: Fact, lang: str, rng: random.Random) -> tuple[str, str, Fact] | None:
        """ "And Germany?" after a question about France."""
        if not fact.short:
            return None
        other = rng.choice(self.world.facts[lang][fact.intent])
        choices = other.ask.get(fact.short)
        if not choices:
            return None
        question = fill(rng.choice(_FOLLOW[lang]), {"x": rng.choice(choices)})
        return (question, self._answer(other, rng), other) if self._allowed(question) else None

    def _small_talk(self, lang: str, rng: random.Random) -> tuple[str, str]:
        _, lines, say = rng.choice(self._talk[lang])
        return draw(rng.choice(lines), rng), say[0]

    def _outside_world(self, lang: str, rng: random.Random) -> tuple[str, str]:
        _, lines, say = rng.choice(self._outside[lang])
        template = draw(rng.choice(lines), rng)
        gap = " " if lang == "en" else ""
        return fill(template, self._strange(template, lang, rng)), _DONT_KNOW[lang] + gap + say[0]

    def _strange(self, template: str, lang: str, rng: random.Random) -> dict[str, str]:
        """Values from outside the world, each slot once per question."""
        values = {k: rng.choice(v) for k, v in self.world.outside["fill"][lang].items() if "{" + k in template}
        values["animal0"] = values.get("animal", "").removeprefix("an ").removeprefix("a ")
        digits = rng.choice((2, 2, 2, 3, 3, 4))
        values["number"] = str(rng.randint(max(21, 10 ** (digits - 1)), 10**digits - 1))
        values["small"] = str(rng.randint(2, 99))
        values |= {"word": self._word(rng), "word2": self._word(rng), "zword": self._zh_word(rng)}
        values["Word"] = capital_first(values["word"])
        return values

    @staticmethod
    def _word(rng: random.Random) -> str:
        return "".join(rng.choice(_SYLLABLES) for _ in range(rng.choice((1, 2, 2, 3)))) + rng.choice(_ENDS)

    def _zh_word(self, rng: random.Random) -> str:
        return "".join(rng.choice(self._characters) for _ in range(rng.choice((2, 2, 2, 3))))


class _FirstChoice(random.Random):
    """Always draws the first alternative."""

    def random(self) -> float:
        return 0.0


def canonical(lang: str) -> list[tuple[str, str, str]]:
    """Each fact of the world once: intent, plain question, and the answer the starter gives. No frozen question."""
    generator, first = Generator(), _FirstChoice()
    out = []
    for intent, facts in generator.world.facts[lang].items():
        lines = generator.phrasings[lang].ask[intent]
        line = draw(lines[_CANONICAL_LINE.get((lang, intent), 0)], first)
        mark = plain_end_mark(line, lang)
        for fact in facts:
            question = fill(line, generator._values(fact, first)) + mark
            question = capital_first(question) if lang == "en" else question
            if generator._allowed(question):
                out.append((intent, question, generator._answer(fact, first)))
    return out
