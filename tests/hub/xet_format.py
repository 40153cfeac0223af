"""The two binary formats of Xet, as far as this Hub reads them: blocks of chunks, and lists of files made of them.

https://huggingface.co/docs/xet: xorb.md and shard.md.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

_CHUNK = 65_536
_FILE_HAS_CHECKS, _FILE_HAS_SHA256 = 1 << 31, 1 << 30


def xorb_of(data: bytes) -> tuple[bytes, int]:
    """A block with these bytes, uncompressed, and in how many chunks."""
    pieces = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    return b"".join(_head(len(piece)) + piece for piece in pieces), len(pieces)


def _head(size: int) -> bytes:
    return b"\0" + size.to_bytes(3, "little") + b"\0" + size.to_bytes(3, "little")


def places_of(xorb: bytes) -> list[int]:
    """Where each chunk begins, and where the last one ends."""
    places, at = [0], 0
    while at + 8 <= len(xorb) and xorb[at] == 0:
        at += 8 + int.from_bytes(xorb[at + 1 : at + 4], "little")
        places.append(at)
    return places


def chunks_of(xorb: bytes) -> list[bytes]:
    """The chunks of a block, unpacked."""
    chunks = []
    for at in places_of(xorb)[:-1]:
        packed, kind = int.from_bytes(xorb[at + 1 : at + 4], "little"), xorb[at + 4]
        size, data = int.from_bytes(xorb[at + 5 : at + 8], "little"), xorb[at + 8 : at + 8 + packed]
        if kind:
            data = _unpacked(data)
        if kind == 2:
            data = _ungrouped(data)
        if kind > 2 or len(data) != size:
            raise ValueError(f"a chunk of kind {kind} has {len(data)} bytes and not {size}")
        chunks.append(data)
    return chunks


def _ungrouped(data: bytes) -> bytes:
    """Bytes that were sorted by their place in numbers of four bytes."""
    count, rest = divmod(len(data), 4)
    out, start = bytearray(len(data)), 0
    for place in range(4):
        size = count + (place < rest)
        out[place::4] = data[start : start + size]
        start += size
    return bytes(out)


def _unpacked(frame: bytes) -> bytes:
    """An LZ4 frame's content."""
    flags = frame[4]
    at = 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    out = bytearray()
    while size := int.from_bytes(frame[at : at + 4], "little"):
        plain, size = size >> 31, size & 0x7FFFFFFF
        block = frame[at + 4 : at + 4 + size]
        if plain:
            out += block
        else:
            _add_block(out, block)
        at += 4 + size + (4 if flags & 0x10 else 0)
    return bytes(out)


def _add_block(out: bytearray, block: bytes) -> None:
    """One LZ4 block: bytes as they are, then a copy of earlier ones, and so on."""
    at = 0

    def length(start: int) -> int:
        nonlocal at
        if start == 15:
            while block[at] == 255:
                start, at = start + 255, at + 1
            start, at = start + block[at], at + 1
        return start

    while at < len(block):
        token = block[at]
        at += 1
        count = length(token >> 4)
        out += block[at : at + count]
        at += count
        if at >= len(block):
            return
        back = int.from_bytes(block[at : at + 2], "little")
        at += 2
        count = length(token & 15) + 4
        start = len(out) - back
        if back >= count:
            out += out[start : start + count]
        else:
            seed = bytes(out[start:])
            out += (seed * (count // back + 1))[:count]


@dataclass
class Part:
    """A part of a file: chunks of a block from `first` up to `end`, unpacked `size` bytes."""

    xorb: str
    first: int
    end: int
    size: int


@dataclass
class Uploaded:
    """A file of a shard."""

    name: str
    sha256: str
    parts: list[Part]


def _name(raw: bytes) -> str:
    """A hash as it is written: four numbers of eight bytes each."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


def files_of(shard: bytes) -> list[Uploaded]:
    """The files that a shard lists, in entries of 48 bytes each."""
    found, at = [], 48
    while shard[at : at + 32] != b"\xff" * 32:
        flags, count = struct.unpack_from("<II", shard, at + 32)
        name, parts = _name(shard[at : at + 32]), []
        for entry in range(at + 48, at + 48 + 48 * count, 48):
            _, size, first, end = struct.unpack_from("<IIII", shard, entry + 32)
            parts.append(Part(_name(shard[entry : entry + 32]), first, end, size))
        at += 48 + 48 * count * (2 if flags & _FILE_HAS_CHECKS else 1)
        sha256 = hashlib.sha256(b"").hexdigest()
        if flags & _FILE_HAS_SHA256:
            sha256, at = _name(shard[at : at + 32]), at + 48
        found.append(Uploaded(name, sha256, parts))
    return found
