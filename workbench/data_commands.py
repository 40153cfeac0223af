"""What `python -m workbench data` does: list data sets, look into one, bring one, delete one."""

from __future__ import annotations

import argparse
from typing import Any

from workbench.commands import Result
from workbench.config.disk import disk_errors
from workbench.config.sections import DataSection
from workbench.config.text import size
from workbench.engine import Engine
from workbench.engine.findings import described


def data(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """List data sets, look into one, bring one, or delete one."""
    engine = Engine(options.home, allow_paths=True, read_only=True)
    if options.action == "inspect":
        usual = DataSection()
        if options.model is None:
            found = engine.read(options.data)
        else:
            length = usual.max_length if options.max_length is None else options.max_length
            found = engine.inspect(options.data, options.model, length, usual.learn)
        text = "\n".join(line.to(lang) for line in described(found))
        return Result(_plain(found, lang), text), 0
    if options.action == "add":
        with disk_errors(options.home / "datasets" / "x"):
            info = engine.data.add(options.file, options.name)
        return Result({"id": info.id, "format": info.format, "rows": info.rows, "usable": info.usable}, info.id), 0
    if options.action == "delete":
        engine.data.delete(options.data)
        return Result({"deleted": options.data}, options.data), 0
    rows, sets = [], []
    for info in engine.data.list():
        damage = info.problem or info.lost
        problem = damage.to(lang) if damage else None
        words = [info.id, info.name.to(lang)]
        words += [f"{info.format}, {info.rows}, {size(info.size)}"] * (info.problem is None)
        rows.append("  ".join([*words, *([problem] if problem else [])]))
        facts = {name: getattr(info, name) for name in ("id", "format", "kind", "rows", "usable", "shipped")}
        sets.append({**facts, "name": info.name.to(lang), "problem": problem})
    return Result({"data": sets}, "\n".join(rows)), 0


def _plain(found: dict[str, Any], lang: str) -> dict[str, Any]:
    """What was found as JSON has it: sentences in the reader's language, numbers of rows as lists."""
    columns = [
        {"name": column.name, "role": column.role, "use": column.use.to(lang), "example": column.example}
        for column in found["columns"]
    ]
    problems = [{**problem, "message": problem["message"].to(lang)} for problem in found["problems"]]
    return {**found, "columns": columns, "problems": problems}
