"""What the engine answers without changing anything: presets, data sets, forecasts, runs and their events."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from workbench.config.errors import Problem, WorkbenchError
from workbench.config.presets import Preset
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.data.library import DataLibrary, DatasetInfo
from workbench.engine import checks, findings, takeaway, views
from workbench.engine.board import Board
from workbench.engine.fitting import USUAL_ROW, MemoryFit, memory_fit, shape_of_folder, this_machine
from workbench.engine.hardware import has_card, memory
from workbench.engine.jobs.measure import latest
from workbench.engine.keeping import Keep, keep
from workbench.engine.plan import Forecast
from workbench.engine.preset_shelf import PresetShelf
from workbench.engine.records import RunRecord
from workbench.engine.runs import RunStore
from workbench.engine.suitability import Fit, suits
from workbench.models.catalog import ModelCatalog, ModelInfo
from workbench.models.generation_settings import read_generation_settings
from workbench.models.shape import Shape


class Looking:
    """The part of the engine that only looks; an `Engine` is one."""

    home: Path
    allow_paths: bool
    models: ModelCatalog
    data: DataLibrary
    store: RunStore
    shelf: PresetShelf
    _views: views.Views
    _board: Board

    # Presets and data

    def presets(self) -> list[Preset]:
        """All presets, the first-run ones first, a person's own last."""
        return self.shelf.all()

    def preset(self, name: str) -> Preset:
        """One preset by its id."""
        return self.shelf.get(name)

    def damaged_presets(self) -> dict[str, WorkbenchError]:
        """Why presets of a person's own can't be used, by their file's name."""
        return self.shelf.damaged()

    def preset_fits(self) -> dict[str, Fit]:
        """Whether each preset works on this computer, by its id; what it leaves open is taken as usual."""
        models, room, card = self.models.list(), memory(), has_card()
        return {preset.id: suits(preset.config(), models, room, card) for preset in self.presets()}

    def fit(self, config: RunConfig) -> Fit:
        """The same for settings."""
        return suits(config, self.models.list(), memory(), has_card())

    def memory_fit(self, config: RunConfig, shape: Shape | None = None, row_tokens: int | None = None) -> MemoryFit:
        """Whether a run of these settings fits the memory here, and what would make it fit; of no data in particular.

        Args:
            shape: of the base model; where it is None the model is one that is here.
            row_tokens: of its longest row, where that is known.

        Raises:
            WorkbenchError: there is no such model, or it can't be used.
        """
        if shape is None:
            model = self.models.resolve(config.model.base, self.allow_paths)
            shape = shape_of_folder(model.folder, model.parameters)
        return memory_fit(shape, config, this_machine(), row_tokens or min(USUAL_ROW, config.data.max_length))

    def dataset(self, name: str) -> DatasetInfo | None:
        """What is known of a data set that can be used, also of a file where one may be named; else None."""
        found = next((info for info in self.data.list() if info.id == name), None)
        if found is None and name and self.allow_paths:
            with contextlib.suppress(WorkbenchError):
                found = self.data.load(name, allow_paths=True).info
        return found if found is not None and found.problem is None else None

    def longest_row(self, name: str) -> int:
        """Tokens of a data set's longest row, guessed from its characters; 0 where it can't be read."""
        try:
            return self._views.longest_row(name, allow_paths=self.allow_paths)
        except WorkbenchError:
            return 0

    def read(self, dataset_id: str) -> dict[str, Any]:
        """A data set as it was read, without any model: what it is, its columns and their use, its problems."""
        return self._views.read(dataset_id, allow_paths=self.allow_paths)

    def inspect(self, dataset_id: str, model_id: str, max_length: int, learn: str) -> dict[str, Any]:
        """Counts of a data set as a model would read it; tokenizes everything, so it may take seconds."""
        return self._views.inspect(dataset_id, model_id, max_length, learn, allow_paths=self.allow_paths)

    def sample(self, dataset_id: str, start: int, count: int) -> list[dict[str, Any]]:
        """Some rows of a data set, normalised."""
        return self._views.sample(dataset_id, start, count, allow_paths=self.allow_paths)

    def coloured(self, dataset_id: str, row: int, model_id: str, max_length: int, learn: str) -> list[Any]:
        """One row as the model sees it: pieces of text, each learned or not, cut off or not."""
        return self._views.coloured(dataset_id, row, model_id, max_length, learn, allow_paths=self.allow_paths)

    def keep(self, model: ModelInfo) -> Keep:
        """Which runs build on a model that is here, when one last did, and what deleting it frees."""
        return keep(model, self.store.all())

    # Runs

    def check(self, config: RunConfig) -> list[Problem]:
        """Everything that would keep this run from starting."""
        return checks.check(config, self.models, self.data, self.home, allow_paths=self.allow_paths).problems

    def findings(self, config: RunConfig) -> list[Text]:
        """What to know of a run before it starts, line by line: settings and data that are not used, rows that stand twice."""
        return config.idle() + findings.ignored(config) + findings.before_start(config, self.data, self.allow_paths)

    def unused(self, config: RunConfig) -> list[Text]:
        """The same in short: which settings, how many rows and which columns are not used, of what was read already."""
        return config.idle() + findings.ignored(config) + findings.unused(config, self.data, self.allow_paths)

    def overlap(self, config: RunConfig) -> list[Text]:
        """Whether a run also learns the rows that it is checked with; empty when it does not."""
        return findings.overlap(config, self.data, self.allow_paths)

    def forecast(self, config: RunConfig) -> Forecast:
        """Steps, time, memory and disk of a run, before it starts."""
        return checks.forecast(
            config, self.models, self.data, self.home, self.store.all(), allow_paths=self.allow_paths,
            measured=lambda data: latest(self._board.jobs(), config, data),
        )  # fmt: skip

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        return self.store.all()

    def run(self, run_id: str) -> RunRecord:
        """One run."""
        return self.store.get(run_id)

    def damage(self, run_id: str) -> list[Text]:
        """What of a run's files cannot be read; of one whose record cannot, that record's `error` says so."""
        return self.store.damage(run_id)

    def events(self, run_id: str, after: int = 0) -> list[dict[str, Any]]:
        """What happened in a run after the event with this number."""
        return self.store.log(run_id).after(after)

    def asking(self, run_id: str) -> tuple[tuple[str, ...], int | None]:
        """The questions that a run asks its model, and after how many steps again: 0 is a tenth, None only at the end."""
        config = self.store.config(run_id)
        checked = config.data.eval or config.data.eval_share
        return tuple(config.evaluation.questions), config.evaluation.every_steps if checked else None

    def log(self, run_id: str, after_byte: int = 0) -> str:
        """What a run logged, from a byte on."""
        return views.read_log(self.store.path(run_id) / "log.txt", after_byte)

    def is_run(self, name: str) -> bool:
        """Whether `name` is a run's id (and not a model's)."""
        try:
            self.store.path(name)
        except WorkbenchError:
            return False
        return True

    def result(self, run_id: str) -> Path:
        """The folder with what a run learned: `adapter/`, or `model/` of a full tuning.

        Raises:
            WorkbenchError: it has no result yet.
        """
        return takeaway.result(self.store, run_id)

    def answers_notice(self, target: str) -> Text | None:
        """What to know about the answers of a model or a run: which of its own settings they do not follow."""
        is_run = self.is_run(target)
        base = self.store.config(target).model.base if is_run else target
        model = self.models.resolve(base, allow_paths=is_run or self.allow_paths)
        return read_generation_settings(model.folder).notice()
