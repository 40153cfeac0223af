"""A run's checkpoints: which are whole, and which of those are still what they were when they were written.

    checkpoints/checkpoint-<step>/   what the trainer saves, and whole.json, written last: without it the folder is half of one

`whole.json` keeps the size and a digest of every file beside it. They are compared before a run goes on from there. Marks
of earlier versions keep none; then each file must at least be readable. Imports torch only to look into its own files.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter

from workbench.config.disk import sync, write_json
from workbench.config.errors import WorkbenchError
from workbench.config.reading import Count, Damaged, Number, opened, read_record
from workbench.config.text import Text, same
from workbench.methods.course import STATE_LIMIT, TRAINER_STATE
from workbench.models.files import read_tensor_headers

CHECKPOINT_WHOLE = "whole.json"
STATES = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth")  # what the trainer loads with torch
PICKLED_WEIGHTS = ("pytorch_model*.bin", "adapter_model.bin")  # what it would load where the safetensors file is gone

# Up to 256 MB of a file are digested, which takes 0.2 s: all of an adapter's files, and pieces of what is larger, since
# the 12 GB of a whole model would hold a training up for eight seconds at each checkpoint.
PIECES = 256
PIECE_BYTES = 1024**2


@dataclass(frozen=True)
class FileMark:
    """What a file was when it was written; see `digest`."""

    size: Count
    sha256: str


@dataclass(frozen=True)
class WholeMark:
    """What `whole.json` holds."""

    step: Count | None = None
    files: dict[str, FileMark] | None = None


@dataclass(frozen=True)
class TrainerState:
    """The part of `trainer_state.json` that the engine itself looks at."""

    global_step: Count
    max_steps: Count
    epoch: Number | None = None


_MARK = TypeAdapter(WholeMark)
_STATE = TypeAdapter(TrainerState)


@dataclass(frozen=True)
class Choice:
    """Where a run can go on: its newest sound checkpoint, and what is wrong with each newer one."""

    checkpoint: Path | None
    damaged: tuple[tuple[Path, WorkbenchError], ...]

    def problems(self) -> list[Text]:
        """A sentence for each checkpoint that was passed over."""
        onward = Text("the run begins anew", "运行会重新开始")
        if self.checkpoint is not None:
            onward = Text("the run goes on from step {step}", "运行将从第 {step} 步继续").with_(
                step=step_of(self.checkpoint)
            )
        said = Text(
            "The checkpoint of step {step} is damaged ({why}); {onward}.",
            "第 {step} 步的检查点已损坏（{why}）；{onward}。",
        )
        return [said.with_(step=step_of(path), why=error.message, onward=onward) for path, error in self.damaged]


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was made."""
    return int(checkpoint.name.rpartition("-")[2])


