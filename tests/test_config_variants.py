"""Sections that are one of several: added in files of their own, they are in form, YAML, command line, reference and messages;
and whatever is set, these three ways to set it agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import workbench.methods  # noqa: F401 - makes methods and adapters known
from tests.ui_double import FakeEngine
from workbench.bootstrap import ROOT
from workbench.config.errors import WorkbenchError
from workbench.config.fields import Setting, knobs, value_at
from workbench.config.presets import dump, load_preset, read_yaml, with_overrides
from workbench.config.run import RunConfig, put
from workbench.config.versions import VERSION, migrated
from workbench.ui.form import Form, show_value
from workbench.ui.page import build

METHOD = """
from typing import Literal
from pydantic import SerializeAsAny
from workbench.config.fields import knob
from workbench.config.registry import METHOD_HELP, METHOD_LABEL, MethodOptions
from workbench.config.sections import Section
from workbench.config.text import Text
from workbench.config.variants import Variant, family
from workbench.methods.base import Method

@family(Text("reward", "奖励"), default=None)
class Reward(Variant, Section):
    kind: str = knob("", Text("Reward", "奖励"), Text("What is rewarded.", "奖励什么。"))
    weight: float = knob(1.0, Text("Weight", "权重"), Text("More counts more.", "越大越重要。"), gt=0, le=10)

class Length(Reward):
    kind: Literal["length"] = knob("length", Text("Reward", "奖励"), Text("What is rewarded.", "奖励什么。"))
    tokens: int = knob(50, Text("Length", "长度"), Text("Longer answers.", "更长的回答。"), ge=1)

class Words(Reward):
    kind: Literal["words"] = knob("words", Text("Reward", "奖励"), Text("What is rewarded.", "奖励什么。"))

Reward.add(Length, Text("length", "长度"), Text("Answers of a length.", "一定长度的回答。"))
Reward.add(Words, Text("words", "用词"), Text("Answers with a word.", "含某词的回答。"))

class Options(MethodOptions):
    kind: Literal["calm"] = knob("calm", METHOD_LABEL, METHOD_HELP)
    strength: float = knob(1.0, Text("Strength", "强度"), Text("More is more.", "越大越强。"), ge=0)
    rewards: list[SerializeAsAny[Reward]] = knob([], Text("Rewards", "奖励"), Text("All count.", "都算。"), max_length=8)

class Calm(Method):
    kind, label, help = "calm", Text("Calm", "平静"), Text("Calms.", "使其平静。")
    data_kinds, Options = ("chat",), Options
    def build_trainer(self, parts): ...
"""
ADAPTER = """
from typing import Literal
from workbench.adapters.lora import Lora, LoraOptions
from workbench.config.fields import knob
from workbench.config.registry import ADAPTER_HELP, ADAPTER_LABEL
from workbench.config.text import Text

class Options(LoraOptions):
    kind: Literal["quiet"] = knob("quiet", ADAPTER_LABEL, ADAPTER_HELP)
    volume: float = knob(0.5, Text("Volume", "音量"), Text("More is louder.", "越大越响。"), ge=0, le=1)

class Quiet(Lora):
    kind, name, label, help = "quiet", "Quiet", Text("Quiet adapter", "安静适配器"), Text("Is quiet.", "很安静。")
    Options = Options
"""
LOOK = """
import sys
from pathlib import Path
import workbench.methods, workbench.adapters
for package, folder in ((workbench.adapters, "adapters"), (workbench.methods, "methods")):
    package.__path__.append(f"{sys.argv[1]}/{folder}")
    package.discover()
from tests.ui_double import FakeEngine
from workbench.config.errors import WorkbenchError
from workbench.config.presets import dump, load_preset, with_overrides
from workbench.config.run import RunConfig
from workbench.reference import render
from workbench.ui.page import build

values = {"method": {"kind": "calm", "strength": 2.0, "rewards": [{"kind": "length", "weight": 0.5}, {"kind": "words"}]},
          "adapter": {"kind": "quiet", "rank": 4, "volume": 0.2}}
