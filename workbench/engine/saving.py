"""What a training made, put into its run's folder. Imports peft; loaded by the training thread only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel

from workbench.config.disk import disk_errors, sync
from workbench.data.ends import ending_of
from workbench.models.generation_settings import write_with_ends
from workbench.models.labels import write_labels


def save_result(
    trainer: Any,
    tokenizer: Any,
    folder: Path,
    base: Path,
    base_name: str,
    *,
    writes: bool = True,
    labels: Sequence[str] = (),
) -> None:
    """Put the adapter (or the whole model) into the run's folder; it appears there only when it is whole.

    Args:
        base: folder of the base model.
        base_name: its id, for the adapter's own config.
        writes: whether it is a model that writes, and so has to know where an answer ends.
        labels: of a classification.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    name = "adapter" if isinstance(model, PeftModel) else "model"
    making, done = folder / f".{name}.making", folder / name
    with disk_errors(done):
        shutil.rmtree(making, ignore_errors=True)
        model.save_pretrained(making)
        tokenizer.save_pretrained(making)
        if labels:
            write_labels(making, labels)
        if writes:
            write_with_ends(base, making, ending_of(tokenizer).tokens)
        if name == "adapter":
            _portable(making, base_name)
        for path in making.iterdir():
            sync(path)
        old = folder / f".{name}.old"
        shutil.rmtree(old, ignore_errors=True)
        if done.exists():
            done.rename(old)
        making.rename(done)
        shutil.rmtree(old, ignore_errors=True)


def _portable(adapter: Path, base_name: str) -> None:
    """Replace the path of the base model on this machine by its name: paths tell about the machine and help nobody."""
    (adapter / "README.md").unlink(missing_ok=True)  # peft's, with that path in it; the export writes a card
    path = adapter / "adapter_config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["base_model_name_or_path"] = base_name
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
