"""A run that is being made up: its settings, and which of them a person set.

The form, the presets, the data set and the model all write into one nested dictionary (the shape of `RunConfig`). A draft
keeps beside what stands there what the workbench filled in, and because of what. What differs is a person's, so nobody has to
guess it from what presets say; it survives any choice of data, model or preset, until that person takes it back. Knows no page
and no engine; `drafts.py` keeps one for each visitor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig, alike, family_at, put
from workbench.config.text import Text
from workbench.config.versions import migrated

MODEL, DATA, KIND = "model.base", "data.train", "method.kind"
DEFAULT, PRESET, FOR_MODEL, FOR_DATA, FOR_MACHINE, PERSON = "default", "preset", "model", "data", "machine", "person"
SOURCES = {
    DEFAULT: Text("usual", "默认"),
    PRESET: Text("from the preset", "来自预设"),
    FOR_MODEL: Text("fitted to the model", "按模型调整"),
    FOR_DATA: Text("fitted to the data", "按数据调整"),
    FOR_MACHINE: Text("fitted to this computer", "按这台电脑调整"),
    PERSON: Text("set by you", "你设置的"),
}
"""Who set a value, in words."""

Nested = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Draft:
    """A run before its start.

    Args:
        preset: id of the preset that was chosen last.
        values: the settings as they stand, unchecked.
        filled: the settings as the workbench filled them in, for this preset, data set and model.
        picked: what a person chose at `MODEL` and `DATA`, kept apart because a preset may say the same.
        sources: why what was filled in stands there, by path: a preset, the model or the data says so; else it is usual.
        moved: paths of the settings that the last choice of a preset, model or data set changed by itself.
    """

    preset: str
    values: Nested
    filled: Nested
    picked: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    moved: tuple[str, ...] = field(default=(), compare=False)

    def who(self, path: str) -> str:
        """Who set the value at a path: one of `SOURCES`."""
        section, _, name = path.partition(".")
        if path in self.picked or self.value(path) != self._filled_in(section).get(name):
            return PERSON
        stays = name in self.filled.get(section, {})  # else it is another variant's
        return self.sources.get(path, DEFAULT) if stays else DEFAULT

    def own(self) -> list[str]:
        """Paths of the settings that a person set, in the order in which they stand."""
        found = []
        for section, inner in self.values.items():
            before = self._filled_in(section)
            found += [f"{section}.{name}" for name, value in inner.items() if value != before.get(name)]
        return found

    def _filled_in(self, section: str) -> dict[str, Any]:
        """What the workbench filled into a section, as its variant that was chosen since would have it."""
        filled, kind = self.filled.get(section, {}), self.values.get(section, {}).get("kind")
        base = family_at([section])
        if base is None or kind == filled.get("kind"):
            return filled
        before, now = base.of(filled.get("kind")), base.of(kind)
        shared = {name: value for name, value in filled.items() if alike(before, now, name)}
        return {**(now().model_dump(mode="json") if now is not None else {}), **shared, "kind": filled.get("kind")}

    def value(self, path: str) -> Any:
        """What stands at a path; None when nothing does."""
        section, _, name = path.partition(".")
        return self.values.get(section, {}).get(name)

    def picks(self, path: str, value: str) -> Draft:
        """The draft after a person chose a model or a data set."""
        values = copied(self.values)
        put(values, path, value)
        return replace(self, values=values, picked={**self.picked, path: value})

    def edited(self, before: Nested, now: Nested) -> Draft:
        """The draft after a form that showed `before` was changed to `now`; what does not differ stays as it stands."""
        values = copied(self.values)
        for section, inner in now.items():
            here, old = values.setdefault(section, {}), before.get(section, {})
            if inner.get("kind") != old.get("kind"):
                values[section] = dict(inner)
                continue
            for name in old.keys() - inner.keys():  # it no longer counts
                here.pop(name, None)
            here.update({name: value for name, value in inner.items() if name not in old or value != old[name]})
        return self if values == self.values else replace(self, values=values)

    def undone(self, paths: Iterable[str]) -> Draft:
        """The draft with what was filled in at these paths, whatever a person wrote there; a section is named by `section.`."""
        values, picked = copied(self.values), dict(self.picked)
        given = set(paths)
        for path in sorted(self.own(), key=lambda path: not path.endswith(".kind")):
            section, _, name = path.partition(".")
            if path not in given and f"{section}." not in given:
                continue
            picked.pop(path, None)
            if name == "kind":
                values[section] = self._as_filled(section)
            elif name in values[section]:  # else it went with its variant
                stays = values[section].get("kind") == self.values[section].get("kind")
                values[section][name] = (self._filled_in(section) if stays else self.filled[section]).get(name)
        return replace(self, values=values, picked=picked)

    def _as_filled(self, section: str) -> dict[str, Any]:
        """A section with the variant that was filled in, and a person's own options as far as it has them, too."""
        values, base = dict(self.filled.get(section, {})), family_at([section])
        for path in self.own():
            there, _, name = path.partition(".")
            kinds = self.value(f"{section}.kind"), values.get("kind")
            if there == section and base is not None and alike(base.of(kinds[0]), base.of(kinds[1]), name):
                values[name] = self.value(path)
        return values

    def settled(self, path: str, value: str) -> bool:
        """Whether the draft was filled in for this model or data set already."""
        section, _, name = path.partition(".")
        return value == self.value(path) == self.picked.get(path, self.filled.get(section, {}).get(name))

    def refilled(
        self, preset: str, filled: Nested, keep: Iterable[str], sources: Mapping[str, str] | None = None
    ) -> Draft:
        """The draft with other values filled in, over which those at the paths `keep` stay as they stand.

        Options of a variant stay only where it stays, or where the other one has them, too.
        """
        values, keep = copied(filled), [*keep]
        for path in sorted(keep, key=lambda path: not path.endswith(".kind")):
            section, _, name = path.partition(".")
            base, kinds = family_at([section]), (self.value(f"{section}.kind"), values.get(section, {}).get("kind"))
            if base is None or name == "kind" or alike(base.of(kinds[0]), base.of(kinds[1]), name):
                put(values, path, self.value(path))
        given, before = set(keep), self.values
        moved = tuple(
            f"{section}.{name}"
            for section, inner in values.items()
            for name, value in inner.items()
            if f"{section}.{name}" not in given and name in before.get(section, {}) and value != before[section][name]
        )
        return Draft(preset, values, filled, self.picked, dict(sources or {}), moved)

    def as_dict(self) -> dict[str, Any]:
        """What the home keeps."""
        return asdict(self)

    @classmethod
    def parse(cls, kept: Any) -> Draft | None:
        """What `as_dict` gave, after it came back from outside; None when it is no draft of this version.

        A value that is wrong stays: whoever typed it is told at its field, now as before.
        """
        if not isinstance(kept, dict) or not isinstance(picked := kept.get("picked"), dict):
            return None
        try:
            filled = RunConfig.parse(migrated(kept["filled"])[0]).values()
            values = _as_typed(migrated(kept["values"])[0], filled)
        except (WorkbenchError, LookupError, TypeError, AttributeError):
            return None
        known = {path: str(picked[path]) for path in (MODEL, DATA) if path in picked}
        told = kept.get("sources")
        sources = {str(path): who for path, who in told.items() if who in SOURCES} if isinstance(told, dict) else {}
        moved = kept.get("moved")
        paths = tuple(str(path) for path in moved) if isinstance(moved, list | tuple) else ()
        return cls(str(kept.get("preset", "")), values, filled, known, sources, paths)


def _as_typed(given: Nested, filled: Nested) -> Nested:
    """Settings as a form may hold them: what is right, and what is wrong but of the kind that its field takes."""
    try:
        return RunConfig.parse(given).values()
    except WorkbenchError:
        values = copied(filled)
    leaves = [(section, name) for section, inner in given.items() for name in inner if filled[section] is not None]
    for section, name in sorted(leaves, key=lambda leaf: leaf[1] != "kind"):
        value, before, trial = given[section][name], filled[section].get(name), copied(values)
        put(trial, f"{section}.{name}", value)
        try:
            RunConfig.parse({section: trial[section]})
        except WorkbenchError:
            numbers = type(value) in (int, float) and (before is None or type(before) in (int, float))
            if not numbers and not (isinstance(value, str) and isinstance(before, str)):
                continue
        values = trial
    return values


def copied(nested: Nested) -> Nested:
    """A copy that can be changed section by section."""
    return {section: dict(inner) for section, inner in nested.items()}
