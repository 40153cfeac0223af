"""The facts, ready to be asked: every fact of facts.yaml and texts.yaml as an intent with its question and answer slots.

Contract: `load_world()` returns a `World`; `world.facts[lang][intent]` is a list of `Fact`. A fact's `ask` maps a slot
to the values a question may use (one is drawn), its `say` maps a slot to the one value the answer uses. English nouns
become `Noun` forms, so that number agrees ("does a dog", "do dogs"). No randomness here. Each fact once, as plain
question and answer: `generate.canonical`.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

HERE = Path(__file__).parent
LANGUAGES = ("en", "zh")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
SEASONS = "spring summer autumn winter".split()
NUMBERS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty".split(),
    "zh": "零 一 二 三 四 五 六 七 八 九 十 十一 十二 十三 十四 十五 十六 十七 十八 十九 二十".split(),
}
_PLURALS = {"mouse": "mice", "wolf": "wolves", "sheep": "sheep", "calf": "calves", "fish": "fish", "leaf": "leaves"}
_ALWAYS_PLURAL = set(
    "scissors glasses spectacles shoes books trousers stars doctors pupils planes aeroplanes trains people learn".split()
)
_NO_PLURAL = {"piece of furniture", "piece of clothing", "something to wear", "salmon"}


@dataclass(frozen=True)
class Noun:
    """One form of an English noun in a question: its text, and whether the verb is plural."""

    text: str
    plural: bool

    def slots(self, name: str = "np") -> dict[str, str]:
        """The noun and the verb forms that agree with it."""
        if self.plural:
            verbs = {"is": "are", "does": "do", "has": "have", "s": "", "es": ""}
        else:
            verbs = {"is": "is", "does": "does", "has": "has", "s": "s", "es": "es"}
        return {name: self.text, **verbs}


@dataclass
class Fact:
    """One thing to know: intent, language, the slots of its questions and of its answer."""

    intent: str
    lang: str
    ask: dict[str, list] = field(default_factory=dict)
    say: dict[str, str] = field(default_factory=dict)
    short: str = "a"  # the slot that a follow-up question names ("And Germany?")


def alternatives(value) -> list[str]:
    return str(value).split("|")


def first(value) -> str:
    return alternatives(value)[0]


def cap(text: str) -> str:
    return text[:1].upper() + text[1:]


def bare(noun: str) -> str:
    """The noun without its article."""
    for article in ("a ", "an ", "the "):
        if noun.startswith(article):
            return noun[len(article) :]
    return noun


def plural(noun: str) -> str:
    """The plural of a bare countable noun."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith("man"):
        return noun[:-3] + "men"
    if noun.endswith("y") and noun[-2] not in "aeou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "sh", "ch", "x", "o")) else "s")


def gerund(phrase: str) -> str:
    """The -ing form of an infinitive phrase ("cut paper" -> "cutting paper")."""
    verb, _, rest = phrase.partition(" ")
    if verb in {"cut", "sit", "get", "hit", "put", "snip", "chop", "not", "knock"}:
        verb = {"not": "not", "knock": "knocking"}.get(verb, verb + verb[-1] + "ing")
    elif verb.endswith("e") and verb not in {"see", "be"}:
        verb = ("ly" if verb == "lie" else verb[:-1]) + "ing"
    else:
        verb += "ing"
    return f"{verb} {rest}".strip()


def noun_forms(value: str) -> list[Noun]:
    """Question forms of a noun field, the usual ones more than once so that they are drawn more often."""
    forms: list[Noun] = []
    for i, name in enumerate(alternatives(value)):
        core = bare(name)
        counted = name.startswith(("a ", "an "))
        many = not counted and core.split()[-1] in _ALWAYS_PLURAL
        weight = 4 if i == 0 else 2
        forms += [Noun(name, many)] * weight
        if counted and core not in _NO_PLURAL and " of " not in core:
            forms += [Noun(plural(core), True)] * weight + [Noun(f"the {core}", False), Noun(core, False)]
    return forms


def _nouns(value: str) -> dict[str, list]:
    """The noun slots that several intents share."""
    names = alternatives(value)
    single = [n for n in names if n.startswith(("a ", "an ")) or " " not in n] or names
    return {
        "np": noun_forms(value),
        "np1": single,
        "bare": [bare(n) for n in single],
        "pl": [plural(bare(n)) for n in single if n.startswith(("a ", "an "))] or single,
    }


