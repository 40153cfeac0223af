"""Preferences without a reference model: the losses of ORPO, SimPO and CPO over the likelihoods of two answers.

The batches are those of `scoring` (no padding where rows are kept apart); logits are computed for the tokens of answers only.
Imports torch and transformers; imported only when a run starts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy, logsigmoid

from workbench.methods.scores import preferred
from workbench.methods.trainers.scoring import ScoringTrainer
from workbench.models.assembly import body_of


def log_odds(mean: torch.Tensor) -> torch.Tensor:
    """log(p / (1 - p)) for p = exp(mean): Hong et al. 2024 (arXiv:2403.07691), equation 4, with the mean log-probability of a
    token as log p."""
    return mean - torch.log1p(-torch.exp(mean.clamp(max=-1e-6)))


class OddsTrainer(ScoringTrainer):
    """Raises the likelihood of the better answer over that of the other.

    Args:
        loss: `orpo`, `simpo` or `cpo`.
        weight: of the preference beside the imitation (ORPO's lambda), or beta.
        margin: SimPO's gamma, by how much the better answer should be ahead.
        imitation: weight of the loss of imitating the better answer (CPO's and, for 1, ORPO's).
    """

    def __init__(self, *, loss: str, weight: float, margin: float, imitation: float, **arguments: Any) -> None:
        self._loss, self._weight, self._margin, self._imitation = loss, weight, margin, imitation
        super().__init__(**arguments)

    @staticmethod
    def sequences(row: Any) -> list[list[int]]:
        """The better answer and the other, each behind its question."""
        return [row.prompt_ids + row.chosen_ids, row.prompt_ids + row.rejected_ids]

    def scores(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """(sequences, 2) in fp32: the sum of the log-probabilities of each answer's tokens, and how many there are."""
        starts = inputs.pop("starts")
        with self.accelerator.autocast():
            if "cu_seq_lens_q" in inputs:
                borders = inputs["cu_seq_lens_q"].tolist()
                hidden = body_of(model)(**inputs, use_cache=False).last_hidden_state[0]
                rows = [
                    (start, end, hidden, inputs["input_ids"][0])
                    for start, end in zip(borders, borders[1:], strict=False)
                ]
            else:
                ids, mask = inputs["input_ids"], inputs["attention_mask"]
                hidden = body_of(model)(ids, attention_mask=mask, use_cache=False).last_hidden_state
                lengths = mask.sum(1).tolist()
                rows = [(0, length, hidden[place], ids[place]) for place, length in enumerate(lengths)]
            head, found = self._base.get_output_embeddings(), []
            for first, (start, end, states, tokens) in zip(starts.tolist(), rows, strict=True):
                answer = tokens[start + first : end]
                logits = head(states[start + first - 1 : end - 1]).float()
                found.append(
                    torch.stack([-cross_entropy(logits, answer, reduction="sum"), logits.new_tensor(len(answer))])
                )
        return torch.stack(found)

    def loss_of(self, scores: torch.Tensor, rows: list[Any]) -> tuple[torch.Tensor, dict[str, float]]:
        """See `ScoringTrainer.loss_of`."""
        (chosen, count), (rejected, other) = (part.unbind(1) for part in scores.chunk(2))
        better, worse = chosen / count, rejected / other
        if self._loss == "orpo":
            ahead = log_odds(better) - log_odds(worse)
            preference = -self._weight * logsigmoid(ahead)
        elif self._loss == "simpo":  # Meng et al. 2024 (arXiv:2405.14734), equation 6
            ahead = self._weight * (better - worse)
            preference = -logsigmoid(ahead - self._margin)
        else:  # Xu et al. 2024 (arXiv:2401.08417), equation 6
            ahead = self._weight * (chosen - rejected)
            preference = -logsigmoid(ahead)
        imitation = -self._imitation * (chosen.sum() / count.sum())
        numbers = preferred(better.detach().tolist(), worse.detach().tolist())
        return preference.mean() + imitation, {"accuracy": numbers["accuracy"], "margin": ahead.mean().item()}

    def verdict(self, scores: torch.Tensor, rows: list[Any]) -> tuple[dict[str, float], dict[str, Any] | None]:
        """See `ScoringTrainer.verdict`."""
        return self.loss_of(scores, rows)[1], None

    def _collate(self, rows: list[Any]) -> dict[str, Any]:
        starts = torch.tensor([len(row.prompt_ids) for row in rows] * 2)
        return {**super()._collate(rows), "starts": starts}

    @torch.no_grad()
    def _find_packing(self) -> str | None:
        """As `PaddingFreeTrainer` finds it, for a model that writes."""
        from workbench.models.attention import find_packed_attention

        if self.args.neftune_noise_alpha is not None:
            return None
        with self.accelerator.autocast():
            return find_packed_attention(self._base)