def is_marked(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end."""
    return checkpoint.name.rpartition("-")[2].isdecimal() and (checkpoint / CHECKPOINT_WHOLE).is_file()


def marked(folder: Path) -> list[Path]:
    """The checkpoints in a run's `checkpoints/` that were written to their end, newest first."""
    return sorted(filter(is_marked, folder.glob("checkpoint-*")), key=step_of, reverse=True)


def mark_whole(checkpoint: Path, step: int) -> None:
    """Write the mark that says that nothing of this checkpoint is missing, and what its files are."""
    files = {}
    for path in sorted(checkpoint.iterdir()):
        if path.is_file() and path.name != CHECKPOINT_WHOLE:
            sync(path)  # a power cut must not leave a mark on files that never reached the disk
            files[path.name] = mark_of(path)
    write_json(checkpoint / CHECKPOINT_WHOLE, asdict(WholeMark(step, files)))


def mark_of(path: Path) -> FileMark:
    """A file's size and SHA-256; of one larger than 256 MB, that of 256 pieces of a MB each, evenly spaced.

    Raises:
        Damaged: it cannot be read.
    """
    return opened(path, _mark_of)


def _mark_of(file: IO[bytes]) -> FileMark:
    size = file.seek(0, 2)
    known = hashlib.sha256()
    step = max(size - PIECE_BYTES, 0) / (PIECES - 1) if size > PIECES * PIECE_BYTES else PIECE_BYTES
    for number in range(PIECES):
        file.seek(int(number * step))
        known.update(file.read(PIECE_BYTES))
    return FileMark(size, known.hexdigest())


def remove_old(folder: Path, keep: int) -> None:
    """Keep the newest `keep` whole checkpoints."""
    for path in marked(folder)[keep:]:
        (path / CHECKPOINT_WHOLE).unlink()  # first, so that a kill here does not leave a half one that looks whole
        shutil.rmtree(path, ignore_errors=True)


def choose(folder: Path) -> Choice:
    """Where to go on in a run's `checkpoints/`. Reads all of the newest checkpoint, so it may take seconds.

    Raises:
        WorkbenchError: there are checkpoints, and every one is damaged; nothing has changed then.
    """
    damaged = []
    for path in marked(folder):
        try:
            check_checkpoint(path)
        except WorkbenchError as error:
            damaged.append((path, error))
        else:
            return Choice(path, tuple(damaged))
    if damaged:
        newest, first = damaged[0]
        raise WorkbenchError(
            Text(
                "none of the {count} checkpoints of this run can be used; of step {step}: {why}",
                "这个运行的 {count} 个检查点都无法使用；第 {step} 步：{why}",
            ).with_(count=len(damaged), step=step_of(newest), why=first.message),
            Text(
                "Put the file back from a backup and press Resume again, or start a new run with the same settings.",
                "请从备份恢复该文件后再点“继续训练”，或用同样的设置开始新的运行。",
            ),
            code="no_checkpoint",
        )
    return Choice(None, ())


def remove_damaged(choice: Choice) -> None:
    """Let go of what was passed over, so that it does not count as the newest one any more."""
    for path, _ in choice.damaged:
        (path / CHECKPOINT_WHOLE).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


def read_state(checkpoint: Path) -> TrainerState:
    """How far a checkpoint's trainer had come.

    Raises:
        Damaged: it cannot be read.
    """
    return read_record(checkpoint / TRAINER_STATE, _STATE, STATE_LIMIT)


def check_checkpoint(checkpoint: Path) -> None:
    """Compare a checkpoint's files with its mark, and look into each without loading it.

    Raises:
        WorkbenchError: with the file that is damaged, and why.
    """
    mark = read_record(checkpoint / CHECKPOINT_WHOLE, _MARK)
    for name, expected in (mark.files or {}).items():
        if "/" in name or "\\" in name or mark_of(checkpoint / name) != expected:
            raise Damaged(name, Text("it is not what was saved", "内容与保存时不一致"))
    state = read_state(checkpoint)
    if state.global_step != step_of(checkpoint) or mark.step not in (None, state.global_step):
        raise Damaged(TRAINER_STATE, Text("it is of step {step}", "它属于第 {step} 步").with_(step=state.global_step))
    _check_weights(checkpoint)
    for path in (path for name in STATES for path in checkpoint.glob(name)):
        _check_state(path, contents=mark.files is None)


def _check_weights(checkpoint: Path) -> None:
    weights = sorted(checkpoint.glob("*.safetensors"))
    pickled = [path.name for name in PICKLED_WEIGHTS for path in checkpoint.glob(name)]
    if pickled or not weights:
        raise Damaged(
            pickled[0] if pickled else "*.safetensors",
            Text("weights are loaded from safetensors files only", "只从 safetensors 文件加载权重"),
        )
    for path in weights:
        read_tensor_headers(path)


def _check_state(path: Path, *, contents: bool) -> None:
    """Make sure that torch would load a file of its own: a zip of tensors and plain values, and nothing that runs.

    Args:
        contents: whether to compare the file's own check sums, too.
    """
    from torch.serialization import get_unsafe_globals_in_checkpoint
    from transformers.trainer_pt_utils import safe_globals

    def look(file: IO[bytes]) -> list[str]:
        broken = zipfile.ZipFile(file).testzip() if contents else None
        if broken is not None:
            raise ValueError(broken)
        file.seek(0)
        with safe_globals():
            return get_unsafe_globals_in_checkpoint(file)  # reads what the file would call, and calls nothing

    try:
        calls = opened(path, look)
    except WorkbenchError:
        raise
    except Exception as error:  # whatever torch and zipfile meet in a file that neither has written
        raise Damaged(path.name, Text("it is damaged", "内容已损坏")) from error
    if calls:
        raise Damaged(
            path.name,
            Text("it can carry a program ({name}) and is not loaded", "其中可能夹带程序（{name}），因此不予加载").with_(
                name=same(calls[0][:60])
            ),
        )
