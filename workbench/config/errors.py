"""Errors for people. Anything else that is raised is a bug and is reported as one.

`WorkbenchError` says what is wrong, with the value and what is allowed; its hint says what to do next; its field is the
dotted path of the setting, so that the page can mark it. Several problems found at once travel together in `problems`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.config.text import Text


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (`optimization.learning_rate`, or None), what, and what to do."""

    message: Text
    hint: Text | None = None
    field: str | None = None


class WorkbenchError(Exception):
    """Something a person can put right.

    Args:
        message: what was wrong, with the value that was given and what is allowed.
        hint: what to do now.
        field: dotted path of the setting concerned.
        problems: all problems, when there are several; the first one is the error's own message.
        code: a stable word for scripts and for the page's repair buttons (`disk_full`, `locked`, ...).
    """

    def __init__(
        self,
        message: Text,
        hint: Text | None = None,
        field: str | None = None,
        *,
        problems: tuple[Problem, ...] = (),
        code: str = "request",
    ) -> None:
        super().__init__(str(message))
        self.message = message
        self.hint = hint
        self.field = field
        self.problems = problems or (Problem(message, hint, field),)
        self.code = code

    def to(self, lang: str) -> str:
        """Message and hint as sentences in `lang`, every problem on its own line."""
        return "\n".join(_sentence(problem, lang) for problem in self.problems)

    def as_dict(self, lang: str = "en") -> dict[str, Any]:
        """The shape that the command line prints with `--json`; several problems stand in `problems`, each in that shape."""
        first, *others = [
            _as_dict(problem, lang) for problem in (Problem(self.message, self.hint, self.field), *self.problems)
        ]
        return {**first, "problems": others} if len(others) > 1 else first


class StopRequested(Exception):
    """Raised inside a long step when the person pressed Stop; the job boundary turns it into the state `stopped`."""


def _as_dict(problem: Problem, lang: str) -> dict[str, Any]:
    hint = problem.hint.to(lang) if problem.hint else None
    return {"message": problem.message.to(lang), "hint": hint, "field": problem.field}


def _sentence(problem: Problem, lang: str) -> str:
    stop, space = ("。", "") if lang == "zh" else (".", " ")
    message = problem.message.to(lang)
    if problem.field:
        message = f"{problem.field}: {message}"
    elif message and not problem.message.en.startswith("{"):  # a name at the beginning stays as it is written
        message = message[0].upper() + message[1:]
    if not message.endswith((".", "!", "?", "。", "！", "？", ":", "：")):
        message += stop
    return f"{message}{space}{problem.hint.to(lang)}" if problem.hint else message
