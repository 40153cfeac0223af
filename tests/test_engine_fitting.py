"""Whether a run fits a computer: the verdict, what would make it fit, and that every door says the same."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.homes import make_home, tiny_config
from workbench.config.run import RunConfig
from workbench.engine import Engine, fitting
from workbench.engine.fitting import FITS, TIGHT, TOO_LARGE, Machine, guessed_shape, memory_fit, tokens_of_rows
from workbench.engine.hardware import Memory
from workbench.engine.memory import PARTS
from workbench.models.curated import curated_models
from workbench.models.shape import Shape, shape_of


def known(config: Any) -> Shape:
    shape = shape_of(config)
    assert shape is not None
    return shape


SHAPES = {model.id: known(model.config()) for model in curated_models()}
QWEN = SHAPES["Qwen2.5-0.5B-Instruct"]


def machine(total: float, device: str = "cuda") -> Machine:
    return Machine(device, device != "cpu", Memory("a card", 0, int(total)))


def fit(total: float, shape: Shape = QWEN, device: str = "cuda", **paths: Any) -> fitting.MemoryFit:
    config = RunConfig().changed({path.replace("__", "."): value for path, value in paths.items()})
    return memory_fit(shape, config, machine(total, device), row_tokens=512)


def test_the_verdict_follows_the_memory_there_is() -> None:
    need = fit(1e12).peak_bytes
    assert fit(1e12).kind == FITS
    on = fit(1).peak_bytes  # checkpointing is switched on where it does not fit without
    assert on < need
    assert fit(on * 1.1).kind == TIGHT and fit(on * 0.9).kind == TOO_LARGE
    said = fit(on * 0.5).reason
    assert "a card" in said.to("en") and "而a card只有" in said.to("zh")


def test_checkpointing_is_on_by_itself_only_where_it_is_needed() -> None:
    def settled(total: float, value: str) -> str:
        config = RunConfig().changed({"precision.activation_checkpointing": value})
        found = fitting.with_checkpointing(QWEN, config, machine(total), 512)
        return found.precision.activation_checkpointing

    need = fit(1e12).peak_bytes
    assert settled(need * 1.2, "auto") == "off" and settled(need * 1.05, "auto") == "on"
    assert settled(1, "off") == "off" and settled(1e12, "on") == "on"  # a person's choice stays


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_advised_makes_it_fit_where_it_says_so(device: str) -> None:
    need = fit(1, device=device, precision__activation_checkpointing="off").peak_bytes
    found = fit(need * 0.8, device=device, precision__activation_checkpointing="off")
    assert found.kind == TOO_LARGE and found.enough
    for change in found.enough:
        after = fit(
            need * 0.8,
            device=device,
            **{"precision__activation_checkpointing": "off", change.path.replace(".", "__"): change.value},
        )
        assert after.kind == FITS and after.peak_bytes == change.peak_bytes


def test_every_part_has_a_name_in_both_languages() -> None:
    for device in ("cpu", "cuda"):
        for kind in ("none", "lora"):
            found = fit(1e12, device=device, adapter__kind=kind)
            assert all(PARTS[name].to("en") and PARTS[name].to("zh") for name in found.parts)


def test_a_batch_is_as_large_as_its_longest_row_makes_it() -> None:
    rows = [{"text": "word " * 10}] * 99 + [{"text": "word " * 400}]
    config = RunConfig().changed({"optimization.batch_size": 4, "data.max_length": 512})
    packed, padded = (tokens_of_rows(config.changed({"method.kind": kind}), rows) for kind in ("sft", "dpo"))
    assert 500 < padded <= 512  # every row is as long as the longest
    assert padded / 4 < packed < padded / 2  # one long row and three usual ones
    assert tokens_of_rows(config, []) >= 1
    assert tokens_of_rows(config.changed({"data.max_length": 64}), rows) <= 64


def test_a_shape_that_is_guessed_has_about_the_size_it_is_guessed_from() -> None:
    for parameters in (135e6, 0.5e9, 1.7e9, 8e9, 70e9):
        assert guessed_shape(parameters).parameters == pytest.approx(parameters, rel=0.3)
    assert guessed_shape(0).parameters > 0 and guessed_shape(-5).layers == 1


def test_a_folder_without_a_config_is_guessed_from_its_size(tmp_path: Path) -> None:
    assert fitting.shape_of_folder(tmp_path, 135_000_000) == guessed_shape(135_000_000)


def test_a_checkpoint_of_a_whole_model_holds_its_weights_and_two_moments() -> None:
    config = RunConfig().changed({"adapter.kind": "none", "checkpoints.keep": 1})
    assert fitting.disk_bytes(QWEN, config) == pytest.approx(QWEN.parameters * (12 * 2 + 4), rel=0.01)
    assert fitting.disk_bytes(QWEN, config.changed({"adapter.kind": "lora"})) < QWEN.parameters


def test_training_decides_on_checkpointing_as_the_forecast_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.engine import training

    engine = Engine(make_home(tmp_path), allow_paths=True)
    try:
        config = tiny_config(precision={"activation_checkpointing": "auto"})
        need = engine.forecast(config).fit.peak_bytes
        info, rows = engine.models.resolve(config.model.base), engine.data.load(config.data.train).examples
    finally:
        engine.close()
    job = training.TrainingJob(config, tmp_path, info.folder, "m", rows, None, lambda event: None, threading.Event())
    model = training.load_for(info.folder, "fp32", "none", "cpu")
    decided = []
    for share in (10, 0.01):
        monkeypatch.setattr(training, "memory", lambda share=share: Memory("CPU", 0, int(need * share)))
        decided.append(training._checkpointing(job, model, ("cpu", "fp32")))
    assert decided == [False, True]
