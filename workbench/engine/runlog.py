"""A run's `log.txt`: what was logged on the thread that trains, with tracebacks; of libraries, what went wrong alone.

Secrets and dangerous advice are left out.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.config.chatter import is_worth_keeping
from workbench.config.disk import disk_errors

_ADVICE = re.compile(r"[^\n]*weights_only[^\n]*\n?")  # torch's, to load a file that can carry a program all the same
_SECRET = re.compile(r"hf_[A-Za-z0-9]{8,}")
_LOGGERS = ("", "transformers", "trl", "peft", "datasets", "accelerate", "huggingface_hub")


@contextmanager
def run_log(path: Path) -> Iterator[None]:
    """Write this thread's log records to `path` for a while; other threads' records stay out.

    Raises:
        WorkbenchError: nothing can be written there.
    """
    with disk_errors(path):
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    thread = threading.get_ident()
    handler.addFilter(lambda record: record.thread == thread and is_worth_keeping(record))
    handler.setLevel(logging.INFO)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    # Loggers that pass their records on to the root would write twice.
    loggers = [logger for logger in loggers if logger.name == "root" or not logger.propagate]
    logging.getLogger("workbench").setLevel(logging.INFO)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()


def redact(text: str) -> str:
    """`text` without access tokens, and without lines that advise to load files unsafely."""
    return _ADVICE.sub("", _SECRET.sub("hf_***", text))


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
