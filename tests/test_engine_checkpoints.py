"""Damaged and planted checkpoints: a run goes on from an older whole one and says so, and nothing in them is ever run."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.homes import WAIT, done, largest_difference, losses, make_home, tiny_config, weights
from tests.steps import at_step
from workbench.config.errors import WorkbenchError
from workbench.engine import Engine, checkpoints
from workbench.engine.boundary import explain
from workbench.engine.runlog import redact

OLD_MARK = "{}"  # of versions that kept no digests


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A home with a whole run, and one that was stopped after step 7, with checkpoints of the steps 6 and 8."""
    home = make_home(tmp_path_factory.mktemp("checkpoints") / "home")
    engine = Engine(home)
    whole = done(engine, tiny_config())
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 7, engine.stop)
        run = engine.submit(tiny_config())
        assert engine.wait(run, WAIT)
    engine.close()
    return home, whole.id, run


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the stopped run's checkpoints."""
    home, _, run = trained
    return Path(shutil.copytree(home / "runs" / run / "checkpoints", tmp_path / "checkpoints"))


@pytest.fixture
def resumed(trained, tmp_path):
    """A copy of that home, opened; with the run that was stopped and the one that was not."""
    home = shutil.copytree(trained[0], tmp_path / "home")
    engine = Engine(home)
    yield engine, trained[2], trained[1]
    engine.close()


def program(path: Path, marker: Path, *, as_torch_writes: bool) -> None:
    """Put a pickle in a file's place that makes the file `marker` when it is loaded."""
    code = f"cbuiltins\nopen\n(S'{marker}'\nS'w'\ntR.".encode()
    if not as_torch_writes:
        path.write_bytes(code)
        return
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", code)
        file.writestr("archive/version", "3\n")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def turn_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGES = {
    "planted optimizer": ("optimizer.pt", lambda path: program(path, path.parent / "ran", as_torch_writes=True)),
    "planted scheduler": ("scheduler.pt", lambda path: program(path, path.parent / "ran", as_torch_writes=False)),
    "planted random state": ("rng_state.pth", lambda path: program(path, path.parent / "ran", as_torch_writes=True)),
    "cut optimizer": ("optimizer.pt", cut),
    "cut weights": ("adapter_model.safetensors", cut),
    "missing weights": ("adapter_model.safetensors", Path.unlink),
    "empty weights": ("adapter_model.safetensors", lambda path: path.write_bytes(b"")),
    "a bit of the optimizer": ("optimizer.pt", turn_a_bit),
    "half a state": ("trainer_state.json", lambda path: path.write_text('{"global_step": 8, "max_')),
    "another state": ("trainer_state.json", lambda path: path.write_text('{"global_step": 7, "max_steps": 12}')),
    "a deep state": ("trainer_state.json", lambda path: path.write_text("[" * 100_000)),
}
DAMAGES_OF_THE_MARK = {
    "half a mark": '{"step": 8, "files": {"opt',
    "no object": "[]",
    "other types": '{"step": null, "files": {"optimizer.pt": {"size": "1", "sha256": 5}}}',
    "another folder": '{"step": 8, "files": {"../whole": {"size": 1, "sha256": "0"}}}',
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("old", [False, True], ids=["digests", "no digests"])
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_found_and_an_older_checkpoint_chosen(folder, name, old):
    if old:
        for path in folder.iterdir():
            (path / "whole.json").write_text(OLD_MARK)
    file, damage = DAMAGES[name]
    damage(folder / "checkpoint-8" / file)
    choice = checkpoints.choose(folder)
    assert choice.checkpoint.name == "checkpoint-6"
    (said,) = choice.problems()
    assert file in said.to("en") or "safetensors" in said.to("zh")
    assert "step 8" in said.to("en") and "第 6 步" in said.to("zh")
    assert not list(folder.rglob("ran")), "nothing planted was run"


@pytest.mark.parametrize("name", DAMAGES_OF_THE_MARK)
def test_a_damaged_mark_is_no_mark(folder, name):
    (folder / "checkpoint-8" / "whole.json").write_text(DAMAGES_OF_THE_MARK[name])
    choice = checkpoints.choose(folder)
    assert choice.checkpoint.name == "checkpoint-6" and len(choice.damaged) == 1


def test_a_bit_of_the_weights_is_found_by_its_digest(folder):
    turn_a_bit(folder / "checkpoint-8" / "adapter_model.safetensors")
    assert checkpoints.choose(folder).checkpoint.name == "checkpoint-6"


def test_marks_without_digests_are_accepted_when_the_files_can_be_read(folder):
    (folder / "checkpoint-8" / "whole.json").write_text(OLD_MARK)
    assert checkpoints.choose(folder).checkpoint.name == "checkpoint-8"


def test_weights_in_a_pickle_are_not_gone_on_from(folder):
    checkpoint = folder / "checkpoint-8"
    (checkpoint / "whole.json").write_text(OLD_MARK)
    program(checkpoint / "adapter_model.bin", checkpoint / "ran", as_torch_writes=True)
    (checkpoint / "adapter_model.safetensors").unlink()
    assert checkpoints.choose(folder).checkpoint.name == "checkpoint-6"


def test_every_file_of_a_checkpoint_has_its_size_and_digest(folder):
    mark = json.loads((folder / "checkpoint-8" / "whole.json").read_text())
    names = {path.name for path in (folder / "checkpoint-8").iterdir()} - {"whole.json"}
    assert set(mark["files"]) == names and mark["step"] == 8
    size = (folder / "checkpoint-8" / "optimizer.pt").stat().st_size
    assert mark["files"]["optimizer.pt"]["size"] == size


def test_of_a_large_file_the_size_and_pieces_from_its_beginning_to_its_end_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "PIECE_BYTES", 16)
    path = tmp_path / "large"
    content = bytearray(range(251)) * 100
    path.write_bytes(content)
    mark = checkpoints.mark_of(path)
    assert mark.size == len(content) > checkpoints.PIECES * 16
    for at in (0, 8, len(content) - 1):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        assert checkpoints.mark_of(path) != mark
    path.write_bytes(content + b"x")
    assert checkpoints.mark_of(path) != mark


