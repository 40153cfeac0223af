"""The person's own questions, asked before, during and after a training. Imports torch; loaded by the training thread only."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.run import RunConfig
from workbench.data.turns import Message
from workbench.engine import scoring
from workbench.engine.boundary import ENDINGS, explain, is_out_of_memory, logger
from workbench.engine.chats import free_memory
from workbench.engine.events import Event, Sample, Unanswered
from workbench.engine.generation import Sampling, generate, kept_random_numbers

ANSWER_TOKENS = 96


class Asking(Protocol):
    """What is known of the run."""

    config: RunConfig
    folder: Path
    stop: threading.Event

    @property
    def emit(self) -> Callable[[Event], Any]:
        """Takes events."""


def reply(model: Any, tokenizer: Any, question: str, stop: threading.Event) -> str:
    """The answer to one question, in words, or as labels with their shares."""
    messages: list[Message] = [{"role": "user", "content": question}]
    if scoring.scores(model):
        return scoring.said(model, tokenizer, messages)
    return generate(model, tokenizer, messages, Sampling(max_new_tokens=ANSWER_TOKENS), stop=stop)


def ask(job: Asking, model: Any, tokenizer: Any, step: int) -> None:
    """Answer the person's own questions and keep the answers with the run. One that fails is no reason to end a training."""
    for question in job.config.evaluation.questions:
        if job.stop.is_set():
            return
        try:
            with kept_random_numbers(model):
                answer = reply(model, tokenizer, question, job.stop)
        except StopRequested:
            raise
        except ENDINGS as error:
            if not isinstance(error, WorkbenchError):
                logger.warning("the question %r could not be answered", question, exc_info=error)
            job.emit(Unanswered(step, question, explain(error).message.as_dict()))
            if is_out_of_memory(error):
                error.__traceback__ = None  # its frames hold the memory
                free_memory()
            continue
        job.emit(Sample(step, question, answer))
        with (job.folder / "samples.jsonl").open("a", encoding="utf-8") as file:
            line = {"step": step, "question": question, "answer": answer}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
