"""Trainers for models that give a text a few numbers instead of words: one a class, or one that says how good it is.

Rows are encoded already. Where a model can keep rows apart that lie behind each other (a decoder, see `models.attention`), a
batch has no padding, and the head sees the last token of each row only; else rows of like length come into one batch
(`LikeLengths`) and are padded. The loss is the same in both.
Imports torch and transformers; imported only when a run starts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import cross_entropy, logsigmoid
from torch.utils.data import Sampler
from transformers import Trainer, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices

from workbench.methods.scores import classified, preferred
from workbench.methods.trainers.counted import CountedOnce
from workbench.methods.trainers.going_on import GoesOn
from workbench.models.assembly import body_of, heads_of, places_of_ends
from workbench.models.attention import attention_settings, find_packed_attention, packed, switched

BATCH_COLUMNS = ("labels", "rows")  # beside the inputs of the model
NEAR = 1e-3  # two ways to the same score: further apart than rounding, they are not the same


class ScoringTrainer(CountedOnce, GoesOn, Trainer):
    """A `transformers.Trainer` for rows of which each becomes one or more sequences that are scored.

    A subclass says which (`sequences`) and what their loss is (`loss_of`), and what an evaluation shows (`verdict`).

    Args:
        rows: encoded rows to learn, and to check with.
        arguments: as `Trainer`; `args` are those of `scoring_arguments`.
    """

    def __init__(self, *, rows: list[Any], evaluation: list[Any], **arguments: Any) -> None:
        tokenizer = arguments["processing_class"]
        self._pad = tokenizer.pad_token_id
        super().__init__(
            train_dataset=Rows(rows), eval_dataset=Rows(evaluation) if evaluation else None,
            data_collator=self._collate, **arguments,
        )  # fmt: skip
        self.model_accepts_loss_kwargs = False  # a step's loss is the mean of its batches'
        self._base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        self._packed = self._find_packing()
        self._attention = attention_settings(body_of(self.model), self._packed)
        self._notes: dict[str, list[float]] = defaultdict(list)
        self._tokens = 0
        self._checked: list[tuple[torch.Tensor, Any]] = []
        self.last_verdict: dict[str, Any] | None = None
        """What the last evaluation showed beside numbers."""

    # -- what a subclass says -----------------------------------------------------------------------------------------

    @staticmethod
    def sequences(row: Any) -> list[list[int]]:
        """The sequences of a row, each a list of token ids."""
        raise NotImplementedError

    def loss_of(self, scores: torch.Tensor, rows: list[Any]) -> tuple[torch.Tensor, dict[str, float]]:
        """The mean loss of the rows, and further numbers.

        Args:
            scores: (sequences, outputs); the first sequences of all rows, then the second ones.
        """
        raise NotImplementedError

    def verdict(self, scores: torch.Tensor, rows: list[Any]) -> tuple[dict[str, float], dict[str, Any] | None]:
        """The numbers of an evaluation over all its rows, and what it shows beside numbers."""
        raise NotImplementedError

    # -- how it is computed -------------------------------------------------------------------------------------------

    def scores(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """(sequences, outputs) in fp32."""
        with self.accelerator.autocast():
            if "cu_seq_lens_q" not in inputs:
                return model(**{name: inputs[name] for name in ("input_ids", "attention_mask")}).logits.float()
            hidden = body_of(model)(**inputs, use_cache=False).last_hidden_state[0]
            ends = places_of_ends(inputs["input_ids"][0], inputs["cu_seq_lens_q"].tolist(), self._pad)
            (name,) = heads_of(self._base)
            return getattr(self._base, name)(hidden[ends]).float()

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        """Mean over the rows of the batch."""
        rows = inputs.pop("rows")
        with switched(self._attention if self._packed else []):
            scores = self.scores(model, inputs)
        loss, notes = self.loss_of(scores, rows)
        if self.model.training:
            self._tokens += sum(len(ids) for row in rows for ids in self.sequences(row))
            for name, value in notes.items():
                self._notes[name].append(value)
        return (loss, scores) if return_outputs else loss

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Forward and backward: with checkpointing, layers are computed again in the backward pass."""
        with switched(self._attention if self._packed else []):
            return super().training_step(*args, **kwargs)

    def prediction_step(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> tuple[Any, None, None]:
        """One batch of an evaluation, remembered for its end."""
        rows = inputs["rows"]
        with torch.no_grad():
            loss, scores = self.compute_loss(model, self._prepare_inputs(inputs), return_outputs=True)
        width = len(rows)
        per_row = [scores[place::width].cpu() for place in range(width)]
        self._checked += [(each, row) for each, row in zip(per_row, rows, strict=True)]
        return loss.detach(), None, None

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """The evaluation; all its numbers are taken over all rows at once, however they were batched."""
        self._checked = []
        output = super().evaluation_loop(*args, **kwargs)
        if self._checked:
            prefix = kwargs.get("metric_key_prefix", "eval")
            rows = [row for _, row in self._checked]
            scores = torch.stack([each for each, _ in self._checked], dim=1).flatten(0, 1)
            numbers, self.last_verdict = self.verdict(scores, rows)
            loss, _ = self.loss_of(scores, rows)
            numbers["loss"] = loss.item()
            output.metrics.update((f"{prefix}_{name}", value) for name, value in numbers.items())
        self._checked = []
        return output

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """With the means of the further numbers since the last time."""
        if "loss" in logs:
            logs |= {name: sum(values) / len(values) for name, values in self._notes.items()}
            logs["num_tokens"] = float(self._tokens)
            self._notes.clear()
        super().log(logs, *args, **kwargs)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """At random, and where rows are padded, such that rows of like length come together."""
        if self._packed:
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset
        lengths = [max(map(len, self.sequences(rows[place]))) for place in range(len(rows))]
        return LikeLengths(lengths, self.args.train_batch_size, self.args.data_seed or self.args.seed)

    def _collate(self, rows: list[Any]) -> dict[str, Any]:
        parts = [self.sequences(row) for row in rows]
        sequences = [part[number] for number in range(len(parts[0])) for part in parts]
        if self._packed:
            return {**packed(sequences), "rows": rows}
        longest = max(map(len, sequences))
        ids = torch.full((len(sequences), longest), self._pad)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(sequences):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask, "rows": rows}

    @torch.no_grad()
    def _find_packing(self) -> str | None:
        """The attention with which rows need no padding, where their scores then are what they are alone."""
        self._packed = None
        # NEFTune scales its noise by the length of a row, which a packed batch hides.
        if len(heads_of(self._base)) != 1 or self.args.neftune_noise_alpha is not None:
            return None
        training = self.model.training
        self.model.eval()
        try:
            with self.accelerator.autocast():
                found = find_packed_attention(body_of(self.model))
            if found is None:
                return None
            ids = [token for token in range(3, 40) if token != self._pad]
            rows = [ids[:9], ids[9:14], ids[14:]]
            device = next(self.model.parameters()).device
            alone = torch.cat([self._alone(row, device) for row in rows])
            with switched(attention_settings(body_of(self.model), found)):
                together = self.scores(self.model, packed(rows, device))
            near = (alone - together).abs().max() <= NEAR * alone.abs().max().clamp(min=1)
            return found if near or self.accelerator.mixed_precision != "no" else None
        except (ValueError, TypeError, RuntimeError, AttributeError, KeyError, IndexError):
            return None
        finally:
            self.model.train(training)

    def _alone(self, row: list[int], device: Any) -> torch.Tensor:
        ids = torch.tensor([row], device=device)
        return self.scores(self.model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})