def test_resume_falls_back_says_so_and_ends_with_the_same_weights(resumed):
    engine, run, whole = resumed
    newest = engine.store.last_checkpoint(run)
    program(newest / "optimizer.pt", engine.home / "ran", as_torch_writes=True)
    engine.resume(run)
    assert engine.wait(run, WAIT)
    assert engine.run(run).status == "completed", engine.run(run).error
    events = engine.events(run)
    began = [event for event in events if event["type"] == "status" and event["status"] == "running"][-1]
    assert began["from_step"] == 6
    told = [event["message"] for event in events if event["type"] == "problem"]
    assert len(told) == 1 and "optimizer.pt" in told[0]["en"] and "第 8 步" in told[0]["zh"]
    assert losses(events) == losses(engine.events(whole))
    assert largest_difference(weights(engine.store.path(run)), weights(engine.store.path(whole))) == 0.0
    assert not (engine.home / "ran").exists()
    kept = {path.name for path in engine.store.checkpoints(run).iterdir()}
    assert "checkpoint-12" in kept and "checkpoint-8" not in kept


def test_where_no_checkpoint_is_left_it_says_what_to_do_and_takes_nothing_away(resumed):
    engine, run, _ = resumed
    kept = sorted(path.name for path in engine.store.checkpoints(run).iterdir())
    for name in kept:
        program(engine.store.checkpoints(run) / name / "scheduler.pt", engine.home / "ran", as_torch_writes=True)
    engine.resume(run)
    assert engine.wait(run, WAIT)
    record = engine.run(run)
    assert record.status == "failed" and record.resumable
    assert "scheduler.pt" in record.error["message"]["en"] and "新的运行" in record.error["hint"]["zh"]
    assert sorted(path.name for path in engine.store.checkpoints(run).iterdir()) == kept
    assert not (engine.home / "ran").exists()
    assert "weights_only" not in json.dumps(record.error) + engine.log(run)


@pytest.mark.parametrize("how", ["adapter_model.bin", "cut"])
def test_a_result_that_was_tampered_with_gets_our_sentence_in_chat_and_merge(resumed, how):
    engine, run, _ = resumed
    result = engine.result(run)
    weights_file = result / "adapter_model.safetensors"
    if how == "cut":
        cut(weights_file)
    else:
        weights_file.unlink()
        program(result / how, engine.home / "ran", as_torch_writes=True)
    for call in (
        lambda: list(engine.chat(run, [{"role": "user", "content": "?"}], max_new_tokens=2)),
        lambda: engine.merge(run),
        lambda: engine.export_adapter(run),
    ):
        with pytest.raises(WorkbenchError) as caught:
            call()
        assert "adapter_model" in caught.value.to("en") and "weights_only" not in caught.value.to("zh")
    assert not (engine.home / "ran").exists()


def test_the_advice_to_load_a_file_unsafely_reaches_nobody():
    torch = pytest.importorskip("torch")
    error = torch.serialization.pickle.UnpicklingError(
        "Weights only load failed. In PyTorch 2.6, we changed the default value of the `weights_only` argument.\n"
        "Re-running `torch.load` with `weights_only` set to `False` will likely succeed, (weights_only=False)"
    )
    problem = explain(error)
    for lang in ("en", "zh"):
        assert "weights_only" not in problem.message.to(lang) + problem.hint.to(lang)
    assert redact(f"Traceback\n{error}\nend") == "Traceback\nend"
