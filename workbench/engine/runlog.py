"""A run's `log.txt`: what was logged on the thread that trains, with tracebacks; of libraries, what went wrong alone.

Secrets and dangerous advice are left out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.config.chatter import is_worth_keeping
from workbench.config.disk import disk_errors
from workbench.config.errors import WorkbenchError
from workbench.config.redaction import redact
from workbench.engine.boundary import explain, is_disk_full
from workbench.engine.records import KeptError

__all__ = ["keep", "redact", "run_log"]

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


def keep(error: BaseException, place: Path) -> KeptError:
    """What a record keeps of an exception that ended its job: what it means, without secrets.

    Args:
        place: where the job wrote to.
    """
    problem = explain(error, place)
    words = {key: redact(text) for key, text in problem.message.as_dict().items()}
    hint = {key: redact(text) for key, text in problem.hint.as_dict().items()} if problem.hint else None
    if isinstance(error, WorkbenchError):
        code = error.code
    else:
        code = "disk_full" if is_disk_full(error) else "unexpected"
    return KeptError(message=words, hint=hint, field=problem.field, code=code)


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
