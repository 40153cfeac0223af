"""What trl's load-balancing loss needs of a mixture of experts, so that each architecture that has one can be trained with it."""

from __future__ import annotations

from typing import Any

_ASKED = "num_experts"
_OWN_NAMES = ("num_local_experts", "n_routed_experts")
_PER_TOKEN = "num_experts_per_tok"


def balance_options(model: Any) -> dict[str, Any]:
    """Arguments for a trl config: nothing where the balance between experts can be learned, else what switches it off.

    trl (1.8, issue 5754) asks every configuration for `num_experts`; some call it otherwise, and get an alias for it here
    that is not written into their files. Delete this when trl asks the model.
    """
    config = model.config.get_text_config()
    if not hasattr(config, "output_router_logits"):
        return {}
    if not hasattr(config, _ASKED):
        own = next((name for name in _OWN_NAMES if hasattr(config, name)), None)
        if own is not None:
            type(config).attribute_map = {**type(config).attribute_map, _ASKED: own}
    complete = all(isinstance(getattr(config, name, None), int) for name in (_ASKED, _PER_TOKEN))
    return {} if complete else {"router_aux_loss_coef": 0.0}
