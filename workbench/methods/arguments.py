"""What a run's config means to trl: the keyword arguments that the trainers' configs have in common.

Knows names and conventions of transformers' `TrainingArguments`; imports neither torch nor transformers.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

from workbench.config.run import RunConfig

_OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "paged_adamw_32bit": "paged_adamw_32bit",
    "adafactor": "adafactor",
    "lion": "lion_32bit",
    "sgd": "sgd",
}
# Paging moves optimizer states out of a graphics card's memory: without one there is nothing to page.
_WITHOUT_PAGING = {"paged_adamw_8bit": "adamw_8bit", "paged_adamw_32bit": "adamw"}


class Plan(Protocol):
    """Steps of a run, and after how many of them it logs, evaluates and saves."""

    @property
    def total(self) -> int: ...
    @property
    def log_every(self) -> int: ...
    @property
    def evaluate_every(self) -> int: ...
    @property
    def save_every(self) -> int: ...


def common_arguments(
    config: RunConfig,
    output_dir: Path | str,
    *,
    device: str,
    dtype: str,
    plan: Plan,
    evaluates: bool,
    checkpointing: bool = False,
) -> dict[str, Any]:
    """Arguments for `SFTConfig`, `DPOConfig` and the others.

    Args:
        config: the run.
        output_dir: where checkpoints go.
        device: `cpu`, `mps`, `cuda` or `cuda:0`.
        dtype: precision of the computation: fp32, bf16 or fp16.
        plan: how many steps there are, and after how many of them what happens.
        evaluates: whether there is anything to evaluate on.
        checkpointing: what activation checkpointing `auto` means here (the memory estimate knows).

    Old checkpoints are not removed (`save_total_limit`): whoever saves decides that, once the new one is whole.
    """
    steps, chosen = config.optimization, config.precision.activation_checkpointing
    return {
        "output_dir": str(output_dir),
        "per_device_train_batch_size": steps.batch_size,
        "per_device_eval_batch_size": config.evaluation.batch_size,
        "gradient_accumulation_steps": steps.accumulation,
        "num_train_epochs": steps.epochs,
        "max_steps": steps.max_steps or -1,
        "learning_rate": steps.learning_rate,
        "lr_scheduler_type": steps.scheduler,
        # transformers stops a polynomial fall at 1e-7 and refuses learning rates that are not above that.
        "lr_scheduler_kwargs": {"lr_end": 0.0} if steps.scheduler == "polynomial" else None,
        # Below 1 it is a share of the run, rounded up to whole steps; from 1 on it would be a number of steps.
        "warmup_steps": min(steps.warmup_ratio, math.nextafter(1, 0)),
        "weight_decay": steps.weight_decay,
        "max_grad_norm": steps.max_grad_norm,
        "adam_beta1": steps.adam_beta1,
        "adam_beta2": steps.adam_beta2,
        "adam_epsilon": steps.adam_epsilon,
        "optim": optimizer_name(steps.optimizer, device),
        "neftune_noise_alpha": steps.neftune_alpha or None,
        "seed": steps.seed,
        "data_seed": steps.seed,
        "use_cpu": device == "cpu",
        "bf16": dtype == "bf16",
        "fp16": dtype == "fp16" and device != "cpu",  # a CPU would compute in fp32 without a word
        "activation_checkpointing": checkpointing if chosen == "auto" else chosen == "on",
        "logging_steps": plan.log_every,
        "logging_nan_inf_filter": False,  # it would show a diverged loss as 0
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": plan.evaluate_every if evaluates else None,
        "save_strategy": "steps",
        "save_steps": plan.save_every,
        "dataloader_pin_memory": device.startswith("cuda"),
        "report_to": "none",
        "disable_tqdm": True,
    }


def optimizer_name(optimizer: str, device: str) -> str:
    """transformers' name for an optimizer of ours on this device."""
    if not device.startswith("cuda"):
        optimizer = _WITHOUT_PAGING.get(optimizer, optimizer)
    if optimizer == "adamw" and device == "mps":
        return "adamw_torch"
    return _OPTIMIZERS[optimizer]
