"""Reading data files: what is understood, and what is refused with a file name and a line number."""

import csv
import json
import re

import pytest

from workbench.config.errors import WorkbenchError
from workbench.data import limits
from workbench.data.files import read_rows


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def refusal(folder, name, content):
    with pytest.raises(WorkbenchError) as caught:
        read_rows(write(folder, name, content))
    error = caught.value
    assert name in error.message.to("en") and name in error.message.to("zh")
    assert "{" not in error.to("en").replace('{"text"', "") and "{" not in error.to("zh").replace('{"text"', "")
    return error


def test_jsonl_skips_blank_lines_and_a_byte_order_mark(tmp_path):
    path = write(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"text": "one"}\r\n\r\n{"text": "\xe4\xba\x8c"}')
    assert read_rows(path) == [{"text": "one"}, {"text": "二"}]


def test_a_line_separator_inside_a_json_string_does_not_end_the_row(tmp_path):
    assert read_rows(write(tmp_path, "a.jsonl", '{"text": "one\u2028two\x85"}\n')) == [{"text": "one\u2028two\x85"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '[{"text": "x"}]'),
        ("a.json", '{"data": [{"text": "x"}]}'),
        ("a.json", '{"version": 1, "examples": [{"text": "x"}]}'),
        ("a.json", '{"text": "x"}\n{"text": "y"}\n'),
        ("a.jsonl", '[\n {"text": "x"}\n]'),
        ("A.JSON", '\ufeff[{"text": "x"}]'),
    ],
)
def test_json_in_its_usual_shapes(tmp_path, name, content):
    assert read_rows(write(tmp_path, name, content))[0] == {"text": "x"}


