"""What runs that wait or train, and a merge, still need of the home: it is neither deleted nor read in another way meanwhile.

What is needed is compared by where it lies, since a run may name a model or a data set by its id or by a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.data.library import DataLibrary
from workbench.engine.records import RunRecord
from workbench.engine.runs import RunStore, still_active
from workbench.models.catalog import ModelCatalog


class Needs:
    """Asks the runs. Nothing may start between the question and what is done then: whoever asks holds what Start holds.

    Args:
        current: the run that is being trained, whatever has become of its record.
    """

    def __init__(
        self, store: RunStore, models: ModelCatalog, data: DataLibrary, current: Callable[[], str | None]
    ) -> None:
        self._store, self._models, self._data, self._current = store, models, data, current
        self.merging = ""
        """The run whose model folder is being made."""

    def refuse_model(self, model_id: str) -> None:
        """Raise a WorkbenchError where a model, or the entry of one that lies elsewhere, is needed."""
        place = self._models.place(model_id)
        if self.merging and _holds(place, self._bases(self._store.get(self.merging))):
            raise _merging(
                Text("the model folder of a run is being made from this model", "正在用这个模型生成模型文件夹")
            )
        for run in self._active():
            if _holds(place, self._bases(run)):
                raise _needed(Text("the run {run} needs this model", "运行“{run}”正在使用这个模型"), run)

    def refuse_data(self, dataset_id: str) -> None:
        """The same for a data set, which runs learn from or are checked with."""
        place = self._data.place(dataset_id)
        for run in self._active():
            if _holds(place, self._sets(run)):
                raise _needed(Text("the run {run} needs this data set", "运行“{run}”正在使用这个数据集"), run)

    def refuse_run(self, run_id: str) -> None:
        """The same for a run."""
        if run_id == self.merging:
            raise _merging(Text("the model folder of this run is being made", "正在为这个运行生成模型文件夹"))
        if run_id == self._current():
            raise still_active()

    def _active(self) -> Iterator[RunRecord]:
        return (run for run in self._store.all() if run.active or run.id == self._current())

    def _bases(self, run: RunRecord) -> set[Path]:
        """Where the base model of a run lies: its entry in the home, and its folder."""
        try:
            name = self._store.config(run.id).model.base
        except WorkbenchError:  # its settings are damaged
            name = run.base_model
        return self._models.places(name)

    def _sets(self, run: RunRecord) -> set[Path]:
        try:
            data = self._store.config(run.id).data
        except WorkbenchError:
            return set()  # it ends before it reads any
        return {place for name in (data.train, data.eval) if name for place in self._data.places(name)}


def _holds(place: Path, needed: set[Path]) -> bool:
    return any(place in (path, *path.parents) for path in needed)


def _needed(message: Text, run: RunRecord) -> WorkbenchError:
    return WorkbenchError(
        message.with_(run=run.name),
        Text("Wait for its end, or stop it first.", "请等它结束，或先停止它。"),
        code="active",
    )


def _merging(message: Text) -> WorkbenchError:
    return WorkbenchError(
        message, Text("Wait for it, or stop it on the Export tab.", "请等它完成，或在“导出”页停止。"), code="merging"
    )
