"""A model for a task: its base, the head that the task needs, and adapters by name over one copy of the weights.

A head is what lies outside a base model's body: `score` behind a Llama, `classifier` behind a BERT. Where the files of a
base have none, it is made anew from the run's seed, learns whole, and is saved with the adapter, as peft and transformers do
it; so a result loads in plain peft. Imports torch; imported only when something is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from workbench.config.tasks import CAUSAL, CLASSIFICATION, Task
from workbench.models.labels import read_labels
from workbench.models.loading import POOLER, load_model

PEFT_TASKS: dict[Task, str] = {"causal": "CAUSAL_LM", "classification": "SEQ_CLS", "reward": "SEQ_CLS"}
"""The names of tasks in the files of adapters."""


@dataclass(frozen=True)
class Head:
    """What a task needs behind the body.

    Attributes:
        task: `classification` or `reward`.
        labels: of a classification, in the order of the outputs; a reward has one output without a name.
        pad: the token that fills rows up, which the head passes over.
        seed: for its first weights.
    """

    task: Task
    labels: tuple[str, ...] = ()
    pad: int | None = None
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """For the model's config."""
        if self.task == CLASSIFICATION:
            names = dict(enumerate(self.labels))
            return {
                "num_labels": len(self.labels), "id2label": names, "label2id": {name: n for n, name in names.items()},
                "problem_type": "single_label_classification", "pad_token_id": self.pad,
            }  # fmt: skip
        return {"num_labels": 1, "id2label": {0: "reward"}, "label2id": {"reward": 0}, "pad_token_id": self.pad}


def result_head(task: Task, folder: Path, pad: int | None) -> Head | None:
    """The head of what a run made, with its labels as they were saved beside it; None for a model that writes."""
    if task == CAUSAL:
        return None
    labels = read_labels(folder) if task == CLASSIFICATION else ()
    return Head(task, labels, pad)


def load_for(
    folder: Path,
    dtype: str,
    quantization: str = "none",
    device: str | torch.device | None = None,
    head: Head | None = None,
) -> Any:
    """The model in a folder for a task; arguments as of `load_model`.

    Args:
        head: None for a model that writes.
    """
    if head is None or head.task == CAUSAL:
        return load_model(folder, dtype, quantization, device)
    with torch.random.fork_rng():
        torch.manual_seed(head.seed)
        return load_model(
            folder,
            dtype,
            quantization,
            device,
            auto_class=transformers.AutoModelForSequenceClassification,
            settings=head.settings(),
        )


def heads_of(model: Any) -> list[str]:
    """Names of the modules that its task needs behind a model's body; of some encoders also the last layer of that, which files
    made for filling masks don't have."""
    body = getattr(model, model.base_model_prefix)
    last = [POOLER] if isinstance(getattr(body, POOLER, None), torch.nn.Module) else []
    return last + [
        name
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    ]


def body_of(model: Any) -> Any:
    """The part of a model, with or without an adapter, that makes hidden states of tokens."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return getattr(inner, inner.base_model_prefix)


def lay_adapter(model: Any, config: Any) -> Any:
    """A PeftModel of the model with a fresh adapter; the head learns whole, and is saved along."""
    from peft import get_peft_model

    config.modules_to_save = sorted({*(config.modules_to_save or ()), *heads_of(model)})
    return get_peft_model(model, config)


def lay_on(model: Any, config: Any) -> Any:
    """A model that writes with a fresh adapter; as it is where there is none."""
    from peft import get_peft_model

    return model if config is None else get_peft_model(model, config)


def places_of_ends(ids: torch.Tensor, borders: Sequence[int], pad: int | None) -> torch.Tensor:
    """Where in a long row of texts, one behind the other, each ends: the last token that is no padding, as transformers' heads
    look for it.

    Args:
        ids: (tokens,).
        borders: of the texts, from 0 to the number of tokens.
        pad: the padding token.
    """
    ends = []
    for start, end in zip(borders, borders[1:], strict=False):
        row = ids[start:end]
        kept = (row != pad).nonzero() if pad is not None else None
        ends.append(start + (int(kept[-1]) if kept is not None and len(kept) else len(row) - 1))
    return torch.tensor(ends, device=ids.device)
