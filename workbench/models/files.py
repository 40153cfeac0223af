"""What lies in a model's folder, read without torch and without trusting it.

Everything here only reads JSON and the headers of safetensors files. A folder that passes `check_folder` names no code
of its own, keeps its weights in whole safetensors files, is of an architecture that transformers knows, and does not
reach outside itself by links or file names. Whether a tokenizer that is not cut off can be read, which takes longer, is
asked by `tokenizer_file.check_tokenizer`.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from workbench.config.errors import WorkbenchError
from workbench.config.reading import Count, Damaged, opened, parse_json
from workbench.config.text import Text
from workbench.models.config_file import check_config, refuse_code
from workbench.models.config_sizes import check_sizes
from workbench.models.reading import (
    contained,
    damaged,
    model_error,
    read_json_object,
    refuse_huge_numbers,
    unreadable,
)

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
TOKENIZER_VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
)
TOKENIZER_FILES = (
    *TOKENIZER_VOCABULARIES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
)
TRAINING_DTYPES = {"F32": "fp32", "BF16": "bf16", "F16": "fp16", "F64": "fp64"}

# Read by libraries when the model is loaded; absent in many folders. What stands in generation_config.json is nobody's harm:
# see `generation_settings`.
_SMALL_FILES = ("special_tokens_map.json", "added_tokens.json")
_HEADER_LIMIT = 100_000_000  # bytes; the safetensors library's own cap
_END_BYTES = 1024


@dataclass(frozen=True)
class ModelFiles:
    """What was found in a sound model folder."""

    folder: Path
    config: dict[str, Any]
    weights: tuple[Path, ...]
    parameters: int
    tensors: int
    bytes: int  # of the weight files
    dtype: str  # fp32, bf16, fp16, ... : the one that most parameters have
    has_template: bool


@dataclass(frozen=True)
class TensorHeader:
    """One tensor of a safetensors file: its name, type and shape, without its numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", math.prod(self.shape))


class _Entry(TypedDict):
    """What the header says of one tensor."""

    dtype: str
    shape: list[Count]
    data_offsets: Annotated[list[Count], Field(min_length=2, max_length=2)]


_ENTRIES = TypeAdapter(dict[str, _Entry])


def read_tensor_headers(path: Path) -> list[TensorHeader]:
    """Names, types and shapes in a safetensors file; a WorkbenchError when the file is cut off or no such file.

    The format: 8 bytes little-endian length, that many bytes of JSON, then the data.
    """
    try:
        size, raw = opened(path, _size_and_header)
    except Damaged as error:
        raise unreadable(path, error) from error
    try:
        header = parse_json(raw or b"", path.name)
        if isinstance(header, dict):
            header.pop("__metadata__", None)
        entries = _ENTRIES.validate_python(header, strict=True)
    except (Damaged, ValidationError) as error:
        raise damaged(path) from error
    end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    if raw is None or 8 + len(raw) + end != size or not entries:
        raise damaged(path)
    return [TensorHeader(name, entry["dtype"], tuple(entry["shape"])) for name, entry in entries.items()]


