"""Talking to a model: which one is in memory, and how an answer streams out of it.

There is one copy of the weights: the base model, with the adapter of a run laid over it when there is one. The same model
answers as "base" with its adapter switched off. While a run trains, its own model answers, between two steps.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.config.errors import Problem, WorkbenchError
from workbench.config.tasks import CAUSAL, Task
from workbench.config.text import Text
from workbench.data.turns import Message
from workbench.engine import heavy
from workbench.engine.boundary import ENDINGS, explain, logger
from workbench.engine.checks import check_card
from workbench.engine.desk import Desk
from workbench.engine.hardware import physical_cores
from workbench.engine.lease import Lease

CHATTING = Text("a chat is answering", "聊天正在生成回答")
CHAT_WAITS = 120.0  # seconds that a chat waits for another chat to finish


@dataclass(frozen=True)
class Target:
    """What to talk to: a base model's folder, and the folder of an adapter or of a fully tuned model over it."""

    name: str
    base: Path
    adapter: Path | None = None
    tuned_model: Path | None = None
    quantization: str = "none"
    task: Task = CAUSAL

    def folders(self, tuned: bool) -> tuple[Path, Path | None]:
        """The model and the adapter to hold in memory for an answer of the tuned (or the base) side."""
        if self.tuned_model is not None:
            return (self.tuned_model if tuned else self.base), None
        return self.base, self.adapter


class Chats:
    """Holds at most one model in memory and answers with it."""

    def __init__(self, lease: Lease, desk: Desk) -> None:
        self._lease = lease
        self._desk = desk
        self._held: tuple[tuple[Path, Path | None], Any, Any] | None = None
        self.loaded: str | None = None

    def drop(self) -> None:
        """Free the memory (a training or a merge needs it). Call while holding the lease."""
        self._held, self.loaded = None, None
        free_memory()

    def answer(
        self,
        target: Target,
        run_id: str | None,
        messages: list[Message],
        *,
        tuned: bool,
        sampling: dict[str, Any],
        stop: threading.Event,
    ) -> Generator[str, None, None]:
        """The answer as it grows, each time whole. Closing the iterator stops the generation.

        Raises:
            WorkbenchError: the device is busy with something else, the model cannot be loaded, the talk is too long.
        """
        heavy.ready()
        from workbench.engine.generation import Sampling

        chosen = Sampling(**sampling)
        stop = _Either(stop)  # the caller's own event is for the caller to set
        pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()

        def respond(model: Any, tokenizer: Any, also_stop: threading.Event | None = None) -> None:
            stop.listen_to(also_stop)
            try:
                if not stop.is_set():
                    _say(model, tokenizer, messages, chosen, tuned=tuned, say=pieces.put, stop=stop)
                pieces.put(None)
            except ENDINGS as error:  # noqa: BLE001 - handed to the thread that asked, which is the boundary
                pieces.put(error)

        if run_id is not None and self._desk.run_id == run_id:
            self._desk.ask(respond)
            try:
                yield from _stream(pieces, stop, lambda: self._desk.run_id == run_id)
            finally:
                stop.set()
            return
        with self._lease.held_by(CHATTING, seconds=CHAT_WAITS if self._lease.holder is CHATTING else 0, stop=stop):
            model, tokenizer = self._model(target, tuned)
            thread = threading.Thread(target=self._compute, args=(respond, model, tokenizer), daemon=True)
            thread.start()
            try:
                yield from _stream(pieces, stop, thread.is_alive)
            finally:
                stop.set()
                thread.join()

    @staticmethod
    def _compute(respond: Any, model: Any, tokenizer: Any) -> None:
        import torch

        torch.set_num_threads(physical_cores())
        respond(model, tokenizer)

    def _model(self, target: Target, tuned: bool) -> tuple[Any, Any]:
        folders = target.folders(tuned)
        if self._held is None or self._held[0] != folders:
            self.drop()
            self._held = (folders, *_load(*folders, target.quantization, target.task))
            self.loaded = target.name
        return self._held[1], self._held[2]


