"""A run that is being made up: its settings, and which of them a person set.

The form, the presets, the data set and the model all write into one nested dictionary (the shape of `RunConfig`). A draft
keeps beside what stands there what the workbench filled in. What differs is a person's, so nobody has to guess it from
what presets say; it survives a choice of data or model, and of another preset as far as it is what the run is about. Knows
no page and no engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig, alike, family_at, put
from workbench.config.versions import migrated

MODEL, DATA, KIND = "model.base", "data.train", "method.kind"
SUBJECT = (MODEL, DATA, "data.eval", "evaluation.questions", "output.name")
"""What a run is about; everything else is the recipe, which another preset replaces."""

Nested = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Draft:
    """A run before its start.

    Args:
        preset: id of the preset that was chosen last.
        values: the settings as they stand, unchecked.
        filled: the settings as the workbench filled them in, for this preset, data set and model.
        picked: what a person chose at `MODEL` and `DATA`, kept apart because a preset may say the same.
    """

    preset: str
    values: Nested
    filled: Nested
    picked: dict[str, str] = field(default_factory=dict)

    def own(self) -> list[str]:
        """Paths of the settings that a person set, in the order in which they stand."""
        found = []
        for section, inner in self.values.items():
            before = self._filled_in(section)
            found += [f"{section}.{name}" for name, value in inner.items() if value != before.get(name)]
        return found

    def _filled_in(self, section: str) -> dict[str, Any]:
        """What the workbench filled into a section, as its variant that was chosen since would have it."""
        filled, kind = self.filled.get(section, {}), self.values[section].get("kind")
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

    def settled(self, path: str, value: str) -> bool:
        """Whether the draft was filled in for this model or data set already."""
        section, _, name = path.partition(".")
        return value == self.value(path) == self.picked.get(path, self.filled.get(section, {}).get(name))

    def refilled(self, preset: str, filled: Nested, keep: Iterable[str]) -> Draft:
        """The draft with other values filled in, over which those at the paths `keep` stay as they stand.

        Options of a variant stay only where it stays, or where the other one has them, too.
        """
        values = copied(filled)
        for path in sorted(keep, key=lambda path: not path.endswith(".kind")):
            section, _, name = path.partition(".")
            base, kinds = family_at([section]), (self.value(f"{section}.kind"), values.get(section, {}).get("kind"))
            if base is None or name == "kind" or alike(base.of(kinds[0]), base.of(kinds[1]), name):
                put(values, path, self.value(path))
        return Draft(preset, values, filled, self.picked)

    def as_dict(self) -> dict[str, Any]:
        """What the browser remembers."""
        return {"preset": self.preset, "values": self.values, "filled": self.filled, "picked": self.picked}

    @classmethod
    def parse(cls, kept: Any) -> Draft | None:
        """What `as_dict` gave, after it came back from outside; None when it is no draft of this version."""
        if not isinstance(kept, dict) or not isinstance(picked := kept.get("picked"), dict):
            return None
        try:
            values, filled = (RunConfig.parse(migrated(kept[name])[0]).values() for name in ("values", "filled"))
        except (WorkbenchError, LookupError, TypeError, AttributeError):
            return None
        known = {path: str(picked[path]) for path in (MODEL, DATA) if path in picked}
        return cls(str(kept.get("preset", "")), values, filled, known)


def copied(nested: Nested) -> Nested:
    """A copy that can be changed section by section."""
    return {section: dict(inner) for section, inner in nested.items()}