config = RunConfig.parse(values)
assert config.method.rewards[0].tokens == 50 and config.method.rewards[1].weight == 1.0 and config.adapter.rank == 4

file = Path(sys.argv[1]) / "run.yaml"
file.write_text(dump(config), encoding="utf-8")
assert load_preset(file).config() == config

words = ["method.rewards.0.weight=0.5", "method.rewards.0.kind=length", "method.rewards.1.kind=words", "adapter.volume=0.2",
         "method.strength=2.0", "adapter.rank=4", "adapter.kind=quiet", "method.kind=calm"]
assert RunConfig.parse(with_overrides({}, words)) == config
assert RunConfig.parse(with_overrides(values, ["method.rewards.0.kind=words"])).method.rewards[0].weight == 0.5

page = render()
for path in ("method.strength", "method.rewards", "method.rewards.0.tokens", "adapter.volume"):
    assert f"**`{path}`**" in page, path
assert "安静适配器" in page and "`quiet`" in page and "一定长度的回答" in page

form = build(FakeEngine(Path(sys.argv[1]) / "home")).shell.shared["train.form"]
assert RunConfig.parse(form.read(form.show(config.values()))) == config
shown = form.show(config.values())
index = form.fields.index(form.field("method.rewards"))
shown[index] = "kind=length weight=0.5\\n{kind: words}"
assert RunConfig.parse(form.read(shown)) == config
for path in ("method.strength", "method.rewards", "adapter.volume", "adapter.rank"):
    field = form.field(path)
    assert field.setting.applies(values) and (path == "adapter.rank" or not field.setting.applies({})), path

def refused(words):
    try:
        RunConfig.parse(with_overrides(values, words))
    except WorkbenchError as error:
        return {problem.field: f"{problem.message.to('en')} {problem.hint.to('en') if problem.hint else ''}" for problem in error.problems}

assert list(refused(["method.rewards.1.weight=-1"])) == ["method.rewards.1.weight"]
assert "Did you mean 'weight'" in refused(["method.rewards.0.wieght=1"])["method.rewards.0.wieght"]
assert "there is no reward 'lenght'" in refused(["method.rewards.0.kind=lenght"])["method.rewards.0.kind"]
assert "It belongs to adapter.kind: quiet." in refused(["adapter.kind=lora", "adapter.volume=0.3"])["adapter.volume"]
from workbench.config.errors import Problem
from workbench.config.text import same
wrong = Problem(same("too small"), None, "method.rewards.1.weight")
marks, now = form.mark([wrong], values, "en", {})
assert list(now) == ["method-rewards"] and "oo small" in now["method-rewards"] and not form.elsewhere([wrong], values), now
"""


def test_a_method_an_adapter_and_typed_rows_are_added_by_files_alone(tmp_path: Path) -> None:
    """In a process of its own, since registries keep what they have found."""
    for folder, name, text in (("methods", "calm.py", METHOD), ("adapters", "quiet.py", ADAPTER)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# The three ways


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Form:
    return build(FakeEngine(tmp_path_factory.mktemp("home"))).shell.shared["train.form"]


def usual_and_odd(setting: Setting) -> some.SearchStrategy[Any]:
    """Values that a person could give a setting, some of them wrong."""
    if setting.kind == "choice":
        return some.sampled_from([*(value for value, _ in setting.choices), "nonsense"])
    if setting.kind == "switch":
        return some.booleans()
    if setting.kind == "texts":
        return some.lists(some.sampled_from(["q_proj", "v_proj", "one two", "三"]), max_size=3)
    if setting.kind == "text":
        return some.sampled_from(["starter", "one-name", "名字", "a/b", "x" * 300])
    edges = [edge for edge in (setting.minimum, setting.maximum) if edge is not None]
    near = [value for edge in edges for value in (edge, edge - 1, edge + 1)]
    if setting.kind == "integer":
        return some.sampled_from([setting.default, 1, 3, *map(int, near)])
    return some.sampled_from([float(value) for value in (setting.default or 0, 0.25, 1.5, *near)])


@some.composite
def some_settings(draw: Any) -> dict[str, Any]:
    """Nested values in which everything counts: what does not is left out of a form, and refused or named elsewhere."""
    nested: dict[str, Any] = {}
    for setting in sorted(knobs(RunConfig), key=lambda one: len(one.when)):
        if setting.applies(nested) and draw(some.integers(0, 5)) == 0:
            put(nested, setting.path, draw(usual_and_odd(setting)))
    return nested


def outcome(values: dict[str, Any]) -> Any:
    """The run's settings, or the paths of what is wrong."""
    try:
        return RunConfig.parse(values).values()
    except WorkbenchError as error:
        return {problem.field for problem in error.problems}


