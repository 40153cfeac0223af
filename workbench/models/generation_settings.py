"""What a model's generation_config.json asks for: which of it answers follow here, and the ends that exports carry.

The file is a stranger's, and many of its settings need more than one conversation with one model (beams, a second model) or
values that nobody checks. Only those whose meaning and bounds are known here are used; the others are named. How long an
answer is and how its words are chosen is the person's choice, so what the file says about that is not asked for.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, listed
from workbench.models.reading import contained, read_json_object

FILE = "generation_config.json"

_MOST_TOKENS = 1 << 20  # of a list, and as an id: larger than any vocabulary
_NAMED = 6


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST_TOKENS


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and len(value) < _MOST_TOKENS and all(_is_id(item) for item in value)


# What answers follow, each with what it may be.
_USED: dict[str, Callable[[Any], bool]] = {
    "bos_token_id": _is_id,
    "eos_token_id": lambda value: _is_id(value) or (_are_ids(value) and bool(value)),
    "pad_token_id": _is_id,
    "repetition_penalty": lambda value: type(value) in (int, float) and 0.01 <= value <= 100,
    "no_repeat_ngram_size": lambda value: type(value) is int and 0 <= value <= 1000,
}
_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
# What the person chooses, and what is about the file or about speed alone.
_NOT_ASKED_FOR = frozenset(
    {"do_sample", "temperature", "top_p", "top_k", "min_p", "max_length", "max_new_tokens", "transformers_version"}
    | {"decoder_start_token_id", "use_cache", "cache_implementation", "trust_remote_code", "return_dict_in_generate"}
)
# The library's own values: what says so asks for nothing.
_USUAL = {"num_beams": 1, "num_beam_groups": 1, "num_return_sequences": 1, "typical_p": 1, "length_penalty": 1}


@dataclass(frozen=True)
class GenerationSettings:
    """What answers of a model follow.

    Args:
        used: for `transformers.GenerationConfig`.
        left_out: names of the settings that are not used.
        damage: why the file cannot be read, if so.
    """

    used: dict[str, Any]
    left_out: tuple[str, ...] = ()
    damage: Text | None = None

    def notice(self) -> Text | None:
        """What people should know before they read an answer; None where the file asks for nothing else."""
        if self.damage is not None:
            return Text(
                "Answers here do not follow this model's {file}: {why}",
                "这里的回答不会采用此模型的 {file}：{why}",
            ).with_(file=FILE, why=self.damage)
        if not self.left_out:
            return None
        names = self.left_out[:_NAMED]
        text = Text(
            "Answers here do not follow these settings of the model's {file}: {names}.",
            "这里的回答不会采用此模型 {file} 中的这些设置：{names}。",
        )
        if len(self.left_out) > len(names):
            text = Text(
                "Answers here do not follow these settings of the model's {file}: {names} and {n} more.",
                "这里的回答不会采用此模型 {file} 中的这些设置：{names} 等，另有 {n} 项。",
            )
        return text.with_(file=FILE, names=listed(names), n=len(self.left_out) - len(names))


def read_generation_settings(folder: Path | str) -> GenerationSettings:
    """What the model in `folder` asks for. Whatever stands in its file, nothing is raised."""
    try:
        values, damage = _values(Path(folder)), None
    except WorkbenchError as error:
        values, damage = _from_model(Path(folder)), error.message
    used, left_out = {}, []
    for key, value in values.items():
        if key in _USED and value is not None:
            if _USED[key](value):
                used[key] = value
            else:
                left_out.append(key)
        elif not (key in _USED or key in _NOT_ASKED_FOR or key.startswith("_") or _asks_for_nothing(key, value)):
            left_out.append(key)
    return GenerationSettings(used, tuple(sorted(name[:60] for name in left_out)), damage)


def write_with_ends(source: Path, target: Path, ends: Iterable[int]) -> None:
    """Put the generation settings of the model in `source` into the folder `target`, with all the tokens that end an answer.

    A file that names them all already is copied as it is; one that cannot be read is left behind.
    """
    try:
        values = _values(source)
    except WorkbenchError:
        values = _from_model(source)
    own = values.get("eos_token_id")
    named = own if _are_ids(own) else [own] if _is_id(own) else []
    every = list(dict.fromkeys([*named, *ends]))
    path = contained(source, FILE)
    if path is not None and len(every) == len(set(named)) and read_generation_settings(source).damage is None:
        if source != target:
            shutil.copyfile(path, target / FILE)
        return
    values = {key: value for key, value in values.items() if key != "eos_token_id"}
    if every:
        values["eos_token_id"] = every if len(every) > 1 else every[0]
    (target / FILE).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _values(folder: Path) -> dict[str, Any]:
    """The file's settings; without one, what config.json says of tokens.

    Raises:
        WorkbenchError: it is there and cannot be read.
    """
    path = contained(folder, FILE)
    return read_json_object(path) if path is not None else _from_model(folder)


def _from_model(folder: Path) -> dict[str, Any]:
    try:
        path = contained(folder, "config.json")
        config = read_json_object(path) if path is not None else {}
    except WorkbenchError:
        return {}
    inner = config.get("text_config")
    found = {**(inner if isinstance(inner, dict) else {}), **{k: v for k, v in config.items() if v is not None}}
    return {key: found[key] for key in _IDS if key in found and _USED[key](found[key])}


def _asks_for_nothing(key: str, value: Any) -> bool:
    """Whether a setting is empty, off, or what the library does anyway."""
    return value in (None, False, 0, "", [], {}) or (not isinstance(value, bool) and _USUAL.get(key) == value)
