"""The library of data sets: adding, listing, finding, loading and deleting, and what it refuses to touch."""

import hashlib
import json
import os

import pytest

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.data import library as library_module
from workbench.data.library import DataLibrary

ROWS = [{"prompt": f"question {n}", "completion": f"answer {n}"} for n in range(5)]


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def shipped(tmp_path):
    folder = tmp_path / "shipped"
    folder.mkdir()
    write_rows(folder / "voice.jsonl", ROWS)
    meta = {"name": {"en": "A voice", "zh": "口吻"}, "about": {"en": "About", "zh": "关于"}, "lang": "en"}
    (folder / "voice.meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return folder


@pytest.fixture
def library(tmp_path, shipped):
    return DataLibrary(tmp_path / "home", shipped)


@pytest.fixture
def upload(tmp_path):
    path = tmp_path / "My Data.jsonl"
    write_rows(path, [*ROWS, {"prompt": "q", "completion": ""}])
    return path


def code_of(call, *args, **kwargs):
    with pytest.raises(WorkbenchError) as caught:
        call(*args, **kwargs)
    return caught.value.code


def test_shipped_sets_are_listed_with_names_in_both_languages(library):
    (info,) = library.list()
    assert (info.id, info.kind, info.format, info.rows, info.shipped) == ("voice", "chat", "prompt_completion", 5, True)
    assert (info.name.to("zh"), info.about.to("en"), info.lang) == ("口吻", "About", "en")


def test_an_added_set_is_copied_listed_and_loaded(library, upload, tmp_path):
    info = library.add(upload)
    assert (info.id, str(info.name), info.rows, info.usable, info.shipped) == ("my-data", "My Data", 6, 5, False)
    assert [found.id for found in library.list()] == ["voice", "my-data"]
    assert info.path.read_bytes() == upload.read_bytes()
    upload.unlink()
    loaded = library.load("my-data")
    assert loaded.fingerprint == hashlib.sha256(info.path.read_bytes()).hexdigest()
    assert len(loaded.examples) == 5 and loaded.numbers == [1, 2, 3, 4, 5]
    assert [problem["rows"] for problem in loaded.problems] == [[6]]
    assert sorted(path.name for path in (tmp_path / "home" / "datasets").iterdir()) == ["my-data"]


def test_nothing_is_overwritten_by_a_set_of_the_same_name(library, upload):
    ids = [library.add(upload, "voice").id, library.add(upload, "voice").id, library.add(upload, "Voice").id]
    assert ids == ["voice-2", "voice-3", "voice-4"]
    assert library.info("voice").shipped


@pytest.mark.parametrize(
    "name", ["电影评论", "../../etc/passwd", "a/b\\c", "CON", "x" * 300, "\u202egpj", "a\x00b\n", ""]
)
def test_any_name_gives_a_safe_folder(library, upload, tmp_path, name):
    info = library.add(upload, name)
    assert library_module.ID.match(info.id)
    assert info.path.parent.parent == tmp_path / "home" / "datasets"
    assert str(info.name).isprintable() and 0 < len(str(info.name)) <= 80
    assert library.load(info.id).examples


def test_an_unusable_file_is_refused_and_leaves_nothing(library, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text("no json\n")
    assert code_of(library.add, bad) == "bad_json"
    assert not (tmp_path / "home" / "datasets").exists()


def test_listing_does_not_read_the_data_again(library, upload, tmp_path, shipped, monkeypatch):
    library.add(upload)

    def no_reading(*_):
        raise AssertionError("data was read")

    fresh = DataLibrary(tmp_path / "home", tmp_path / "none")
    monkeypatch.setattr(library_module, "read_data", no_reading)
    assert [(info.id, info.rows, info.usable) for info in fresh.list()] == [("my-data", 6, 5)]


def test_a_changed_file_is_counted_again_and_remembered(library, upload):
    info = library.add(upload)
    write_rows(info.path, ROWS[:2])
    assert library.info(info.id).rows == 2
    assert json.loads((info.path.parent / "meta.json").read_text())["rows"] == 2
    assert str(library.info(info.id).name) == "My Data"
    assert len(library.load(info.id).examples) == 2


def test_a_data_file_put_into_the_folder_by_hand_is_found(library, tmp_path):
    folder = tmp_path / "home" / "datasets" / "by-hand"
    folder.mkdir(parents=True)
    write_rows(folder / "stuff.jsonl", ROWS)
    assert library.info("by-hand").rows == 5


@pytest.mark.parametrize("content", ["", "[]", "{", '{"name": 5, "rows": "many"}', '{"format": "chat", "rows": true}'])
def test_a_broken_meta_file_is_made_good(library, upload, content):
    info = library.add(upload)
    (info.path.parent / "meta.json").write_text(content)
    fresh = DataLibrary(library._folder.parent, library._shipped)
    assert fresh.info(info.id).rows == 6


def test_a_broken_set_is_listed_with_its_problem_and_can_be_deleted(library, upload):
    info = library.add(upload)
    info.path.write_text("broken")
    (found,) = [item for item in library.list() if item.id == info.id]
    assert found.kind == "" and found.problem.code == "bad_json"
    assert code_of(library.info, info.id) == "bad_json"
    library.delete(info.id)
    assert [item.id for item in library.list()] == ["voice"]


def test_examples_are_served_from_any_row(library, upload):
    info = library.add(upload)
    got = library.examples(info.id, start=3, count=10)
    assert [example["messages"][0]["content"] for example in got] == ["question 3", "question 4"]
    assert library.examples(info.id, start=99) == []
    assert len(library.examples(info.id, start=-5, count=1)) == 1


def test_a_loaded_set_is_kept_until_its_file_changes(library, upload):
    info = library.add(upload)
    first = library.load(info.id)
    assert library.load(info.id) is first
    os.utime(info.path, ns=(1, 1))
    assert library.load(info.id) is not first


def test_a_set_is_deleted_with_its_folder(library, upload):
    info = library.add(upload)
    library.delete(info.id)
    assert not info.path.parent.exists()
    assert code_of(library.delete, info.id) == "unknown_dataset"


def test_shipped_sets_cannot_be_deleted(library):
    assert code_of(library.delete, "voice") == "shipped"
    assert library.info("voice").rows == 5


HOSTILE = [
    "..",
    "../voice",
    "voice/../voice",
    "/etc/passwd",
    "C:\\x",
    "a\x00",
    "",
    "Voice",
    "voice.jsonl",
    "\\\\host\\x",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_only_ids_are_resolved_and_deleted(library, name):
    assert code_of(library.resolve, name) == "unknown_dataset"
    assert code_of(library.delete, name) == "unknown_dataset"


def test_paths_are_resolved_only_where_they_are_allowed(library, upload):
    assert code_of(library.load, str(upload)) == "unknown_dataset"
    loaded = library.load(str(upload), allow_paths=True)
    assert loaded.info.id == str(upload) and len(loaded.examples) == 5 and not loaded.info.shipped
    assert not (upload.parent / "meta.json").exists()


def test_an_unknown_id_is_answered_with_similar_ones(library):
    with pytest.raises(WorkbenchError) as caught:
        library.resolve("vioce")
    assert isinstance(caught.value.hint, Text) and "voice" in caught.value.hint.to("en")


def test_links_out_of_the_folder_are_not_followed(library, upload, tmp_path):
    datasets = tmp_path / "home" / "datasets"
    outside = tmp_path / "outside"
    outside.mkdir()
    write_rows(outside / "data.jsonl", ROWS)
    (datasets / "inner").mkdir(parents=True)
    (datasets / "inner" / "data.jsonl").symlink_to(outside / "data.jsonl")
    (datasets / "linked").symlink_to(outside)
    for name in ("linked", "inner"):
        assert code_of(library.resolve, name) == "unknown_dataset"
    (linked,) = [info for info in library.list() if info.id == "linked"]
    assert linked.problem is not None and linked.rows == 0, "listed, so that it can be deleted"


def test_uploads_stop_at_the_quota_and_at_a_full_disk(library, upload, monkeypatch):
    monkeypatch.setattr(library_module, "MAX_LIBRARY_BYTES", 10)
    assert code_of(library.add, upload) == "library_full"
    monkeypatch.setattr(library_module, "MAX_LIBRARY_BYTES", 10**9)
    monkeypatch.setattr(library_module, "free_bytes", lambda path: 1000)
    assert code_of(library.add, upload) == "disk_full"
    assert [info.id for info in library.list()] == ["voice"]


def test_every_shipped_set_is_in_order():
    infos = DataLibrary(library_module.SHIPPED.parent / "no-such-home").list()
    for info in infos:
        assert info.shipped and info.problem is None and info.usable == info.rows
