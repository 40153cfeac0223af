"""A method that is added by one file: in the form's choices, trained, its number drawn, and gone on with; nothing else knows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

METHOD = '''
"""Imitation with a number of its own."""

from typing import Any, ClassVar, Literal

from workbench.config.fields import knob
from workbench.config.registry import METHOD_HELP, METHOD_LABEL, MethodOptions
from workbench.config.text import Text
from workbench.methods.base import Parts
from workbench.methods.metrics import Metric
from workbench.methods.sft import SFT


class CalmOptions(MethodOptions):
    """One number."""

    kind: Literal["calm"] = knob("calm", METHOD_LABEL, METHOD_HELP, level="basic")
    weight: float = knob(0.5, Text("Calm", "平静"), Text("More of it is calmer.", "越大越平静。"), ge=0)


class Calm(SFT):
    """SFT whose loss is weighted."""

    kind: ClassVar[str] = "calm"
    label: ClassVar[Text] = Text("Calm answers", "平静的回答")
    help: ClassVar[Text] = Text("Answers calmly.", "平静地回答。")
    Options: ClassVar[type[MethodOptions]] = CalmOptions
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("calm", Text("calm share", "平静比例"), Text("Of all.", "总体。"), better="up", percent=True, main=True),
    )

    def build_trainer(self, parts: Parts) -> Any:
        trainer = super().build_trainer(parts)
        log = trainer.log

        def with_calm(logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            log(logs | {"calm": parts.config.method.weight} if "loss" in logs else logs, *args, **kwargs)

        trainer.log = with_calm
        return trainer
'''

WALK = """
import sys
from pathlib import Path
import workbench.methods
workbench.methods.__path__.append(sys.argv[1])
workbench.methods.METHODS.clear()
workbench.methods.METHODS.update(workbench.methods.discover())
from tests.homes import make_home, tiny_config, weights
from workbench.engine import Engine
from workbench.engine.runview import RunView
from workbench.ui import chart, runhtml
from workbench.ui.page import build

home = Path(sys.argv[2])
engine = Engine(make_home(home))
form = build(engine).shell.shared["train.form"]
assert any(field.setting.path == "method.weight" for field in form.fields)
assert ("calm") in [key for key, _ in form.field("method.kind").setting.choices]
ends = []
for parts in ((12,), (7, 12)):
    config = tiny_config(method={"kind": "calm", "weight": 0.25})
    run_id = engine.submit(config.changed({"optimization.max_steps": parts[0]}))
    assert engine.wait(run_id, 240) and engine.run(run_id).status == "completed", engine.log(run_id)[-2000:]
    if len(parts) > 1:
        engine.resume(run_id, {"optimization.max_steps": parts[1]})
        assert engine.wait(run_id, 240) and engine.run(run_id).status == "completed", engine.log(run_id)[-2000:]
    ends.append((run_id, engine.run(run_id)))
view = RunView(ends[0][0])
view.feed(engine.events(ends[0][0]))
(panel,) = chart.drawing(view, "zh", runhtml.metrics_of(ends[0][1]))["panels"]
assert panel["series"][0]["name"] == "平静比例" and set(panel["series"][0]["y"]) == {0.25}, panel
assert "25.0 %" in runhtml.tiles(ends[0][1], view, "en")
assert engine.run(ends[1][0]).last_step == 12
assert engine.forecast(config).fit.peak_bytes > 0
engine.close()
"""


def test_a_method_of_one_file_is_in_the_form_trains_shows_its_number_and_goes_on(tmp_path: Path) -> None:
    """In a process of its own, since what is discovered stays."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "calm.py").write_text(METHOD, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", WALK, str(tmp_path / "methods"), str(tmp_path / "home")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
