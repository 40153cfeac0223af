"""How an own data set is read: a choice that stays, whatever is asked at the same time and whatever becomes of meta.json."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.damages import FILES
from tests.homes import write_jsonl
from workbench.config.disk import shown_entries
from workbench.config.errors import WorkbenchError
from workbench.data import library as library_module
from workbench.data.formats import FORMAT_NAMES
from workbench.data.library import DataLibrary

AUTOMATIC, OTHER = "kto", "prompt_completion"


@pytest.fixture
def library(tmp_path: Path) -> DataLibrary:
    return DataLibrary(tmp_path / "home", tmp_path / "none")


@pytest.fixture
def rated(library: DataLibrary, tmp_path: Path) -> str:
    """Answers with a column `label`: rated answers, or conversations."""
    rows = [{"prompt": f"q{n}", "completion": f"a{n}", "label": n % 2} for n in range(8)]
    return library.add(write_jsonl(tmp_path / "rated.jsonl", rows), "Rated").id


def meta_of(library: DataLibrary, name: str) -> Path:
    return library.resolve(name).with_name("meta.json")


@pytest.mark.parametrize("again", [OTHER, AUTOMATIC])
@pytest.mark.parametrize("ask", ["load", "info"])
def test_who_began_to_read_before_a_choice_does_not_bring_the_old_reading_back(
    library: DataLibrary, rated: str, ask: str, again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if again == AUTOMATIC:
        library.read_as(rated, OTHER)
    if ask == "info":  # the list has to count
        os.utime(library.resolve(rated), ns=(1, 1))
    inspected, begun, go_on = library_module._inspected, threading.Event(), threading.Event()
    late: list[Any] = []

    def slowly(*given: Any) -> Any:
        found = inspected(*given)
        if threading.current_thread().name == "late":
            begun.set()
            assert go_on.wait(30)
        return found

    monkeypatch.setattr(library_module, "_inspected", slowly)
    thread = threading.Thread(target=lambda: late.append(getattr(library, ask)(rated)), name="late")
    thread.start()
    assert begun.wait(30)
    library.read_as(rated, again)
    go_on.set()
    thread.join(30)
    assert late
    assert library.info(rated).format == library.load(rated).info.format == again
    assert json.loads(meta_of(library, rated).read_text("utf-8"))["read_as"] == again
    fresh = DataLibrary(library._folder.parent, library._shipped)
    assert fresh.info(rated).format == fresh.load(rated).info.format == again


def test_a_choice_that_another_process_made_is_seen(library: DataLibrary, rated: str) -> None:
    assert library.load(rated).info.format == library.info(rated).format == AUTOMATIC
    DataLibrary(library._folder.parent, library._shipped).read_as(rated, OTHER)
    assert library.load(rated).info.format == library.info(rated).format == OTHER


def test_a_reading_and_back_is_the_data_that_it_was(library: DataLibrary, rated: str) -> None:
    first = library.load(rated).fingerprint
    library.read_as(rated, OTHER)
    other = library.load(rated)
    assert other.fingerprint == f"{first}-{OTHER}" and other.usual == AUTOMATIC
    library.read_as(rated, AUTOMATIC)
    assert library.load(rated).fingerprint == first
    library.read_as(rated, OTHER)
    assert library.load(rated).fingerprint == other.fingerprint


# A damaged meta.json

WRONG: dict[str, tuple[Callable[[dict[str, Any]], str], str]] = {
    # what is in the file, and what of it is lost
    "another key": (lambda meta: json.dumps({**meta, "added": "yesterday"}), ""),
    "a count": (lambda meta: json.dumps({**meta, "rows": -1}), ""),
    "with a mark": (lambda meta: "\ufeff" + json.dumps({**meta, "sha256": 7}), ""),
    "the name": (lambda meta: json.dumps({**meta, "name": 5}), "name"),
    "the reading": (lambda meta: json.dumps({**meta, "read_as": "a dance"}), "it was “question and answer”"),
    "another type": (lambda meta: json.dumps({**meta, "read_as": [OTHER]}), "it was “question and answer”"),
    "cut off late": (lambda meta: json.dumps({**meta, "sha256": "0"})[:-4], ""),
    "cut off": (lambda meta: json.dumps(meta)[: json.dumps(meta).index('"read_as"')], "it was “question and answer”"),
    "cut off in it": (lambda meta: json.dumps(meta)[: json.dumps(meta).index(OTHER) + 3], "read as"),
    "no object": (lambda meta: "[]", "read as"),
    "nothing": (lambda meta: "", "read as"),
}


@pytest.mark.parametrize("how", WRONG)
def test_of_a_damaged_note_all_that_is_right_is_kept_and_the_rest_is_named(
    library: DataLibrary, rated: str, how: str
) -> None:
    library.read_as(rated, OTHER)
    file, (damage, lost) = meta_of(library, rated), WRONG[how]
    meta = json.loads(file.read_text("utf-8"))
    order = (
        "schema_version",
        "name",
        "added",
        "format",
        "kind",
        "rows",
        "usable",
        "size",
        "mtime_ns",
        "read_as",
        "sha256",
    )
    file.write_text(damage({name: meta[name] for name in order}), encoding="utf-8")
    before = file.read_bytes()
    for _ in range(2):  # the second time as after a restart
        fresh = DataLibrary(library._folder.parent, library._shipped)
        (info,) = fresh.list()
        told = info.lost
        assert told is not None and told.hint is not None and info.rows == 8
        said = {lang: told.to(lang) for lang in ("en", "zh")}
        assert lost in said["en"] and ("Nothing needs to be done" in said["en"]) == (lost == "")
        if lost not in ("", "name"):
            assert "Read as" in said["en"] and "读取方式" in said["zh"]
        kept = how not in ("the reading", "another type", "cut off", "cut off in it", "no object", "nothing")
        assert fresh.load(rated).info.format == info.format == (OTHER if kept else AUTOMATIC)
        assert str(info.name) == ("Rated" if how not in ("the name", "no object", "nothing") else rated)
        assert file.read_bytes() == before, "nobody has chosen anything yet"
    # A choice puts it right, with all that was left of it.
    fresh.read_as(rated, OTHER)
    again = DataLibrary(library._folder.parent, library._shipped).info(rated)
    assert again.lost is None and again.format == OTHER and again.name == info.name


@pytest.mark.parametrize("how", [how for how in FILES if how not in ("gone", "no number")])
def test_a_damaged_note_stays_as_it_is_while_people_only_look(library: DataLibrary, rated: str, how: str) -> None:
    file = meta_of(library, rated)
    FILES[how](file)
    before = os.lstat(file)
    fresh = DataLibrary(library._folder.parent, library._shipped)
    (info,) = fresh.list()
    assert info.lost is not None and info.problem is None and info.rows == 8
    assert fresh.load(rated).info.rows == 8
    after = os.lstat(file)
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)


# What is refused


@pytest.mark.parametrize("name", ["preference", "nonsense", ""])
def test_a_reading_that_does_not_fit_is_refused_with_those_that_do(library: DataLibrary, rated: str, name: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        library.read_as(rated, name)
    for lang in ("en", "zh"):
        assert all(FORMAT_NAMES[reading].to(lang) in caught.value.to(lang) for reading in (AUTOMATIC, OTHER))


def test_a_shipped_set_says_what_to_do_instead(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError) as caught:
        DataLibrary(tmp_path).read_as("pirate-voice", "messages")
    assert caught.value.code == "no_reading" and caught.value.hint is not None


# Names


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_no_file_can_hold_are_told_apart_and_each_can_be_deleted(library: DataLibrary) -> None:
    names = [b"a\xfe", b"a\xff", b"a\xfd", "a\ufffd".encode(), "a\ufffd (2)".encode()]
    for name in names:
        os.makedirs(os.path.join(os.fsencode(library._folder), name))
    listed = [info.id for info in library.list()]
    assert len(listed) == len(set(listed)) == len(names)
    for name in sorted(listed, reverse=True):
        library.delete(name)
    assert library.list() == [] and os.listdir(library._folder) == []


def test_entries_that_are_called_alike_get_numbers(tmp_path: Path) -> None:
    for name in ("b", "a", "c (2)", ".hidden", "Thumbs.db"):
        (tmp_path / name).mkdir()
    found = shown_entries(tmp_path, lambda path: "c (2)" if path.name == "c (2)" else "c")
    assert {name: path.name for name, path in found.items()} == {"c": "a", "c (2)": "b", "c (2) (2)": "c (2)"}
