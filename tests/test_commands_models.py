"""The command line's words about models: what fits."""

from __future__ import annotations

import pytest

from tests.test_commands import say


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("WORKBENCH_LANG", "en")


def test_fit_says_part_by_part_whether_training_fits_and_what_would(tmp_path):
    home = tmp_path / "home"
    found = say("models", "fit", "Qwen3-1.7B", "--home", home, "--json").data
    assert found["fits"] == (found["peak_bytes"] <= found["available_bytes"])
    assert found["parameters"] == pytest.approx(1.72e9, rel=0.02)  # from the list that ships, without network
    assert max(found["parts"].values()) < found["peak_bytes"] < sum(found["parts"].values())
    smaller = say("models", "fit", "Qwen3-1.7B", "optimization.batch_size=1", "--home", home, "--json").data
    assert smaller["peak_bytes"] < found["peak_bytes"]
    saved = next(one for one in found["advice"] if one["path"] == "optimization.batch_size")
    assert saved["saved_bytes"] == found["peak_bytes"] - saved["peak_bytes"] > 0
    large = say("models", "fit", "Qwen3-30B-A3B-Instruct-2507", "adapter.kind=none", "--home", home, "--lang", "zh")
    assert large.code == 1 and "只有" in large.out and "梯度" in large.out and "adapter.kind=lora" in large.out
    timed = say("models", "fit", "starter", "data.train=pirate-voice", "--home", home, "--json").data
    assert timed["fits"] and timed["seconds"] > 0 and timed["disk_bytes"] > 0
    assert timed["basis"] == "guess"
    short = ("optimization.batch_size=2", "data.max_length=32")
    measured = say("models", "fit", "starter", "data.train=pirate-voice", *short, "--measure", "--home", home, "--json")
    assert measured.code == 0 and measured.data["basis"] == "measured" and measured.data["seconds"] > 0
    assert say("models", "fit", "starter", "--measure", "--home", home).code == 2, "trial steps need data"
    assert say("models", "fit", "nope", "--home", home).code == 2
