"""Drawing rows in many processes, as token ids.

Contract: `texts` gives plain message texts (for the tokenizer), `encoded` gives one flat token array and the row
lengths. Chunk i is the same whoever draws it, so the number of processes changes the time only. Imports neither torch
nor transformers: every process starts with these imports, and those take longer than the work.
"""

import math
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .chat_format import MAX_LENGTH, render
from .generate import Generator

CHUNK = 10_000  # rows that one process draws at a time
_worker: dict = {}  # what a worker process keeps between chunks


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Options:
    """What a build can vary. `tokens` counts every token that is read, padding excluded."""

    out: Path
    tokens: int = 90_000_000
    rows: int = 2_000_000
    batch_tokens: int = 16_384
    muon_lr: float = 0.01
    adam_lr: float = 3e-3
    weight_decay: float = 0.05
    seed: int = 1
    device: str = "auto"
    processes: int = _processors()
    max_seconds: float = math.inf


def _start(split: str, tokenizer_json: str | None) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    _worker["generator"] = Generator(split)
    if tokenizer_json:
        from tokenizers import Tokenizer

        _worker["tokenizer"] = Tokenizer.from_str(tokenizer_json)


def _texts(chunk: int, *, seed: int, count: int) -> list[str]:
    return [m["content"] for row in _worker["generator"].rows(seed, chunk, count) for m in row]


def _encoded(chunk: int, *, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rows = [render(row) for row in _worker["generator"].rows(seed, chunk, count)]
    ids = [e.ids[:MAX_LENGTH] for e in _worker["tokenizer"].encode_batch_fast(rows)]
    return np.fromiter((i for row in ids for i in row), np.int16), np.asarray([len(i) for i in ids], np.int64)


def _run(work, split: str, tokenizer_json: str | None, options: Options, chunks: int) -> Iterator:
    if options.processes == 1:
        _start(split, tokenizer_json)
        yield from map(work, range(chunks))
        return
    # "spawn" because a forked child may not touch CUDA or a thread pool that its parent has started.
    with multiprocessing.get_context("spawn").Pool(
        min(options.processes, chunks), _start, (split, tokenizer_json)
    ) as pool:
        yield from pool.imap(work, range(chunks))


def texts(options: Options, count: int) -> Iterator[str]:
    """Message texts of about `count` rows, from another seed than the rows to train on."""
    work = partial(_texts, seed=options.seed + 1000, count=min(CHUNK, count))
    for part in _run(work, "train", None, options, max(1, count // CHUNK)):
        yield from part


def encoded(options: Options, tokenizer_json: str, *, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of all rows in one array (int16), and how many each row has."""
    work = partial(_encoded, seed=options.seed, count=min(CHUNK, count))
    parts = list(_run(work, split, tokenizer_json, options, max(1, count // CHUNK)))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