def quoted(word: str, lang: str) -> list[str]:
    marks = ('"{}"', "'{}'", "{}") if lang == "en" else ("“{}”", "「{}」", '"{}"')
    return [word] * 5 + [m.format(word) for m in marks]


def _pair(intent: str, lang: str, row: list) -> Fact:
    return Fact(
        intent, lang, {"a": alternatives(row[0]), "b": alternatives(row[1])}, {"a": first(row[0]), "b": first(row[1])}
    )


def _noun_fact(intent: str, lang: str, row: list) -> Fact:
    """A fact about a thing: columns are the thing and what is true of it."""
    a, b = row[0], str(row[-1])
    say = {"a": first(a), "A": cap(first(a)), "b": first(b), "B": cap(first(b)), "n": first(b), "bare": bare(first(a))}
    ask = {"a": alternatives(a), "b": alternatives(b)}
    if lang == "en":
        ask |= _nouns(a)
        ask["bb"] = [bare(x) for x in alternatives(b)]
    return Fact(intent, lang, ask, say, "np1" if lang == "en" else "a")


def _uses(lang: str, row: list) -> list[Fact]:
    fact = _noun_fact("use", lang, row)
    reverse = _noun_fact("use_rev", lang, row)
    for f in (fact, reverse):
        f.say |= {"p": first(row[1]), "p0": first(row[1])}
        f.ask["p"] = [first(row[1]), *alternatives(row[1])]
        f.ask["ping"] = [gerund(p) for p in f.ask["p"]] if lang == "en" else f.ask["p"]
    reverse.short = "p"
    return [fact, reverse]


def _jobs(lang: str, row: list) -> list[Fact]:
    facts = [_noun_fact("job", lang, row), _noun_fact("job_rev", lang, row)]
    for f in facts:
        f.say |= {"p": first(row[1]), "p0": first(row[1])}
        f.ask["p"] = [first(row[1]), *alternatives(row[1])]
    facts[1].short = "p"
    return facts


def _kinds(lang: str, rows: list[list]) -> list[Fact]:
    facts = []
    for group, *members in rows:
        others = [first(r[0]) for r in rows if r[0] != group]
        for member in members:
            fact = _noun_fact("kind", lang, [member, first(group)])
            fact.say |= {"g": first(group), "isA": "are" if first(member) in _ALWAYS_PLURAL else "is"}
            fact.ask |= {"g1": [first(group)], "g2": others}
            facts.append(fact)
    return facts


def _opposites(lang: str, rows: list[dict]) -> list[Fact]:
    facts = []
    for row in rows:
        if lang not in row:
            continue
        a, b = row[lang]
        pairs = [(word, first(b)) for word in alternatives(a)]
        if row.get("one_way") not in (True, lang):
            pairs += [(word, first(a)) for word in alternatives(b)]
        facts += [Fact("opposite", lang, {"q": quoted(x, lang)}, {"a": x, "b": y}, "q") for x, y in pairs]
    return facts


def _sums(lang: str) -> list[Fact]:
    facts = []
    for x in range(21):
        for y in range(21):
            for intent, r in (("add", x + y), ("sub", x - y)):
                if 0 <= r <= 20:
                    ask = {k: [str(v), str(v), NUMBERS[lang][v]] for k, v in (("x", x), ("y", y))}
                    facts.append(Fact(intent, lang, ask, {"m": str(x), "n": str(y), "r": str(r)}, ""))
    return facts