def _size_and_header(file: IO[bytes]) -> tuple[int, bytes | None]:
    """A safetensors file's size and the JSON at its beginning; None where it is shorter than that says."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    return size, file.read(length) if length <= min(_HEADER_LIMIT, size - 8) else None


def check_folder(folder: Path | str) -> ModelFiles:
    """Look into a model's folder and say what is in it, or what is wrong with it.

    Errors (`code`): not_a_folder, adapter_folder, invalid_json, outside_folder, those of `check_config`, no_safetensors,
    missing_shard, damaged_weights, no_tokenizer, broken_tokenizer, unreadable.
    """
    try:
        return _look_into(Path(folder))
    except OSError as error:  # a file that this user may not read, a disk that fails
        raise unreadable(Path(error.filename or folder), error) from error


def _look_into(folder: Path) -> ModelFiles:
    if not folder.is_dir():
        raise model_error(
            Text("There is no folder {folder}.", "文件夹 {folder} 不存在。").with_(folder=str(folder)),
            Text("Choose the folder that holds config.json.", "请选择包含 config.json 的文件夹。"),
            code="not_a_folder",
        )
    if contained(folder, "adapter_config.json"):
        # transformers would load that adapter on its own, and the base model that the adapter names.
        raise model_error(
            Text("{folder} holds an adapter, not a base model.", "{folder} 中是适配器，不是基座模型。").with_(
                folder=folder.name
            ),
            Text("Choose the base model that it was trained on.", "请选择训练该适配器时使用的基座模型。"),
            code="adapter_folder",
        )
    config_path = contained(folder, "config.json")
    if config_path is None:
        raise model_error(
            Text("{folder} has no config.json.", "{folder} 中没有 config.json。").with_(folder=folder.name),
            Text("Choose the folder of a transformers model.", "请选择 transformers 模型所在的文件夹。"),
            code="no_config",
        )
    config = read_json_object(config_path)
    check_config(config, config_path.name)
    weights = _find_weights(folder)
    headers = [tensor for path, names in weights.items() for tensor in _check_shard(path, names)]
    check_sizes(config, ((tensor.name, tensor.shape) for tensor in headers), config_path.name)
    has_template = check_small_files(folder)
    counts: dict[str, int] = {}
    for tensor in headers:
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.count
    most = max(counts, key=lambda name: counts[name])
    return ModelFiles(
        folder=folder,
        config=config,
        weights=tuple(weights),
        parameters=sum(counts.values()),
        tensors=len(headers),
        bytes=sum(path.stat().st_size for path in weights),
        dtype=TRAINING_DTYPES.get(most, most.lower()),
        has_template=has_template,
    )


def check_small_files(folder: Path) -> bool:
    """Look into what a model has beside its weights and config.json; whether it brings a chat template.

    For a download, which is refused before its gigabytes come. Errors (`code`): as of `check_folder`.
    """
    for name in _SMALL_FILES:
        if small := contained(folder, name):
            refuse_huge_numbers(read_json_object(small), name)
    return _check_tokenizer(folder)


def promised_weights(index_path: Path) -> dict[str, set[str]]:
    """The weight files that an index names, each with its tensors. Errors (`code`): invalid_json."""
    mapping = read_json_object(index_path).get("weight_map")
    if not isinstance(mapping, dict) or not mapping or not all(isinstance(file, str) for file in mapping.values()):
        raise model_error(
            Text("{file} has no weight_map.", "{file} 中没有 weight_map。").with_(file=index_path.name),
            Text("Download or copy the folder again.", "请重新下载或复制该文件夹。"),
            code="invalid_json",
        )
    names: dict[str, set[str]] = {}
    for tensor, file in mapping.items():
        names.setdefault(file, set()).add(tensor)
    return names


def _find_weights(folder: Path) -> dict[Path, set[str] | None]:
    """Weight files, each with the tensors that the index promises in it (None: no index)."""
    single = contained(folder, WEIGHTS)
    if single:
        return {single: None}
    index_path = contained(folder, WEIGHTS_INDEX)
    if index_path is None:
        raise _no_safetensors(folder)
    names = promised_weights(index_path)
    found = {file: contained(folder, file) for file in sorted(names)}
    missing = [file for file, path in found.items() if path is None]
    if missing:
        raise model_error(
            Text(
                "{count} of {total} weight files are missing, the first is {file}.",
                "共 {total} 个权重文件，缺少 {count} 个，第一个是 {file}。",
            ).with_(count=len(missing), total=len(found), file=missing[0]),
            Text("Download or copy the missing files.", "请下载或复制缺少的文件。"),
            code="missing_shard",
        )
    return {path: names[file] for file, path in found.items() if path is not None}


def _check_shard(path: Path, promised: set[str] | None) -> list[TensorHeader]:
    tensors = read_tensor_headers(path)
    if promised is not None and not promised <= {tensor.name for tensor in tensors}:
        raise damaged(path)
    return tensors


def _check_tokenizer(folder: Path) -> bool:
    """Make sure that there is a tokenizer that is not cut off; tell whether it brings a chat template."""
    vocabularies = [path for name in TOKENIZER_VOCABULARIES if (path := contained(folder, name))]
    if not vocabularies:
        raise model_error(
            Text("{folder} has no tokenizer.", "{folder} 中没有分词器文件。").with_(folder=folder.name),
            Text(
                "Copy the tokenizer's files (tokenizer.json) into the folder.",
                "请把分词器文件（tokenizer.json）复制到该文件夹。",
            ),
            code="no_tokenizer",
        )
    if _cut_off(vocabularies[0]):  # the one that transformers reads
        raise damaged(vocabularies[0], code="broken_tokenizer")
    path = contained(folder, "tokenizer_config.json")
    settings = read_json_object(path) if path else {}
    refuse_code({"auto_map": settings.get("auto_map")}, "tokenizer_config.json")
    refuse_huge_numbers(settings, "tokenizer_config.json")
    return bool(contained(folder, "chat_template.jinja") or settings.get("chat_template"))


def _cut_off(path: Path) -> bool:
    """Whether a file is empty, or is to be JSON and does not begin and end like an object. Reads its ends alone."""
    with path.open("rb") as file:
        start = file.read(_END_BYTES).strip()
        file.seek(max(path.stat().st_size - _END_BYTES, 0))
        end = file.read().strip()
    return not start or (path.suffix == ".json" and not (start.startswith(b"{") and end.endswith(b"}")))


def _no_safetensors(folder: Path) -> WorkbenchError:
    names = [path.name for path in folder.iterdir()]
    if any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names):
        return model_error(
            Text(
                "{folder} keeps its weights in pickle files (.bin, .pt), which can carry programs and are not loaded.",
                "{folder} 的权重是 pickle 文件（.bin、.pt），可能夹带程序，因此不予加载。",
            ).with_(folder=folder.name),
            Text("Choose a copy in safetensors format.", "请选择 safetensors 格式的版本。"),
            code="no_safetensors",
        )
    return model_error(
        Text("{folder} has no weights in safetensors format.", "{folder} 中没有 safetensors 格式的权重。").with_(
            folder=folder.name
        ),
        Text("Download or copy the folder again.", "请重新下载或复制该文件夹。"),
        code="no_safetensors",
    )
