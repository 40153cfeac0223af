"""What each command of the command line does: call the engine, tell the progress on stderr, give a result back."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from workbench.config.disk import disk_errors
from workbench.config.errors import WorkbenchError
from workbench.config.presets import Preset, dump, load_preset, with_overrides
from workbench.config.run import RunConfig
from workbench.config.signals import heard
from workbench.config.text import Text
from workbench.engine import Engine, checks, suited
from workbench.engine.boundary import explain, is_disk_full, is_out_of_memory
from workbench.engine.names import KEPT_BACK_LOSS, NOT_ANSWERED, TRAINING_LOSS, status_name
from workbench.engine.preset_shelf import PresetShelf
from workbench.engine.records import RunRecord, kept_error
from workbench.engine.suggestions import suggestions
from workbench.engine.suitability import by_group
from workbench.methods import METHODS
from workbench.methods.metrics import OF_EVALUATION

FAILURES = ("disk_full", "unexpected", "busy", "not_finite")  # the request was right, the work failed: exit code 1
LOOK = 0.3  # seconds between two looks at a run's events
_NUMBERS = {
    "loss": TRAINING_LOSS,
    "eval_loss": KEPT_BACK_LOSS,
    "learning_rate": Text("learning rate", "学习率"),
    "seconds_left": Text("seconds left", "剩余秒数"),
}


@dataclass(frozen=True)
class Result:
    """What a command prints: `data` with `--json`, else `text`."""

    data: dict[str, Any]
    text: str


def explained(error: Exception) -> tuple[WorkbenchError, int]:
    """What to tell a person about an error of a command, and the exit code."""
    if isinstance(error, WorkbenchError):
        return error, 1 if error.code in FAILURES else 2
    problem = explain(error)
    if is_out_of_memory(error) or is_disk_full(error):
        return WorkbenchError(problem.message, problem.hint, problem.field), 1
    hint = Text("Run it again with --debug, and report what it prints.", "请加上 --debug 再运行一次，并反馈它的输出。")
    return WorkbenchError(problem.message, hint), 1


def presets(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """List presets (one a line, the id first), show one, copy one to a file, keep a file as one, or delete one's own."""
    if options.action == "list":
        engine = Engine(options.home, allow_paths=True, read_only=True)
        fits = engine.preset_fits()
        data = [
            {"id": one.id, "title": one.title.to(lang), "about": one.about.to(lang), "group": fits[one.id].group,
             "reason": fits[one.id].reason.to(lang)}
            for one in by_group(engine.presets(), fits)
        ]  # fmt: skip
        rows = ("{id}  {title}: {about} {reason}".format(**one) for one in data)
        return Result({"presets": data}, "\n".join(rows)), 0
    shelf = PresetShelf(Path(options.home) / "presets")
    if options.action == "add":
        with disk_errors(options.file):
            kept = shelf.add(options.file.read_bytes(), options.file.name)
        _tell(kept, lang)
        return Result({"id": kept.id}, kept.id), 0
    if options.action == "delete":
        shelf.delete(options.id)
        return Result({"id": options.id}, options.id), 0
    preset = _preset(options.id, options.home) if options.action == "show" else shelf.get(options.id)
    if options.action == "show":
        _tell(preset, lang)
        text = dump(preset.config()) if preset.notes else preset.path.read_text(encoding="utf-8")
        return Result({"id": preset.id, "config": preset.config().values()}, text.rstrip()), 0
    if os.path.lexists(options.file):
        raise WorkbenchError(
            Text("{file} is there already", "{file} 已经存在").with_(file=options.file),
            Text("Choose another name; nothing is overwritten.", "请换一个名字；不会覆盖已有文件。"),
        )
    with disk_errors(options.file):
        shutil.copyfile(preset.path, options.file)
    return Result({"id": preset.id, "file": str(options.file)}, str(options.file)), 0