class ClassTrainer(ScoringTrainer):
    """Cross entropy over the classes.

    Args:
        labels: the classes, in the order of the outputs.
    """

    def __init__(self, *, labels: tuple[str, ...], **arguments: Any) -> None:
        self._labels = labels
        self._place = {label: place for place, label in enumerate(labels)}
        super().__init__(**arguments)

    @staticmethod
    def sequences(row: Any) -> list[list[int]]:
        """The text."""
        return [row.input_ids]

    def loss_of(self, scores: torch.Tensor, rows: list[Any]) -> tuple[torch.Tensor, dict[str, float]]:
        """See `ScoringTrainer.loss_of`."""
        right = torch.tensor([self._place[row.label] for row in rows], device=scores.device)
        hit = (scores.detach().argmax(-1) == right).float().mean().item()
        return cross_entropy(scores, right), {"accuracy": hit}

    def verdict(self, scores: torch.Tensor, rows: list[Any]) -> tuple[dict[str, float], dict[str, Any] | None]:
        """See `ScoringTrainer.verdict`."""
        shares = scores.softmax(-1).tolist()

        def text(place: int) -> str:
            return str(self.processing_class.decode(rows[place].input_ids, skip_special_tokens=True))

        return classified(shares, [self._place[row.label] for row in rows], self._labels, text)


class RewardTrainer(ScoringTrainer):
    """Bradley and Terry's loss: -log sigmoid(reward of the better answer - reward of the other).

    Args:
        centre: weight of (reward + reward)^2, which keeps rewards around 0 (Eisenstein et al. 2023, arXiv:2312.09244).
    """

    def __init__(self, *, centre: float = 0.0, **arguments: Any) -> None:
        self._centre = centre
        super().__init__(**arguments)

    @staticmethod
    def sequences(row: Any) -> list[list[int]]:
        """The better answer and the other, each behind its question."""
        return [row.prompt_ids + row.chosen_ids, row.prompt_ids + row.rejected_ids]

    def loss_of(self, scores: torch.Tensor, rows: list[Any]) -> tuple[torch.Tensor, dict[str, float]]:
        """See `ScoringTrainer.loss_of`."""
        chosen, rejected = scores.squeeze(-1).chunk(2)
        loss = -logsigmoid(chosen - rejected).mean()
        if self._centre:
            loss = loss + self._centre * ((chosen + rejected) ** 2).mean()
        return loss, preferred(chosen.tolist(), rejected.tolist())

    def verdict(self, scores: torch.Tensor, rows: list[Any]) -> tuple[dict[str, float], dict[str, Any] | None]:
        """See `ScoringTrainer.verdict`."""
        chosen, rejected = scores.squeeze(-1).chunk(2)
        return preferred(chosen.tolist(), rejected.tolist()), None


class LikeLengths(Sampler[int]):
    """Rows at random, of which those that are near each other are about as long; the same in each process and after Resume.

    Args:
        lengths: of the rows.
        batch: rows of a batch.
        seed: with the epoch it decides the order.
    """

    def __init__(self, lengths: list[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed, self._epoch = lengths, batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Another order for each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        chance = torch.Generator().manual_seed(self._seed + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._batch, generator=chance))


class Rows(torch.utils.data.Dataset):
    """Encoded rows as they are."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Any:
        return self._rows[place]


def scoring_arguments(arguments: dict[str, Any], *, evaluates: bool) -> TrainingArguments:
    """Of what every trl config takes, what transformers' own takes."""
    chosen = dict(arguments)
    if not evaluates:
        chosen |= {"eval_strategy": "no", "eval_steps": None}
    return TrainingArguments(
        **chosen, remove_unused_columns=False, prediction_loss_only=True,
        activation_checkpointing_kwargs={"use_reentrant": False},
    )  # fmt: skip
