"""Where a base model's folder came from, and under which licence: as its download's record or its card say it.

Both are somebody else's words. They are read strictly, and what is not as it should be counts as not said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.reading import Damaged, read_text
from workbench.models.reading import contained, read_json_object

HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}", re.ASCII)
# The ones that the Hub knows by a short name; a card with any other is refused there. See
# https://huggingface.co/docs/hub/repositories-licenses.
LICENCES = frozenset(
    """apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
    lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0
    openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma""".split()
)
_CARD, _RECORD = "README.md", "download.json"
_CARD_BYTES, _HEAD_BYTES = 1_000_000, 20_000
_LONGEST = 80  # characters of a licence's name


@dataclass(frozen=True)
class Origin:
    """What is known of a model's folder.

    Attributes:
        repo_id: its name on the Hub; "" where it is not known or is another server's.
        licence: by its short name or its own; "" where it is not known.
    """

    repo_id: str = ""
    licence: str = ""


def read_origin(folder: Path) -> Origin:
    """Name and licence of a model; empty where nothing says them."""
    record = _record(folder)
    repo_id = record.get("repo_id") if record.get("kind") in ("huggingface", "mirror") else None
    known = isinstance(repo_id, str) and HUB_NAME.fullmatch(repo_id)
    return Origin(str(repo_id) if known else "", _name(record.get("licence")) or _of_card(folder))


def _record(folder: Path) -> dict[str, Any]:
    try:
        return read_json_object(folder / _RECORD) if contained(folder, _RECORD) else {}
    except (WorkbenchError, OSError):
        return {}


def _of_card(folder: Path) -> str:
    """The licence in the head of a card."""
    import yaml

    try:
        text = read_text(folder / _CARD, _CARD_BYTES) if contained(folder, _CARD) else ""
        lines = text[:_HEAD_BYTES].splitlines()
        if not lines or lines[0].strip() != "---":
            return ""
        end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
        # Only the lines that are asked for: the rest may be anything.
        wanted = [line for line in lines[1:end] if line.startswith(("license:", "license_name:"))]
        head = yaml.safe_load("\n".join(wanted))
    except (Damaged, WorkbenchError, OSError, yaml.YAMLError, RecursionError, ValueError):
        return ""
    if not isinstance(head, dict):
        return ""
    licence = _name(head.get("license"))
    return _name(head.get("license_name")) or licence if licence in ("", "other") else licence


def _name(value: Any) -> str:
    good = isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST
    return str(value).strip() if good else ""
