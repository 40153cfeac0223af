"""`python -m workbench models`: what is on this computer, and what can come from elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from workbench.commands import Result, delete
from workbench.config.disk import disk_errors, free_bytes
from workbench.config.errors import WorkbenchError
from workbench.config.presets import with_overrides
from workbench.config.run import RunConfig
from workbench.config.text import Text, listed, size
from workbench.engine import Engine
from workbench.engine.fitting import FITS, TOO_LARGE, disk_bytes
from workbench.engine.keeping import Keep, folder_bytes
from workbench.engine.memory import PARTS
from workbench.job_commands import carried_out

_USED = Text("{count} runs, the last on {day}", "{count} 次运行，最近 {day}")
_FREED = Text("{model} was deleted; {size} are free again.", "已删除 {model}，释放 {size}。")
_BUILT_ON = Text(
    "These runs were built on it and can't be resumed, talked to or merged without it: {runs}.",
    "以下运行以它为基座，没有它将无法继续、对话或合并：{runs}。",
)
_DISK = Text("On disk about {size} for checkpoints and the result.", "检查点和结果约占磁盘 {size}。")
_TIME = {
    "measured": Text("About {minutes} minutes, measured.", "约 {minutes} 分钟（实测）。"),
    "runs": Text("About {minutes} minutes, as earlier runs.", "约 {minutes} 分钟（按以往运行）。"),
    "guess": Text("Very roughly {minutes} minutes; --measure tells.", "粗略估计 {minutes} 分钟；加 --measure 可实测。"),
}


def models(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """List the base models, search for others, say whether one fits, download one, add a folder that lies elsewhere, or delete one."""
    if options.action == "delete":
        return _delete(options, lang)
    if options.action == "download":
        return _download(options, lang)
    if options.action == "discard":
        return _discard(options, lang)
    engine = Engine(options.home, allow_paths=True, read_only=True)
    if options.action == "folder":
        return _folder(engine, options)
    if options.action == "fit":
        return _fit(engine, options, lang)
    if options.action == "search":
        return _search(engine, options, lang)
    if options.action == "add":
        with disk_errors(options.home / "models" / "x"):
            found = _added(engine, options.folder)
    else:
        found = engine.models.list()
    rows, data = [], []
    for model in found:
        problem = model.problem.to(lang) if model.problem else None
        kept = engine.keep(model)
        facts = [problem or f"{model.parameters / 1e6:.1f} M", size(folder_bytes(model.folder))]
        facts += [_USED.with_(count=len(kept.runs), day=kept.last_used[:10]).to(lang)] if kept.last_used else []
        rows.append("  ".join([model.id, model.name.to(lang), *facts]))
        data.append(
            {"id": model.id, "folder": str(model.folder), "parameters": model.parameters, "problem": problem,
             "bytes": folder_bytes(model.folder), "runs": list(kept.runs), "last_used": kept.last_used}
        )  # fmt: skip
    return Result({"models": data}, "\n".join(rows)), 0


def _folder(engine: Engine, options: argparse.Namespace) -> tuple[Result, int]:
    """Say where new models are put, or choose another folder for them."""
    chosen = engine.choose_models_folder(options.folder) if options.folder else engine.model_folders()[-1]
    free = free_bytes(chosen)
    return Result({"folder": str(chosen), "free_bytes": free}, f"{chosen}  {size(free)}"), 0


def _added(engine: Engine, folder: Path) -> list[Any]:
    """A model's folder, one full of models, or a repository's id in the Hub's cache."""
    if not folder.is_dir() and folder.as_posix().count("/") == 1:
        return [engine.use_cached(folder.as_posix())]
    return list(engine.models.add_all(folder))


