"""A tuned model as one ordinary folder: the adapter worked into a fresh copy of its base, or a fully tuned model.

The folder appears complete or not at all, holds safetensors, tokenizer, chat template, generation settings and a
README.md, and loads with `AutoModelForCausalLM.from_pretrained` without peft. The model that is loaded for chat or
training elsewhere in the process is never touched: merging changes weights in place, so it works on its own copy.
"""

from __future__ import annotations

import gc
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import torch
import transformers

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.tasks import CAUSAL, Task
from workbench.config.text import Text
from workbench.data.ends import ending_of
from workbench.export.adapter import check_free_disk
from workbench.export.card import write_card
from workbench.export.places import check_destination
from workbench.models.adapters import check_adapter
from workbench.models.assembly import load_for, result_head
from workbench.models.files import TOKENIZER_FILES, TOKENIZER_VOCABULARIES, ModelFiles, check_folder, contained
from workbench.models.generation_settings import write_with_ends
from workbench.models.loading import DTYPES, load_adapter, load_tokenizer

Progress = Callable[[Text, int, int], None]

_STEPS = 5
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
_COPY_BLOCK = 16 << 20  # bytes between two looks at the stop signal
_SHARD = "5GB"


def merge(
    base_folder: Path,
    adapter_folder: Path | None,
    destination: Path,
    dtype: str = "auto",
    progress: Progress | None = None,
    stop: Event | None = None,
    *,
    quantization: str = "none",
    card: str | None = None,
    task: Task = CAUSAL,
) -> Path:
    """Write the tuned model to the folder `destination` and give it back.

    Args:
        base_folder: the base model; for a fully tuned run, its own model folder.
        adapter_folder: the adapter, or None for a fully tuned run: the model is then copied, or cast to `dtype`.
        destination: a folder that is empty or does not exist yet.
        dtype: of the written weights: fp32, bf16, fp16, or auto for what the base is stored in.
        progress: called with what is being done, steps done, steps in all.
        stop: when set, merging ends with StopRequested and leaves nothing behind.
        quantization: none merges onto the original weights. int8 or nf4 merges onto what quantising leaves of them,
            which is what an adapter that was trained on the quantised model was fitted to.
        card: the README.md; a short one is written where it is None.
        task: what the model is there for; one that sorts or scores keeps its head and its labels.

    Errors (`code`): destination_exists, disk_full, not_finite, and those of `check_folder`, `check_adapter` and
    `load_adapter`.
    """
    base_folder, destination = Path(base_folder), Path(destination).expanduser().absolute()
    report = _Report(progress, stop)
    report(Text("Checking the files", "检查文件"))
    files = check_folder(base_folder)
    _ = check_adapter(adapter_folder) if adapter_folder is not None else None
    stored = files.dtype if files.dtype in DTYPES else "fp32"
    chosen = stored if dtype == "auto" else dtype
    check_destination(destination, [folder for folder in (base_folder, adapter_folder) if folder is not None])
    unchanged = adapter_folder is None and chosen == files.dtype
    needed = files.bytes if unchanged else files.parameters * _BYTES[chosen]
    disk = next(parent for parent in destination.parents if parent.is_dir())
    check_free_disk(disk, needed + needed // 10 + (50 << 20))
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.part")
    temporary.mkdir()
    try:
        if unchanged:
            _copy_weights(files, temporary, report)
        else:
            _save_weights(files, adapter_folder, temporary, chosen, quantization, report, task)
        _copy_settings(files.folder, adapter_folder, temporary, task)
        chat = check_folder(temporary).has_template
        card = card or write_card(base=str(base_folder), kind="model", chat=chat, dtype=chosen)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        report(Text("Finished", "完成"))
        if destination.is_dir():
            destination.rmdir()  # empty, as checked; a rename onto a folder fails on Windows
        os.replace(temporary, destination)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return destination


class _Report:
    """Tells progress step by step and raises StopRequested when the person asked for it."""

    def __init__(self, progress: Progress | None, stop: Event | None) -> None:
        self._progress, self._stop, self._done = progress, stop, 0

    def __call__(self, text: Text) -> None:
        self.check()
        if self._progress:
            self._progress(text, self._done, _STEPS)
        self._done = min(self._done + 1, _STEPS)

    def check(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise StopRequested


def _save_weights(
    files: ModelFiles,
    adapter: Path | None,
    target: Path,
    dtype: str,
    quantization: str,
    report: _Report,
    task: Task,
) -> None:
    """Load, merge and save; on the CPU, so that a card in use by a run is left alone."""
    report(Text("Loading the base model", "加载基座模型"))
    head = result_head(task, adapter or files.folder, load_tokenizer(files.folder).pad_token_id)
    if adapter is None or quantization == "none":
        model = load_for(files.folder, dtype, device="cpu", head=head)
    else:
        model = load_for(files.folder, dtype, quantization, device="cpu", head=head)
        model = model.dequantize(dtype=DTYPES[dtype])
    report(Text("Merging the adapter", "合并适配器"))
    if adapter is not None:
        model = load_adapter(model, adapter)
        _untie_adapted(model.get_base_model())
        model = model.merge_and_unload()
    _check_finite(model)
    model = model.to(DTYPES[dtype])
    report(Text("Saving the model", "保存模型"))
    if task == CAUSAL:
        # Saving checks the generation settings and fails on harmless contradictions; the base's own are written instead.
        model.generation_config = transformers.GenerationConfig.from_model_config(model.config)
    model.save_pretrained(str(target), max_shard_size=_SHARD)
    report.check()
    del model
    gc.collect()


def _untie_adapted(model: Any) -> None:
    """Part the weight that embedding and output layer share when the adapter changes one of them: merged, it would change both."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    adapted = [layer for layer in (embedding, head) if hasattr(layer, "base_layer")]
    if head is None or not adapted or embedding.weight is not head.weight:
        return
    plain = getattr(head, "base_layer", head)
    plain.weight = torch.nn.Parameter(plain.weight.detach().clone(), requires_grad=False)
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = False


def _check_finite(model: torch.nn.Module) -> None:
    for name, tensor in model.named_parameters():
        if not torch.isfinite(tensor).all():
            raise WorkbenchError(
                Text(
                    "The merged model has numbers that are not finite ({name}).",
                    "合并后的模型含有非有限数值（{name}）。",
                ).with_(name=name),
                Text(
                    "The run diverged, or fp16 is too small for it: use an earlier checkpoint, or bf16 or fp32.",
                    "训练已发散，或 fp16 的数值范围不足：请使用更早的检查点，或选择 bf16、fp32。",
                ),
                code="not_finite",
            )


def _copy_weights(files: ModelFiles, target: Path, report: _Report) -> None:
    report(Text("Copying the model", "复制模型"))
    names = [path.name for path in files.weights]
    for name in ("config.json", "model.safetensors.index.json"):
        if contained(files.folder, name):
            names.append(name)
    for name in names:
        with (files.folder / name).open("rb") as source, (target / name).open("wb") as copy:
            while block := source.read(_COPY_BLOCK):
                report.check()
                copy.write(block)


def _copy_settings(base: Path, adapter: Path | None, target: Path, task: Task) -> None:
    """Tokenizer and template as they are, the ones that were trained with, else the base's; and where answers end."""
    own = adapter is not None and any(contained(adapter, name) for name in TOKENIZER_VOCABULARIES)
    source = Path(adapter) if own and adapter is not None else base
    for name in TOKENIZER_FILES:
        if contained(source, name):
            shutil.copyfile(source / name, target / name)
    if task == CAUSAL:
        write_with_ends(base, target, ending_of(load_tokenizer(target)).tokens)
