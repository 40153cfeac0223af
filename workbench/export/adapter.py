"""An adapter as one zip file that works elsewhere in plain transformers and peft.

The zip holds the adapter's weights and configuration, the tokenizer that it was trained with, the settings of answers with
all the tokens that end one, and a README.md. The same
adapter always gives the same bytes. Nothing in it names a folder of this computer. Needs no torch.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import zipfile
from pathlib import Path

from workbench.config.disk import disk_full, free_bytes
from workbench.export.card import portable_name, write_card
from workbench.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter
from workbench.models.files import TOKENIZER_FILES, TOKENIZER_VOCABULARIES, contained, read_json_object
from workbench.models.generation_settings import FILE as GENERATION
from workbench.models.labels import FILE as LABELS

_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold; a real time would make every zip different
_LARGE = 1 << 31  # bytes; from here on an entry needs the zip64 form


def zip_adapter(adapter_folder: Path, destination: Path, card: str | None, *, base_model: str | None = None) -> Path:
    """Write the adapter in `adapter_folder` as the zip file `destination`, replacing an older one.

    Args:
        adapter_folder: a folder that `check_adapter` accepts.
        destination: the zip file; it appears complete or not at all.
        card: the README.md; a short one is written where it is None.
        base_model: the base model's id for adapter_config.json; default: what the file says, without its folder.
    """
    adapter_folder, destination = Path(adapter_folder), Path(destination)
    files = check_adapter(adapter_folder)
    names = [name for name in (*TOKENIZER_FILES, GENERATION, LABELS) if contained(adapter_folder, name)]
    base = portable_name(base_model or files.base_model or "base")
    if card is None:
        inside = {"tokenizer_inside": _has_tokenizer(names), "settings_inside": GENERATION in names}
        card = write_card(base=base, chat=_has_template(adapter_folder, names), **inside)
    _check_disk(destination, sum((adapter_folder / name).stat().st_size for name in [ADAPTER_WEIGHTS, *names]))
    config = read_json_object(adapter_folder / ADAPTER_CONFIG)
    config["base_model_name_or_path"] = base
    texts = {ADAPTER_CONFIG: json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "README.md": card}
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w") as archive:
            for name in sorted([ADAPTER_WEIGHTS, *names, *texts]):
                if name in texts:
                    archive.writestr(_entry(name), texts[name].encode("utf-8"))
                else:
                    _add_file(archive, adapter_folder / name)
        os.replace(temporary, destination)
    finally:
        temporary.unlink(missing_ok=True)
    return destination


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.create_system = 3  # Unix, on every system
    entry.external_attr = 0o644 << 16
    # Weights don't get smaller; text does.
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(".safetensors") else zipfile.ZIP_DEFLATED
    return entry


def _add_file(archive: zipfile.ZipFile, path: Path) -> None:
    entry = _entry(path.name)
    large = path.stat().st_size >= _LARGE
    with path.open("rb") as source, archive.open(entry, "w", force_zip64=large) as target:
        shutil.copyfileobj(source, target, 1 << 20)


def _has_tokenizer(names: list[str]) -> bool:
    return any(name in TOKENIZER_VOCABULARIES for name in names)


def _has_template(folder: Path, names: list[str]) -> bool:
    if "chat_template.jinja" in names:
        return True
    settings = read_json_object(folder / "tokenizer_config.json") if "tokenizer_config.json" in names else {}
    # Without a tokenizer of its own the base's is used, which for a tuned model is nearly always one for chat.
    return bool(settings.get("chat_template")) or not _has_tokenizer(names)


def _check_disk(destination: Path, needed: int) -> None:
    folder = next(parent for parent in destination.absolute().parents if parent.is_dir())
    check_free_disk(folder, needed)


def check_free_disk(folder: Path, needed: int) -> None:
    """Raise a WorkbenchError (`disk_full`) unless `needed` bytes fit beside what is on `folder`'s disk."""
    if free_bytes(folder) < needed:
        raise disk_full(folder, needed)
