"""What the page and the command line look at: a data set as a model reads it, a run's log, the state of everything."""

from __future__ import annotations

import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from workbench.config.errors import WorkbenchError
from workbench.config.reading import opened
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.data.library import DataLibrary, Examples
from workbench.engine import findings, heavy
from workbench.engine.fitting import longest_row
from workbench.engine.records import RunRecord
from workbench.models.catalog import ModelCatalog


@dataclass(frozen=True)
class Status:
    """What is loaded, what runs (at which step), how many wait, and the device's memory in bytes."""

    loaded_model: str | None
    running: RunRecord | None
    step: int
    total_steps: int
    queued: int
    memory_used: int
    memory_total: int
    device: str


class Views:
    """Data sets seen through a model's tokenizer. Tokenizers and counts are kept, because people look twice."""

    def __init__(self, models: ModelCatalog, data: DataLibrary) -> None:
        self._models, self._data = models, data
        self._lock = threading.Lock()
        self._tokenizers: dict[Path, Any] = {}
        self._counts: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._longest: dict[str, int] = {}

    def inspect(
        self, dataset_id: str, model_id: str, max_length: int, learn: str, *, allow_paths: bool
    ) -> dict[str, Any]:
        """All that `read` gives, with counts of tokens, and with the problems that the set has with this model."""
        from workbench.data.notices import notices
        from workbench.data.tokens import TemplateRefusal, encode_many, statistics

        _check(max_length, learn)
        loaded = self._data.load(dataset_id, allow_paths=allow_paths)
        model = self._models.resolve(model_id, allow_paths)
        key = (loaded.fingerprint, model.folder, max_length, learn)
        with self._lock:
            known = self._counts.get(key)
        if known is None:
            tokenizer = self._tokenizer(model.folder)
            try:
                chosen: Any = learn  # checked
                encoded = encode_many(tokenizer, loaded.info.kind, loaded.examples, chosen, max_length)
            except TemplateRefusal as refusal:
                raise refusal.in_file(loaded) from refusal
            told = notices(tokenizer, encoded, loaded.numbers, loaded.info.kind)
            known = {**asdict(statistics(encoded)), "problems": told}
            with self._lock:
                if len(self._counts) > 64:
                    self._counts.clear()
                self._counts[key] = known
        found = findings.view(loaded)
        return {**known, **found, "problems": [*found["problems"], *known["problems"]]}

    def read(self, dataset_id: str, *, allow_paths: bool) -> dict[str, Any]:
        """A data set as it was read, without any model: see `findings.view`."""
        return findings.view(self._data.load(dataset_id, allow_paths=allow_paths))

    def longest_row(self, dataset_id: str, *, allow_paths: bool) -> int:
        """Tokens of the longest row, guessed from its characters; kept, since each look at a form asks for it."""
        loaded = self._data.load(dataset_id, allow_paths=allow_paths)
        with self._lock:
            if loaded.fingerprint not in self._longest:
                self._longest[loaded.fingerprint] = longest_row(loaded.examples)
            return self._longest[loaded.fingerprint]

    def sample(self, dataset_id: str, start: int, count: int, *, allow_paths: bool) -> Examples:
        """Some rows, normalised; at most 100 at once."""
        return self._data.examples(dataset_id, max(start, 0), min(max(count, 0), 100), allow_paths)

    def coloured(
        self, dataset_id: str, row: int, model_id: str, max_length: int, learn: str, *, allow_paths: bool
    ) -> list[Any]:
        """Pieces of one row, as it will be rendered, learned and cut."""
        from workbench.data.tokens import TemplateRefusal, colour_example

        _check(max_length, learn)
        rows = self._data.examples(dataset_id, max(row, 0), 1, allow_paths)
        if not rows:
            raise WorkbenchError(
                Text("the data set has no row {row}", "数据集没有第 {row} 条样本").with_(row=row + 1),
                Text("Choose a smaller number.", "请选小一点的数。"),
            )
        tokenizer = self._tokenizer(self._models.resolve(model_id, allow_paths).folder)
        try:
            return colour_example(tokenizer, rows[0], learn, max_length)  # type: ignore[arg-type]
        except TemplateRefusal as refusal:
            raise refusal.in_file(self._data.load(dataset_id, allow_paths=allow_paths)) from refusal

    def _tokenizer(self, folder: Path) -> Any:
        heavy.ready()
        from workbench.models.loading import load_tokenizer

        with self._lock:
            known = self._tokenizers.get(folder)
        if known is None:
            known = load_tokenizer(folder)
            with self._lock:
                if len(self._tokenizers) > 4:
                    self._tokenizers.clear()
                self._tokenizers[folder] = known
        return known


def _check(max_length: int, learn: str) -> None:
    """Refuse what a run would refuse: these come from the page."""
    RunConfig.parse({"data": {"max_length": max_length, "learn": learn}})


def read_log(path: Path, after_byte: int) -> str:
    """A run's log from a byte on, at most its last megabyte; empty when there is none yet.

    Raises:
        Damaged: it cannot be read.
    """
    if not os.path.lexists(path):
        return ""

    def end(file: IO[bytes]) -> bytes:
        file.seek(max(after_byte, file.seek(0, os.SEEK_END) - 1_000_000, 0))
        return file.read()

    return opened(path, end).decode("utf-8", errors="replace")
