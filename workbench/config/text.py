"""Text that people read: every sentence exists in English and in Chinese, side by side, at the place where it is used.

A `Text` is immutable and knows nothing about the page or about who is reading; whoever shows it picks the language with
`Text.to(lang)`. Keeping both languages in one literal makes a missing twin impossible to write; the tests check the rest
(same placeholders on both sides, Chinese that is Chinese).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

LANGUAGES = ("en", "zh")
_HALF_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Text:
    """One text in both languages, with `{name}` placeholders filled by `with_`."""

    en: str
    zh: str
    values: tuple[tuple[str, Any], ...] = field(default=(), compare=True)

    def with_(self, **values: Any) -> Text:
        """The same text with its placeholders bound; a value may itself be a `Text`."""
        return Text(self.en, self.zh, (*self.values, *values.items()))

    def to(self, lang: str) -> str:
        """The text in `lang` ("en" or "zh"; anything else reads as English)."""
        said = self.zh if lang == "zh" else self.en
        if self.values:
            bound = {name: value.to(lang) if isinstance(value, Text) else value for name, value in self.values}
            said = said.format(**bound)
        # Here and not where the values come from: names of files, columns and settings reach sentences on many ways.
        return writable(said)

    def as_dict(self) -> dict[str, str]:
        """Both languages, for files: `{"en": ..., "zh": ...}`."""
        return {lang: self.to(lang) for lang in LANGUAGES}

    def __str__(self) -> str:
        return self.to("en")


def writable(text: str) -> str:
    """`text` with a replacement character for each half of a surrogate pair, which JSON can hold and UTF-8 can't."""
    return _HALF_PAIR.sub("\ufffd", text)


def count_chinese(text: str) -> int:
    """How many of its characters are Chinese ones (the block of the CJK unified ideographs)."""
    return sum("\u4e00" <= letter <= "\u9fff" for letter in text)


def same(text: str) -> Text:
    """A text that is the same in both languages: a name, a number, a file."""
    return Text("{text}", "{text}").with_(text=text)


def counted(count: int, one: Text, more: Text) -> Text:
    """`one` where there is a single one, else `more`, with the count as `{n}`: English has two forms."""
    return (one if count == 1 else more).with_(n=count)


_ONE_MORE = Text("{before}, {name}", "{before}、{name}")


def listed(names: Iterable[str | Text]) -> Text:
    """A few names one after the other, as each language separates them; "-" when there is none."""
    texts = [name if isinstance(name, Text) else same(name) for name in names]
    if not texts:
        return same("-")
    return functools.reduce(lambda before, name: _ONE_MORE.with_(before=before, name=name), texts)


def size(count: float) -> str:
    """Bytes as people say them: `1.1 GB`."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB" if count < 100 else f"{count:.0f} GB"