_CYCLES = {
    "en": (
        (DAYS, {"unit": ["day", "day", "weekday", "day of the week"], "now": "Today is {}.", "tonow": ["today"],
                "tomorrow": ["tomorrow", "the next day"], "yesterday": ["yesterday", "the day before"]}),
        (MONTHS, {"unit": ["month", "month", "month of the year"], "now": "It is {} now.", "tonow": ["this month", "it"],
                  "tomorrow": ["next month", "the next month"], "yesterday": ["last month", "the month before"]}),
        (SEASONS, {"unit": ["season"], "now": "It is {}.", "tonow": ["it", "the season"],
                   "tomorrow": ["the next season", "the season to come"], "yesterday": ["the last season", "the season before"]}),
    ),
    "zh": (
        ([f"星期{c}|周{c}|礼拜{c}" for c in "一二三四五六日"],
         {"u": ["天"], "what": ["星期几", "周几"], "now": ["今天"], "next": ["明天"], "prev": ["昨天"]}),
        ([f"{NUMBERS['zh'][i]}月|{i}月" for i in range(1, 13)],
         {"u": ["个月"], "what": ["几月", "哪个月"], "now": ["这个月", "现在"], "next": ["下个月"], "prev": ["上个月"]}),
        ([f"{c}天|{c}季" for c in "春夏秋冬"],
         {"u": ["个季节"], "what": ["什么季节", "哪个季节"], "now": ["现在"], "next": ["下一个季节", "接下来"],
          "prev": ["上一个季节", "之前"]}),
    ),
}  # fmt: skip


def _cycles(lang: str) -> list[Fact]:
    facts = []
    for names, words in _CYCLES[lang]:
        for i, name in enumerate(names):
            for intent, other in (("after", names[(i + 1) % len(names)]), ("before", names[i - 1])):
                ask = {k: v for k, v in words.items() if k != "now" or lang == "zh"} | {"a": alternatives(name)}
                say = {"a": first(name), "b": cap(first(other))}
                if lang == "en":
                    ask["today"] = [words["now"].format(name)]
                else:
                    say["u0"] = words["u"][0]
                facts.append(Fact(intent, lang, ask, say))
    return facts


def _counts(lang: str, tables: dict) -> list[Fact]:
    """Legs, parts of a whole, and units of time."""
    facts = []
    for row in tables["legs"]:
        fact = _noun_fact("legs", lang, row[lang])
        if lang == "zh":
            fact.ask["m"] = [
                "",
                "",
                "一只"
                if first(row[lang][0]) not in "牛马鱼蛇"
                else "一" + dict(牛="头", 马="匹", 鱼="条", 蛇="条")[first(row[lang][0])],
            ]
        facts.append(fact)
    for whole, part, n in (r[lang] for r in tables["parts"]):
        fact = _noun_fact("parts", lang, [whole, n])
        names = alternatives(part)
        if lang == "en":
            fact.ask["part"], fact.say["part0"] = names, names[0]
        else:
            fact.ask |= {"mw": [names[0]], "part": names[1:]}
            fact.say |= {"mw": names[0], "part0": names[1], "a0": first(whole)}
        facts.append(fact)
    for whole, unit, n in (r[lang] for r in tables["units"]):
        ask = {
            "w": alternatives(whole),
            "wb": [bare(w).removeprefix("one ") for w in alternatives(whole)],
            "unit": alternatives(unit),
            "unitb": [u.replace("个", "") for u in alternatives(unit)],
        }
        say = {"W": cap(first(whole)), "w0": first(whole), "n": str(n), "unit": first(unit), "unit0": first(unit)}
        facts.append(Fact("units", lang, ask, say, ""))
    return facts


def _words(lang: str, rows: list[dict]) -> list[Fact]:
    facts = []
    for row in rows:
        en, zh = first(row["en"][0]), first(row["zh"][0])
        source = en if lang == "en" else zh
        quotes = quoted(source, lang)
        to_zh = {"q": quoted(en, "en"), "a": quoted(en, "en")}
        to_en = {"z": quoted(zh, "zh"), "q": quotes if lang == "zh" else quoted(zh, "zh")}
        facts.append(Fact("to_zh", lang, to_zh, {"a": en, "z": zh}, "a"))
        facts.append(Fact("to_en", lang, to_en, {"a": en, "z": zh}, "z"))
    return facts


def _texts(lang: str, texts: dict) -> list[Fact]:
    facts = []
    for table, intent in (
        ("feelings", "feeling"),
        ("advice", "advice"),
        ("howto", "howto"),
        ("stories", "story"),
        ("poems", "poem"),
    ):
        for said, answer, *words in (r[lang] for r in texts[table]):
            names = alternatives(said)
            ask = {"s": names, "a": names, "np1": names, "bare": [bare(n) for n in names]}
            if words:
                ask["adj"] = alternatives(words[0])
            facts.append(Fact(intent, lang, ask, {"t": answer}, ""))
    return facts