def test_plain_text_gives_a_row_a_line(tmp_path):
    assert read_rows(write(tmp_path, "a.txt", "one\n\n 二 \n")) == [{"text": "one"}, {"text": "二"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_with_any_separator(tmp_path, delimiter):
    content = f'text{delimiter}label\n"a, b; c\nd"{delimiter}1\nNA{delimiter}\n'
    assert read_rows(write(tmp_path, "a.csv", content)) == [
        {"text": "a, b; c\nd", "label": "1"},
        {"text": "NA", "label": ""},
    ]


def test_csv_with_a_single_column_is_not_split_at_its_letters(tmp_path):
    assert read_rows(write(tmp_path, "a.csv", "text\nhello there\nbye\n")) == [{"text": "hello there"}, {"text": "bye"}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
@pytest.mark.parametrize("content", [b"", b"  \n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path, name, content):
    assert refusal(tmp_path, name, content).code == "empty_file"


@pytest.mark.parametrize(("name", "content"), [("a.json", "[]"), ("a.csv", "text,label\n")])
def test_a_file_without_rows_is_refused(tmp_path, name, content):
    assert refusal(tmp_path, name, content).code == "no_rows"


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04rest", b"PAR1rest", b"\x1f\x8b\x08rest", b"text\x00more", bytes(range(256)) * 8]
)
def test_binary_files_are_refused_whatever_they_are_called(tmp_path, content):
    assert refusal(tmp_path, "a.csv", content).code == "binary"


@pytest.mark.parametrize("name", ["a.py", "a.parquet", "a.jsonl.gz", "a", "a.pkl"])
def test_other_kinds_of_file_are_refused(tmp_path, name):
    assert refusal(tmp_path, name, "{}").code == "file_type"


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    (tmp_path / "folder.json").mkdir()
    for name in ("none.json", "folder.json"):
        with pytest.raises(WorkbenchError) as caught:
            read_rows(tmp_path / name)
        assert caught.value.code == "no_file"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("not json", "bad_json"),
        ('{"text": "cut', "bad_json"),
        ('{"text": NaN}', "bad_json"),
        ('{"text": -Infinity}', "bad_json"),
        ('{"text": %s}' % ("9" * 5000), "bad_json"),
        ('["a"]', "not_an_object"),
        ('"a"', "not_an_object"),
        ("5", "not_an_object"),
        ("[" * 100_000, "too_deep"),
        ('{"text": ' + "[" * 40 + "]" * 40 + "}", "too_deep"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path, line, code):
    error = refusal(tmp_path, "a.jsonl", '{"text": "a"}\n\n' + line + '\n{"text": "b"}\n')
    assert error.code == code
    assert "line 3 " in error.message.to("en") and "第 3 行" in error.message.to("zh")


def test_nan_in_a_json_list_is_refused_with_its_line(tmp_path):
    error = refusal(tmp_path, "a.json", '[\n{"text": "NaN is fine here"},\n{"x": NaN}]')
    assert error.code == "bad_json" and "line 3" in error.message.to("en")


def test_json_that_is_cut_off_is_refused_with_its_line(tmp_path):
    assert "line 2" in refusal(tmp_path, "a.json", '[{"text": "a"},\n{"text": ').message.to("en")


@pytest.mark.parametrize("content", ["{}", '{"n": 5}', '{"data": {}}', "5", '"x"', "null"])
def test_json_without_a_list_of_rows_is_refused(tmp_path, content):
    assert refusal(tmp_path, "a.json", content).code == "no_rows"


def test_a_json_list_of_other_things_than_objects_is_refused_with_the_row(tmp_path):
    error = refusal(tmp_path, "a.json", '[{"text": "x"}, "y"]')
    assert error.code == "not_an_object" and "row 2" in error.message.to("en")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"instruction":"q","output":"a"}'),
        ("a.json", '{\n  "messages": [\n    {"role": "user", "content": "q"}\n  ]\n}\n'),
        ("a.jsonl", '{"text": "x", "meta": {"data": 5}}\n'),
    ],
)
def test_a_single_object_is_one_row(tmp_path, name, content):
    assert read_rows(write(tmp_path, name, content)) == [json.loads(content)]


@pytest.mark.parametrize("nothing", ["{}", '{"text": ""}', '{"text": null, "label": " \\n"}', '{"messages": []}'])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_file_of_nothing_is_given_up_at_its_thousandth_row(tmp_path, name, nothing):
    """The line behind them, which is broken, is not read any more where rows are read one by one."""
    rows = [nothing] * limits.EMPTY_ROWS
    content = "\n".join([*rows, "not json"]) if name == "a.jsonl" else f"[{','.join(rows * 30)}]"
    error = refusal(tmp_path, name, content)
    assert error.code == "empty_rows" and "1,000" in error.message.to("en") and "text" in error.hint.to("zh")


def test_a_single_word_among_the_first_thousand_rows_is_enough_to_read_on(tmp_path):
    rows = ["{}"] * (limits.EMPTY_ROWS - 1) + ['{"text": "x"}', "{}"]
    assert len(read_rows(write(tmp_path, "a.jsonl", "\n".join(rows)))) == limits.EMPTY_ROWS + 1


def test_a_list_of_data_sets_is_not_taken_for_a_data_set(tmp_path):
    content = json.dumps({"mine": {"file_name": "mine.json"}, "hub": {"hf_hub_url": "a/b"}})
    error = refusal(tmp_path, "dataset_info.json", content)
    assert error.code == "dataset_info" and "mine.json" in error.hint.to("en")


def test_names_that_no_file_can_hold_do_not_spoil_the_message(tmp_path):
    """json.dumps writes half a surrogate pair as an escape, which no UTF-8 check of the file can see."""
    error = refusal(tmp_path, "dataset_info.json", json.dumps({"mine": {"file_name": "mine\ud800.json"}}))
    assert "mine\ufffd.json" in error.hint.to("en")
    assert error.to("en").encode() and error.to("zh").encode()


def test_a_cell_over_the_limit_is_named_by_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_LINE_BYTES", 20)
    assert read_rows(write(tmp_path, "a.csv", "text\n" + "x" * 20 + "\n")) == [{"text": "x" * 20}]
    error = refusal(tmp_path, "a.csv", "text\nfine\n" + "x" * 21 + "\n")
    assert "line 3" in error.message.to("en") and "第 3 行" in error.message.to("zh")


def test_a_ragged_csv_row_is_named_by_its_line(tmp_path):
    error = refusal(tmp_path, "a.csv", 'text,label\n"two\nlines",1\na,b,c\n')
    assert error.code == "ragged_csv" and "line 4" in error.message.to("en")


def test_an_open_quote_in_csv_is_refused(tmp_path):
    open_ended = refusal(tmp_path, "a.csv", 'text,label\n"open,1\n')
    assert open_ended.code == "bad_csv" and "有一个双引号没有结束" in open_ended.message.to("zh")
    stray = refusal(tmp_path, "a.csv", 'text,label\n"so "called" names",1\n')
    assert stray.code == "bad_csv" and "written twice" in stray.message.to("en") and "第 2 行" in stray.message.to("zh")


@pytest.mark.parametrize("header", ["text,text", "text,,label,label", ",".join(f"c{n}" for n in range(2000))])
def test_a_csv_header_must_name_no_column_twice(tmp_path, header):
    assert refusal(tmp_path, "a.csv", header + "\n").code == "csv_header"


@pytest.mark.parametrize(
    ("limit", "value", "name", "content", "code"),
    [
        ("MAX_FILE_BYTES", 20, "a.txt", "x" * 30, "file_too_big"),
        ("MAX_ROWS", 2, "a.txt", "x\ny\nz\n", "too_many_rows"),
        ("MAX_ROWS", 2, "a.jsonl", '{"a": 1}\n' * 3, "too_many_rows"),
        ("MAX_ROWS", 2, "a.json", "[{}, {}, {}]", "too_many_rows"),
        ("MAX_ROWS", 2, "a.csv", "a\n1\n2\n3\n", "too_many_rows"),
        ("MAX_LINE_BYTES", 20, "a.jsonl", '{"text": "%s"}' % ("二" * 10), "line_too_long"),
        ("MAX_LINE_BYTES", 20, "a.json", '[{"text": "%s"}]' % ("x" * 30), "line_too_long"),
        ("MAX_LINE_BYTES", 20, "a.txt", "x" * 30, "line_too_long"),
        ("MAX_LINE_BYTES", 20, "a.csv", "text\n" + "x" * 30 + "\n", "line_too_long"),
    ],
)
def test_caps_on_size_rows_and_lines(tmp_path, monkeypatch, limit, value, name, content, code):
    monkeypatch.setattr(limits, limit, value)
    assert refusal(tmp_path, name, content).code == code


def test_a_huge_cell_is_refused_and_other_csv_readers_keep_their_limit(tmp_path, monkeypatch):
    before = csv.field_size_limit()
    assert refusal(tmp_path, "a.csv", "text\n" + "x" * (limits.MAX_LINE_BYTES + 1) + "\n").code == "line_too_long"
    monkeypatch.setattr(limits, "MAX_LINE_BYTES", 20)
    assert refusal(tmp_path, "b.csv", "a,b\n" + "x" * 15 + "," + "y" * 15 + "\n").code == "line_too_long"
    assert csv.field_size_limit() == before >= 1024 * 1024


BAD = {
    "{name: 1}": ("field name in double quotes", "字段名"),
    '{"a": 1 "b": 2}': ("a comma", "逗号"),
    '{"a" 1}': ("a colon", "冒号"),
    '{"a": }': ("a value was expected at character 7", "第 7 个字符处应为一个值"),
    '{"a": 1} {"b": 2}': ("after its end", "多余内容"),
    '{"a": "x}': ("no closing quote", "缺少结束引号"),
    '{"a": "x\ty"}': ("a line break or a tab", "换行或制表符"),
    '{"a": "C:\\Users"}': ("has to be written twice", "写成两个"),
}


@pytest.mark.parametrize("line", BAD)
def test_why_a_line_is_no_json_is_said_in_the_readers_language(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "fine"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(WorkbenchError) as caught:
        read_rows(path)
    english, chinese = (caught.value.message.to(lang) for lang in ("en", "zh"))
    assert "line 2" in english and BAD[line][0] in english
    assert "第 2 行" in chinese and BAD[line][1] in chinese
    assert not re.search("[A-Za-z]{3,}", chinese.replace("rows.jsonl", "").replace("JSON", ""))
