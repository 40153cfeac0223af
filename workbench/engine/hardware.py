"""What this computer has: processor cores, memory, graphics card. Never imports torch by itself, so that the page stays fast."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from dataclasses import dataclass

import psutil

from workbench.engine.container import limited


@dataclass(frozen=True)
class Memory:
    """Memory of the device that trains, in bytes, and its name (`CPU`, or the graphics card's)."""

    device: str
    used: int
    total: int

    @property
    def free(self) -> int:
        """What is left."""
        return max(self.total - self.used, 0)


@functools.lru_cache(maxsize=1)
def physical_cores() -> int:
    """Cores that this process may use; two threads of one core count once.

    `OMP_NUM_THREADS`, with which people and containers say how many threads a process may compute with, is kept to.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wanted.isascii() and wanted.isdigit() and int(wanted[:4]):
        return int(wanted[:4])
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def cuda_module() -> object | None:
    """`torch.cuda` when torch is already loaded and sees a card, else None."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_available() else None


def has_card() -> bool:
    """Whether there is a graphics card that trains; until torch is loaded, whether there is a driver for one."""
    if torch_is_loaded():
        return cuda_module() is not None
    return shutil.which("nvidia-smi") is not None


def torch_is_loaded() -> bool:
    """Whether torch is imported, whole: only then it is known what this computer can compute on."""
    return hasattr(sys.modules.get("torch"), "cuda")


def memory() -> Memory:
    """The training device's memory now; the computer's own until torch is loaded or when there is no card."""
    cuda = cuda_module()
    if cuda is not None:
        free, total = cuda.mem_get_info()  # type: ignore[attr-defined]
        return Memory(cuda.get_device_name(0), total - free, total)  # type: ignore[attr-defined]
    state = psutil.virtual_memory()
    return Memory("CPU", *limited(state.total - state.available, state.total))


def memory_of_this_process() -> int:
    """Bytes held by training: the card's peak where there is one, else this process's resident memory."""
    cuda = cuda_module()
    if cuda is not None:
        return int(cuda.max_memory_allocated())  # type: ignore[attr-defined]
    return int(psutil.Process().memory_info().rss)
