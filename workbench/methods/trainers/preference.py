"""trl's DPO trainer for pairs that are encoded already, with a reference that is always the model before training.

Imports torch and trl; imported only when a run starts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch.utils.data import DataLoader
from trl import DPOTrainer

from workbench.config.errors import StopRequested
from workbench.methods.trainers.counted import CountedOnce
from workbench.methods.trainers.going_on import GoesOn


class PreferenceTrainer(CountedOnce, GoesOn, DPOTrainer):
    """A `DPOTrainer` for rows of `prompt_ids`, `chosen_ids` and `rejected_ids`.

    With an adapter the reference is the same model with its adapter off. In full tuning, and where bias terms are trained
    too, there is no second copy of the model either: what the reference says is computed once, before the first step
    (`precompute_ref_log_probs`).

    Args:
        stop: looked at while the reference is computed.
        progress: called with (rows done, rows in all) meanwhile.
        arguments: as `DPOTrainer`.
    """

    def __init__(self, *, stop: threading.Event, progress: Callable[[int, int], None], **arguments: Any) -> None:
        self._stop, self._progress = stop, progress  # trl computes the reference while it is made
        super().__init__(**arguments)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None with each checkpoint: the export writes one."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # trl would render and encode it; that is done

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        """The reference's log-probabilities as two more columns. trl's own leaves files behind and cannot be stopped."""
        chosen: list[float] = []
        rejected: list[float] = []
        batches = DataLoader(dataset, batch_size=batch_size, collate_fn=self.data_collator)
        for batch in batches:
            if self._stop.is_set():
                raise StopRequested
            values = self.compute_ref_log_probs(self.model, self._prepare_inputs(batch))
            chosen += values[0].tolist()
            rejected += values[1].tolist()
            self._progress(len(chosen), len(dataset))
        return dataset.add_column("ref_chosen_logps", chosen).add_column("ref_rejected_logps", rejected)
