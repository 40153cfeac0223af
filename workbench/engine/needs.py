"""What runs that wait or train, and jobs with them, still need of the home: it is neither deleted nor read in another way meanwhile.

What is needed is compared by where it lies, since a run may name a model or a data set by its id or by a path.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.data.library import DataLibrary
from workbench.engine.board import Board
from workbench.engine.job_records import JobRecord
from workbench.engine.record_store import still_active
from workbench.engine.records import RunRecord, text_of
from workbench.engine.runs import RunStore
from workbench.models.catalog import ModelCatalog


class Needs:
    """Asks the runs. Nothing may start between the question and what is done then: whoever asks holds what Start holds.

    Args:
        board: what runs and waits.
    """

    def __init__(self, store: RunStore, models: ModelCatalog, data: DataLibrary, board: Board) -> None:
        self._store, self._models, self._data, self._board = store, models, data, board

    def refuse_model(self, model_id: str) -> None:
        """Raise a WorkbenchError where a model, or the entry of one that lies elsewhere, is needed."""
        place = self._models.place(model_id)
        for run_id, job in self._board.needed_runs().items():
            if _holds(place, self._bases(self._store.get(run_id))):
                raise _in_use(Text("“{job}” still needs this model", "“{job}”还需要这个模型"), job)
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
        job = self._board.needed_runs().get(run_id)
        if job is not None:
            raise _in_use(Text("“{job}” still needs this run", "“{job}”还需要这个运行"), job)
        if run_id == self._board.current:
            raise still_active()
        if not self._store.is_folder(run_id):  # something else lies there, which made nothing
            return
        folder = self._store.path(run_id)
        for run in self._active():  # what it made may be the base of another one
            if run.id != run_id and _holds(folder, self._bases(run)):
                raise _needed(Text("the run {run} builds on this one", "运行“{run}”以这个运行的结果为基座"), run)

    def _active(self) -> Iterator[RunRecord]:
        return (run for run in self._store.all() if run.active or run.id == self._board.current)

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


def _in_use(message: Text, job: JobRecord) -> WorkbenchError:
    return WorkbenchError(
        message.with_(job=text_of(job.title)),
        Text("Wait for it, or stop it.", "请等它完成，或先停止它。"),
        code="in_use",
    )
