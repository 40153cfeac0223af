"""What the engine and a training method say to each other, and nothing else.

A method is one file beside this one: a subclass of `Method` with a `kind`, its options, the kinds of data it learns from, the
task of its model, its numbers and `build_trainer`. It is discovered, never listed. It imports torch and trl inside its
functions only, because the page lists methods before those are loaded.

The trainer is a `transformers.Trainer`; the engine calls `train(resume_from_checkpoint)`, listens by callbacks, and reads
`state`, `args`, `accelerator`, `model` and `train_dataset`. For an exact resume a checkpoint holds what learns, the optimizer's
and the schedule's state, all random numbers, and the course in rows; `trainers.going_on.GoesOn` saves and takes up all of it. A
trainer with anything else that decides its next step (rows that it made itself, say) saves that in `_save_checkpoint` and takes
it up in `go_on`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from workbench.config.errors import Problem
from workbench.config.registry import MethodOptions
from workbench.config.run import RunConfig
from workbench.config.tasks import CAUSAL, Task
from workbench.config.text import Text, same
from workbench.methods.metrics import Metric


@dataclass
class Parts:
    """Everything a method needs to build its trainer.

    Args:
        config: the run.
        model: the base model as it was loaded; where the task is not to write, with its head and its adapter, ready to learn.
        tokenizer: its tokenizer, with a pad token.
        train: normalised examples (see `workbench.data`), in file order.
        evaluation: the examples kept for checking; may be empty.
        arguments: keyword arguments that every trl config takes (batch, steps, learning rate, saving, logging, ...).
        callbacks: the engine's callbacks for the trainer.
        stop: set when the person pressed Stop; long preparation looks at it and raises `StopRequested`.
        progress: called with (done, total) rows while data is prepared.
        report: called with a problem that people should read but that stops nothing.
        row_numbers: the number of each example in its file.
        peft_config: peft's config of the adapter that the trainer lays over the model; None for full tuning.
        kinds: of the training and of the evaluation data.
        labels: the classes of a classification, in the order of the head's outputs.
    """

    config: RunConfig
    model: Any
    tokenizer: Any
    train: list[dict[str, Any]]
    evaluation: list[dict[str, Any]]
    arguments: dict[str, Any]
    callbacks: list[Any] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[int, int], None] = lambda done, total: None
    report: Callable[[Text], None] = lambda text: None
    row_numbers: Callable[[list[dict[str, Any]]], list[int]] = lambda examples: [*range(1, len(examples) + 1)]
    peft_config: Any = None
    kinds: tuple[str, str] = ("chat", "chat")
    labels: tuple[str, ...] = ()


class Method(ABC):
    """One way to train. Subclass it in a file of its own.

    Attributes:
        kind: the name in `method.kind`.
        label, help: what the form says.
        data_kinds: which kinds of data set it learns from (`chat`, `text`, `preference`, ...), the usual one first.
        Options: its settings; `kind` narrowed to its own name.
        sequences: how many sequences of tokens a row of data becomes (2 for a pair of answers); the memory estimate asks.
        task: what the model that it makes is there for.
        metrics: its own numbers, as its trainer logs them; charts, tiles, command line and record follow.
        watch: what to look at in the chart, and what a good run looks like.
        ignores: paths of settings outside its own section that it leaves aside; they are named where somebody set them.
        short: its name in half a sentence, where its kind is none.
    """

    kind: ClassVar[str]
    label: ClassVar[Text]
    help: ClassVar[Text]
    data_kinds: ClassVar[tuple[str, ...]]
    Options: ClassVar[type[MethodOptions]]
    sequences: ClassVar[int] = 1
    task: ClassVar[Task] = CAUSAL
    metrics: ClassVar[tuple[Metric, ...]] = ()
    watch: ClassVar[Text] = Text("", "")
    ignores: ClassVar[tuple[str, ...]] = ()
    short: ClassVar[Text | None] = None

    @property
    def called(self) -> Text:
        """What it is called in half a sentence: `short`, or its kind in capitals where that is a common name (SFT, DPO)."""
        return self.short or same(self.kind.upper())

    def labels(self, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """The classes that the rows of a classification name, in order; nothing for other tasks."""
        return ()

    def count(self, config: RunConfig, rows: int, tokens: float) -> int:
        """How many rows the trainer learns from, of so many rows of data with so many tokens in all; a guess before the run."""
        return rows

    def check(
        self, config: RunConfig, rows: Sequence[dict[str, Any]], evaluation: Sequence[dict[str, Any]]
    ) -> list[Problem]:
        """What of its data keeps this method from learning, beside their kind; asked before anything is loaded."""
        return []

    def findings(self, trainer: Any) -> dict[str, Any] | None:
        """What the last evaluation found beside numbers, for `events.Findings`; None where a method has no such thing."""
        return None

    @abstractmethod
    def build_trainer(self, parts: Parts) -> Any:
        """A `transformers.Trainer` with `trainers.going_on.GoesOn` in front, ready for `train()`.

        Raises:
            WorkbenchError: the data leaves nothing to learn.
            StopRequested: Stop was pressed while data was prepared.
        """
