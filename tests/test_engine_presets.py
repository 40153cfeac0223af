"""A person's own presets: kept in the home, edited, taken home, brought, deleted; the shipped ones stay."""

from __future__ import annotations

from pathlib import Path

import pytest

import workbench.methods  # noqa: F401 - makes methods and adapters known
from tests.test_commands import say
from workbench.config.errors import WorkbenchError
from workbench.config.presets import list_presets
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.engine.preset_shelf import LARGEST_FILE, LONGEST_NAME, MINE, MOST, PresetShelf

SHORT = RunConfig.parse(
    {
        "data": {"train": "better-answers"},
        "method": {"kind": "dpo", "loss": "robust", "label_smoothing": 0.2},
        "adapter": {"rank": 4},
        "output": {"name": "one of many"},
    }
)


@pytest.fixture
def shelf(tmp_path: Path) -> PresetShelf:
    return PresetShelf(tmp_path / "presets")


def test_what_is_kept_is_there_again_with_every_setting_but_the_runs_name(shelf: PresetShelf) -> None:
    kept = shelf.save("Short answers", SHORT)
    again = PresetShelf(shelf.folder)
    assert again.get(kept.id).config() == SHORT.changed({"output.name": ""})
    assert [one.id for one in again.all()] == [*(one.id for one in list_presets()), kept.id]
    assert again.get(kept.id).own and kept.id == f"{MINE}short-answers" and not again.damaged()


def test_the_same_name_is_edited_and_another_one_is_another(shelf: PresetShelf) -> None:
    first = shelf.save("  Short   answers ", SHORT)
    edited = shelf.save("Short answers", SHORT.changed({"adapter.rank": 8}))
    chinese, other = shelf.save("简短的回答", SHORT), shelf.save("更短的回答", SHORT)
    assert edited.id == first.id and edited.config().adapter.rank == 8
    assert len({first.id, chinese.id, other.id}) == 3 and chinese.title == Text("简短的回答", "简短的回答")


@pytest.mark.parametrize("name", ["", "   ", "x" * (LONGEST_NAME + 1)])
def test_a_preset_needs_a_name_that_fits_a_list(shelf: PresetShelf, name: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        shelf.save(name, SHORT)
    assert caught.value.to("zh") and not shelf.folder.exists()


@pytest.mark.parametrize("name", ["../../out", "a/b", "CON", "a\x00b", "\ud800", "{name}", "'; rm -rf", "🏴‍☠️"])
def test_whatever_it_is_called_it_is_a_file_in_that_folder(shelf: PresetShelf, name: str) -> None:
    kept = shelf.save(name, SHORT)
    assert kept.path.parent == shelf.folder and kept.path.name.isascii()
    assert PresetShelf(shelf.folder).get(kept.id).config().adapter.rank == 4
    assert [path.name for path in shelf.folder.iterdir()] == [kept.path.name]


def test_a_file_is_brought_under_its_own_name_with_what_is_not_used_of_it(shelf: PresetShelf) -> None:
    ours = shelf.add(b"title: {en: Brief, zh: '\xe7\xae\x80\xe7\x9f\xad'}\nadapter: {rank: 4}\n", "brief.yaml")
    assert ours.title == Text("Brief", "简短") and ours.config().adapter.rank == 4 and not ours.notes
    bom = shelf.add(b"\xef\xbb\xbfoutput: {name: Pirate}\n", "config.yaml")
    assert bom.title.to("en") == "Pirate"
    foreign = shelf.add(b"stage: sft\nfinetuning_type: lora\nlora_rank: 12\nmask_history: true\n", "C:\\x\\lora.yaml")
    assert foreign.title.to("en") == "lora" and foreign.config().adapter.rank == 12
    assert any("mask_history" in note.to("zh") for note in foreign.notes)


def test_a_file_that_is_brought_replaces_none_and_is_kept_once(shelf: PresetShelf) -> None:
    mine = shelf.save("Brief", SHORT)
    file = b"title: {en: Brief, zh: Kurz}\nadapter: {rank: 4}\n"
    first, again = shelf.add(file, "brief.yaml"), shelf.add(file, "copy.yaml")
    other = shelf.add(file.replace(b"4", b"6"), "brief.yaml")
    assert shelf.get(mine.id).config() == SHORT.changed({"output.name": ""})
    assert first.id == again.id and first.title == Text("Brief 2", "Kurz 2") and first.config().adapter.rank == 4
    assert other.title == Text("Brief 3", "Kurz 3") and other.config().adapter.rank == 6
    long = f"title: {'x' * LONGEST_NAME}\n".encode()
    assert (
        len({shelf.add(long + b"adapter: {rank: %d}" % rank, "x.yaml").title.to("en") for rank in range(1, 13)}) == 12
    )
    assert len(shelf.all()) == len(list_presets()) + 4 + 11


def test_a_file_that_changes_beside_the_workbench_is_read_again(shelf: PresetShelf) -> None:
    kept = shelf.save("Brief", SHORT)
    assert shelf.get(kept.id).config().adapter.rank == 4
    kept.path.write_text(kept.path.read_text(encoding="utf-8").replace("rank: 4", "rank: 16"), encoding="utf-8")
    assert shelf.get(kept.id).config().adapter.rank == 16
    kept.path.write_text("nothing: 1\n", encoding="utf-8")
    assert kept.path.name in shelf.damaged()
    kept.path.unlink()
    assert not shelf.damaged() and len(shelf.all()) == len(list_presets())


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x01", b"\xff\xfe\xfa", b"- a\n- b", b"adapter: {rank: 0}", b"nothing: 1", b"a: &x [*x]", b"version: 99",
     b"#" * (LARGEST_FILE + 1)],
    ids=["empty", "binary", "no-utf8", "list", "wrong", "unknown", "alias", "newer", "large"],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_and_nothing_is_kept(shelf: PresetShelf, content: bytes) -> None:
    with pytest.raises(WorkbenchError) as caught:
        shelf.add(content, "run.yaml")
    assert caught.value.to("en") and caught.value.to("zh") and not shelf.folder.exists()


