"""A tokenizer.json tried out in a process of its own: read, and put to work on short texts. See `tokenizer_file.py`.

Started as a script, with the folder of the tokenizers library and the file as its arguments. Prints READY once it is able
to begin, READ once it has the tokenizer, and at the end what became of it: one of FINE, LONG, MEMORY and FAILS. Without
READ, the file cannot be read.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

READY, READ, FINE, LONG, MEMORY, FAILS = "ready", "read", "fine", "long", "memory", "fails"

READ_SECONDS, WORK_SECONDS = 30, 2  # processor time; the largest files known take one second, and a text a thousandth
# Time on the clock: the only limit on Windows, and the last resort where processor time is limited.
READ_LAST, WORK_LAST = 75, 20
MEMORY_BYTES, MEMORY_PER_BYTE = 1536 * 1024**2, 48  # of the file; what is read takes some twenty times its size
LENGTH = 2000  # characters of a long text
# What each character may become at most. A byte-level vocabulary needs four tokens for a rare one, and the name of an
# unknown token may be as long as a word.
TOKENS_PER_CHARACTER, LETTERS_PER_CHARACTER, SPARE = 16, 32, 200

_TEXTS = (
    "Hello, how are you? It's 3.14 o'clock.\n\n\tThe end.",
    "你好，世界！今天天气很好。",
    "👩\u200d💻 café naïve — ½ ﷽ 🏳️\u200d🌈",
    "def f(x):\n    return {'a': [1, 2, 3]}  # https://example.org/?q=1&r=2",
    "",
)
_REPEATED = "aA0 \n\t中.-=_#é"
_MOST_WORDS, _LONGEST_WORD = 60, 100


def texts(settings: dict[str, Any]) -> Iterator[str]:
    """Short texts and long ones, made of usual words and of what the file itself looks for."""
    yield from _TEXTS
    yield ("The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸跳过了懒狗。" * LENGTH)[:LENGTH]
    words = _words(settings)
    letters = sorted({letter for word in words for letter in word})
    # A pattern is slowest over what it nearly finds; many are not even tried where the letters are not all there.
    ending = "\x01!" + "".join(letters[:_MOST_WORDS])
    for piece in dict.fromkeys([*_REPEATED, *letters[:_MOST_WORDS], *words]):
        yield (piece * LENGTH)[:LENGTH] + ending
    if letters:
        mixed = random.Random(0)  # noqa: S311 - only to be the same every time
        yield "".join(mixed.choice(letters) for _ in range(LENGTH))
        yield "".join(mixed.choice(words) for _ in range(LENGTH))[:LENGTH]


def _words(settings: dict[str, Any]) -> list[str]:
    """What the settings (everything but the vocabulary) look for: their patterns, and the added tokens."""
    found: dict[str, None] = {}
    waiting: list[Any] = [settings.get(key) for key in ("normalizer", "pre_tokenizer", "post_processor", "decoder")]
    while waiting and len(found) < _MOST_WORDS:
        value = waiting.pop(0)
        if isinstance(value, list):
            waiting += value[:_MOST_WORDS]
        if isinstance(value, dict):
            pattern = value.get("pattern")
            for word in pattern.values() if isinstance(pattern, dict) else [pattern]:
                if isinstance(word, str) and word:
                    found[word[:_LONGEST_WORD]] = None
            waiting += [item for key, item in value.items() if key != "pattern" and isinstance(item, (list, dict))]
    added = settings.get("added_tokens")
    for token in added[:_MOST_WORDS] if isinstance(added, list) else ():
        if isinstance(token, dict) and isinstance(token.get("content"), str) and token["content"]:
            found[token["content"][:_LONGEST_WORD]] = None
    return list(found)


def try_out(tokenizer: Any, settings: dict[str, Any]) -> str:
    """What becomes of a tokenizer that turns texts into tokens and back."""
    # transformers switches both off, and says for each text what it wants.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for text in texts(settings):
        for special in (True, False):
            ids = tokenizer.encode(text, add_special_tokens=special).ids
            if len(ids) > SPARE + TOKENS_PER_CHARACTER * len(text):
                return LONG
            back = tokenizer.decode(ids, skip_special_tokens=not special)
            if len(back) > SPARE + LETTERS_PER_CHARACTER * max(len(text), len(ids)):
                return LONG
    return FINE


def main() -> None:
    """Try out the file."""
    package, own, path = sys.argv[1:]
    sys.path += [package, own]
    # Threads would need room of their own, the more the more cores there are.
    os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", RUST_BACKTRACE="0")
    from template_probe import limit  # type: ignore[import-not-found]
    from tokenizers import Tokenizer

    memory = MEMORY_BYTES + MEMORY_PER_BYTE * Path(path).stat().st_size
    limit(memory, READ_SECONDS, READ_LAST)
    print(READY, flush=True)
    tokenizer = Tokenizer.from_file(path)
    settings = json.loads(Path(path).read_text(encoding="utf-8"))
    settings.pop("model", None)
    print(READ, flush=True)
    limit(memory, WORK_SECONDS, WORK_LAST)
    try:
        verdict = try_out(tokenizer, settings)
    except MemoryError:
        verdict = MEMORY
    except BaseException as error:  # noqa: BLE001 - a panic of the library is no Exception
        print(repr(error)[:500], file=sys.stderr)
        verdict = FAILS
    print(verdict, flush=True)


if __name__ == "__main__":
    main()
