"""Which presets work on a computer, how the list says it, and what is said once when something has to be put right."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.ui_double import FakeEngine
from workbench.bootstrap import environment
from workbench.config.errors import Problem, WorkbenchError
from workbench.config.presets import list_presets
from workbench.config.run import RunConfig
from workbench.config.text import Text, same
from workbench.engine import suitability
from workbench.engine.hardware import Memory
from workbench.engine.offers import can_come
from workbench.engine.suitability import CARD, MODEL, NOW, suits

environment()

from workbench.ui import presetlist, summary  # noqa: E402
from workbench.ui.page import build  # noqa: E402

ROOM = Memory("CPU", 0, 25_000_000_000)
NOWHERE = Path("nowhere")  # so that a model's shape follows from its size
STARTER = SimpleNamespace(
    id="starter", name=Text("Starter model", "入门模型"), parameters=4_200_000, problem=None, folder=NOWHERE
)


def model(name: str, parameters: float, problem: Any = None) -> Any:
    return SimpleNamespace(id=name, name=same(name), parameters=parameters, problem=problem, folder=NOWHERE)


def groups(models: list[Any], memory: Memory, card: bool) -> dict[str, str]:
    return {preset.id: suits(preset.config(), models, memory, card).group for preset in list_presets()}


def test_on_a_computer_as_it_comes_the_presets_for_the_starter_work_and_the_others_say_what_they_need() -> None:
    found = groups([STARTER], ROOM, card=False)
    assert {name for name, group in found.items() if group == NOW} == {
        "first-run", "first-run-zh", "own-data", "own-pairs", "shorter-kinder", "classify-starter",
        "orpo-starter", "pretrain-starter", "reward-starter",
    }  # fmt: skip
    assert found["full-tuning-small"] == MODEL
    assert found["lora-8gb"] == found["dpo-lora"] == found["qlora-24gb"] == CARD
    config = next(preset for preset in list_presets() if preset.id == "full-tuning-small").config()
    need = suits(config, [STARTER], ROOM, card=False)
    assert "Qwen3 0.6B" in need.reason.to("en") and "Qwen3 0.6B" in need.reason.to("zh") and need.way_on is not None


def test_a_preset_works_where_its_model_and_a_card_are_and_a_broken_model_is_none() -> None:
    card = Memory("a card", 0, 24_000_000_000)
    here = [STARTER, model("Qwen3-1.7B", 1.7e9), model("Qwen3-0.6B", 6e8), model("Qwen3-8B", 8.2e9)]
    here.append(model("Qwen3-14B", 14.8e9))
    assert set(groups(here, card, card=True).values()) == {NOW}
    assert groups(here, Memory("a small card", 0, 6_000_000_000), card=True)["qlora-24gb"] == CARD
    assert groups([STARTER], card, card=True)["lora-8gb"] == MODEL
    broken = [STARTER, model("Qwen3-0.6B", 6e8, problem=WorkbenchError(same("broken")))]
    assert groups(broken, ROOM, card=False)["full-tuning-small"] == MODEL
    assert groups(here, ROOM, card=False)["full-tuning-small"] == NOW


def test_fp16_needs_a_card_and_too_little_memory_is_said_with_both_numbers() -> None:
    half = RunConfig().changed({"precision.dtype": "fp16"})
    assert suits(half, [STARTER], ROOM, card=False).group == CARD
    assert suits(half, [STARTER], ROOM, card=True).group == NOW
    full = RunConfig().changed({"model.base": "m", "adapter.kind": "none"})
    short = suits(full, [model("m", 9e8)], Memory("CPU", 0, 8_000_000_000), card=False)
    assert short.group == CARD
    said = re.fullmatch(r"Takes about ([\d.]+) GB of memory, but this computer has 8\.0 GB\.", short.reason.to("en"))
    assert said and 16 * 0.9 < float(said[1]) < 24  # weights, gradients and two moments in 32 bits are 14.4
    assert said[1] in short.reason.to("zh") and "8.0 GB" in short.reason.to("zh")


@pytest.mark.parametrize(
    ("name", "size"),
    [("Qwen3-1.7B", 1.7e9), ("SmolLM2-135M-Instruct", 135e6), ("org/llama-7b", 7e9), ("my-model-2", 0.0),
     ("/home/me/3b/pythia-70m", 70e6), ("mixtral-8x7B", 7e9), ("bert-base", 0.0), ("", 0.0)],
)  # fmt: skip
def test_a_models_name_tells_its_size_where_it_does(name: str, size: float) -> None:
    assert suitability.size_in_name(name) == size


def test_the_list_of_presets_begins_with_what_works_and_names_each_group(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path)
    fits = {"first-run-zh": (CARD, "c"), "first-run": (MODEL, "m"), "lora-8gb": (NOW, "n")}
    engine.preset_fits = lambda: {name: suitability.Fit(group, same(why)) for name, (group, why) in fits.items()}
    shown = presetlist.choices(engine, lambda text: text.to("en"))
    assert [known for _, known in shown] == ["lora-8gb", "first-run", "first-run-zh"]
    assert [label.split(" · ")[0] for label, _ in shown] == [
        "Works now", "Needs a larger model", "Needs a graphics card",
    ]  # fmt: skip
    assert presetlist.choices(engine, lambda text: text.to("zh"))[0][0].startswith("现在可用 · ")


def test_what_settings_need_is_said_escaped_and_nothing_where_they_work() -> None:
    attack = suits(RunConfig().changed({"model.base": "<img src=x>"}), [STARTER], ROOM, card=False)
    made = presetlist.need(attack, "en")
    assert "&lt;img" in made and "<img" not in made and "Model tab" in made
    assert "data-deed" not in made, "nobody can send it"
    assert presetlist.need(suits(RunConfig().changed({"model.base": "starter"}), [STARTER], ROOM, False), "zh") == ""


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build(FakeEngine(tmp_path_factory.mktemp("home"))).shell.shared["train.form"]


WRONG = Problem(Text("3 is too much", "3 太大"), Text("Take 2.", "请用 2。"), "adapter.rank")


def test_each_problem_is_told_once_at_its_field_and_the_card_only_names_the_place(form: Any) -> None:
    free = Problem(Text("the <disk> is full", "磁盘已满"), None, None)
    problems = [free, WRONG, replace(WRONG, message=Text("and odd", "而且是奇数"))]
    for lang, place in (("en", "Adapter › Rank (r)"), ("zh", "适配器 › 秩")):
        said = summary.card(form, problems, {}, lang)
        (marked, *_), _ = form.mark(problems, {}, lang, {})
        assert said.count(place) == 1 and problems[1].message.to(lang) not in said
        assert problems[1].message.to(lang).lower() in marked.lower()
        assert ("&lt;disk&gt;" if lang == "en" else "磁盘已满") in said and "<disk>" not in said


def test_start_looks_ready_only_when_it_is(form: Any) -> None:
    ready = summary.start_button(form, [], {}, "en")
    assert ready.value == "Start training" and ready.variant == "primary"
    free = Problem(Text("the disk is full", "磁盘已满"), None, None)
    for problems, count in (([WRONG], "1 "), ([WRONG, WRONG], "1 "), ([WRONG, free], "2 ")):
        waits = summary.start_button(form, problems, {}, "en")
        assert waits.variant == "secondary" and waits.value.startswith(count)
        assert f" {count}" in summary.start_button(form, problems, {}, "zh").value


def test_many_wrong_settings_are_counted_beyond_the_first(form: Any) -> None:
    paths = [field.setting.path for field in form.fields if field.setting.applies({})][:9]
    made = summary.card(form, [Problem(same("no"), None, path) for path in paths], {}, "en")
    assert f"and {9 - summary.NAMED} more" in made


@pytest.mark.parametrize("card", [True, False])
def test_a_model_that_is_missing_is_one_button_away(card: bool) -> None:
    fit = suits(RunConfig().changed({"model.base": "Qwen3-1.7B"}), [STARTER], ROOM, card=card)
    made = presetlist.need(fit, "zh")
    assert fit.missing == "Qwen3-1.7B"
    assert 'data-deed="download" data-key="Qwen3-1.7B"' in made and "下载 Qwen3 1.7B" in made
    here = SimpleNamespace(**{**vars(STARTER), "id": "Qwen3-1.7B"})
    assert suits(RunConfig().changed({"model.base": "Qwen3-1.7B"}), [here], ROOM, card=True).missing is None


def test_the_model_of_every_preset_is_recommended_or_here() -> None:
    for preset in list_presets():
        base = preset.config().model.base
        assert base == STARTER.id or can_come(base), preset.id
