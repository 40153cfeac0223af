"""One base model in several roles: each is an adapter with a name over the same weights, a judge also has a head of its own.

The policy writes with its adapter, the reference is the base with all adapters off, and a reward model (or a classifier) is the
adapter that its run saved, whose head is kept beside the base, since a base that writes has none. Imports torch and peft; imported
only when something is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from workbench.models.adapters import ADAPTER_WEIGHTS, check_adapter
from workbench.models.assembly import body_of
from workbench.models.loading import HEADS, not_of_this_base

_HEAD = "base_model.model."


@dataclass(frozen=True)
class Judge:
    """A score for texts, from an adapter and its head over a base that other adapters use as well.

    Attributes:
        model: the PeftModel that holds all adapters.
        name: of this one.
        head: (outputs, width), as the run saved it.
        pad: the token that fills rows up.
    """

    model: Any
    name: str
    head: torch.Tensor
    pad: int | None

    @torch.no_grad()
    def scores(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(rows, outputs) for tokens (rows, tokens): what transformers' own model with this head says, to the bit."""
        with role(self.model, self.name):
            hidden = body_of(self.model)(ids, attention_mask=mask, use_cache=False).last_hidden_state
            scores = torch.nn.functional.linear(hidden, self.head.to(hidden.dtype))
        kept = torch.ones_like(ids) if self.pad is None else (ids != self.pad).int()
        last = (torch.arange(ids.shape[1], device=ids.device) * kept).argmax(-1)
        return scores[torch.arange(len(ids), device=ids.device), last]


@contextmanager
def role(model: Any, name: str | None) -> Iterator[None]:
    """The model with this adapter alone; None: as the base is. Afterwards as before, and as trainable."""
    if name is None:
        with model.disable_adapter():
            yield
        return
    before = model.active_adapter
    learning = before != name and any(w.requires_grad for key, w in model.named_parameters() if f".{before}." in key)
    if before != name:
        model.base_model.set_adapter(name, inference_mode=True)
        model.active_adapter = name
    try:
        yield
    finally:
        if before != name:
            model.base_model.set_adapter(before, inference_mode=not learning)
            model.active_adapter = before


def add_judge(model: Any, folder: Path, name: str, pad: int | None) -> Judge:
    """Lay the adapter of a reward model or of a classifier over a base that writes.

    Args:
        model: a PeftModel of that base, with its other adapters.
        folder: the adapter's; one that `check_adapter` accepts.
        name: for it, in the PeftModel; none that is taken.
        pad: the token that fills rows up.

    Raises:
        WorkbenchError: it is of another base, or has no head of one layer.
    """
    from peft import LoraConfig, set_peft_model_state_dict

    files = check_adapter(folder)
    tensors = load_file(str(files.folder / ADAPTER_WEIGHTS))
    heads = {key for key in tensors if key.removeprefix(_HEAD).split(".")[0] in HEADS}
    if len(heads) != 1 or not next(iter(heads)).endswith(".weight"):
        raise not_of_this_base(f"{folder.name}: score")
    if name in model.peft_config:
        raise ValueError(f"there is an adapter {name!r} already")
    head = tensors.pop(heads.pop())
    arguments = {key: value for key, value in files.arguments.items() if key not in ("task_type", "modules_to_save")}
    active = model.active_adapter
    model.add_adapter(name, LoraConfig(**arguments, task_type="CAUSAL_LM", inference_mode=True))
    found = set_peft_model_state_dict(model, tensors, adapter_name=name)
    if found.unexpected_keys or [key for key in found.missing_keys if f".{name}." in key]:
        model.delete_adapter(name)
        raise not_of_this_base(next(iter([*found.unexpected_keys, *found.missing_keys])))
    model.set_adapter(active)
    return Judge(model, name, head.to(next(model.parameters()).device), pad)
