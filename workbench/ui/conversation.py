"""A conversation with one model, or with a run's base and tuned side at once; and how its words are made safe to show.

Each side has its own answers to the same questions. Knows nothing about gradio or the engine.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any

from workbench.data.turns import Message

BASE, TUNED = "base", "tuned"
MAX_QUESTION = 20_000  # characters

# After these a browser would see the start of an HTML tag, or Markdown that of an image, which would be fetched.
_TAG = re.compile(r"<(?=[a-zA-Z/!?])")
_FENCE = re.compile(r"(^[ \t]*```.*?(?:^[ \t]*```[ \t]*$|\Z))", re.MULTILINE | re.DOTALL)
_APART = "\u200b"  # a space without width


@dataclass
class Turn:
    """A question and what each side answered; a side without an entry was not asked, or was stopped before a word.

    `in_training`: the tuned side's answer came from the middle of its training.
    """

    question: str
    answers: dict[str, str] = field(default_factory=dict)
    in_training: bool = False


class Conversation:
    """What one open page talks about. Lives in its session's memory.

    `stop` belongs to the one answer that is being made (an engine may set it itself when that answer is over);
    `halted` says that the person wants no more answers to this question.
    """

    def __init__(self) -> None:
        self.target = ""
        self.listed: str | None = None  # the run that trained when the list of whom to talk to was made; None: not yet
        self.seen_run = ""  # the page's chosen run when the tab was last opened
        self.turns: list[Turn] = []
        self.offered: tuple[str, ...] = ()  # questions of the target's own; empty: the page's
        self.stop = threading.Event()
        self.halted = False
        self.busy = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Conversation:
        return Conversation()  # every session starts with one of its own; an Event cannot be copied

    def next_answer(self) -> threading.Event:
        """The event that ends the answer which begins now."""
        self.stop = threading.Event()
        if self.halted:  # Stop came between two answers
            self.stop.set()
        return self.stop

    def halt(self) -> None:
        """End the answer that is being made, and begin no other one."""
        self.halted = True
        self.stop.set()

    def clear(self) -> None:
        """Forget what was said, and end the answer that is being made."""
        self.halt()
        self.turns = []

    def messages(self, side: str, question: str, system: str = "", in_training: bool = False) -> list[Message]:
        """What one side is asked: the system prompt, its own earlier turns, and the new question.

        Args:
            in_training: whether its run still trains. A model that has learned does not go on from what it said half-way.
        """
        said: list[Message] = [{"role": "system", "content": system.strip()}] if system.strip() else []
        left_out = self.left_out(side, in_training)
        for turn in self.turns:
            answer = turn.answers.get(side, "")
            if answer.strip() and turn not in left_out:
                said += [_message("user", turn.question), _message("assistant", answer)]
        return [*said, _message("user", question)]

    def left_out(self, side: str, in_training: bool) -> list[Turn]:
        """The turns that its window shows and that `messages` does not send to it; the base side did not change."""
        if side != TUNED or in_training:
            return []
        return [turn for turn in self.turns if turn.in_training and turn.answers.get(side, "").strip()]

    def shown(self, side: str) -> list[Message]:
        """One side as its chat window shows it."""
        made = []
        for turn in self.turns:
            made.append(_message("user", plain(turn.question)))
            if side in turn.answers:
                made.append(_message("assistant", plain(turn.answers[side]) or "…"))
        return made


def plain(text: str) -> str:
    """`text` whose HTML is shown instead of obeyed, and whose images are not fetched. Code blocks stay as they are.

    Chat windows render Markdown; what a model (or a data set) writes must not reach out to other machines from there.
    """
    parts = _FENCE.split(text)
    parts[::2] = [_TAG.sub("<" + _APART, part).replace("![", "!" + _APART + "[") for part in parts[::2]]
    return "".join(parts)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
