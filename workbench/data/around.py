"""Where one answer of a whole conversation starts and ends, told from what the template writes around another in its place.

For templates that render a conversation differently once it goes on (Qwen3's thoughts), or that ask for an answer in other
words than it is learned in (DeepSeek-R1's `<think>`).
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from workbench.data.rendering import render
from workbench.data.turns import Message

_PROBE = "\ue0f2"  # for private use: neither in a vocabulary nor in ordinary text


class Around:
    """The surroundings of the answer `messages[index]` in the rendered `text`. Renders only when it is asked."""

    def __init__(self, tokenizer: Any, messages: list[Message], index: int, text: str) -> None:
        self._tokenizer, self._messages, self._index, self._text = tokenizer, messages, index, text
        self.missing = ""
        """What the template asks for an answer with and this answer does not begin with; known after `start`."""

    @cached_property
    def _swapped(self) -> str:
        """The conversation with another answer in this one's place."""
        turns = [*self._messages]
        turns[self._index] = {"role": "assistant", "content": _PROBE}
        return render(self._tokenizer, [turns])[0]

    def start(self, head: str | None, low: int) -> int:
        """Where the answer starts, when the text does not start with `head`, the conversation up to it with its header.

        Args:
            head: what the model is asked with when it gives this answer; None when nothing comes before it.
            low: where the answer before ends.
        """
        latest = _common(self._text, self._swapped)
        if head is None:
            return latest
        before = render(self._tokenizer, [self._messages[: self._index]])[0]
        if self._text.startswith(before):
            start = min(_common(head, self._text), latest)
            begun = self._text[start:].startswith(head[start:].strip())
            self.missing = "" if begun else head[start:]
            return start
        header = head[_common(head, before) :]
        found = self._text.rfind(header, low, latest - 1 + len(header)) if header else -1
        return found + len(header) if found >= 0 else max(latest, low)

    def end(self, start: int, enders: tuple[str, ...]) -> int:
        """Where the answer ends with what closes it, when it is not closed as the end of a conversation is.

        What stands behind a last answer mostly closes the earlier ones too: it is searched backwards from the next
        message. Otherwise (Phi-3 and gpt-oss end the last answer in their own way) the answer ends with the first
        special token behind its words.
        """
        turns = [*self._messages]
        turns[self._index + 1] = {**turns[self._index + 1], "content": _PROBE}
        last: list[Message] = [*self._messages[: self._index], {"role": "assistant", "content": _PROBE}]
        other, closed = render(self._tokenizer, [turns, last])
        following = _common(self._text, other)
        closer = closed[closed.rfind(_PROBE) + 1 :].rstrip()
        found = self._text.rfind(closer, start, following) if closer else -1
        if found >= 0:
            return found + len(closer)
        behind = self._words_end(start, following)
        if behind is None or not closer:
            return following if behind is None else behind
        places = [(self._text.find(token, behind, following), token) for token in enders]
        return min((place + len(token) for place, token in places if place >= 0), default=behind)

    def _words_end(self, start: int, following: int) -> int | None:
        """Where the answer's own words end: what lies between them and the next message is the same behind any answer."""
        probe = self._swapped.rfind(_PROBE)
        between = self._swapped[probe + 1 : len(self._swapped) - len(self._text) + following]
        if probe >= 0 and self._swapped.endswith(self._text[following:]):
            behind = following - len(between)
            if behind >= start and self._text.startswith(between, behind):
                return behind
        words = self._messages[self._index]["content"].strip()
        found = self._text.rfind(words, start, following)
        return found + len(words) if found >= 0 else None


def _common(left: str, right: str) -> int:
    return len(os.path.commonprefix([left, right]))
