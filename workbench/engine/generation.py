"""Answers: one conversation in, text out, as it grows. Imports torch; loaded only when something is generated.

Uses the model's own `generate`, so that the same prompt answered greedily by plain transformers gives the same words. An
answer ends at every end that the template, the model's generation settings or the tokenizer know, and where the template
would begin the next turn. Knows nothing about runs, pages or threads.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.data.ends import Ending, ending_of
from workbench.data.tokens import render_prompt
from workbench.data.turns import Message


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. `temperature` 0 always takes the likeliest one (greedy)."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        _within("temperature", self.temperature, 0, 5)
        _within("top_p", self.top_p, 0, 1)
        _within("max_new_tokens", self.max_new_tokens, 1, 32768)


def generate(
    model: Any,
    tokenizer: Any,
    messages: list[Message],
    sampling: Sampling,
    *,
    on_text: Callable[[str], None] = lambda text: None,
    stop: threading.Event | None = None,
) -> str:
    """Answer the last message.

    Args:
        model: in any mode; it is in eval mode meanwhile and then as it was.
        messages: the conversation, `{"role", "content"}` each, ending with the user's turn.
        sampling: how tokens are chosen.
        on_text: called with the whole answer so far, whenever it grows.
        stop: set to end the answer after the token at hand.

    Returns:
        The answer, without special tokens.
    """
    ids = torch.tensor([render_prompt(tokenizer, messages)], device=model.device)  # (1, prompt)
    room = _context(model) - ids.shape[1]
    if room < 1:
        raise WorkbenchError(
            Text(
                "the conversation is too long for this model ({tokens} tokens)",
                "对话太长，超出了这个模型的上限（{tokens} 个词元）",
            ).with_(tokens=ids.shape[1]),
            Text("Clear the chat, or ask something shorter.", "请清空聊天，或问得短一些。"),
            code="too_long",
        )
    ending = ending_of(tokenizer)
    ends = all_ends(model, ending)
    streamer = _Streamer(tokenizer, on_text, ending, ends)
    chosen: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        chosen = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p or 1e-6, "top_k": 0}
    settings = GenerationConfig(
        max_new_tokens=min(sampling.max_new_tokens, room),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=ends,
        **chosen,
    )
    with evaluating(model), torch.no_grad():
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=settings,
            streamer=streamer,
            stopping_criteria=StoppingCriteriaList([_Stop(stop, streamer)]),
        )
    return streamer.text


def all_ends(model: Any, ending: Ending) -> list[int] | None:
    """Every token that ends an answer: of the model's generation settings, of the template and of the tokenizer."""
    own = model.generation_config.eos_token_id
    listed = own if isinstance(own, list) else [own]
    return sorted({end for end in (*listed, *ending.tokens) if end is not None}) or None


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Eval mode for a while, leaving the random numbers of a training that is going on as they were."""
    training = model.training
    with kept_random_numbers(model) if training else contextlib.nullcontext():
        model.eval()
        try:
            yield
        finally:
            model.train(training)


def kept_random_numbers(model: Any) -> contextlib.AbstractContextManager[Any]:
    """Puts the random numbers back as they were, also after an error: for what comes between the steps of a training."""
    return torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else [])


class _Streamer(BaseStreamer):
    """Collects tokens and reports the decoded text, until the next turn begins in it: then `stopped` is set.

    Half a character (bytes of one still to come) is held back, and so is what may become the beginning of the next turn.
    """

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None], ending: Ending, ends: list[int] | None) -> None:
        self.text = ""
        self.stopped = False
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._ending = ending
        self._ends = ends or []
        self._ids: list[int] = []
        self._prompt = True

    def put(self, value: torch.Tensor) -> None:
        if self._prompt:  # generate() hands over the prompt first
            self._prompt = False
            return
        for token in value.reshape(-1).tolist():
            self._take(token)
        text = self._decoded()
        if not self.stopped:
            text = text[: len(text) - self._held_back(text)]
        if text != self.text and not text.endswith("\ufffd"):
            self.text = text
            self._on_text(text)

    def end(self) -> None:
        self.text = self._decoded()
        self._on_text(self.text)

    def _take(self, token: int) -> None:
        if self.stopped or token in self._ends:  # generate() may be a token ahead; an end may be one that is shown
            return
        self._ids.append(token)
        turn = self._ending.turn
        if turn and tuple(self._ids[-len(turn) :]) == turn:
            del self._ids[-len(turn) :]
            self.stopped = True

    def _decoded(self) -> str:
        """The text up to where the next turn begins."""
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        places = [place for stop in self._ending.stops if (place := text.find(stop)) >= 0]
        self.stopped = self.stopped or bool(places)
        return text[: min(places)] if places else text

    def _held_back(self, text: str) -> int:
        """How many characters at the end of a text may be the beginning of a stop."""
        beginnings = (stop[:length] for stop in self._ending.stops for length in range(1, len(stop)))
        return max((len(beginning) for beginning in beginnings if text.endswith(beginning)), default=0)


class _Stop(StoppingCriteria):
    """Ends an answer when the person asks for it, or when the next turn begins in it."""

    def __init__(self, stop: threading.Event | None, streamer: _Streamer) -> None:
        self._stop, self._streamer = stop, streamer

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        over = self._streamer.stopped or (self._stop is not None and self._stop.is_set())
        return torch.full((input_ids.shape[0],), over, device=input_ids.device, dtype=torch.bool)


def _context(model: Any) -> int:
    return int(getattr(model.config, "max_position_embeddings", 0) or 1_000_000)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise WorkbenchError(
            Text(
                "{given} cannot be used here: from {low} to {high}", "这里不能用 {given}：应在 {low} 到 {high} 之间"
            ).with_(given=str(value)[:40], low=low, high=high),
            field=name,
        )
