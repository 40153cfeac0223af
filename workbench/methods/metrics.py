"""A method's own numbers, each declared once: charts, tiles, command line and the run's record follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.config.text import Text

OF_EVALUATION = "eval_"
"""What stands before a number's name where it comes from the rows kept back."""


@dataclass(frozen=True)
class Metric:
    """One number.

    Attributes:
        name: as the trainer logs it; with `OF_EVALUATION` in front for the rows kept back.
        label: what people read.
        help: what it says, what a good run looks like, and when to worry.
        better: whether more or less of it is better; "" where neither is.
        percent: whether it lies between 0 and 1 and is read in percent.
        main: whether it is among the few that stand beside the chart.
    """

    name: str
    label: Text
    help: Text
    better: Literal["up", "down", ""] = ""
    percent: bool = False
    main: bool = False

    def written(self, value: float) -> str:
        """As people read it."""
        return f"{100 * value:.1f} %" if self.percent else f"{value:.4g}"
