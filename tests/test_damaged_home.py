"""Whatever lies in the home, it opens: damaged things are in their lists with the reason and can be deleted, nothing else suffers."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.damages import FILES, damages_of
from tests.homes import WAIT, make_home, tiny_config
from tests.steps import at_step
from tests.test_commands import say
from workbench.bootstrap import environment
from workbench.engine import Engine

environment()

import gradio as gr  # noqa: E402

from workbench.ui.html import esc  # noqa: E402
from workbench.ui.page import build, start  # noqa: E402

STEP = 2  # at which the good run was stopped; one more is to do
OF_A_RUN = (
    "run.json",
    "config.yaml",
    "events.jsonl",
    "samples.jsonl",
    "log.txt",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "adapter/README.md",
    "adapter/tokenizer.json",
    f"checkpoints/checkpoint-{STEP}/whole.json",
    f"checkpoints/checkpoint-{STEP}/trainer_state.json",
    "adapter",
    "checkpoints",
    "exports",
    "",
)
OF_A_MODEL = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
    "",
)
OF_A_SET = ("data.jsonl", "meta.json", "")
PIECES = ("run-status", "run-tiles", "run-chart", "run-note", "run-answers", "run-log")
HARMLESS = (  # nothing depends on what is in these
    "samples.jsonl", "log.txt", "adapter/README.md", "adapter/tokenizer.json", "checkpoints/", "exports",
    "tokenizer.json", "tokenizer_config.json", "generation_config.json", "meta.json",
)  # fmt: skip


class Asked:
    """The part of a request that the page reads."""

    def __init__(self, lang: str) -> None:
        self.headers = {"accept-language": lang}
        self.cookies: dict[str, str] = {}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run that was stopped after its first steps, and can go on."""
    home = make_home(tmp_path_factory.mktemp("damaged") / "good")
    engine = Engine(home)
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, STEP, engine.stop)
        config = tiny_config(
            optimization={"max_steps": STEP + 1},
            evaluation={"questions": ["3. white?"], "every_steps": 1},
            output={"name": "good"},
        )
        run = engine.submit(config)
        assert engine.wait(run, WAIT) and engine.run(run).status == "stopped", engine.run(run).error
    engine.export_adapter(run)
    engine.close()
    folder = home / "runs" / run
    (folder / "adapter" / "README.md").write_text("# a card\n", encoding="utf-8")
    missing = [name for name in OF_A_RUN if not (folder / name).exists()]
    assert missing == []
    return home


def copies(original: Path, parts: tuple[str, ...], named: Callable[[int], Path], each: int) -> dict[str, str]:
    """Damage copies of a run, model or data set; what happened to each, by its name.

    Args:
        each: in how many ways each part is damaged; one part after the other goes on in the list of ways.
    """
    made: dict[str, str] = {}
    for part in parts:
        ways = list(damages_of(original / part).items())
        for number in range(min(each, len(ways))):
            how, damage = ways[(len(made) + number) % len(ways)] if len(ways) > each else ways[number]
            copy = named(len(made))
            shutil.copytree(original, copy)
            damage(copy / part)
            made[copy.name] = f"{part or 'all of it'}: {how}"
    return made


