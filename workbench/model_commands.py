"""`python -m workbench models`: what is on this computer, and what can come from elsewhere."""

from __future__ import annotations

import argparse

from workbench.commands import Result, delete
from workbench.config.disk import disk_errors
from workbench.config.text import Text, size
from workbench.engine import Engine
from workbench.job_commands import carried_out


def models(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """List the base models, search for others, download one, add a folder that lies elsewhere, or delete one."""
    if options.action == "delete":
        return delete(options, options.model, lambda engine: engine.delete_model(options.model))
    if options.action == "download":
        return _download(options, lang)
    engine = Engine(options.home, allow_paths=True, read_only=True)
    if options.action == "search":
        return _search(engine, options, lang)
    if options.action == "add":
        with disk_errors(options.home / "models" / "x"):
            found = [engine.models.add(options.folder)]
    else:
        found = engine.models.list()
    rows, data = [], []
    for model in found:
        problem = model.problem.to(lang) if model.problem else None
        rows.append(f"{model.id}  {model.name.to(lang)}  {problem or f'{model.parameters / 1e6:.1f} M'}")
        data.append({"id": model.id, "folder": str(model.folder), "parameters": model.parameters, "problem": problem})
    return Result({"models": data}, "\n".join(rows)), 0


def _search(engine: Engine, options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """What the source has under these words; without words, what is recommended."""
    found = engine.offers(" ".join(options.words))
    data, rows = [], []
    for one in found:
        data.append(
            {"id": one.repo_id, "title": one.title, "parameters": one.parameters, "bytes": one.bytes,
             "licence": one.licence, "downloads": one.downloads, "gated": one.gated, "about": one.about.to(lang)}
        )  # fmt: skip
        facts = [f"{one.parameters / 1e6:.0f} M" if one.parameters else "", size(one.bytes) if one.bytes else ""]
        facts += [
            one.licence,
            Text("access on request", "需申请访问").to(lang) if one.gated else "",
            one.about.to(lang),
        ]
        rows.append("  ".join([one.repo_id, *filter(None, facts)]))
    return Result({"models": data}, "\n".join(rows)), 0


def _download(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    engine = Engine(options.home, allow_paths=True)
    try:
        done = carried_out(engine, engine.download(options.repository), lang)
    finally:
        engine.close()
    return Result({"model": done["model"], "folder": done["folder"], "bytes": done["bytes"]}, str(done["model"])), 0
