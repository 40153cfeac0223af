"""How a sentence varies: the phrasing grammar, and the casing, punctuation and small talk around a question.

Contract: `Phrasings` turns one line of phrasings_*.yaml into a random sentence with its slots still open ("{a}");
`fill` puts values in; `dress` makes the result look typed by a person. Everything draws from the `random.Random` that
is passed in and nothing else, so the same seed gives the same text on every machine. Knows nothing about facts.
"""

import random
import re
from collections.abc import Sequence

_SLOT = re.compile(r"\{(\w+)\}")
_SAFE_TO_DROP = {
    "the",
    "a",
    "an",
    "of",
    "is",
    "are",
    "me",
    "do",
    "you",
    "please",
    "can",
    "does",
    "to",
    "for",
    "that",
    "tell",
}
_SAFE_TO_DROP_ZH = "的是呢请个一了"
_FILLERS = (
    "just actually really now again please exactly maybe then quickly usually normally old little nice simple real good "
    "typical common ordinary whole fine certain right simply honestly kindly perhaps always often pretty young lovely"
).split()
_FILLERS_ZH = (
    "到底 究竟 其实 一般 通常 平时 平常 大概 应该 就 都 也 又 会 啊 嘛 呀 那个 这个 普通的 常见的 漂亮的 真正的 可爱的 请 快 再 一下 来着 "
    "正常 大家 我们 咱们 小朋友 好像 好 来 去 里 上 所谓的 所有 各种 有名的 新鲜 一直"
).split()
_CIRCUMSTANCES = (
    "at home|at school|in the morning|after lunch|in my book|in this picture|for my little sister|in our game|in the garden|"
    "for the test|on Sunday|as a child|in your opinion|by the way|in general|in everyday life|in a fairy tale|in short|"
    "for a start|these days|if you know it|if you can|for a beginner|to be exact|in one word|in simple words"
).split("|")
_CIRCUMSTANCES_ZH = (
    "在家里|在学校|早上|吃完饭|书上说|图画里|在游戏里|在花园里|考试的时候|小时候|一般来说|平时生活中|在故事里|简单地说|如果你知道|我妹妹问|"
    "用一个词说|据你所知|按常识|上课的时候|弟弟想知道|我不太懂|坐车的时候|我正在学习|我突然想到"
).split("|")
_FIRST_OF_A_QUESTION = {"what", "which", "who", "whose", "how", "where", "when", "why", "is", "are", "does", "{is}"}
_ASKING = re.compile(
    r"(?i)\b(what|whats|what's|which|who|whose|whom|how|where|when|why|is|are|does|do you|can|could|would|will|know)\b"
)
_ASKING_ZH = re.compile(r"什么|哪|谁|几|多少|怎|吗|呢|啥|如何|为什么|还是|是不是")

_BEFORE = {
    "en": (
        "Hey, |Hi, |Hello! |Hello, |Hi! |Please, |Quick question: |Question: |OK, |So, |Well, |I have a question. |Excuse me, |"
        "Sorry, |Starter, |Hi Starter, |Hey Starter, |And |Just wondering, |For my homework: |One more: |My daughter asks: |"
        "Let me ask you: |Here is an easy one. |Good morning! |Good evening, |Dear Starter, |Tell me, |Tell me please: |"
        "Can you help me? |I need your help. |Next question. |Now |Listen, |Oh, |Um, |Hmm, |Thanks! |Great. |You know, |Say, |"
        "My son wants to know: |My toddler wants to know: |At breakfast my little boy asked: |They ask in my class: |I was wondering: |We play a game. |I am learning. |Grandma asks: |On a card I read: |For a quiz: |A riddle: |Can I ask you something? |Just curious, |Easy one: "
    ).split("|"),
    "zh": (
        "请问，|请问|你好，|你好！|小起，|小起你好，|告诉我，|那么，|我想问一下，|问一下，|嗨，|老师问：|帮个忙，|麻烦你，|考考你：|考考你，|"
        "我有个问题：|问题：|那|请告诉我，|早上好，|晚上好！|打扰一下，|不好意思，|嘿，|我想知道，|你知道吗，|下一个问题：|再问一个，|孩子问：|"
        "作业：|猜一猜，|说说看，|对了，|哎，|谢谢！|好的，|嗯，|请回答：|请帮帮我，|想请教一下，|您好，|您好，请问|小朋友问，|有个小问题，"
    ).split("|"),
}
_BEHIND = {
    "en": (
        ", please| please| thanks|, thanks|, do you know|, I forgot|, Starter|, my friend| for me|, if I may ask| then|"
        ", can you tell me|, any idea|, right now| exactly|, do you remember| again|, tell me"
    ).split("|"),
    "zh": (
        "，谢谢|，请回答|，告诉我|，你知道吗|，请说|，我忘了|，小起|，请告诉我|，能告诉我吗|，说说看|，拜托|，快告诉我|，麻烦了|，知道吗|，请问"
    ).split("|"),
}


