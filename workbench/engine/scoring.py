"""What a model says that does not write: the labels of a text with their shares, or the score of an answer. Imports torch."""

from __future__ import annotations

from typing import Any

import torch

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.data.tokens import encode_chat, encode_many
from workbench.data.turns import Message

SHOWN = 5  # labels
BREAK = "---"
"""A line of it parts a question from the answer that a reward model is asked about."""


def scores(model: Any) -> bool:
    """Whether a model, with or without an adapter, gives scores instead of words."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return type(inner).__name__.endswith("ForSequenceClassification")


def said(model: Any, tokenizer: Any, messages: list[Message]) -> str:
    """The answer to the last message, as people read it.

    Raises:
        WorkbenchError: a reward model is asked without an answer to judge.
    """
    text = str(messages[-1]["content"])
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    most = getattr(inner.config.get_text_config(), "max_position_embeddings", None)
    if inner.config.num_labels == 1:
        question, line, answer = text.partition(f"\n{BREAK}\n")
        if not line:
            raise WorkbenchError(
                Text("a reward model judges an answer, and there is none", "奖励模型要给回答打分，而这里没有回答"),
                Text(
                    "Write the question, then a line with {line}, then the answer.",
                    "请先写问题，然后单独一行写 {line}，再写回答。",
                ).with_(line=BREAK),
                code="no_answer",
            )
        talk: list[Message] = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return f"{score(model, encode_chat(tokenizer, talk, max_length=most).input_ids)[0]:.3f}"
    (row,) = encode_many(tokenizer, "labels", [{"text": text, "label": ""}], max_length=most)
    shares = torch.tensor(score(model, row.input_ids)).softmax(-1)  # type: ignore[union-attr]
    best = shares.argsort(descending=True)[:SHOWN].tolist()
    names = inner.config.id2label
    return "\n".join(f"{names[place]}  {100 * shares[place].item():.1f} %" for place in best)


@torch.no_grad()
def score(model: Any, ids: list[int]) -> list[float]:
    """The outputs for one row of tokens."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        given = torch.tensor([ids], device=device)
        return model(input_ids=given, attention_mask=torch.ones_like(given)).logits[0].float().tolist()
    finally:
        model.train(training)