def crowd(home: Path, good: Path, each: int) -> tuple[str, dict[str, dict[str, str]]]:
    """Put damaged things of every kind into a home; its good run, and what happened, by list and name."""
    shutil.copytree(good, home)
    (run,) = os.listdir(home / "runs")
    runs, models, sets = home / "runs", home / "models", home / "datasets"
    happened = {
        "runs": copies(runs / run, OF_A_RUN, lambda n: runs / f"20260101-000000-tiny-sft-{n:04x}", each),
        "models": copies(models / "tiny", OF_A_MODEL, lambda n: models / f"broken-{n}", each),
        "datasets": copies(sets / "talk", OF_A_SET, lambda n: sets / f"broken-{n}", each),
    }
    for n, (how, damage) in enumerate(FILES.items()):
        entry = models / f"link-{n}.json"
        entry.write_text(json.dumps({"folder": str(good / "models" / "tiny"), "name": "elsewhere"}), encoding="utf-8")
        damage(entry)
        if entry.is_dir() or entry.is_symlink() or entry.is_file():
            happened["models"][entry.name if entry.is_dir() else entry.stem] = f"an entry: {how}"
    for place in happened:
        for n, (how, damage) in enumerate(FILES.items()):
            rest = home / place / f".half-{n}.part"
            rest.write_text("{}", encoding="utf-8")
            damage(rest)
            if how != "gone":
                os.utime(rest, (0, 0), follow_symlinks=False)
        for name in ("notes", "My Folder!", "x" * 200):
            (home / place / name).mkdir()
            happened[place][name] = "an empty folder"
    (home / ".lock.pid").unlink(missing_ok=True)
    (home / ".lock.pid").mkdir()
    (home / "unknown").write_bytes(bytes(range(256)))
    return run, happened


@pytest.fixture(scope="module")
def crowded(good: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, dict[str, str]]]:
    home = tmp_path_factory.mktemp("crowded") / "home"
    return home, *crowd(home, good, each=2)


@pytest.fixture(scope="module")
def opened(crowded: tuple[Path, str, dict[str, dict[str, str]]]) -> Iterator[tuple[Engine, gr.Blocks]]:
    engine = Engine(crowded[0])
    yield engine, build(engine)
    engine.close()


