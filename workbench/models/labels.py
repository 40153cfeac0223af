"""The labels of a classification, kept beside an adapter as a model's config keeps them: an adapter's own files have no place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.config.disk import write_json
from workbench.config.tasks import CAUSAL, CLASSIFICATION, REWARD, Task
from workbench.config.text import Text
from workbench.models.reading import contained, model_error, read_json_object

FILE = "labels.json"
LONGEST = 1000  # characters of a label


def write_labels(folder: Path, labels: Sequence[str]) -> None:
    """Put them into an adapter's folder, in the order of the head's outputs."""
    write_json(folder / FILE, {"labels": [*labels]})


def read_labels(folder: Path) -> tuple[str, ...]:
    """Those of an adapter, or of a whole model by its config.json.

    Raises:
        WorkbenchError: there are none that could be right.
    """
    path = contained(folder, FILE)
    if path is not None:
        found: Any = read_json_object(path).get("labels")
    else:
        config = contained(folder, "config.json")
        named = read_json_object(config).get("id2label") if config is not None else None
        found = [named.get(str(place)) for place in range(len(named))] if isinstance(named, dict) else None
    right = isinstance(found, list) and len(found) > 1
    if not right or not all(isinstance(label, str) and 0 < len(label) <= LONGEST for label in found):
        raise model_error(
            Text("{folder} does not say which labels it knows.", "{folder} 没有写明有哪些标签。").with_(
                folder=folder.name
            ),
            Text("Copy the folder again, or train the run again.", "请重新复制该文件夹，或重新训练。"),
            code="no_labels",
        )
    return tuple(found)


def talks(folder: Path, writes: bool) -> Task:
    """What a whole model answers with when it is asked: words, its labels, or a score.

    Raises:
        WorkbenchError: it is an encoder without a head, which answers nothing.
    """
    if writes:
        return CAUSAL
    config = contained(folder, "config.json")
    values = read_json_object(config) if config is not None else {}
    named = values.get("architectures")
    if isinstance(named, list) and named and str(named[0]).endswith("ForSequenceClassification"):
        labels = values.get("id2label")
        return REWARD if isinstance(labels, dict) and len(labels) == 1 else CLASSIFICATION
    raise model_error(
        Text("This model reads texts and writes none, so it can't answer.", "这个模型只读文本，不会写，因此无法回答。"),
        Text(
            "Train it to sort texts first, on the Train tab; or choose a model that writes.",
            "请先在“训练”页训练它做分类，或选择会写文本的模型。",
        ),
        code="no_writer",
    )
