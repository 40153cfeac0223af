"""Every reader of the home's files is fed generated garbage: it gives a value of the right shape, or says what is damaged."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.damages import DEPTH, FILES, FOLDERS, remove, write_header
from workbench.config.errors import WorkbenchError
from workbench.config.presets import load_preset
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.data.noted import read_meta, text_of
from workbench.engine import changes
from workbench.engine.checkpoints import check_checkpoint, read_state
from workbench.engine.draft import Draft
from workbench.engine.events import EventLog, last_step
from workbench.engine.names import STATUS_NAMES
from workbench.engine.owners import FOLDER, Owners
from workbench.engine.records import RunRecord, kept_error, read_run
from workbench.engine.runview import RunView
from workbench.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, check_adapter
from workbench.models.catalog import ModelCatalog
from workbench.models.files import read_tensor_headers
from workbench.ui import chart, runhtml

KEYS = (
    "id name status created started finished error message hint field en zh last_step total_steps train_loss versions "
    "seq time type step loss eval_loss more text stage question answer from_step model data optimization learning_rate "
    "folder kind format rows usable size mtime_ns lang about global_step max_steps files sha256 dtype shape data_offsets "
    "peft_type r lora_alpha target_modules rank_pattern preset values filled picked"
).split()
WORDS = st.sampled_from(
    [*KEYS, "running", "metrics", "status", "sample", "problem", "LORA", "F32", "2026-11-20T12:00:00+00:00", "-1", "/"]
) | st.text(max_size=4)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63, 2**53 + 1, -1, True])
VALUES = st.recursive(
    st.none() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | WORDS, inner, max_size=6),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=12)
GOOD: dict[str, dict[str, Any]] = {
    "run": {
        "id": "x", "name": "n", "status": "failed", "created": "2026-11-20T12:00:00+00:00", "method": "sft",
        "base_model": "b", "dataset": "d", "adapter": "lora", "error": {"message": {"en": "a", "zh": "b"}},
    },
    "mark": {"step": 3, "files": {"a": {"size": 1, "sha256": "0"}}},
    "state": {"global_step": 3, "max_steps": 9, "epoch": 0.5},
    "meta": {"name": {"en": "a", "zh": "b"}, "kind": "chat", "format": "messages", "rows": 3, "usable": 3, "size": 9},
    "link": {"folder": "/nowhere", "name": "n"},
    "adapter": {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]},
    "header": {"base_model.model.q_proj.lora_A.weight": {"dtype": "F32", "shape": [4, 2], "data_offsets": [0, 0]}},
    "config": RunConfig().values(),
    "draft": {"preset": "p", "values": RunConfig().values(), "filled": RunConfig().values(), "picked": {}},
}  # fmt: skip
SAID = {"en": "a", "zh": "b"}
EVENTS: dict[str, dict[str, Any]] = {
    "metrics": {
        "step": 3, "total_steps": 9, "loss": 1.0, "eval_loss": 1.0, "epoch": 0.5, "learning_rate": 1e-3, "grad_norm": 1.0,
        "tokens_per_second": 9.0, "memory_bytes": 9, "seconds_left": 9.0, "more": {"a": 1.0},
    },
    "status": {"status": "running", "from_step": 3},
    "stage": {"stage": "loading", "text": SAID, "done": 1, "total": 2},
    "checkpoint": {"step": 3},
    "sample": {"step": 3, "question": "a", "answer": "b"},
    "unanswered": {"step": 3, "question": "a", "why": SAID},
    "problem": {"message": SAID, "hint": SAID, "field": "data.train"},
    "verdict": {"words": ["learned"], "message": SAID, "hint": SAID},
}  # fmt: skip
GOOD |= {kind: {"seq": 1, "time": 1.5, "type": kind, **fields} for kind, fields in EVENTS.items()}
EXTREMES = ("", [], {}, [""], [[]], 0, 0.0, -1, 1e100, -1e100, 2**53, None, True, {"en": "", "zh": ""}, "\u202e" * 9)


def contents(kind: str) -> st.SearchStrategy[bytes]:
    """What a file of a kind may hold: bytes, other JSON, its own with some keys replaced, or a piece of that."""
    good = GOOD[kind]
    changed = st.dictionaries(st.sampled_from(sorted(good)), VALUES, max_size=3).map(lambda news: {**good, **news})
    written = (changed | OBJECTS | VALUES).map(lambda value: json.dumps(value).encode())
    cut = st.tuples(written, st.integers(0, 200)).map(lambda pair: pair[0][: pair[1]])
    deep = st.sampled_from([b"[" * DEPTH, b'{"name":' * DEPTH, b"- " * 2_000, b"", b"\xef\xbb\xbf{}", b"\0" * 64])
    return st.binary(max_size=40) | written | cut | deep


def run(path: Path) -> None:
    record = read_run(path)
    assert isinstance(record, RunRecord) and record.id == path.parent.name
    assert record.damaged == (record.status == "damaged")
    if record.error is not None:
        assert kept_error(record.error).to("zh")


def events(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n")  # a last line without its end is left out
    log, view = EventLog(path), RunView()
    found = log.after()
    view.feed(found)
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1))
    assert all(isinstance(number, int) for number in last_step(log))
    assert log.damage() is None or log.damage().to("zh")
    if found:
        shown(view)


def shown(view: RunView) -> None:
    """Whatever passes the reader can be shown."""
    record = RunRecord("x", "n", "failed", "2026-11-20T12:00:00+00:00", "sft", "b", "d", "lora")
    for status in STATUS_NAMES:
        for make in (runhtml.headline, runhtml.tiles, runhtml.sentence, runhtml.answers):
            assert make(replace(record, status=status), view, "zh") is not None
    assert json.dumps(chart.drawing(view, "en"), allow_nan=False)


def noted(path: Path) -> None:
    meta = read_meta(path)
    assert isinstance(text_of(meta.get("name")), Text | None) and isinstance(meta.get("rows", 0), int)


def models(path: Path) -> None:
    (info,) = ModelCatalog(next(up for up in path.parents if up.name == "home"), path.parent / "none").list()
    assert info.problem is not None and info.problem.to("zh") and info.name.to("en")


def config(path: Path) -> None:
    assert RunConfig.parse(load_preset(path).values)


def draft(path: Path) -> None:
    try:
        kept = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    made = Draft.parse(kept)
    assert made is None or made.own() is not None


def header(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(len(data).to_bytes(8, "little") + data)
    assert all(tensor.count >= 0 for tensor in read_tensor_headers(path))


def adapter(path: Path) -> None:
    write_header(path.with_name(ADAPTER_WEIGHTS), json.dumps(GOOD["header"]))
    assert check_adapter(path.parent).arguments["r"] == 4


def checkpoint(path: Path) -> None:
    check_checkpoint(path.parent)


READERS: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "run.json": ("20260101-000000-a-sft-0000/run.json", "run", run),
    "events.jsonl": ("run/events.jsonl", "metrics", events),
    **{f"events.jsonl {kind}": ("run/events.jsonl", kind, events) for kind in EVENTS if kind != "metrics"},
    "config.yaml": ("run/config.yaml", "config", config),
    "whole.json": ("checkpoint-3/whole.json", "mark", checkpoint),
    "trainer_state.json": ("checkpoint-3/trainer_state.json", "state", checkpoint),
    "adapter_config.json": (f"adapter/{ADAPTER_CONFIG}", "adapter", adapter),
    "model.safetensors": ("model/model.safetensors", "header", header),
    "meta.json": ("set/meta.json", "meta", noted),
    "models/x.json": ("models/x.json", "link", models),
    "models/x/config.json": ("models/x/config.json", "link", models),
    "draft": ("draft", "draft", draft),
}


@pytest.mark.parametrize("name", READERS)
def test_garbage_gives_a_value_or_a_sentence(tmp_path: Path, name: str) -> None:
    place, kind, read = READERS[name]
    path = tmp_path / "home" / place
    path.parent.mkdir(parents=True)
    if name == "trainer_state.json":
        path.with_name("whole.json").write_text("{}", encoding="utf-8")

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(contents(kind))
    def feed(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read(path)
        except WorkbenchError as error:
            assert error.to("en") and error.to("zh")

    feed()


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_with_any_field_at_its_extreme_is_left_out_or_can_be_shown(tmp_path: Path, kind: str) -> None:
    lines = [json.dumps(GOOD[kind])]
    lines += [json.dumps({**GOOD[kind], name: value}) for name in EVENTS[kind] for value in EXTREMES]
    for line in lines:
        (tmp_path / "events.jsonl").write_text(line + "\n", encoding="utf-8")
        log, view = EventLog(tmp_path / "events.jsonl"), RunView()
        view.feed(log.after())
        assert log.after() or log.damage() is not None
        shown(view)
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    view = RunView()
    view.feed(EventLog(tmp_path / "events.jsonl").after())
    shown(view)


def test_a_verdict_without_a_word_is_none(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({**GOOD["verdict"], "words": []}) + "\n", encoding="utf-8")
    assert EventLog(path).after() == [] and "1 of 1 lines" in str(EventLog(path).damage())


@pytest.mark.parametrize("epoch", ["NaN", "Infinity", "-Infinity", "1e200"])
def test_a_checkpoint_that_was_never_reached_is_damaged(tmp_path: Path, epoch: str) -> None:
    path = tmp_path / "checkpoint-3"
    path.mkdir()
    (path / "trainer_state.json").write_text(
        f'{{"global_step": 3, "max_steps": 9, "epoch": {epoch}}}', encoding="utf-8"
    )
    with pytest.raises(WorkbenchError):
        read_state(path)
    longer = RunConfig.parse({"optimization": {"epochs": 5}})
    assert changes.long_enough(longer, path) == [] and "completed" in changes.states_to_resume(longer, path)


def test_a_place_of_locks_that_is_none_keeps_nobody_out(tmp_path: Path) -> None:
    locks = tmp_path / FOLDER
    for damage in FOLDERS | FILES:
        locks.write_text("1", encoding="utf-8")
        (FOLDERS | FILES)[damage](locks)
        owners = Owners(tmp_path)
        assert owners.enter() and owners.claim("run"), damage
        assert locks.is_dir() and not locks.is_symlink(), damage
        owners.leave()
        remove(locks)


@pytest.mark.parametrize("name", [name for name in READERS if name not in ("draft", "model.safetensors")])
def test_what_the_system_does_not_let_read_is_said(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, kind, read = READERS[name]
    path, opened = tmp_path / "home" / place, Path.open
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(GOOD[kind]), encoding="utf-8")

    def refused(self: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if self == path and mode == "rb":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", refused)
    with contextlib.suppress(WorkbenchError):  # a record or a list says it itself
        read(path)
    found = {
        "run.json": lambda: kept_error(read_run(path).error),
        "events.jsonl": lambda: EventLog(path).damage(),
        "meta.json": lambda: read_meta(path)["lost"].message,
    }.get(name)
    if found is not None:
        assert "no permission" in str(found()) and "没有读取权限" in found().to("zh")
