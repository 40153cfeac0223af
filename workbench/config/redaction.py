"""What is taken out of texts before they are kept or shown: access tokens, and advice to load files unsafely."""

from __future__ import annotations

import re

_ADVICE = re.compile(r"[^\n]*weights_only[^\n]*\n?")  # torch's, to load a file that can carry a program all the same
_SECRET = re.compile(r"hf_[A-Za-z0-9]{8,}")


def redact(text: str) -> str:
    """`text` without access tokens, and without lines that advise to load files unsafely."""
    return _ADVICE.sub("", _SECRET.sub("hf_***", text))
