"""What this computer has: processor cores, memory, graphics card. Never imports torch by itself, so that the page stays fast."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from dataclasses import dataclass

import psutil

from workbench.engine.container import limited

_BUILT_FOR = re.compile(r"(sm|compute)_(\d{2,3})([af]?)")


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


def device() -> str:
    """The device that trains, as torch names it; a guess until loading is imported, with which torch comes."""
    loading = sys.modules.get("workbench.models.loading")
    if loading is not None and hasattr(loading, "pick_device"):
        return str(loading.pick_device())
    return "cuda" if has_card() else "cpu"


def computes_half() -> bool:
    """Whether `auto` precision means 16 bits on the device that trains; a guess as for `device`."""
    loading = sys.modules.get("workbench.models.loading")
    if loading is not None and hasattr(loading, "pick_dtype"):
        return bool(loading.pick_dtype("auto", loading.pick_device()) != "fp32")
    return has_card()


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


@dataclass(frozen=True)
class Unsupported:
    """A graphics card that the installed torch has no kernels for.

    Attributes:
        capability: of the card, such as 8.6.
        newer: whether the card is newer than everything that this torch was built for; else it is older.
    """

    card: str
    capability: str
    newer: bool


def unsupported_card(index: int = 0) -> Unsupported | None:
    """The graphics card that trains, where torch has no kernels for it; None where it has, or where that isn't known.

    Without kernels the first computation on the card fails ("no kernel image is available"). By CUDA's rules of
    compatibility: `sm_86` (a binary) runs on 8.6 and on later cards of the same major version, `compute_80` (PTX) is
    compiled for every card from 8.0 on. A letter behind the number (`sm_90a`) holds it to that very card. AMD's cards are
    listed by names of their own (`gfx1100`).
    """
    cuda = cuda_module()
    if cuda is None:
        return None
    try:
        built = [str(name) for name in cuda.get_arch_list()]  # type: ignore[attr-defined]
        card = cuda.get_device_name(index)  # type: ignore[attr-defined]
        if any(name.startswith("gfx") for name in built):
            properties = cuda.get_device_properties(index)  # type: ignore[attr-defined]
            own = str(getattr(properties, "gcnArchName", "")).partition(":")[0]
            return Unsupported(card, own, True) if own and own not in built else None
        major, minor = cuda.get_device_capability(index)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):  # another vendor's torch; a driver that doesn't say
        return None
    kinds = [found.groups() for name in built if (found := _BUILT_FOR.fullmatch(name))]
    if not kinds or any(_runs(kind, int(digits), letter, major, minor) for kind, digits, letter in kinds):
        return None
    return Unsupported(card, f"{major}.{minor}", all(int(digits) <= major * 10 + minor for _, digits, _ in kinds))


def _runs(kind: str, digits: int, letter: str, major: int, minor: int) -> bool:
    """Whether what was built for one kind of card runs on a card."""
    card = major * 10 + minor
    if letter:
        return digits == card if letter == "a" else digits // 10 == major and digits <= card
    return digits <= card and (kind == "compute" or digits // 10 == major)