@settings(max_examples=200, deadline=None)
@given(some_settings())
def test_yaml_form_and_command_line_give_the_same_run_or_refuse_the_same_settings(
    form: Form, nested: dict[str, Any]
) -> None:
    import json

    paths = [f"{section}.{name}" for section, inner in nested.items() for name in inner]
    wanted = outcome(nested)
    assert outcome(read_yaml(json.dumps(nested, ensure_ascii=False), "run.yaml") or {}) == wanted
    words = [f"{path}={json.dumps(value_at(nested, path), ensure_ascii=False)}" for path in paths]
    assert outcome(with_overrides({}, words)) == wanted
    shown = form.show(RunConfig().values())
    for path in paths:
        field = form.field(path, nested)
        shown[form.fields.index(field)] = show_value(field.setting, value_at(nested, path))
    assert outcome(form.read(shown)) == wanted


# Older versions


def test_what_the_first_version_wrote_for_full_tuning_is_read_and_what_was_meant_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    kept = "adapter:\n  kind: none\n  rank: 16\n  alpha: 32\n  dropout: 0.0\n  target_modules: [all-linear]\n  bias: none\n"
    file.write_text(f"model:\n  base: starter\n{kept}", encoding="utf-8")
    assert load_preset(file).notes == () and load_preset(file).config().adapter.whole
    file.write_text(kept.replace("rank: 16", "rank: 8"), encoding="utf-8")
    (note,) = load_preset(file).notes
    assert "adapter.rank" in note.to("en") and "adapter.rank" in note.to("zh") and "alpha" not in note.to("en")
    file.write_text(kept.replace("kind: none", "kind: lora"), encoding="utf-8")
    assert load_preset(file).config() == RunConfig.parse({"model": {"base": RunConfig().model.base}})


def test_a_file_says_its_version_and_a_newer_one_is_not_guessed_at(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(dump(RunConfig()), encoding="utf-8")
    assert file.read_text(encoding="utf-8").startswith(f"version: {VERSION}\n")
    assert load_preset(file).config() == RunConfig()
    assert outcome(migrated({"version": VERSION, "adapter": {"kind": "none", "rank": 8}})[0]) == {"adapter.rank"}
    for version in (VERSION + 1, 0, -1, True, "2", 1.0, None, [1]):
        with pytest.raises(WorkbenchError) as caught:
            migrated({"version": version})
        assert caught.value.field == "version" and caught.value.to("zh")


@pytest.mark.parametrize(
    "word", ["adapter", "adapter.", ".rank", "adapter.rank.deeper=1", "data.0.kind=x", "a.b.c.d=1", "0=1", "..=1"]
)
def test_a_path_that_leads_nowhere_is_refused_and_named(word: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        RunConfig.parse(with_overrides({"adapter": {"rank": 4}}, [word]))
    assert caught.value.to("en") and caught.value.to("zh")


def test_a_setting_that_counts_for_nothing_is_named() -> None:
    config = RunConfig.parse({"optimization": {"optimizer": "sgd", "adam_beta1": 0.5}})
    (line,) = config.idle()
    assert "optimization.adam_beta1" in line.to("en") and "optimization.optimizer" in line.to("zh")
    assert not RunConfig.parse({"optimization": {"optimizer": "sgd"}}).idle() and not RunConfig().idle()
