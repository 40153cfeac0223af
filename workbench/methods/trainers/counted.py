"""A model's parameters, counted once for a training instead of at each step."""

from __future__ import annotations

from typing import Any


class CountedOnce:
    """For a `transformers.Trainer`: the number of operations of a batch, which it asks for at each step, without a walk over
    the whole model. No parameter comes or goes while a model is trained.
    """

    model: Any
    _parameters: int | None = None

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """What transformers would say: six operations for each token and each parameter that is no embedding."""
        tokens = inputs.get(getattr(self.model, "main_input_name", "input_ids"))
        if tokens is None or not hasattr(self.model, "num_parameters"):
            return 0
        if self._parameters is None:
            self._parameters = self.model.num_parameters(exclude_embeddings=True)
        return 6 * tokens.numel() * self._parameters
