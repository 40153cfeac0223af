"""Whether a base model is still the one that a run began with. Reads little, so that it costs nothing to ask."""

from __future__ import annotations

import hashlib
from pathlib import Path

from workbench.models.files import TOKENIZER_FILES, check_folder

SAMPLES = 16  # places of a weight file that are read
SAMPLE_BYTES = 64 * 1024


def fingerprint(folder: Path) -> str:
    """SHA-256 over configuration, tokenizer, and the size and evenly spaced pieces of each weight file.

    Another training of the same architecture changes every tensor, so the pieces show it; a single number that was edited
    between them is not seen. The same files elsewhere have the same fingerprint.

    Raises:
        WorkbenchError: the folder is no usable model.
    """
    found = hashlib.sha256()
    for name in sorted(("config.json", *TOKENIZER_FILES)):
        path = folder / name
        if path.is_file():
            found.update(f"{name} {path.stat().st_size}\n".encode())
            found.update(path.read_bytes())
    for path in sorted(check_folder(folder).weights):
        size = path.stat().st_size
        found.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for number in range(SAMPLES):
                file.seek(max(size - SAMPLE_BYTES, 0) * number // (SAMPLES - 1))
                found.update(file.read(SAMPLE_BYTES))
    return found.hexdigest()
