"""Presets: named, commented YAML files that hold a part of a `RunConfig`; what is absent keeps its default.

Two more top-level keys are for people: `title` and `about`, each `{en, zh}`. A run's `config.yaml` is read the same way.
"""

from __future__ import annotations

import copy
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from workbench.config.errors import WorkbenchError
from workbench.config.foreign import is_llama_factory, translated
from workbench.config.problems import short, suggestion
from workbench.config.reading import Damaged, read_text
from workbench.config.run import RunConfig, put
from workbench.config.text import Text, same, writable
from workbench.config.versions import KEY, VERSION, migrated

PRESETS = Path(__file__).resolve().parents[2] / "presets"

# Sections that hold lists are three levels; the rest is patience.
_MAX_DEPTH = 20
# What PyYAML lets through where a word looks like a number or a date and is none: `2024-13-45`, `!!bool maybe`.
_NO_VALUE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)


@dataclass(frozen=True)
class Preset:
    """A preset: its id (the file's stem), what people read, and the settings that it holds.

    `notes` is what to say of a file that another tool or an older version wrote: what of it is not used. `own` is one that a
    person keeps in their home.
    """

    id: str
    title: Text
    about: Text
    path: Path
    values: dict[str, Any]
    notes: tuple[Text, ...] = ()
    own: bool = False

    def config(self) -> RunConfig:
        """The whole checked config, defaults filled in."""
        return RunConfig.parse(self.values)


class _Loader(yaml.SafeLoader):
    """YAML as people write it, and no more of it than settings need.

    `3e-4` is a number (YAML 1.1 reads it as text unless it holds a dot). Aliases are refused: ten lines of them can
    stand for gigabytes.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node; refused where it is an alias or lies too deep for Python's stack."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or self._depth >= _MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, "an alias, or nested too deeply", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node; one that looks like a number or a date and is none gets its line."""
        try:
            return super().construct_object(node, deep)
        except _NO_VALUE as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back as the same: a name such as `1e5` is put in quotes."""


for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(
            r"^[-+]?(?:\d[\d_]*(?:\.\d*)?(?:[eE][-+]?\d+)|\d[\d_]*\.\d*|\.\d+|\.(?:nan|NaN|NAN)|[-+]?\.(?:inf|Inf|INF))$"
        ),
        list("-+0123456789."),
    )


def read_yaml(text: str, where: str) -> Any:
    """Parse YAML; a mistake is reported with its line.

    Raises:
        WorkbenchError: naming `where` and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        before = text[: getattr(error, "position", 0)]  # a character that YAML forbids has no mark
        line = mark.line + 1 if mark else before.count("\n") + 1
        raise WorkbenchError(
            Text("{file}, line {line}: this is no valid YAML", "{file} 第 {line} 行：不是有效的 YAML").with_(
                file=where, line=line
            ),
            Text(
                "Compare it with a preset: section, colon, indented keys.", "请对照预设的写法：分区名、冒号、缩进的键。"
            ),
            code="yaml",
        ) from None


def read_shipped_yaml(text: str, where: str) -> Any:
    """`read_yaml` for a long file of ours, several times as fast: without what strangers' files need guarding against.

    Raises:
        WorkbenchError: as `read_yaml`, which then looks for the line.
    """
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", _Loader))  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, RecursionError, *_NO_VALUE):
        return read_yaml(text, where)


@lru_cache(maxsize=64)
def _parsed(text: str, where: str) -> Any:
    """`read_yaml`, once for each text: the page reads all presets whenever it lists them."""
    return read_yaml(text, where)


def load_preset(path: Path) -> Preset:
    """Read one preset (or a run's `config.yaml`, or a file of LLaMA-Factory's) without checking its settings.

    Raises:
        WorkbenchError: the file cannot be read or holds no settings.
    """
    try:
        text = read_text(path)
    except Damaged as error:
        raise Damaged(
            path.name, error.why, Text("Check that it exists and is a text file.", "请确认文件存在且是文本文件。")
        ) from None
    return parse_preset(text, path)


