"""Lists that a cell holds as text, in JSON or as Python prints them: what a table makes of messages.

Nothing is evaluated: before `ast.literal_eval` reads a text, its strings are taken out, and of the rest only brackets,
commas, colons, numbers and the three constants may be left, no deeper and no more than the limits say.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from workbench.data.json_rows import measure
from workbench.data.limits import MAX_JSON_DEPTH

MAX_LITERAL = 256 * 1024  # characters of a list as Python prints it
MAX_ITEMS = 10_000

# These patterns can match every text in one way only: where they could in several, a cell of digits or of quotes takes for ever.
# A string that is not closed is found, too, so that nobody looks for it again from each of its quotes.
_STRING = re.compile(r"""'(?:[^'\\\n]|\\.)*('?)|"(?:[^"\\\n]|\\.)*("?)""")
_PLAIN = re.compile(
    r"(?:[\[\]{}(),:\s]|None|True|False|(?<![\d.])-?\d{1,20}(?:\.\d{1,20})?(?:e[+-]?\d{1,3})?(?![\d.]))*"
)
# numpy prints a list of objects without commas; a string that is printed has no line break of its own.
_NO_COMMA = re.compile(r"\}[^\S\n]*\n\s*\{")
_ESCAPE = re.compile(r"""(\\[\\'"abfnrtvxuU0-7])|\\""")


def read_written(text: str) -> Any:
    """The list or object that a text holds, or None where it holds none."""
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _literal(text)
    if not isinstance(value, (list, dict)) or measure(value)[0] > MAX_JSON_DEPTH:
        return None
    return value


def _literal(text: str) -> Any:
    if len(text) > MAX_LITERAL:
        return None
    text = _NO_COMMA.sub("},{", text)
    rest = _STRING.sub(lambda match: "" if match[1] or match[2] else "'", text)
    if not _PLAIN.fullmatch(rest) or rest.count(",") + rest.count(":") > MAX_ITEMS or _depth(rest) > MAX_JSON_DEPTH:
        return None
    try:
        # A backslash that escapes nothing stays, as Python reads it, but without Python's warning.
        return ast.literal_eval(_ESCAPE.sub(lambda match: match[1] or r"\\", text.strip()))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _depth(brackets: str) -> int:
    depth = deepest = 0
    for character in brackets:
        if character in "[{(":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]})":
            depth -= 1
    return deepest
