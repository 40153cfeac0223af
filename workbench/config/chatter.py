"""Keeps what libraries say to programmers out of people's terminals and logs: warnings, advice, bars of progress.

What went wrong is still told: errors are. Whoever asks Python for its warnings (`-W`, `PYTHONWARNINGS`) gets them, and
what a library's own variable asks for stays. Standard library only.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Any

_VARIABLES = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "DATASETS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TORCH_LOGS": "-all",  # errors alone: torch prints by itself, without Python's last resort
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


def silence() -> None:
    """Do so in this process, before the libraries are imported."""
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.showwarning = _say_nothing  # a filter would be taken back by libraries that set their own
    if logging.lastResort is not None:
        logging.lastResort.setLevel(logging.ERROR)  # what prints when nobody has set up logging


def is_worth_keeping(record: logging.LogRecord) -> bool:
    """Whether a log for people holds this record: all that the workbench says, and of libraries what went wrong."""
    return record.name.partition(".")[0] == "workbench" or record.levelno >= logging.ERROR


def _say_nothing(*_: Any, **__: Any) -> None:
    """What `warnings.showwarning` is here."""