def _split_top(text: str) -> list[str]:
    """Splits at the bars that stand outside every bracket."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


def parse(text: str) -> list:
    """Parses one grammar line into a list whose items are strings or lists of parsed alternatives."""
    out, i = [], 0
    while i < len(text):
        if text[i] != "(":
            j = text.find("(", i)
            j = len(text) if j < 0 else j
            out.append(text[i:j])
            i = j
            continue
        depth, j = 1, i + 1
        while depth:
            if j >= len(text):
                raise ValueError(f"A bracket is never closed in the phrasing {text!r}")
            depth += (text[j] == "(") - (text[j] == ")")
            j += 1
        out.append([parse(part) for part in _split_top(text[i + 1 : j - 1])])
        i = j
    return out


def draw(tree: list, rng: random.Random) -> str:
    """One random sentence from a parsed line."""
    return "".join(item if isinstance(item, str) else draw(item[int(rng.random() * len(item))], rng) for item in tree)


class Phrasings:
    """Grammar lines with their macros resolved; `ask[intent]` and `say[intent]` are lists of parsed lines."""

    def __init__(self, table: dict):
        self._macros = dict(table.get("macros", {}))
        self.ask = {k: [self.parse(p) for p in v["ask"]] for k, v in table.items() if k != "macros"}
        self.say = {k: list(v["say"]) for k, v in table.items() if k != "macros"}

    def parse(self, line: str) -> list:
        for name, text in self._macros.items():
            line = line.replace(f"<{name}>", text if text.startswith("(") else f"({text})")
        return parse(line)


def fill(text: str, slots: dict[str, str]) -> str:
    """Puts slot values in; an unknown slot is a mistake in the tables and raises KeyError."""
    return _SLOT.sub(lambda m: slots[m.group(1)], text)


def capital_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def disturb(template: str, lang: str, rng: random.Random, strays: Sequence[str]) -> str:
    """Drops, misspells or adds one small word outside the slots: people type like that, and unknown words come up.

    `strays` holds words (in Chinese, characters) that may turn up anywhere: a strange word alone must not make a
    question strange.
    """
    if lang == "zh":
        return _disturb_zh(template, rng, strays)
    words = template.split(" ")
    free = [i for i, w in enumerate(words) if "{" not in w]
    if len(words) < 3 or not free:
        return template
    how = rng.random()
    if how < 0.3:
        droppable = [j for j in free if words[j].lower() in _SAFE_TO_DROP]
        if droppable:
            del words[rng.choice(droppable)]
    elif how < 0.55:
        words.insert(rng.choice(free), rng.choice(_FILLERS))
    elif how < 0.7:
        words = [rng.choice(_CIRCUMSTANCES) + ",", *words] if how < 0.62 else [*words, rng.choice(_CIRCUMSTANCES)]
    elif how < 0.78:
        words.insert(rng.choice(free), rng.choice(strays))
    else:
        long = [j for j in free if len(words[j]) > 4 and words[j].isalpha()]
        if long:
            j = rng.choice(long)
            words[j] = _misspell(words[j], rng)
    return " ".join(words)


def _disturb_zh(template: str, rng: random.Random, strays: Sequence[str]) -> str:
    if "{" not in template:
        return template
    how = rng.random()
    if how < 0.3:
        places = [i for i, c in enumerate(template) if c in _SAFE_TO_DROP_ZH]
        if places:
            i = rng.choice(places)
            return template[:i] + template[i + 1 :]
    gaps = [i for i in range(len(template) + 1) if template[:i].count("{") == template[:i].count("}")]
    if how < 0.6:
        i = rng.choice(gaps)
        return template[:i] + rng.choice(_FILLERS_ZH) + template[i:]
    if how < 0.8:
        return rng.choice(_CIRCUMSTANCES_ZH) + rng.choice(("，", "")) + template
    i = rng.choice(gaps)
    stray = "".join(rng.choice(strays) for _ in range(rng.choice((1, 1, 2))))
    return template[:i] + stray + template[i:]


def _misspell(word: str, rng: random.Random) -> str:
    i = rng.randrange(1, len(word) - 1)
    how = rng.random()
    if how < 0.4:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if how < 0.8:
        return word[:i] + word[i + 1 :]
    return word[:i] + word[i] + word[i:]


def dress(text: str, lang: str, rng: random.Random, *, keep_case: bool, small_talk: float = 0.2) -> str:
    """Adds what surrounds a question: a word before or behind it, the end mark, upper and lower case."""
    ended = text[-1] in ".?!:。？！：_）?"
    if not ended and rng.random() < small_talk * 0.5:
        text += rng.choice(_BEHIND[lang])
    before = rng.choice(_BEFORE[lang]) if rng.random() < small_talk else ""
    if not ended:
        text += _end_mark(text, lang, rng)
    if lang == "zh":
        return _width(before + text, rng)
    return _case(before, text, rng, keep_case=keep_case)


def _end_mark(text: str, lang: str, rng: random.Random) -> str:
    dice = rng.random()
    if lang == "zh":
        if _ASKING_ZH.search(text):
            if dice < 0.08 and text[-1] not in "吗呢呀啊":
                return rng.choice("呢呀啊") + rng.choice(("？", "", "？"))
            return "？" if dice < 0.62 else "?" if dice < 0.73 else "" if dice < 0.97 else "。"
        return "。" if dice < 0.4 else "" if dice < 0.8 else "！" if dice < 0.9 else "？"
    if _ASKING.search(text):
        return "?" if dice < 0.72 else "" if dice < 0.95 else "??" if dice < 0.97 else "."
    return "." if dice < 0.4 else "" if dice < 0.85 else "!" if dice < 0.94 else "?"


def plain_end_mark(text: str, lang: str) -> str:
    """The mark that a careful writer puts at the end."""
    if lang == "zh":
        return "？" if _ASKING_ZH.search(text) else "。"
    return "?" if text.split(". ")[-1].split(" ")[0].lower() in _FIRST_OF_A_QUESTION else "."


def _width(text: str, rng: random.Random) -> str:
    return text.replace("，", ",").replace("：", ":").replace("！", "!") if rng.random() < 0.08 else text


def _case(before: str, text: str, rng: random.Random, *, keep_case: bool) -> str:
    dice = rng.random()
    if keep_case:
        return before + (capital_first(text) if dice < 0.5 and not before and " " in text else text)
    if dice < 0.25:
        return (before + text).lower()
    if dice < 0.27:
        return (before + text).upper()
    if before:
        return before + (capital_first(text) if before[-2] in ".!?:" and dice < 0.7 else text)
    return capital_first(text) if dice < 0.94 else text
