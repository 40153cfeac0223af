"""Whether a run fits this computer: its memory at the peak against what there is, and what would make it fit.

One answer for the badge of a model, the forecast beside Start, `auto` checkpointing and the command line. Only the model's
config.json is read; of a model that has none here, the shape is guessed from its number of parameters.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.text import Text, count_chinese, size
from workbench.engine.hardware import Memory, computes_half, device, memory
from workbench.engine.memory import Change, advice, estimate, learned_bytes, roles_of
from workbench.models.reading import read_json_object
from workbench.models.shape import Shape, shape_of

FITS, TIGHT, TOO_LARGE = "fits", "tight", "no"
TIGHT_SHARE = 0.8  # of the memory, from which on other programs and the error of the estimate may be too much
ROOM_SHARE = 0.9  # of it, up to which nothing is computed twice to save memory
SAMPLE_ROWS = 2000
USUAL_ROW = 256  # tokens, where there are no rows yet
PROGRAM = int(0.45e9)  # bytes that the workbench itself takes once torch is loaded, on a processor


@dataclass(frozen=True)
class Machine:
    """What trains: a device as torch names it, whether it computes in 16 bits by itself, and its memory."""

    device: str
    half: bool
    memory: Memory


@dataclass(frozen=True)
class MemoryFit:
    """How a run's memory suits a machine.

    Attributes:
        kind: FITS, TIGHT or TOO_LARGE.
        peak_bytes: what it takes at its peak, the program included.
        parts: bytes of each; not all are there at the same time.
        changes: what would lower the peak, the one that saves most first.
    """

    kind: str
    peak_bytes: int
    available_bytes: int
    parts: dict[str, int]
    changes: tuple[Change, ...]
    device: str

    @property
    def reason(self) -> Text:
        """Why, in a sentence."""
        holder = _COMPUTER if self.device == "CPU" else self.device
        return _REASONS[self.kind].with_(need=size(self.peak_bytes), room=size(self.available_bytes), holder=holder)

    @property
    def enough(self) -> tuple[Change, ...]:
        """The changes of which one alone makes it fit."""
        return tuple(change for change in self.changes if change.peak_bytes <= TIGHT_SHARE * self.available_bytes)


def this_machine() -> Machine:
    """Of this process, as far as is known of it: the rest comes when torch is loaded."""
    return Machine(device(), computes_half(), memory())


def memory_fit(shape: Shape, config: RunConfig, machine: Machine, row_tokens: int = USUAL_ROW) -> MemoryFit:
    """Whether a run of these settings fits.

    Args:
        row_tokens: of the longest row, or what `tokens_of_rows` says.
    """
    settled = with_checkpointing(shape, config, machine, row_tokens)
    found = estimate(shape, settled, row_tokens=row_tokens, device=machine.device, half=machine.half)
    program = PROGRAM if machine.device.startswith("cpu") else 0
    peak, room = found.peak_bytes + program, machine.memory.total
    kind = TOO_LARGE if peak > room else TIGHT if peak > TIGHT_SHARE * room else FITS
    found_changes = advice(shape, settled, row_tokens=row_tokens, device=machine.device, half=machine.half)
    changes = tuple(replace(change, peak_bytes=change.peak_bytes + program) for change in found_changes)
    parts = {**found.parts, "program": program}
    return MemoryFit(kind, peak, room, parts, changes, machine.memory.device)


def with_checkpointing(shape: Shape, config: RunConfig, machine: Machine, row_tokens: int) -> RunConfig:
    """The settings with `auto` checkpointing decided: on where the run would not fit without, since it costs time."""
    if config.precision.activation_checkpointing != "auto":
        return config
    off = config.changed({"precision.activation_checkpointing": "off"})
    peak = estimate(shape, off, row_tokens=row_tokens, device=machine.device, half=machine.half).peak_bytes
    if peak <= ROOM_SHARE * machine.memory.total:
        return off
    return config.changed({"precision.activation_checkpointing": "on"})


def disk_bytes(shape: Shape, config: RunConfig) -> int:
    """Bytes of all checkpoints (weights and the optimizer's states) and of the result."""
    weights, states = learned_bytes(shape, config)
    return int((weights + states) * (config.checkpoints.keep + 1) + weights) + 20_000_000


def shape_of_folder(folder: Path, parameters: int) -> Shape:
    """The shape of a model on this computer; guessed from its parameters where its config does not say."""
    try:
        known = shape_of(read_json_object(folder / "config.json"))
    except WorkbenchError:
        known = None
    return known or guessed_shape(parameters)


def guessed_shape(parameters: float) -> Shape:
    """A Llama of so many parameters, as wide as published ones are for their depth: layers x width^2 is a twelfth of them."""
    width = max(64, round((max(parameters, 1) / 200) ** 0.5 / 64) * 64)
    layers = max(1, round(parameters / (12 * width * width)))
    guess = shape_of(
        {"model_type": "llama", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": width // 64,
         "intermediate_size": round(width * 8 / 3), "vocab_size": 32_768, "tie_word_embeddings": True}
    )  # fmt: skip
    assert guess is not None
    return guess


def tokens_of_rows(config: RunConfig, examples: Sequence[dict[str, Any]]) -> int:
    """Tokens of a row, such that a batch of them is as large as the largest one to expect: guessed from characters."""
    counts = [text_tokens(row) for row in examples[:SAMPLE_ROWS]] or [1.0]
    longest = min(max(counts), config.data.max_length)
    if roles_of(config.method.kind).padded:
        return max(1, int(longest))
    mean = min(sum(counts) / len(counts), config.data.max_length)
    rows = config.optimization.batch_size
    return max(1, int((longest + (rows - 1) * mean) / rows))


def longest_row(examples: Sequence[dict[str, Any]]) -> int:
    """Tokens of the longest of the first rows, guessed from characters; of a pair, of its question with the longer answer."""
    ends = ("chosen", "rejected")
    counts = [
        max(text_tokens({name: value for name, value in row.items() if name != left_out}) for left_out in ends)
        if all(name in row for name in ends)
        else text_tokens(row)
        for row in examples[:SAMPLE_ROWS]
    ]
    return round(max(counts, default=0))


def text_tokens(row: dict[str, Any]) -> float:
    """Tokens of a row, guessed from its characters: about four a token, one for a Chinese character."""
    text = json.dumps(row, ensure_ascii=False)
    chinese = count_chinese(text)
    return chinese + (len(text) - chinese) / 4.0


_COMPUTER = Text("this computer", "这台电脑")
_REASONS = {
    FITS: Text("Takes about {need} of memory; {holder} has {room}.", "约需 {need} 内存，{holder}共 {room}。"),
    TIGHT: Text(
        "Takes about {need} of memory; {holder} has {room}: close other programs first.",
        "约需 {need} 内存，{holder}共 {room}：请先关闭其他程序。",
    ),
    TOO_LARGE: Text(
        "Takes about {need} of memory, but {holder} has {room}.", "约需 {need} 内存，而{holder}只有 {room}。"
    ),
}
