"""Models that are kept: which runs build on them, what deleting frees, and what runs made as bases of other runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.homes import done, make_home, tiny_config
from tests.test_commands import say
from workbench.config.errors import WorkbenchError
from workbench.engine import Engine


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a run that tuned the whole model, and one whose adapter was merged."""
    home = make_home(tmp_path_factory.mktemp("keeping") / "home")
    engine = Engine(home, allow_paths=True)
    for name, kind in (("Whole", "none"), ("Adapted", "lora")):
        run = done(engine, tiny_config(adapter={"kind": kind}, output={"name": name}))
        if kind == "lora":
            engine.merge(run.id)
    engine.close()
    return home


@pytest.fixture
def engine(home: Path) -> Any:
    made = Engine(home, allow_paths=True)
    yield made
    made.close()


def made_of(engine: Engine) -> dict[str, Any]:
    return {info.name.to("en"): info for info in engine.models.list() if info.place == "held"}


def test_what_runs_made_can_be_chosen_trained_again_and_answers(engine: Engine) -> None:
    found = made_of(engine)
    assert set(found) == {"Whole (tuned)", "Adapted (merged)"} and all(info.problem is None for info in found.values())
    assert found["Whole (tuned)"].name.to("zh") == "Whole（已微调）"
    for name, info in found.items():
        run = done(engine, tiny_config(model={"base": info.id}, output={"name": f"on {name}"}))
        assert run.finished_well and run.base_model == info.id
        assert engine.keep(info).runs == (f"on {name}",) and engine.keep(info).last_used == run.started
        assert list(engine.chat(run.id, [{"role": "user", "content": "Hello"}], max_new_tokens=2))
        engine.delete(run.id)


def test_what_a_run_made_is_deleted_with_its_run_only(engine: Engine) -> None:
    for name, info in made_of(engine).items():
        with pytest.raises(WorkbenchError) as refusal:
            engine.delete_model(info.id)
        assert refusal.value.code == "held" and name.split(" (")[0] in refusal.value.message.to("zh")
        assert info.folder.is_dir()


def test_a_run_whose_model_another_one_learns_from_stays(engine: Engine) -> None:
    info = made_of(engine)["Whole (tuned)"]
    whole = next(run for run in engine.runs() if run.name == "Whole")
    run = engine.submit(tiny_config(model={"base": info.id}, optimization={"max_steps": 100_000}))
    with pytest.raises(WorkbenchError) as refusal:
        engine.delete(whole.id)
    assert refusal.value.code == "active"
    engine.stop(run)
    engine.wait(run)
    engine.delete(run)
    assert info.folder.is_dir()


def test_deleting_says_what_it_frees_and_which_runs_built_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_LANG", "en")
    home = make_home(tmp_path / "home")
    engine = Engine(home, allow_paths=True)
    run = done(engine, tiny_config())
    base = engine.models.resolve(run.base_model)
    size = sum(path.stat().st_size for path in base.folder.rglob("*") if path.is_file())
    assert engine.keep(base).frees == size and engine.keep(base).runs == (run.name,)
    engine.close()
    listed = {one["id"]: one for one in say("models", "--home", home, "--json").data["models"]}
    assert listed[base.id]["bytes"] == size and listed[base.id]["runs"] == [run.name]
    assert listed[base.id]["last_used"] and listed["starter"]["last_used"] is None
    told = say("models", "delete", base.id, "--home", home)
    assert told.code == 0 and "free again" in told.out and run.name in told.out and not base.folder.exists()


def test_a_model_that_lies_elsewhere_frees_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    engine = Engine(home, allow_paths=True)
    try:
        own = next(info for info in engine.models.list() if not info.shipped)
        elsewhere = tmp_path / "elsewhere"
        own.folder.rename(elsewhere)
        added = engine.models.add(elsewhere)
        assert engine.keep(added).frees == 0
        engine.delete_model(added.id)
        assert elsewhere.is_dir()
    finally:
        engine.close()
