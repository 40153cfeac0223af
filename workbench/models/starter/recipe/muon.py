"""Muon: momentum whose update is made orthogonal, for the weight matrices of the hidden layers.

The update of a matrix is G' = U V^T of the SVD of its momentum, approximated by five Newton-Schulz steps
X <- a X + (b A + c A^2) X with A = X X^T (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/). Matrices of
the same shape are orthogonalised as one batch, which keeps a GPU busy. Embeddings and norms belong to AdamW.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch


def orthogonalise(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Pushes the singular values of every matrix in the batch towards one."""
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()  # (batch, rows, columns)
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum and an orthogonal update; `lr` is the step per unit of sqrt(rows / columns)."""

    def __init__(self, parameters: Iterable, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for shape, parameters in by_shape.items():
                self._step_shape(shape, parameters, group)

    def _step_shape(self, shape: torch.Size, parameters: list, group: dict) -> None:
        buffers = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
        gradients = [p.grad for p in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        updates = orthogonalise(torch.stack(torch._foreach_lerp(gradients, buffers, group["momentum"])))
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        scale = max(1.0, shape[0] / shape[1]) ** 0.5
        torch._foreach_add_(parameters, list(updates.to(parameters[0].dtype).unbind()), alpha=-group["lr"] * scale)
