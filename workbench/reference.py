"""Writes `docs/settings.md`, the list of all settings, from their declarations: `python -m workbench.reference`."""

from __future__ import annotations

from pathlib import Path

from workbench.config.fields import Setting, knobs
from workbench.config.run import RunConfig
from workbench.methods import METHODS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"


def render() -> str:
    """The page, in both languages."""
    parts = [
        "# Settings / 设置项",
        "Made by `python -m workbench.reference`; do not edit. Keys are the ones of presets, of `config.yaml` and of the "
        "command line (`section.key=value`).",
    ]
    section = ""
    for setting in knobs(RunConfig):
        head = setting.path.partition(".")[0]
        if head == "method":
            continue
        if head != section:
            section = head
            parts.append(f"## {head}")
        parts.append(_entry(setting.path, setting))
    for method in METHODS.values():
        parts.append(
            f"## method: {method.kind}\n\n{method.label.en}. {method.help.en}\n\n{method.label.zh}。{method.help.zh}"
        )
        parts += [_entry(f"method.{one.path}", one) for one in knobs(method.Options) if one.path != "kind"]
    return "\n\n".join(parts) + "\n"


def _entry(path: str, setting: Setting) -> str:
    knob = setting.knob
    facts = [f"default `{setting.default}`" if setting.default not in ("", None, []) else "default empty"]
    if setting.minimum is not None:
        facts.append(f"from {setting.minimum:g}")
    if setting.maximum is not None:
        facts.append(f"up to {setting.maximum:g}")
    if knob.unit:
        facts.append(f"{knob.unit.en} / {knob.unit.zh}")
    if setting.choices:
        facts.append(", ".join(f"`{value}`" for value, _ in setting.choices))
    if knob.also:
        facts.append("elsewhere " + ", ".join(f"`{name}`" for name in knob.also))
    return f"**`{path}`** {knob.label.en} / {knob.label.zh} ({'; '.join(facts)})\n\n{knob.help.en}\n\n{knob.help.zh}"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
