"""What a run can be taken home as: its adapter in a zip, or the merged model in a folder, each with a card."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workbench.config.disk import disk_errors, slug
from workbench.config.errors import WorkbenchError
from workbench.config.fields import value_at
from workbench.config.tasks import CLASSIFICATION
from workbench.config.text import Text
from workbench.data.library import DataLibrary
from workbench.engine.names import KEPT_BACK_LOSS, RECENT_LOSS
from workbench.engine.runs import RunStore
from workbench.export.adapter import zip_adapter
from workbench.export.card import Asked, CardAnswer, write_card
from workbench.methods import METHODS
from workbench.models.catalog import ModelCatalog, ModelInfo
from workbench.models.generation_settings import FILE as GENERATION
from workbench.models.labels import read_labels
from workbench.models.origin import read_origin

CARD_SETTINGS = (
    "adapter.kind",
    "adapter.rank",
    "adapter.alpha",
    "optimization.learning_rate",
    "optimization.epochs",
    "optimization.max_steps",
    "optimization.batch_size",
    "optimization.accumulation",
    "data.max_length",
    "optimization.seed",
)


def result(store: RunStore, run_id: str) -> Path:
    """The folder with what a run learned: see `Engine.result`."""
    folder = store.path(run_id)
    for name in ("adapter", "model"):
        if (folder / name).is_dir():
            return folder / name
    raise WorkbenchError(
        Text("this run has no result yet", "这个运行还没有结果"),
        Text("Wait until it is done, or press Stop and save.", "请等它完成，或点“停止并保存”。"),
        code="no_result",
    )


def adapter(store: RunStore, run_id: str) -> Path:
    """The folder with a run's adapter.

    Raises:
        WorkbenchError: it has no result yet, or tuned the whole model, so there is no adapter.
    """
    found = result(store, run_id)
    if found.name != "adapter":
        raise WorkbenchError(
            Text("this run tuned the whole model, so it has no adapter", "这个运行微调了整个模型，没有适配器"),
            Text("Take the model folder instead.", "请改为导出模型文件夹。"),
            code="no_adapter",
        )
    return found


def export_adapter(store: RunStore, run_id: str, models: ModelCatalog, data: DataLibrary) -> Path:
    """The adapter's zip in the run's `exports/`. Raises as `adapter` does."""
    found = adapter(store, run_id)
    base = models.resolve(store.config(run_id).model.base, allow_paths=True)
    exports = store.path(run_id) / "exports"
    with disk_errors(exports / "x"):
        exports.mkdir(exist_ok=True)
    name = f"{slug(store.get(run_id).name, 'run')}-{run_id[:15]}-adapter.zip"  # the name for people, the time for order
    return zip_adapter(found, exports / name, card(store, run_id, base, data, "adapter", found))


def check_dtype(dtype: str) -> None:
    """Refuse what is no precision of a model folder."""
    if dtype not in ("auto", "fp32", "bf16", "fp16"):
        raise WorkbenchError(
            Text("'{dtype}' is no precision", "“{dtype}”不是一种精度").with_(dtype=dtype[:20]),
            Text("Choose auto, fp32, bf16 or fp16.", "请选择 auto、fp32、bf16 或 fp16。"),
            field="dtype",
        )


def merge_run(
    store: RunStore,
    run_id: str,
    result: Path,
    models: ModelCatalog,
    data: DataLibrary,
    *,
    folder: Path | None,
    dtype: str,
    progress: Callable[[Text, int, int], None] | None,
    stop: threading.Event | None,
) -> Path:
    """Base and adapter as one model folder; of a full tuning, its model."""
    from workbench.export.merged import merge

    check_dtype(dtype)
    config = store.config(run_id)
    base = models.resolve(config.model.base, allow_paths=True)
    adapter = result if result.name == "adapter" else None
    return merge(
        base.folder if adapter else result,
        adapter,
        folder or _free_folder(store.path(run_id) / "exports", f"{run_id}-merged"),
        dtype,
        progress,
        stop,
        quantization=config.model.quantization,
        card=card(store, run_id, base, data, "model", result),
        task=METHODS[config.method.kind].task,
    )


def card(
    store: RunStore,
    run_id: str,
    base: ModelInfo,
    data: DataLibrary,
    kind: str,
    result: Path,
    *,
    repo_id: str | None = None,
    curves: str | None = None,
    answers: Sequence[CardAnswer] = (),
) -> str:
    """The card of a run's result, which lies in the folder `result`; the last three are of one that goes to the Hub."""
    record, config = store.get(run_id), store.config(run_id)
    values = config.values()
    settings: dict[str, Any] = {}
    for path in CARD_SETTINGS:
        if (value := value_at(values, path)) is not None:  # full tuning has no rank
            settings[path] = value
    origin, task = read_origin(base.folder), METHODS[config.method.kind].task
    return write_card(
        base=origin.repo_id or base.id,
        kind=kind,
        name=record.name,
        method=config.method.kind,
        made=METHODS[config.method.kind].label.en,
        dataset=next((info.name.to("en") for info in data.list() if info.id == config.data.train), record.dataset),
        settings=settings,
        losses={RECENT_LOSS.en: record.train_loss, KEPT_BACK_LOSS.en: record.eval_loss},
        license=origin.licence or None,
        chat=base.has_template,
        asked=Asked(task, read_labels(result) if task == CLASSIFICATION else ()),
        base_shipped=base.shipped,
        settings_inside=(result / GENERATION).is_file(),
        repo_id=repo_id,
        curves=curves,
        answers=answers,
    )


def _free_folder(parent: Path, name: str) -> Path:
    """A folder that does not exist yet: merging again keeps the earlier one."""
    folder, number = parent / name, 1
    while folder.exists():
        number += 1
        folder = parent / f"{name}-{number}"
    return folder
