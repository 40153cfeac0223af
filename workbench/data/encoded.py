"""Rows as tokens, and counts over them. Plain data: no tokenizer, no torch.

Label 0 of a row is never predicted, so it does not count as learned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.data.words import Loss

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One row as tokens: `labels` repeats the ids that are learned, `cut` counts the tokens cut off at the end.

    `lost` names words that the chat template left away, in every class here.
    """

    input_ids: list[int]
    labels: list[int]
    cut: int = 0
    lost: tuple[Loss, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens that the model sees."""
        return len(self.input_ids)

    @property
    def learned(self) -> int:
        """Tokens that the loss is taken from."""
        return len(self.labels[1:]) - self.labels[1:].count(IGNORED)

    @property
    def longest(self) -> int:
        """Length of the row before it was cut."""
        return len(self.input_ids) + self.cut

    @property
    def dropped(self) -> bool:
        """Whether nothing is left to learn."""
        return self.learned == 0


@dataclass(frozen=True)
class EncodedFeedback(Encoded):
    """An answer as tokens, and whether it was called a good one."""

    label: bool = False


@dataclass(frozen=True)
class EncodedLabelled:
    """A text as tokens, with its label. `cut` counts the tokens that were left away at its end."""

    input_ids: list[int]
    label: str
    cut: int = 0
    lost: tuple[Loss, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens that the model sees."""
        return len(self.input_ids)

    @property
    def learned(self) -> int:
        """Of no token, but of the whole text, the label is learned."""
        return len(self.input_ids)

    @property
    def longest(self) -> int:
        """Length of the text before it was cut."""
        return len(self.input_ids) + self.cut

    @property
    def dropped(self) -> bool:
        """Whether there is no text."""
        return not self.input_ids


@dataclass(frozen=True)
class EncodedPreference:
    """A pair as tokens: the prompt, and the two answers that follow it, cut so that each fits behind the prompt.

    `cut` counts the tokens cut off both answers, `longest` is the length of the longer side before that.
    """

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    cut: int = 0
    longest: int = 0
    lost: tuple[Loss, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens that the model sees: the prompt goes before both answers."""
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)

    @property
    def learned(self) -> int:
        """Tokens of the two answers."""
        return len(self.chosen_ids) + len(self.rejected_ids)

    @property
    def dropped(self) -> bool:
        """Whether one of the answers is cut away altogether."""
        return not self.chosen_ids or not self.rejected_ids


@dataclass(frozen=True)
class EncodedPrompt:
    """A question with the header of the answer to come. A cut question has lost that header and cannot be answered."""

    input_ids: list[int]
    cut: int = 0
    lost: tuple[Loss, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens that the model sees."""
        return len(self.input_ids)

    @property
    def learned(self) -> int:
        """Nothing: the model learns from its own answer."""
        return 0

    @property
    def longest(self) -> int:
        """Length of the question before it was cut."""
        return len(self.input_ids) + self.cut

    @property
    def dropped(self) -> bool:
        """Whether the question does not fit."""
        return self.cut > 0


AnyEncoded = Encoded | EncodedLabelled | EncodedPreference | EncodedPrompt


@dataclass(frozen=True)
class TokenStats:
    """Counts over a set; `longest` before cutting, `cut` and `dropped` in rows."""

    rows: int
    tokens: int
    learned_tokens: int
    longest: int
    cut: int
    dropped: int


def statistics(encoded: Iterable[AnyEncoded]) -> TokenStats:
    """Counts over encoded rows; the tokens of dropped rows, of which nothing is left to learn, are not counted."""
    rows = tokens = learned = longest = cut = dropped = 0
    for row in encoded:
        rows += 1
        longest = max(longest, row.longest)
        cut += row.cut > 0
        if row.dropped:
            dropped += 1
        else:
            tokens += row.tokens
            learned += row.learned
    return TokenStats(rows, tokens, learned, longest, cut, dropped)
