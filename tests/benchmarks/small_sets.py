"""Small sets of one's own on the starter model: what the suggested steps and rate teach, and what they cost.

    python -m tests.benchmarks.small_sets             a table: each set, with the preset's own values and with the suggested ones
    python -m tests.benchmarks.small_sets --json      the same as one JSON line a run

A set (`tests/small_sets.py`) is learned as the page and the command line would have it, on one thread. Counted are the answers
to questions that it does not hold which have its style, and the questions of the starter's examination that it answered
right before and no longer does. A run takes 20 to 30 seconds of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.small_sets import SmallSet, small_sets
from workbench.bootstrap import ROOT, environment
from workbench.config.presets import find_preset
from workbench.config.run import RunConfig

BASE = ROOT / "workbench" / "models" / "starter" / "model"
PARAMETERS = 3.8e6
STYLE, LOST = 0.8, 12  # what is promised: style on eight of ten unseen questions, at most so many of 60 answers lost


@dataclass(frozen=True)
class Measured:
    """One run: what it was told, what came of it, and how many seconds of one core it took to train."""

    set: str
    rows: int
    values: str
    rate: float
    steps: int
    seed: int
    style: int
    unseen: int
    lost: int
    forgotten: int
    """Of the lost ones, those that are wrong also without the words of the style."""
    seconds: float

    @property
    def keeps(self) -> bool:
        """Whether it keeps what is promised of the suggested values."""
        return self.style >= STYLE * self.unseen and self.lost <= LOST


def config_of(one: SmallSet, seed: int, *, suggested: bool) -> RunConfig:
    """The run as the workbench has it for a set of one's own, with the preset's rate and epochs or with the suggested ones."""
    from workbench.engine.suggestions import Subject, suggestions

    preset = find_preset("own-pairs" if one.method == "dpo" else "own-data")
    config = preset.config().changed({"data.train": one.name, "optimization.seed": seed})
    found = suggestions(preset.values, config, Subject(len(one.rows), PARAMETERS)) if suggested else []
    return config.changed({each.path: each.value for each in found})


def measure(one: SmallSet, config: RunConfig, values: str, known: set[str]) -> Measured:
    """Train, and ask."""
    from tests.voices import answers, load, right_without
    from workbench.engine.training import TrainingJob, train

    with tempfile.TemporaryDirectory(prefix="small-sets-") as name:
        run, began = Path(name), time.process_time()
        job = TrainingJob(config, run, BASE, "starter", one.rows, None, lambda event: None, threading.Event())
        steps = train(job).step
        seconds = time.process_time() - began
        model, tokenizer = load(BASE, run / "adapter")
        given = answers(model, tokenizer, one.unseen)
        style = sum(one.in_style(question, answer) for question, answer in zip(one.unseen, given, strict=True))
        right, without = right_without(model, tokenizer, one.mark)
    optimization = config.optimization
    return Measured(
        one.name, len(one.rows), values, optimization.learning_rate, steps, optimization.seed, style, len(one.unseen),
        len(known - right), len(known - right - without), round(seconds, 1),
    )  # fmt: skip


def line(found: Measured) -> str:
    """A row of the table."""
    style = f"{found.style}/{found.unseen}"
    numbers = f"{found.rate:8g}{found.steps:7d}{found.seed:6d}{style:>9}{found.lost:6d}{found.forgotten:11d}{found.seconds:9.1f}"
    return f"{found.set:12}{found.rows:5d}  {found.values:10}{numbers}  {'yes' if found.keeps else 'no'}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=small_sets(), default=list(small_sets()))
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--after-only", action="store_true", help="leave out the runs with the preset's own values")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    environment()
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    from tests.voices import load, right_answers

    torch.set_num_threads(1)
    known = right_answers(*load(BASE))
    if not options.json:
        print(f"The starter answers {len(known)} of 60 questions right; {LOST} of them may be lost.")
        print(
            "set          rows  values        rate  steps  seed    style  lost  forgotten  seconds  keeps the promise"
        )
    for name in options.only:
        for values in ("suggested",) if options.after_only else ("preset", "suggested"):
            for seed in options.seeds:
                one = small_sets()[name]
                found = measure(one, config_of(one, seed, suggested=values == "suggested"), values, known)
                told: dict[str, Any] = {**asdict(found), "keeps": found.keeps}
                print(json.dumps(told) if options.json else line(found), flush=True)


if __name__ == "__main__":
    main()
