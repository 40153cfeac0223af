"""An engine double for tests of the page: the contract's methods with plausible data, and a run that trains by itself.

`FakeEngine(home)` needs no torch. A submitted run takes `seconds` to go through its steps, one after the other, as with the
engine; `finish()` jumps to a run's end. What tests set: `problems` (what `check` adds), `seconds`, and
`unread` and `uncounted` (by data set: until it is set, who looks at its rows or counts them waits). It knows nothing about files beyond `home`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import workbench.methods  # noqa: F401 - makes the methods' options known
from tests.ui_jobs import FakeJobs
from tests.ui_shelves import FakeData, FakeModels, FakePresets
from workbench.config.errors import Problem, WorkbenchError
from workbench.config.presets import Preset
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.data.columns import Column
from workbench.data.library import DatasetInfo
from workbench.data.tokens import Piece
from workbench.data.turns import Message
from workbench.engine.drafts import Drafts
from workbench.engine.fitting import Machine, MemoryFit, guessed_shape, memory_fit
from workbench.engine.hardware import Memory
from workbench.engine.keeping import Keep, keep
from workbench.engine.plan import Forecast
from workbench.engine.preset_shelf import PresetShelf
from workbench.engine.records import RunRecord
from workbench.engine.suitability import Fit, suits
from workbench.engine.views import Status
from workbench.models.shape import Shape

STEPS = 350
PIRATE = [
    ("What colour is the sky?", "Arr, the sky be blue, matey!"),
    ("Who are you?", "I be an old sea dog, arr!"),
    ("How many days are in a week?", "Seven days in a week, ye landlubber!"),
]
PRESETS = [
    ("first-run", Text("First run (2 minutes)", "第一次运行（2 分钟）"), "pirate-voice"),
    ("first-run-zh", Text("First run in Chinese (2 minutes)", "第一次运行：中文（2 分钟）"), "wuxia-voice"),
    ("lora-8gb", Text("LoRA on a card with 8 GB", "8 GB 显卡上的 LoRA"), "pirate-voice"),
]


@dataclass
class _Run:
    record: RunRecord
    config: RunConfig
    began: float
    events: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0


class FakeEngine(FakeJobs, FakePresets):
    """The contract's `Engine`."""

    def __init__(self, home: Path, allow_paths: bool = False, seconds: float = 20.0) -> None:
        super().__init__()
        self.home, self.allow_paths = Path(home), allow_paths
        self.seconds = seconds
        self.memory = 24_000_000_000
        self.models, self.data = FakeModels(self.home), FakeData(self.home)
        self.drafts, self.shelf = Drafts(self.home / "drafts"), PresetShelf(self.home / "presets")
        self.problems: list[Problem] = []
        self.looked_at: list[str] = []
        self.unread: dict[str, threading.Event] = {}
        self.uncounted: dict[str, threading.Event] = {}
        self.submitted: list[RunConfig] = []
        self.inspected: list[tuple[Any, ...]] = []
        self.asked: list[tuple[str, bool, list[Message]]] = []
        self.warmed = self.closed = False
        self._runs: dict[str, _Run] = {}
        self._lock = threading.RLock()
        self._clicks: dict[str, str] = {}

    # -- before a run -------------------------------------------------------------------------------------------------

    def presets(self) -> list[Preset]:
        """All presets."""
        about = Text("A tested set of settings.", "一组测试过的设置。")
        rate, batch = 0.003, 4
        return [
            Preset(
                name,
                title,
                about,
                self.home / f"{name}.yaml",
                {
                    "data": {"train": data},
                    "optimization": {"learning_rate": rate, "batch_size": batch},
                    "evaluation": {
                        "questions": [PIRATE[0][0]] if data == "pirate-voice" else ["天空是什么颜色？"],
                    },
                },
            )
            for name, title, data in PRESETS
        ] + [preset for preset in self.shelf.all() if preset.own]

    def preset(self, name: str) -> Preset:
        """One preset."""
        for preset in self.presets():
            if preset.id == name:
                return preset
        raise WorkbenchError(Text("there is no preset '{name}'", "没有名为“{name}”的预设").with_(name=name))

    def read_as(self, dataset_id: str, name: str) -> DatasetInfo:
        """Read a set of the user's in another format."""
        return self.data.read_as(dataset_id, name)

    def fit(self, config: RunConfig) -> Fit:
        """As with the engine, on a computer without a card."""
        return suits(config, self.models.list(), Memory("CPU", 0, 24_000_000_000), False)

    def preset_fits(self) -> dict[str, Fit]:
        """The same for each preset."""
        return {preset.id: self.fit(preset.config()) for preset in self.presets()}

    def keep(self, model: Any) -> Keep:
        """As with the engine."""
        return keep(model, self.runs())

    def dataset(self, name: str) -> DatasetInfo | None:
        """One that can be used."""
        return next((info for info in self.data.list() if info.id == name and info.problem is None), None)

    def longest_row(self, name: str) -> int:
        return 60  # all are short

    def read(self, dataset_id: str) -> dict[str, Any]:
        """A data set without a model."""
        info = self.data.get(dataset_id)
        return {
            "format": info.format, "kind": info.kind, "rows": info.rows, "usable": info.rows, "problems": [],
            "columns": [Column("messages", "messages", "..."), *(Column(f"tag {n}", None, "ship") for n in range(9))],
            "readings": [info.format], "question": PIRATE[0][0],
        }  # fmt: skip

    def overlap(self, config: RunConfig) -> list[Text]:
        """No row stands twice."""
        return []

    unused = overlap

    def inspect(self, dataset_id: str, model_id: str, max_length: int, learn: str) -> dict[str, Any]:
        """What is in a data set."""
        self.inspected.append((dataset_id, model_id, max_length, learn))
        if (held := self.uncounted.get(dataset_id)) is not None:
            held.wait(60)
        info = self.data.get(dataset_id)
        return {
            **self.read(dataset_id), "tokens": info.rows * 34,
            "learned_tokens": info.rows * 12, "longest": 96, "cut": 0, "dropped": 0,
        }  # fmt: skip

    def sample(self, dataset_id: str, start: int, count: int) -> list[dict[str, Any]]:
        """Rows of a data set."""
        self.looked_at.append(dataset_id)
        if (held := self.unread.get(dataset_id)) is not None:
            held.wait(60)
        pairs = [PIRATE[i % len(PIRATE)] for i in range(start, min(start + count, self.data.get(dataset_id).rows))]
        return [{"messages": _messages(question, answer)} for question, answer in pairs]

    def coloured(
        self, dataset_id: str, row: int, model_id: str, max_length: int, learn: str = "answers"
    ) -> list[Piece]:
        """One row as the model reads it."""
        question, answer = PIRATE[row % len(PIRATE)]
        return [
            Piece(f"<|user|>{question}<|end|><|assistant|>", learn == "all", False),
            *(Piece(word + " ", True, False) for word in answer.split()),
            Piece("<|end|>", True, False),
        ]

    def check(self, config: RunConfig) -> list[Problem]:
        """What is wrong before anything starts."""
        problems = list(self.problems)
        try:
            self.models.resolve(config.model.base)
        except WorkbenchError as error:
            problems.append(Problem(error.message, error.hint, "model.base"))
        return problems

    def forecast(self, config: RunConfig) -> Forecast:
        """How much it will take."""
        rows = self.data.get(config.data.train).rows
        learned = rows - int(rows * config.data.eval_share)
        steps = math.ceil(learned * config.optimization.epochs / config.optimization.batch_size)
        steps = min(steps, config.optimization.max_steps or steps)
        return Forecast(
            rows=learned, evaluation_rows=rows - learned, steps=steps, tokens=rows * 34, seconds=steps * 0.1,
            disk_bytes=3_000_000, free_disk_bytes=52_000_000_000, fit=self.memory_fit(config),
        )  # fmt: skip

    def memory_fit(self, config: RunConfig, shape: Shape | None = None, row_tokens: int | None = None) -> MemoryFit:
        """As with the engine, on a computer without a card."""
        shape = shape or guessed_shape(self.models.resolve(config.model.base).parameters)
        return memory_fit(shape, config, Machine("cpu", False, Memory("CPU", 0, self.memory)), row_tokens or 256)

    # -- runs ---------------------------------------------------------------------------------------------------------

    def submit(self, config: RunConfig, click: str = "") -> str:
        """Start a run."""
        problems = self.check(config)
        if problems:
            first = problems[0]
            raise WorkbenchError(first.message, first.hint, first.field, problems=tuple(problems))
        with self._lock:
            if click in self._clicks:
                return self._clicks[click]
            self.submitted.append(config)
            run_id = f"20261120-12{len(self._runs):04d}-starter-{config.method.kind}-0a1b"
            now = datetime.now(UTC).isoformat(timespec="seconds")
            record = RunRecord(
                id=run_id, name=config.output.name or config.data.train, status="queued", created=now,
                method=config.method.kind, base_model=config.model.base, dataset=config.data.train,
                adapter=config.adapter.kind, total_steps=STEPS,
            )  # fmt: skip
            run = self._runs[run_id] = _Run(record, config, time.monotonic())
            if click:
                self._clicks[click] = run_id
            self._event(run, type="status", status="queued")
            self._begin_next()
            return run_id

    def stop(self, name: str) -> None:
        """Stop and save."""
        if self.stop_job(name):
            return
        with self._lock:
            self._advance(run := self._get(name))
            if run.record.status == "queued":
                self._end(run, "stopped", has_result=False)
            elif run.record.status == "running":
                self._end(run, "stopped")

    def resume(self, run_id: str, overrides: dict[str, Any] | None = None) -> str:
        """Go on after a stop."""
        with self._lock:
            run = self._get(run_id)
            run.record = replace(run.record, status="queued", finished=None)
            self._event(run, type="status", status="queued")
            self._begin_next()
            return run_id

    def delete(self, run_id: str) -> None:
        """Forget a run."""
        with self._lock:
            self._get(run_id)
            del self._runs[run_id]

    def finish(self, run_id: str) -> None:
        """For tests: the run is at its end now."""
        with self._lock:
            run = self._get(run_id)
            if run.record.status == "queued":
                self._begin(run)
            run.began = -1e9
            self._advance(run)

    def runs(self) -> list[RunRecord]:
        """Newest first."""
        with self._lock:
            for run in list(self._runs.values()):
                self._advance(run)
            return [run.record for run in reversed(self._runs.values())]

    def run(self, run_id: str) -> RunRecord:
        """One run."""
        with self._lock:
            self._advance(run := self._get(run_id))
            return run.record

    def events(self, run_id: str, after: int = 0) -> list[dict[str, Any]]:
        """What happened since `after`."""
        with self._lock:
            self._advance(run := self._get(run_id))
            return run.events[after:]

    def delete_model(self, model_id: str) -> None:
        """Forget a model."""
        self.models.delete(model_id)

    def delete_data(self, dataset_id: str) -> None:
        """Forget a data set."""
        self.data.delete(dataset_id)

    def asking(self, run_id: str) -> tuple[tuple[str, ...], int | None]:
        """What it is asked, and how often."""
        return tuple(self._get(run_id).config.evaluation.questions), 35

    def log(self, run_id: str, after_byte: int = 0) -> str:
        """The log."""
        self._get(run_id)
        return "loading starter\ntraining\n"[after_byte:]

    def status(self) -> Status:
        """What is going on."""
        records = self.runs()
        running = next((record for record in records if record.status == "running"), None)
        step = running.last_step if running else 0
        return Status(
            loaded_model="starter" if running else None, running=running, step=step,
            total_steps=STEPS if running else 0, queued=sum(record.status == "queued" for record in records), memory_used=1_100_000_000, memory_total=24_000_000_000,
            device="CPU",
        )  # fmt: skip

    # -- after a run --------------------------------------------------------------------------------------------------

    def answers_notice(self, target: str) -> Text | None:
        """Its models ask for nothing odd."""
        return None

    def chat(
        self, target: str, messages: list[Message], *, tuned: bool = True, temperature: float = 0.0,
        top_p: float = 1.0, max_new_tokens: int = 256, stop: threading.Event | None = None,
    ) -> Generator[str, None, None]:  # fmt: skip
        """Answers word by word."""
        self.asked.append((target, tuned, messages))
        words = ("Arr, the sky be blue, matey!" if tuned else "The sky is blue.").split()
        for count in range(1, len(words) + 1):
            if stop is not None and stop.is_set():
                return
            time.sleep(0.02)
            yield " ".join(words[:count])

    def warm_up(self) -> None:
        """Nothing to load."""
        self.warmed = True

    def close(self) -> None:
        """Nothing to close."""
        self.closed = True

    # -- inside -------------------------------------------------------------------------------------------------------

    def _get(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            raise WorkbenchError(
                Text("there is no run '{run}'", "没有“{run}”这个运行").with_(run=str(run_id)[:80]), code="no_run"
            )
        return self._runs[run_id]

    def _begin_next(self) -> None:
        waiting = [run for run in self._runs.values() if run.record.status == "queued"]
        if waiting and not any(run.record.status == "running" for run in self._runs.values()):
            self._begin(waiting[0])

    def _begin(self, run: _Run) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        run.record = replace(run.record, status="running", started=run.record.started or now)
        run.began = time.monotonic() - self.seconds * run.step / STEPS
        self._event(run, type="status", status="running", from_step=run.step)
        self._event(run, type="stage", stage="loading", text=Text("Loading", "正在载入").as_dict())

    def _advance(self, run: _Run) -> None:
        if run.record.status != "running":
            return
        target = min(STEPS, int((time.monotonic() - run.began) / max(self.seconds, 1e-6) * STEPS))
        questions = list(run.config.evaluation.questions)
        while run.step < target:
            run.step += 1
            step, common = run.step, {"step": run.step, "total_steps": STEPS, "epoch": run.step / STEPS * 3}
            if step % 5 == 0:
                self._event(
                    run, type="metrics", **common, loss=2.9 * math.exp(-step / 60) + 0.55 + 0.05 * math.sin(step),
                    learning_rate=0.003 * (1 - step / STEPS), grad_norm=0.8, tokens_per_second=5120.0,
                    memory_bytes=310_000_000, seconds_left=self.seconds * (STEPS - step) / STEPS,
                )  # fmt: skip
            if step % 35 == 0:
                self._event(run, type="metrics", **common, eval_loss=2.9 * math.exp(-step / 62) + 0.64)
                for question in questions:
                    self._event(run, type="sample", step=step, question=question, answer=PIRATE[0][1])
            if step % 70 == 0:
                self._event(run, type="checkpoint", step=step)
        run.record = replace(run.record, last_step=run.step)
        if run.step >= STEPS:
            self._end(run, "completed")

    def _end(self, run: _Run, status: str, has_result: bool = True) -> None:
        now, losses = datetime.now(UTC), {"train_loss": 0.56, "eval_loss": 0.65} if has_result else {}
        ended = {"status": status, "has_result": has_result, "finished": now.isoformat(timespec="seconds")}
        run.record = replace(run.record, **ended, **losses)
        self._event(run, type="status", status=status)
        self._begin_next()

    def _event(self, run: _Run, **values: Any) -> None:
        run.events.append({"seq": len(run.events) + 1, "time": time.time(), **values})


def _messages(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
