"""How much memory the container that we are in may use; the computer's own figures know nothing of that limit."""

from __future__ import annotations

import functools
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# Of both versions of control groups: the limit, what is used, and what of it the kernel gives back when it is needed.
# https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
LAYOUTS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def limited(used: int, total: int, root: Path = ROOT) -> tuple[int, int]:
    """Bytes used and bytes there are, given the computer's: the container's where that has less."""
    layout = _layout(root)
    if layout is None:
        return used, total
    limit, current, stat, cache = layout
    try:
        most = int((root / limit).read_text())
        if most >= total:
            return used, total
        lines = (line.split() for line in (root / stat).read_text().splitlines())
        free = next((int(value) for name, value in lines if name == cache), 0)
        return max(int((root / current).read_text()) - free, 0), most
    except (OSError, ValueError):  # version 2 says "max" where there is no limit
        return used, total


@functools.lru_cache(maxsize=4)
def _layout(root: Path) -> tuple[str, str, str, str] | None:
    return next((layout for layout in LAYOUTS if (root / layout[0]).is_file()), None)