def parse_preset(text: str, path: Path) -> Preset:
    """The same of a file's text; `path` names it.

    Raises:
        WorkbenchError: it is no YAML, or holds no settings.
    """
    values = copy.deepcopy(_parsed(text, path.name))
    if not isinstance(values, dict):
        raise WorkbenchError(
            Text("{file} holds no settings", "{file} 里没有设置项").with_(file=path.name),
            Text("It should begin with a section, for example 'model:'.", "应以分区开头，例如“model:”。"),
        )
    title, about = (_text(values.pop(key, None), path.stem) for key in ("title", "about"))
    values, notes = translated(values, path.name) if is_llama_factory(values) else migrated(values)
    return Preset(path.stem, title, about, path, values, notes)


def list_presets(folder: Path = PRESETS) -> list[Preset]:
    """All presets of a folder (searched through all its levels), those named `first-run...` first."""
    found = [load_preset(path) for path in folder.rglob("*.yaml") if "accelerate" not in path.parts]
    return sorted(found, key=lambda preset: (not preset.id.startswith("first-run"), preset.id))


def find_preset(name: str, folder: Path = PRESETS) -> Preset:
    """The preset with the id `name`.

    Raises:
        WorkbenchError: there is none; the hint names the nearest one.
    """
    presets = {preset.id: preset for preset in list_presets(folder)}
    if name not in presets:
        raise WorkbenchError(
            Text("there is no preset '{name}'", "没有名为“{name}”的预设").with_(name=name),
            suggestion(name, presets),
            code="no_preset",
        )
    return presets[name]


def with_overrides(values: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Apply `section.key=value` words of the command line; the value is read as YAML.

    Raises:
        WorkbenchError: a word without `=`.
    """
    merged = copy.deepcopy(values)
    for word in sorted(overrides, key=_kinds_first):
        path, equals, value = word.partition("=")
        if not equals:
            raise WorkbenchError(
                Text("'{word}' is no setting", "“{word}”不是设置").with_(word=word),
                Text(
                    "Write section.key=value, for example optimization.epochs=2.",
                    "请写成“分区.键=值”，例如 optimization.epochs=2。",
                ),
            )
        put(merged, path.strip(), _read_override(path.strip(), value))
    return merged


def _kinds_first(word: str) -> int:
    """A kind comes before the options that it has, in whichever order they are written; else it would drop them."""
    path = word.partition("=")[0].strip()
    return path.count(".") if path.endswith(".kind") else sys.maxsize


def _read_override(path: str, value: str) -> Any:
    try:
        return read_yaml(value, path)
    except WorkbenchError as error:
        raise WorkbenchError(
            Text("this value cannot be read: {value}", "无法读取这个值：{value}").with_(value=short(value)),
            Text(
                "Write it as a preset does; put a text with special signs into quotes.",
                "请按预设中的写法填写；含特殊符号的文本请加引号。",
            ),
            writable(path),
            code=error.code,
        ) from None


def dump(config: RunConfig) -> str:
    """The whole config as YAML, in the order of its declaration; `load_preset` reads it back."""
    return yaml.dump({KEY: VERSION, **config.values()}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def dump_preset(title: Text, about: Text, config: RunConfig) -> str:
    """A preset's YAML: all settings but the run's name, so that another default later changes nothing of it."""
    values = config.values()
    values["output"].pop("name")
    head = {KEY: VERSION, "title": title.as_dict(), "about": about.as_dict()}
    kept = {section: inner for section, inner in values.items() if inner}
    return yaml.dump({**head, **kept}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _text(value: Any, fallback: str) -> Text:
    if isinstance(value, dict) and isinstance(value.get("en"), str) and isinstance(value.get("zh"), str):
        return Text(value["en"], value["zh"])
    return same(value if isinstance(value, str) else fallback)
