"""What scores say over many rows: how often a class is right and which are confused, and how often the better answer wins.

Plain numbers, without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

SUREST = 5  # wrong rows that are shown, the surest first
LONGEST = 300  # characters of a text that is shown


def classified(
    shares: Sequence[Sequence[float]], right: Sequence[int], labels: Sequence[str], texts: Callable[[int], str]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Accuracy, macro F1 (the mean of the classes' F1 = 2 TP / (2 TP + FP + FN); a class that no row has and nobody said does
    not count), the table of confusions and the surest wrong rows.

    Args:
        shares: of each row, the share of each class; they add up to 1.
        right: the place of each row's own class.
        labels: the classes.
        texts: gives the text of the row at a place.
    """
    said = [max(range(len(row)), key=row.__getitem__) for row in shares]
    table = [[0] * len(labels) for _ in labels]
    for own, answer in zip(right, said, strict=True):
        table[own][answer] += 1
    scores = []
    for place in range(len(labels)):
        own, answered, hits = sum(table[place]), sum(row[place] for row in table), table[place][place]
        if own + answered:
            scores.append(2 * hits / (own + answered))
    wrong = [place for place, (own, answer) in enumerate(zip(right, said, strict=True)) if own != answer]
    wrong.sort(key=lambda place: -shares[place][said[place]])
    numbers = {"accuracy": 1 - len(wrong) / len(right), "macro_f1": sum(scores) / len(scores)}
    surest = [
        {
            "label": labels[right[place]], "said": labels[said[place]], "share": round(shares[place][said[place]], 4),
            "text": texts(place)[:LONGEST],
        }
        for place in wrong[:SUREST]
    ]  # fmt: skip
    return numbers, {"labels": [*labels], "table": table, "wrong": surest}


def preferred(chosen: Sequence[float], rejected: Sequence[float]) -> dict[str, float]:
    """How often the better answer has the higher reward (equal ones count half), by how much, and the mean of all rewards."""
    pairs = [*zip(chosen, rejected, strict=True)]
    wins = sum(1.0 if better > other else 0.5 if better == other else 0.0 for better, other in pairs)
    return {
        "accuracy": wins / len(pairs),
        "margin": sum(better - other for better, other in pairs) / len(pairs),
        "reward": sum(better + other for better, other in pairs) / (2 * len(pairs)),
    }
