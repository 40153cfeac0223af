"""trl's SFT trainer without padding: a batch is one long row, and off CUDA the head sees the learned positions only.

The same loss as trl's, for less work: on an uneven batch most of a padded one is padding, and most of a row is prompt.
Models that cannot keep the rows of such a batch apart are trained with padding, as trl does it.
Imports torch and trl; imported only when a run starts.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from trl import SFTTrainer

from workbench.methods.trainers.counted import CountedOnce
from workbench.methods.trainers.going_on import GoesOn
from workbench.models.attention import attention_settings, find_packed_attention, switched

IGNORED = -100
# More logits than this at once (0.5 GB) are left to trl's head, which computes them in pieces and keeps none.
MOST_LOGITS = 2**27


class PaddingFreeTrainer(CountedOnce, GoesOn, SFTTrainer):
    """An `SFTTrainer` for rows that are encoded and cut already (`input_ids`, `labels`).

    The loss of an evaluation is the mean over its learned tokens, whatever the batch size. A run is trained by one process
    (the home's lock lets no second one in), so nothing is gathered from others.

    Args:
        arguments: as `SFTTrainer`; its config has `max_length=None` and leaves `padding_free` off: that is found here.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._base = _base_of(self.model)
        packed: str | None = None
        self._checked = [0.0, 0.0]  # of the evaluation going on: sum of losses, learned tokens
        # NEFTune scales its noise by the length of a row, which a packed batch hides.
        if self.args.neftune_noise_alpha is None:
            with self.accelerator.autocast():
                packed = find_packed_attention(self._base)
        self._attention = attention_settings(self._base, packed)
        self.padding_free = self.data_collator.padding_free = packed is not None
        self._learned_only = (
            self.padding_free
            and self.accelerator.device.type != "cuda"  # there trl's own fused head does it
            and not self.aux_loss_enabled
            and "logits_to_keep" in inspect.signature(type(self._base).forward).parameters
        )

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Forward and backward: with checkpointing, layers are computed again in the backward pass."""
        with switched(self._attention):
            return super().training_step(*args, **kwargs)

    def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
        """One batch of an evaluation."""
        with switched(self._attention):
            return super().prediction_step(*args, **kwargs)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The sum of the learned tokens' losses over `num_items_in_batch`, the learned tokens of the whole step."""
        learned = (inputs["labels"][..., 1:] != IGNORED).sum()
        vocabulary = self._base.config.get_text_config().vocab_size
        if self._learned_only and not return_outputs and learned * vocabulary <= MOST_LOGITS:
            result = loss = self._loss_on_learned(model, inputs, learned, num_items_in_batch)
        else:
            result = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            loss = result[0] if return_outputs else result
        if not self.model.training:
            self._checked[0] += loss.item() * learned.item()
            self._checked[1] += learned.item()
        return result

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """The evaluation; its loss is not trl's mean of batch means, which depends on how the rows were batched."""
        self._checked = [0.0, 0.0]
        output = super().evaluation_loop(*args, **kwargs)
        losses, tokens = self._checked
        for name in output.metrics:
            if name.endswith("_loss") and tokens:
                output.metrics[name] = losses / tokens
        return output

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None with each checkpoint: the export writes one."""

    def _loss_on_learned(
        self, model: Any, inputs: dict[str, Any], learned: torch.Tensor, num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        labels = inputs["labels"][0]
        places = (labels[1:] != IGNORED).nonzero().squeeze(1)
        forward = {name: value for name, value in inputs.items() if name != "labels"}
        with self.accelerator.autocast():
            logits = model(**forward, use_cache=False, logits_to_keep=places).logits[0].float()
        targets = labels[places + 1]
        loss = cross_entropy(logits, targets, reduction="sum") / (
            learned.clamp(min=1) if num_items_in_batch is None else num_items_in_batch
        )
        self._note(logits.detach(), targets, labels.numel())
        return loss

    def _note(self, logits: torch.Tensor, targets: torch.Tensor, tokens: int) -> None:
        """Numbers for the log, under trl's names."""
        training = self.model.training
        metrics = self._metrics["train" if training else "eval"]
        if targets.numel():
            metrics["mean_token_accuracy"].append((_likeliest(logits) == targets).float().mean().item())
        if training:
            self._total_train_tokens += tokens
        metrics["num_tokens"] = [self._total_train_tokens]


def _likeliest(logits: torch.Tensor) -> torch.Tensor:
    """`argmax` over the vocabulary. On a CPU it is numpy's, which takes a tenth of the time that the loss itself takes."""
    return torch.from_numpy(logits.numpy().argmax(-1)) if logits.device.type == "cpu" else logits.argmax(-1)


def _base_of(model: Any) -> Any:
    """The transformers model inside a PeftModel."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