def train(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """Train, and print the run's id and its last state; or only say what suits some data."""
    if options.suggest:
        return _suggest(options, lang)
    preset = _preset(options.preset, options.home)
    _tell(preset, lang)
    given = RunConfig.parse(with_overrides(preset.values, options.overrides))

    def start(engine: Engine) -> str:
        config = given
        if not _is_file(options.preset):  # in a file of one's own everything is meant
            config = _with_suggestions(engine, preset, given, options.overrides, lang)
        for line in engine.findings(config):
            print(line.to(lang), file=sys.stderr, flush=True)
        return engine.submit(config)

    return _carried_out(options, lang, start)


def resume(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """Go on with a run."""
    changes = with_overrides({}, options.overrides)
    flat = {f"{section}.{key}": value for section, inner in changes.items() for key, value in inner.items()}
    return _carried_out(options, lang, lambda engine: engine.resume(options.run, flat))


def runs(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """List runs, show one, or delete one."""
    if options.action == "delete":
        return delete(options, options.run, lambda engine: engine.delete(options.run))
    engine = Engine(options.home, allow_paths=True, read_only=True)
    if options.action == "list":
        found = engine.runs()
        data = {"runs": [_record(run, lang) for run in found]}
        lines = [_line(run, lang, [text.to(lang) for text in engine.store.missing(run.id)]) for run in found]
        return Result(data, "\n".join(lines)), 0
    run = engine.run(options.run)
    record = _record(run, lang)
    shown = record if run.error is None else {**record, "error": kept_error(run.error).to(lang)}
    damage = [text.to(lang) for text in engine.damage(run.id)]
    lines = [f"{key}: {value}" for key, value in shown.items() if value is not None]
    lines += [f"damaged: {text}" for text in damage]
    config = None
    with contextlib.suppress(WorkbenchError):  # `damage` says why
        config = engine.store.config(run.id).values()
    return Result({**record, "config": config, "damage": damage}, "\n".join(lines)), 0


def delete(options: argparse.Namespace, name: str, remove: Callable[[Engine], Any]) -> tuple[Result, int]:
    """Delete something of the home while no other engine uses it."""
    engine = Engine(options.home, allow_paths=True)
    try:
        remove(engine)
    finally:
        engine.close()
    return Result({"deleted": name}, name), 0


def chat(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """Answer one question, or talk until an empty line."""
    engine = Engine(options.home, allow_paths=True, read_only=True)
    chosen = {
        "tuned": not options.base,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "max_new_tokens": options.max_new_tokens,
    }
    if (said := engine.answers_notice(options.target)) is not None:
        print(said.to(lang), file=sys.stderr)
    messages: list[dict[str, str]] = []
    if options.prompt is not None:
        messages = [{"role": "user", "content": options.prompt}]
        answer = _answer(engine.chat(options.target, messages, **chosen), show=False)
        return Result({"answer": answer}, answer), 0
    while True:
        print("> ", end="", file=sys.stderr, flush=True)
        question = sys.stdin.readline().strip()
        if not question:
            return Result({"messages": messages}, ""), 0
        messages.append({"role": "user", "content": question})
        answer = _answer(engine.chat(options.target, messages, **chosen), show=not options.json)
        messages.append({"role": "assistant", "content": answer})


def _preset(name: str, home: Path) -> Preset:
    """A YAML file, or else a preset."""
    return load_preset(Path(name)) if _is_file(name) else PresetShelf(Path(home) / "presets").get(name)


def _tell(preset: Preset, lang: str) -> None:
    """What to know of a file that another tool wrote, on stderr."""
    for note in preset.notes:
        print(note.to(lang), file=sys.stderr, flush=True)


def _suggest(options: argparse.Namespace, lang: str) -> tuple[Result, int]:
    """Method, preset and settings for a data file or set, as the Train tab fills them in; what was typed stays."""
    engine = Engine(options.home, allow_paths=True, read_only=True)
    given = with_overrides({}, options.overrides)
    loaded = engine.data.load(options.preset, allow_paths=True)
    if (unfit := suited.unfit(loaded.info.kind)) is not None:
        raise WorkbenchError(unfit, field="data.train")
    base = str(given.get("model", {}).get("base") or "")
    draft = suited.preset_alone(engine, suited.first_preset(engine, lang))
    draft = suited.choose_model(engine, draft, engine.models.resolve(base, allow_paths=True).id) if base else draft
    draft = replace(draft, values=with_overrides(draft.values, options.overrides))
    draft = suited.choose_data(engine, draft, options.preset, lang)
    draft = replace(draft, values=with_overrides(draft.values, options.overrides))  # also a method for other data
    checks.refuse(suited.explained(engine, RunConfig.parse(draft.values), engine.check(RunConfig.parse(draft.values))))
    config, of_preset = RunConfig.parse(draft.values), engine.preset(draft.preset).config()
    flat = {
        f"{section}.{name}": value
        for section, inner in config.values().items()
        for name, value in inner.items()
        if value != of_preset.values()[section].get(name)
    }
    why = {path: text.to(lang) for path, text in suited.reasons(engine, draft).items()}
    data = {"method": config.method.kind, "preset": draft.preset, "settings": flat, "reasons": why}
    words = " ".join(shlex.quote(f"{path}={_typed(value)}") for path, value in flat.items())
    lines = [f"{path}: {text}" for path, text in why.items()]
    return Result(data, "\n".join([*lines, f"python -m workbench train {draft.preset} {words}".rstrip()])), 0


def _typed(value: Any) -> str:
    """A value as `section.key=value` takes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or os.path.isfile(name)  # which a name of any length may be asked


def _with_suggestions(engine: Engine, preset: Preset, config: RunConfig, overrides: list[str], lang: str) -> RunConfig:
    """The config with what is suggested for this data and model in place of what only the preset says; told on stderr."""
    try:
        data = engine.data.load(config.data.train, allow_paths=True).info
        known = suited.subject(engine, data, engine.models.resolve(config.model.base, allow_paths=True))
    except WorkbenchError:
        return config  # `submit` says what is wrong, with everything else
    given = {word.partition("=")[0].strip() for word in overrides}
    found = suggestions(preset.values, config, known, given)
    for one in found:
        said = Text("{path}={value:g} is suggested, because {why}.", "建议 {path}={value:g}：{why}。")
        print(said.with_(path=one.path, value=one.value, why=one.why).to(lang), file=sys.stderr)
    return config.changed({one.path: one.value for one in found})


def _carried_out(options: argparse.Namespace, lang: str, start: Callable[[Engine], str]) -> tuple[Result, int]:
    """Start a run, tell how it goes, wait for its end. Ctrl-C and its like stop and save; a second one gives up at once."""
    with heard() as asked:
        engine = Engine(options.home, allow_paths=True)
        try:
            run_id = start(engine)
            queued = [event["seq"] for event in engine.events(run_id) if event.get("status") == "queued"]
            seen = queued[-1] - 1  # of a run that goes on, not all that was told before
            teller, over, told = _Teller(lang, engine.run(run_id).method), False, False
            while not over:
                over = engine.wait(run_id, LOOK)
                if asked() and not told:
                    told = True
                    engine.stop(run_id)
                for event in engine.events(run_id, seen):
                    seen = event["seq"]
                    teller.tell(event)
            record = engine.run(run_id)
        finally:
            engine.close()
    if record.error:
        print(kept_error(record.error).to(lang), file=sys.stderr)
    return Result(_record(record, lang), f"{record.id} {record.status}"), 0 if record.status == "completed" else 1


class _Teller:
    """Says on stderr how a run goes, at most one line of numbers a second."""

    def __init__(self, lang: str, method: str = "") -> None:
        self._lang = lang
        self._last = 0.0
        self._metrics = [metric for metric in METHODS[method].metrics if metric.main] if method in METHODS else []

    def tell(self, event: dict[str, Any]) -> None:
        lang = self._lang
        if event["type"] == "status":
            self._say(status_name(event["status"]).to(lang))
        elif event["type"] == "stage" and not event.get("done"):
            self._say(event["text"][lang] + " ...")
        elif event["type"] == "problem":
            self._say(event["message"][lang])
        elif event["type"] == "verdict":
            self._say(
                Text("{said} {next}", "{said}{next}")
                .with_(said=event["message"][lang], next=event["hint"][lang])
                .to(lang)
            )
        elif event["type"] == "sample":
            self._say(f"[{event['step']}] {event['question']} -> {event['answer']}")
        elif event["type"] == "unanswered":
            why = NOT_ANSWERED.with_(why=event["why"][lang]).to(lang)
            self._say(f"[{event['step']}] {event['question']} -> {why}")
        elif event["type"] == "metrics" and ("eval_loss" in event or time.monotonic() - self._last > 1):
            self._last = time.monotonic()
            numbers = [
                f"{name.to(lang)} {event[key]:.4g}" for key, name in _NUMBERS.items() if event.get(key) is not None
            ]
            more, before = event.get("more") or {}, OF_EVALUATION if "eval_loss" in event else ""
            numbers += [
                f"{metric.label.to(lang)} {metric.written(more[before + metric.name])}"
                for metric in self._metrics
                if more.get(before + metric.name) is not None
            ]
            self._say(f"{event['step']}/{event['total_steps']}  {'  '.join(numbers)}")

    @staticmethod
    def _say(text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone, and the run is to be saved all the same
            print(text, file=sys.stderr, flush=True)


def _answer(stream: Any, *, show: bool) -> str:
    shown = ""
    for text in stream:
        if show:
            print(text[len(shown) :], end="", flush=True)
        shown = text
    if show:
        print(flush=True)
    return shown


def _line(run: RunRecord, lang: str, missing: list[str]) -> str:
    """A run in the list, one line; what of it is missing stands at its end. What is damaged inside, only `show` says:
    to know that, all files of a run have to be read."""
    state = status_name(run.status).to(lang)
    if run.damaged and run.error:
        return f"{run.id}  {state}  {kept_error(run.error).to(lang)}"
    loss = f"{run.train_loss:.4f}" if run.train_loss is not None else "-"
    words = f"{run.id}  {state}  {run.last_step}/{run.total_steps}  {loss}  {run.name}"
    return "  ".join([words, *missing])


def _record(run: RunRecord, lang: str) -> dict[str, Any]:
    """A run for `--json`: its error in the reader's language, as every error is printed."""
    return {**asdict(run), "error": kept_error(run.error).as_dict(lang) if run.error else None}
