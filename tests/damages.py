"""What can happen to a file or a folder on somebody's disk, and homes in which it has happened to everything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

DEPTH = 100_000
DIGITS = "1" + "0" * 400


def _written(content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(data)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("a file", encoding="utf-8")


def _nowhere(path: Path) -> None:
    remove(path)
    path.symlink_to(path.parent / "nothing-here")


def _itself(path: Path) -> None:
    remove(path)
    path.symlink_to(path)


def _file(path: Path) -> None:
    remove(path)
    path.write_text("a file", encoding="utf-8")


def remove(path: Path) -> None:
    """A file or a folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


FILES: dict[str, Callable[[Path], object]] = {
    "gone": remove,
    "empty": _written(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a list": _written("[]\n"),
    "null": _written("null"),
    "deep list": _written("[" * DEPTH + "]" * DEPTH),
    "deep object": _written('{"a":' * DEPTH + "1" + "}" * DEPTH),
    "no number": _written('{"created": NaN, "step": Infinity, "folder": -Infinity}\n'),
    "digits": _written(f'{{"created": {DIGITS}, "step": {DIGITS}, "folder": {DIGITS}, "rows": {DIGITS}}}\n'),
    "wrong types": _written('{"created": null, "step": "7", "name": 5, "folder": ["/"], "rows": -1, "type": {}}\n'),
    "half a pair": _written('{"name": "\\ud800", "folder": "\\ud800", "architectures": ["\\udfff"]}\n'),
    "bytes": _written(bytes(range(256)) * 4),
    "utf-16": _written("{}".encode("utf-16")),
    "zeros": _written(b"\0" * 4096),
    "a folder": _folder,
}
"""By name: what happens to a file."""

FOLDERS: dict[str, Callable[[Path], object]] = {"a file": _file}
"""By name: what happens to a folder."""

if os.name != "nt":  # links need rights there
    FILES |= {"a link to nowhere": _nowhere, "a link to itself": _itself}
    FOLDERS |= {"a link to nowhere": _nowhere, "a link to itself": _itself}


def write_header(path: Path, header: str) -> None:
    """A safetensors file that begins with this header and holds no numbers."""
    data = header.encode()
    path.write_bytes(len(data).to_bytes(8, "little") + data)


TENSORS: dict[str, Callable[[Path], object]] = {
    **FILES,
    "infinite header": lambda path: write_header(
        path, '{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, Infinity]}}'
    ),
    "deep header": lambda path: write_header(path, '{"a":' * DEPTH + "1" + "}" * DEPTH),
    "long header": lambda path: path.write_bytes((2**62).to_bytes(8, "little") + b"{}"),
    "large header": lambda path: write_header(
        path, f'{{"a": {{"dtype": "F32", "shape": [{DIGITS}], "data_offsets": [0, {DIGITS}]}}}}'
    ),
}
"""By name: what happens to a safetensors file."""


def damages_of(path: Path) -> dict[str, Callable[[Path], object]]:
    """All that can happen to what lies here."""
    if path.is_dir():
        return FOLDERS
    return TENSORS if path.suffix == ".safetensors" else FILES