def _rewriting(lang: str, words: dict, tables: dict) -> list[Fact]:
    """Words to copy, count and spell. Chinese has the English words for capital letters too."""
    names = {bare(first(c)) for t in ("colours", "sounds", "uses", "jobs") for r in tables[t] for c in r[lang][:1]}
    pool = sorted(set(words[lang].split()) | {n for n in names if " " not in n and "-" not in n})
    facts = []
    for w in pool:
        q = quoted(w, lang)
        say = {"w": w, "u": w.upper(), "n": str(len(w)), "l": w[0]}
        for intent in ("repeat2", "repeat3", "letters", "first_letter") + (("upper",) if lang == "en" else ()):
            facts.append(Fact(intent, lang, {"w": q, "q": q}, say, ""))
    if lang == "zh":
        facts += [Fact("upper", lang, {"w": quoted(w, "en")}, {"u": w.upper()}, "") for w in words["en"].split()]
    return facts


def _colour_extras(lang: str, facts: list[Fact]) -> list[Fact]:
    colours = sorted({f.say["b"] for f in facts})
    out = []
    seen = set()
    for f in facts:
        others = [c for c in colours if c != f.say["b"]]
        out.append(Fact("colour_choice", lang, f.ask | {"c": others}, f.say, ""))
        if f.say["b"] not in seen:
            seen.add(f.say["b"])
            out.append(Fact("colour_of", lang, f.ask, f.say, ""))
    return out


@dataclass
class World:
    """All facts by language and intent, with the tables they came from."""

    facts: dict[str, dict[str, list[Fact]]]
    phrasings: dict[str, dict]
    talk: list[dict]
    outside: dict
    words: dict


def _load(name: str) -> dict | list:
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


def _facts_of(lang: str, tables: dict, texts: dict, words: dict) -> list[Fact]:
    rows = {name: [r[lang] for r in table if lang in r] for name, table in tables.items()}
    facts = [_pair(i, lang, r) for i in ("capital", "capital_of") for r in rows["capitals"]]
    for f in facts:
        f.short = "a" if f.intent == "capital" else "b"
    colours = [_noun_fact("colour", lang, r) for r in rows["colours"]]
    facts += colours + _colour_extras(lang, colours)
    facts += [_noun_fact(i, lang, r) for i in ("sound", "sound_of") for r in rows["sounds"]]
    facts += [_noun_fact(i, lang, r) for i in ("baby", "baby_of") for r in rows["babies"]]
    facts += _opposites(lang, tables["opposites"]) + _sums(lang) + _cycles(lang) + _counts(lang, tables)
    facts += [Fact("seasons_order", lang, short=""), Fact("days_order", lang, short="")]
    facts += [f for r in rows["uses"] for f in _uses(lang, r)] + [f for r in rows["jobs"] for f in _jobs(lang, r)]
    facts += _kinds(lang, rows["kinds"]) + _words(lang, tables["words"])
    for group, x, y, z in rows["lists"]:
        facts.append(Fact("list", lang, {"gs": alternatives(group), "g": alternatives(group)},
                          {"gs0": first(group), "g0": first(group), "x": x, "y": y, "z": z}, "gs"))  # fmt: skip
    for what, how, where in rows["places"]:
        fact = _noun_fact("lives" if how in ("lives", "住") else "found", lang, [what, where])
        fact.say["p"] = where
        facts.append(fact)
    for f in facts:
        if f.intent in ("sound_of", "baby_of"):
            f.short = "b"
    return facts + _texts(lang, texts) + _rewriting(lang, words, tables)


@cache
def load_world() -> World:
    """Reads the tables beside this file once."""
    tables, texts, words = _load("facts.yaml"), _load("texts.yaml"), _load("wordlist.yaml")
    facts: dict[str, dict[str, list[Fact]]] = {}
    for lang in LANGUAGES:
        by_intent = facts.setdefault(lang, {})
        for fact in _facts_of(lang, tables, texts, words):
            by_intent.setdefault(fact.intent, []).append(fact)
    phrasings = {lang: _load(f"phrasings_{lang}.yaml") for lang in LANGUAGES}
    return World(facts, phrasings, _load("talk.yaml"), _load("outside.yaml"), words)
