"""`train --suggest`: what suits some data, without starting; the same as the Train tab fills in."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.small_sets import small_sets
from tests.test_commands import say
from workbench.config.presets import find_preset, with_overrides
from workbench.config.run import RunConfig


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_LANG", "en")


def file_of(name: str, folder: Path) -> Path:
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in small_sets()[name].rows), "utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "method", "preset"),
    [("owl", "sft", "own-data"), ("reviews", "sft", "own-data"), ("pairs", "dpo", "own-pairs")],
)
def test_data_is_told_what_suits_it_and_the_command_does_it(
    tmp_path: Path, name: str, method: str, preset: str
) -> None:
    file = file_of(name, tmp_path)
    said = say("train", file, "--suggest", "--home", tmp_path / "home", "--json")
    assert said.code == 0 and (said.data["method"], said.data["preset"]) == (method, preset), said.err
    settings, why = said.data["settings"], said.data["reasons"]
    assert settings["data.train"] == str(file) and len(settings["evaluation.questions"]) == 4
    assert settings["optimization.epochs"] > 3 and "steps" in why["optimization.epochs"] and "method.kind" in why
    *reasons, command = say("train", "--suggest", file, "--home", tmp_path / "home").out.splitlines()
    assert len(reasons) == len(why)
    _, _, _, train, chosen, *words = shlex.split(command)
    assert (train, chosen) == ("train", preset)
    config = RunConfig.parse(with_overrides(find_preset(preset).values, words))
    assert {path: value_of(config, path) for path in settings} == settings
    assert not [*(tmp_path / "home").glob("runs/*")]


def value_of(config: RunConfig, path: str) -> Any:
    section, _, name = path.partition(".")
    return config.values()[section][name]


def test_what_was_typed_stays_and_follows_into_what_is_suggested(tmp_path: Path) -> None:
    file, home = file_of("owl", tmp_path), tmp_path / "home"
    words = ["optimization.batch_size=4", "optimization.learning_rate=0.01"]
    said = say("train", file, *words, "--suggest", "--home", home, "--json").data
    plain = say("train", file, "--suggest", "--home", home, "--json").data
    assert said["settings"]["optimization.learning_rate"] == 0.01 and said["settings"]["optimization.batch_size"] == 4
    assert (
        said["settings"]["optimization.epochs"] < plain["settings"]["optimization.epochs"]
    )  # smaller batches, more steps
    fixed = say("train", file, "optimization.epochs=2", "--suggest", "--home", home, "--json").data
    assert fixed["settings"]["optimization.epochs"] == 2 and "optimization.epochs" not in fixed["reasons"]


@pytest.mark.parametrize(
    ("word", "field"),
    [("method.kind=dpo", "data.train"), ("adapter.rank=0", "adapter.rank"), ("model.base=none", "model.base")],
)
def test_what_cannot_be_is_refused_before_anything(tmp_path: Path, word: str, field: str) -> None:
    said = say("train", file_of("owl", tmp_path), word, "--suggest", "--home", tmp_path / "home", "--json")
    assert said.code == 2 and said.data["error"]["field"] == field


def test_data_from_which_no_method_learns_says_so_in_the_readers_language(tmp_path: Path) -> None:
    file = tmp_path / "questions.csv"
    file.write_text("prompt\n" + "".join(f"Is room {n} free?\n" for n in range(20)), "utf-8")
    said = say("train", file, "--suggest", "--home", tmp_path / "home", "--lang", "zh")
    assert said.code == 2 and "completion" in said.err and any("\u4e00" <= sign <= "\u9fff" for sign in said.err)
    assert say("train", tmp_path / "none.jsonl", "--suggest", "--home", tmp_path / "home").code == 2