def _discard(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """Throw away a download that is not whole, named by its repository or its folder; without a name list them."""
    engine = Engine(options.home, allow_paths=True)
    try:
        parts = engine.partial_downloads()
        wanted = [part for part in parts if options.model in (part.record.repo_id, part.folder.name)]
        if options.model and not wanted:
            raise WorkbenchError(
                Text("there is no unfinished download {name}", "没有未完成的下载 {name}").with_(name=options.model),
                Text("There are: {names}.", "现有：{names}。").with_(
                    names=listed(part.record.repo_id for part in parts)
                ),
                code="unknown_download",
            )
        freed = sum(engine.discard_download(part.folder.name) for part in wanted)
    finally:
        engine.close()
    shown = wanted or parts
    data = [{"id": part.record.repo_id, "name": part.folder.name, "bytes": part.done} for part in shown]
    rows = [f"{part.record.repo_id}  {size(part.done)}" for part in shown]
    rows += [Text("{size} are free again.", "已释放 {size}。").with_(size=size(freed)).to(lang)] if wanted else []
    return Result({"downloads": data, "freed_bytes": freed}, "\n".join(rows)), 0


def _delete(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """Remove a model, and say what that freed and which runs built on it."""
    kept: list[Keep] = []

    def remove(engine: Engine) -> None:
        kept.extend(engine.keep(model) for model in engine.models.list() if model.id == options.model)
        engine.delete_model(options.model)

    done, code = delete(options, options.model, remove)
    frees, runs = (kept[0].frees, list(kept[0].runs)) if kept else (0, [])
    said = [_FREED.with_(model=options.model, size=size(frees)).to(lang)]
    said += [_BUILT_ON.with_(runs=", ".join(runs)).to(lang)] if runs else []
    return Result({**done.data, "freed_bytes": frees, "runs": runs}, "\n".join(said)), code


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


def _fit(engine: Engine, options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """Memory, part by part, disk, and time where data is named, of training a model in this way."""
    config = RunConfig.parse(with_overrides({"model": {"base": options.model}}, options.overrides))
    with_data = any(word.startswith("data.train=") for word in options.overrides)
    if options.measure:
        _measure(options, config, with_data, lang)
    shape = engine.shape(options.model)
    fit, seconds, basis = engine.memory_fit(config, shape, config.data.max_length), None, None
    if with_data:
        expected = engine.forecast(config)
        fit, seconds, basis = expected.fit, expected.seconds, expected.basis
    disk = disk_bytes(shape, config)
    parts = {name: size_ for name, size_ in fit.parts.items() if size_}
    data = {
        "fits": fit.kind != TOO_LARGE, "verdict": fit.kind, "peak_bytes": fit.peak_bytes,
        "available_bytes": fit.available_bytes, "parts": parts, "parameters": shape.parameters, "disk_bytes": disk,
        "seconds": seconds, "basis": basis,
        "advice": [
            {"path": one.path, "value": one.value, "text": one.text.to(lang), "saved_bytes": one.saved_bytes,
             "peak_bytes": one.peak_bytes} for one in fit.changes
        ],
    }  # fmt: skip
    rows = [fit.reason.to(lang)]
    rows += [
        f"  {size(count):>8}  {PARTS[name].to(lang)}" for name, count in sorted(parts.items(), key=lambda p: -p[1])
    ]
    rows.append(_DISK.with_(size=size(disk)).to(lang))
    rows += [_TIME[basis].with_(minutes=f"{seconds / 60:.1f}").to(lang)] if seconds is not None and basis else []
    if fit.kind != FITS:
        rows += [f"  {one.path}={one.value}  -{size(one.saved_bytes)}  {one.text.to(lang)}" for one in fit.changes]
    return Result(data, "\n".join(rows)), 0 if fit.kind != TOO_LARGE else 1


def _measure(options: argparse.Namespace, config: RunConfig, with_data: bool, lang: str) -> None:
    """Train a few steps and throw them away; what they took stands in the home."""
    if not with_data:
        raise WorkbenchError(
            Text("trial steps need data", "试训需要数据"),
            Text("Name a set: data.train=NAME_OR_FILE.", "请指定数据集：data.train=名称或文件。"),
            field="data.train",
        )
    engine = Engine(options.home, allow_paths=True)
    try:
        carried_out(engine, engine.measure(config), lang)
    finally:
        engine.close()


def _download(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    engine = Engine(options.home, allow_paths=True)
    try:
        done = carried_out(engine, engine.download(options.repository), lang)
    finally:
        engine.close()
    return Result({"model": done["model"], "folder": done["folder"], "bytes": done["bytes"]}, str(done["model"])), 0
