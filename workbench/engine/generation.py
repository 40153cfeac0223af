"""Answers: one conversation in, text out, as it grows. Imports torch; loaded only when something is generated.

Uses the model's own `generate`, so that the same prompt answered greedily by plain transformers gives the same words.
Knows nothing about runs, pages or threads.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
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
    streamer = _Streamer(tokenizer, on_text)
    chosen: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if sampling.temperature > 0:
        chosen = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p or 1e-6, "top_k": 0}
    with evaluating(model), torch.no_grad():
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=min(sampling.max_new_tokens, room),
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=_ends(model, tokenizer),
            streamer=streamer,
            stopping_criteria=StoppingCriteriaList([_Stop(stop)] if stop else []),
            **chosen,
        )
    return streamer.text


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Eval mode for a while, leaving the random numbers of a training that is going on as they were."""
    training = model.training
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices, enabled=training):
        model.eval()
        try:
            yield
        finally:
            model.train(training)


class _Streamer(BaseStreamer):
    """Collects tokens and reports the decoded text; half a character (bytes of one still to come) is held back."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None]) -> None:
        self.text = ""
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._ids: list[int] = []
        self._prompt = True

    def put(self, value: torch.Tensor) -> None:
        if self._prompt:  # generate() hands over the prompt first
            self._prompt = False
            return
        self._ids.extend(value.reshape(-1).tolist())
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        if text != self.text and not text.endswith("\ufffd"):
            self.text = text
            self._on_text(text)

    def end(self) -> None:
        self.text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        self._on_text(self.text)


class _Stop(StoppingCriteria):
    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self._stop.is_set(), device=input_ids.device, dtype=torch.bool)


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends an answer: the model's own list and the tokenizer's end token."""
    own = model.generation_config.eos_token_id
    ends = own if isinstance(own, list) else [own]
    return sorted({end for end in [*ends, tokenizer.eos_token_id] if end is not None})


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
