"""Writes `docs/settings.md`, the list of all settings, from their declarations: `python -m workbench.reference`."""

from __future__ import annotations

from pathlib import Path

import workbench.methods  # noqa: F401 - makes methods and adapters known
from workbench.config.fields import Setting, knobs, variant_knobs
from workbench.config.run import RunConfig, family_at
from workbench.config.variants import Kind

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
        if head != section:
            section = head
            parts.append(f"## {head}")
        parts.append(_entry(setting))
        base = setting.rows or (family_at([head]) if setting.path == f"{head}.kind" else None)
        parts += [_kind(kind, one) for kind, one in base.kinds().items()] if base is not None else []
        if setting.rows is not None:
            parts += [_entry(one) for one in variant_knobs(setting.rows, f"{setting.path}.0.")]
    return "\n\n".join(parts) + "\n"


def _kind(kind: str, variant: Kind) -> str:
    return f"- `{kind}`: {variant.label.en}. {variant.help.en}\n\n  {variant.label.zh}。{variant.help.zh}"


def _entry(setting: Setting) -> str:
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
    facts += [f"where `{one.path}` is {' or '.join(f'`{value}`' for value in one.values)}" for one in setting.when]
    if knob.also:
        facts.append("elsewhere " + ", ".join(f"`{name}`" for name in knob.also))
    return f"**`{setting.path}`** {knob.label.en} / {knob.label.zh} ({'; '.join(facts)})\n\n{knob.help.en}\n\n{knob.help.zh}"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