def test_one_of_ones_own_can_be_deleted_and_a_shipped_one_cannot(shelf: PresetShelf) -> None:
    kept = shelf.save("Short answers", SHORT)
    shelf.delete(kept.id)
    assert not any(one.own for one in shelf.all())
    for name, code in (("lora-8gb", "shipped"), (kept.id, "no_preset"), ("../x", "no_preset"), ("", "no_preset")):
        with pytest.raises(WorkbenchError) as caught:
            shelf.delete(name)
        assert caught.value.code == code


def test_what_cannot_be_read_is_named_and_hides_no_other(shelf: PresetShelf) -> None:
    good = shelf.save("Short answers", SHORT)
    (shelf.folder / f"{MINE}bad.yaml").write_text("adapter: {rank: nonsense}", encoding="utf-8")
    (shelf.folder / f"{MINE}worse.yaml").write_bytes(b"\xff\xfe")
    (shelf.folder / f"{MINE}folder.yaml").mkdir()
    assert [one.id for one in shelf.all() if one.own] == [good.id]
    assert set(shelf.damaged()) == {f"{MINE}bad.yaml", f"{MINE}worse.yaml"}
    shelf.delete(f"{MINE}bad")
    assert set(shelf.damaged()) == {f"{MINE}worse.yaml"}


def test_there_is_an_end_to_them(shelf: PresetShelf) -> None:
    shelf.save("Short answers", SHORT)
    for number in range(MOST):
        (shelf.folder / f"{MINE}{number}.yaml").touch()
    with pytest.raises(WorkbenchError):
        shelf.save("One more", SHORT)
    assert shelf.save("Short answers", SHORT.changed({"adapter.rank": 8})).config().adapter.rank == 8


def test_the_command_line_brings_shows_trains_with_and_deletes_them(tmp_path: Path) -> None:
    file, home = tmp_path / "brief.yaml", tmp_path / "home"
    file.write_text("adapter: {rank: 4}\n", encoding="utf-8")
    assert say("presets", "add", file, "--home", home).out.strip() == f"{MINE}brief"
    assert f"{MINE}brief" in say("presets", "list", "--home", home).out
    assert "rank: 4" in say("presets", "show", f"{MINE}brief", "--home", home).out
    refused = say("train", f"{MINE}brief", "model.base=nosuch", "--home", home)
    assert refused.code == 2 and "nosuch" in refused.err
    assert say("presets", "delete", f"{MINE}brief", "--home", home).code == 0
    assert say("presets", "show", f"{MINE}brief", "--home", home).code == 2