def answers(page: gr.Blocks, lang: str) -> list[str]:
    """Call all that a page calls when it is opened and when its tabs are; the names of the handlers that failed."""
    failed = []
    for function in list(page.fns.values()):
        events = {event for _, event in function.targets}
        if function.fn is None or not events & {"load", "select"}:
            continue
        given = [getattr(item, "default_value", getattr(item, "value", None)) for item in function.inputs]
        takes = "request" in inspect.signature(function.fn).parameters
        try:
            result = function.fn(*given, **({"request": Asked(lang)} if takes else {}))
            if inspect.isgenerator(result):
                list(result)
        except gr.Error as error:
            failed.append(f"{getattr(function.fn, '__qualname__', function.fn)}: {error.message}")
    return failed


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log reports as bugs."""
    return [record.message for record in caplog.records if record.levelname == "ERROR"]


def test_the_page_opens_with_every_tab_of_it(opened: Any, caplog: pytest.LogCaptureFixture) -> None:
    _, page = opened
    assert answers(page, "en") == [] and answers(page, "zh") == []
    assert errors(caplog) == []


def test_every_damaged_run_is_listed_and_says_why(crowded: Any, opened: Any, caplog: pytest.LogCaptureFixture) -> None:
    (_, good_run, happened), (engine, page) = crowded, opened
    records = {record.id: record for record in engine.runs()}
    assert records.keys() == {good_run, *happened["runs"]}
    for number, (run, what) in enumerate(happened["runs"].items()):
        lang, words = (
            ("en", ("cannot be read", "damaged", "not named like a run")),
            ("zh", ("无法读取", "已损坏", "命名格式")),
        )[number % 2]
        made = {name: str(page.shell.live.make(name, run, lang)) for name in PIECES}
        told = any(word in made["run-note"] for word in words)
        assert told or what.startswith(HARMLESS), (what, made["run-note"])
        assert esc(records[run].name) in made["run-status"]
    assert errors(caplog) == []
    note = str(page.shell.live.make("run-note", good_run, "en"))
    assert "damaged" not in note and f"saved at step {STEP}" in note


def test_every_damaged_model_and_data_set_is_listed_with_the_reason(crowded: Any, opened: Any) -> None:
    (home, _, happened), (engine, page) = crowded, opened
    models = {info.id: info.problem for info in engine.models.list()}
    sets = {info.id: info.problem or info.lost for info in engine.data.list()}
    for tab, place, found in (("model", "models", models), ("data", "datasets", sets)):
        assert happened[place].keys() <= found.keys()
        cards = {lang: str(page.shell.shared[f"{tab}.damaged"].shown(lang)[1]) for lang in ("en", "zh")}
        for name, what in happened[place].items():
            if found[name] is None:
                assert what.startswith(HARMLESS), what
                continue
            for lang in ("en", "zh"):
                assert esc(found[name].message.to(lang).rstrip("."))[:40].lower() in cards[lang].lower(), (what, lang)
    assert models["tiny"] is None and sets["talk"] is None and (home / "models" / "tiny").is_dir()
    for place in happened:
        assert [path.name for path in (home / place).glob(".*")] == [], "what was half-made is swept"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_command_line_lists_every_damaged_thing(crowded: Any, opened: Any, lang: str) -> None:
    home, good_run, happened = crowded
    for command, place in (("runs", "runs"), ("models", "models"), ("data", "datasets")):
        said = say(command, "--home", home, "--lang", lang)
        assert said.code == 0 and said.err == ""
        lines = dict(line.split("  ", 1) for line in said.out.splitlines())
        assert happened[place].keys() <= lines.keys()
        assert say(command, "--home", home, "--lang", lang, "--json").code == 0
    for run in list(happened["runs"])[::3]:
        shown = say("runs", "show", run, "--home", home, "--lang", lang)
        assert shown.code == 0 and f"id: {run}\n" in shown.out


def press(page: gr.Blocks, elem_id: str, *values: Any) -> Any:
    """Call what a click calls."""
    (handler,) = {
        function.fn
        for function in page.fns.values()
        for block, event in function.targets
        if event == "click" and function.fn is not None and page.blocks[block].elem_id == elem_id
    }
    return handler(*values, request=Asked("en"))


def test_beside_damage_of_every_kind_the_page_answers_deletes_it_and_the_good_run_trains_on(
    good: Path, tmp_path: Path
) -> None:
    home, elsewhere = tmp_path / "home", good / "models" / "tiny" / "config.json"
    good_run, happened = crowd(home, good, each=1)
    engine = Engine(home)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    served = start(engine, port=port)
    try:
        with urllib.request.urlopen(served.url, timeout=WAIT) as answer:
            assert answer.status == 200 and b"gradio" in answer.read()
        for tab, place, left in (
            ("model", "models", lambda: {info.id for info in engine.models.list()}),
            ("data", "datasets", lambda: {info.id for info in engine.data.list()}),
        ):
            name = next(iter(happened[place]))
            *_, asked = press(served.page, f"{tab}-damaged-delete", name)
            assert asked == name
            press(served.page, f"{tab}-damaged-yes", asked, name)
            assert name not in left() and not (home / place / name).exists()
            del happened[place][name]
        engine.resume(good_run)
        for run in list(happened["runs"])[1:]:
            engine.delete(run)
        for name in list(happened["models"])[1:]:
            engine.delete_model(name)
        for name in list(happened["datasets"])[1:]:
            engine.data.delete(name)
        assert engine.wait(good_run, WAIT)
        record = engine.run(good_run)
        assert (record.status, record.last_step, engine.damage(good_run)) == ("completed", STEP + 1, [])
    finally:
        served.close()
        engine.close()
    for command, place in (("runs", "runs"), ("models", "models"), ("data", "datasets")):
        name = next(iter(happened[place]))
        assert say(command, "delete", name, "--home", home, "--json").data["deleted"] == name
    assert os.listdir(home / "runs").count(good_run) == 1
    assert sorted(os.listdir(home / "models")) == ["tiny"]
    assert sorted(os.listdir(home / "datasets")) == ["pairs", "talk"]
    assert elsewhere.is_file(), "of a model that lies elsewhere only the entry is deleted"
