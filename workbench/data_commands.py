"""What `python -m workbench data` does: list data sets, look into one, bring one, delete one."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from workbench.commands import Result, delete
from workbench.config.disk import disk_errors
from workbench.config.errors import WorkbenchError
from workbench.config.sections import DataSection
from workbench.config.text import Text, size
from workbench.engine import Engine
from workbench.engine.findings import described


def data(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """List data sets, look into one, bring one, or delete one."""
    if options.action == "delete":
        return delete(options, options.data, lambda engine: engine.delete_data(options.data))
    engine = Engine(options.home, allow_paths=True, read_only=True)
    if options.action == "inspect":
        found = _inspected(engine, options)
        return Result(_plain(found, lang), _told(found, lang)), 0
    if options.action == "add":
        with disk_errors(options.home / "datasets" / "x"):
            info = engine.data.add(options.file, options.name)
        found = engine.read(info.id)
        print(_told(found, lang), file=sys.stderr)
        return Result({"id": info.id, **_plain(found, lang)}, info.id), 0
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


def _inspected(engine: Engine, options: argparse.Namespace) -> dict[str, Any]:
    usual = DataSection()
    if options.model is not None:
        length = usual.max_length if options.max_length is None else options.max_length
        return engine.inspect(options.data, options.model, length, usual.learn)
    if options.max_length is not None:
        raise WorkbenchError(
            Text("a length in tokens needs a model that reads them", "按词元计的长度需要指定读取它的模型"),
            Text("Name a model with --model.", "请用 --model 指定模型。"),
            field="max_length",
        )
    return engine.read(options.data)


def _told(found: dict[str, Any], lang: str) -> str:
    return "\n".join(line.to(lang) for line in described(found))


def _plain(found: dict[str, Any], lang: str) -> dict[str, Any]:
    """What was found as JSON has it: sentences in the reader's language, numbers of rows as lists."""
    columns = [
        {"name": column.name, "role": column.role, "use": column.use.to(lang), "example": column.example}
        for column in found["columns"]
    ]
    problems = [{**problem, "message": problem["message"].to(lang)} for problem in found["problems"]]
    return {**found, "columns": columns, "problems": problems}