class _Either(threading.Event):
    """Set when it is set itself, or when one of those it listens to is."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._others = [other]

    def listen_to(self, other: threading.Event | None) -> None:
        if other is not None:
            self._others.append(other)

    def is_set(self) -> bool:
        return super().is_set() or any(other.is_set() for other in self._others)


def _load(base: Path, adapter: Path | None, quantization: str, task: Task = CAUSAL) -> tuple[Any, Any]:
    from workbench.models.assembly import load_for, result_head
    from workbench.models.loading import load_adapter, load_tokenizer, pick_device, pick_dtype

    device = pick_device()
    check_card(device)
    tokenizer = load_tokenizer(base)
    head = result_head(task, adapter or base, tokenizer.pad_token_id)
    # Chat answers in fp32 on a CPU: what is exported is then the same, word for word, in plain transformers.
    dtype = "fp32" if device == "cpu" else pick_dtype("auto", device)
    model = load_for(base, dtype, quantization, device, head)
    return (load_adapter(model, adapter) if adapter else model), tokenizer


def _say(
    model: Any,
    tokenizer: Any,
    messages: list[Message],
    sampling: Any,
    *,
    tuned: bool,
    say: Callable[[str], None],
    stop: threading.Event,
) -> None:
    """Let a model answer, or say why it can't."""
    from workbench.engine import scoring
    from workbench.engine.generation import generate

    if model is None:  # the training ended between asking and answering
        raise WorkbenchError(
            Text("training has just ended", "训练刚刚结束"), Text("Ask again.", "请再问一次。"), code="busy"
        )
    if model.training and not tuned and not hasattr(model, "disable_adapter"):
        raise WorkbenchError(
            Text("the base model is not in memory while a whole model is tuned", "全量微调期间内存里没有基座模型"),
            Text("Ask it when the run is over.", "请等运行结束后再问它。"),
            code="busy",
        )
    if scoring.scores(model):
        say(_judged(model, tokenizer, messages, tuned))
        return
    with _side(model, tuned):
        generate(model, tokenizer, messages, sampling, on_text=say, stop=stop)


def _judged(model: Any, tokenizer: Any, messages: list[Message], tuned: bool) -> str:
    """What a model that gives scores says; before its training there was no head that could say anything."""
    from workbench.engine import scoring

    if not tuned:
        raise WorkbenchError(
            Text("before its training this model can't judge texts", "训练之前，这个模型还不会判断文本"),
            Text("Look at what the tuned one says.", "请看微调后的结果。"),
            code="no_head",
        )
    return scoring.said(model, tokenizer, messages)


def _side(model: Any, tuned: bool) -> contextlib.AbstractContextManager[Any]:
    """The model with its adapter on, or off."""
    disable = getattr(model, "disable_adapter", None)
    return contextlib.nullcontext() if tuned or disable is None else disable()


def _stream(pieces: queue.SimpleQueue[Any], stop: threading.Event, alive: Any) -> Generator[str, None, None]:
    """Whole texts from the queue until its end; when the answering side dies, the answer ends."""
    while True:
        try:
            piece = pieces.get(timeout=0.5)
        except queue.Empty:
            if alive() and not stop.is_set():
                continue
            if pieces.empty():
                return
            continue
        if piece is None:
            return
        if isinstance(piece, WorkbenchError):
            raise piece
        if isinstance(piece, BaseException):
            raise problem_as_error(explain(piece), piece)
        while not pieces.empty():  # the reader is slower than the model: only the newest text matters
            newer = pieces.get()
            if newer is None or isinstance(newer, BaseException):
                pieces.put(newer)
                break
            piece = newer
        yield piece


def problem_as_error(problem: Problem, cause: BaseException) -> WorkbenchError:
    """An explained exception as an error for people; the traceback goes to the log."""
    logger.error("%s", problem.message, exc_info=cause)
    return WorkbenchError(problem.message, problem.hint, problem.field, code="unexpected")


def free_memory() -> None:
    """Give back what nobody holds any more, the graphics card's cache too."""
    import gc
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
