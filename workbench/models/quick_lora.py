"""A LoRA layer's training step on a CPU in as few passes over memory as its matrix products need.

peft computes the layer and its low-rank part one after the other. Each then costs further passes over whole activations:
under autocast the input is turned to fp32 and back, and the low-rank output is scaled and added in two more, forwards and
backwards. Here the scale goes into A, which is small, and the products add to each other in place. The result is peft's up
to the order in which it is rounded. Anything that is not the plain case is left to peft.
Imports torch and peft; imported only when something is trained.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def quicken(model: torch.nn.Module) -> int:
    """Let the plain LoRA layers of a model on a CPU train quicker; their names, weights and answers stay.

    Returns:
        How many layers it is.
    """
    layers = [layer for layer in model.modules() if type(layer) is Linear]
    for layer in layers:
        layer.__class__ = QuickLinear
    return len(layers)


class QuickLinear(Linear):
    """peft's LoRA layer with another forward while gradients are computed; answers and evaluations are peft's own."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """`x` (..., inputs) to (..., outputs)."""
        name = None if args or kwargs else self._only_adapter()
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        if name is None or not self._is_plain(name, x, dtype):
            return super().forward(x, *args, **kwargs)
        base = self.base_layer
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        return _Together.apply(x.to(dtype), base.weight, base.bias, (a * self.scaling[name]).to(dtype), b.to(dtype))

    def _only_adapter(self) -> str | None:
        """The adapter that is on, where it is one, of this layer, and not merged into it."""
        if not torch.is_grad_enabled() or self.disable_adapters or self.merged_adapters:
            return None
        names = self.active_adapters
        return names[0] if len(names) == 1 and names[0] in self.lora_A else None

    def _is_plain(self, name: str, x: Tensor, dtype: torch.dtype) -> bool:
        """Whether the layer is a frozen matrix beside A and B with nothing in between, in one dtype, on a CPU."""
        base, a, b = self.base_layer, self.lora_A[name], self.lora_B[name]
        dropout = self.lora_dropout[name]
        return (
            x.device.type == "cpu"
            and type(base) is type(a) is type(b) is torch.nn.Linear
            and name not in self.lora_variant  # DoRA and others
            and (type(dropout) is torch.nn.Identity or not (dropout.training and getattr(dropout, "p", 1)))
            and a.bias is None
            and b.bias is None
            and not base.weight.requires_grad
            and (base.bias is None or not base.bias.requires_grad)
            and type(base.weight) is type(a.weight) is type(b.weight) is torch.nn.Parameter
            and base.weight.dtype == dtype
            and (base.bias is None or base.bias.dtype == dtype)
            and (torch.is_autocast_enabled("cpu") or a.weight.dtype == b.weight.dtype == dtype)
            and not any(_is_watched(layer) for layer in (base, a, b, dropout))
        )


def _is_watched(layer: torch.nn.Module) -> bool:
    """Whether somebody wants to see or change what goes through a layer, which is passed by here."""
    return "forward" in layer.__dict__ or any(getattr(layer, hooks) for hooks in _HOOKS)


class _Together(torch.autograd.Function):
    """`x W' + bias + (x A') B'` with gradients for x, A and B; all of one dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
        inner = linear(x, a)  # (..., rank)
        outer = linear(x, weight, bias)
        outer.view(-1, outer.shape[-1]).addmm_(_flat(inner), b.t())
        ctx.save_for_backward(x, weight, a, b, inner)
        return outer

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor | None, Tensor | None]:
        x, weight, a, b, inner = ctx.saved_tensors
        needs_x, _, _, needs_a, needs_b = ctx.needs_input_grad
        flat = _flat(grad)
        inner_grad = flat @ b  # (tokens, rank)
        x_grad = None
        if needs_x:
            x_grad = flat @ weight
            x_grad = x_grad.addmm_(inner_grad, a).view_as(x)
        a_grad = inner_grad.t() @ _flat(x) if needs_a else None
        b_grad = flat.t() @ _flat(inner) if needs_b else None
        return x_grad, None, None, a_grad, b_grad


def _flat(values: Tensor) -> Tensor:
    return values.reshape(-1, values.shape[-1])
