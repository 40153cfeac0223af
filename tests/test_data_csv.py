"""Tables as spreadsheets and pandas write them: unnamed columns, empty columns, a line that names the separator."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config.errors import WorkbenchError
from workbench.data.csv_rows import parse_csv
from workbench.data.formats import inspect_rows

ROWS = [{"question": "q", "answer": "a"}, {"question": "r", "answer": "b"}]


def table(text, delimiter=None):
    return parse_csv(text, "a.csv", delimiter)


@pytest.mark.parametrize(
    "text",
    [
        "question,answer,,\nq,a,,\nr,b,,\n",
        "question;answer;;\r\nq;a;;\r\nr;b;;\r\n",
        "question,answer\nq,a,,\nr,b,\n",
        "question,answer,,\nq,a\nr,b, ,\n",
        ",question,answer\n,q,a\n,r,b\n",
        "question,answer, \t\nq,a,\nr,b,\n",
        "\n,,,\nquestion,answer,,\n,,,\nq,a,,\nr,b,,\n,,,\n",
        "question\tanswer\t\t\nq\ta\t\t\nr\tb\t\t\n",
    ],
)
def test_columns_without_name_and_without_content_are_not_there(text):
    assert table(text) == ROWS


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [";", ",", "\t", "|", "^", "~"])
@pytest.mark.parametrize("line", ["sep={}", '"sep={}"', "SEP={}", "sep={} "])
def test_the_line_that_names_the_separator_is_obeyed(line, separator, ending):
    lines = [line.format(separator), f"question{separator}answer", f"q{separator}a", f"r{separator}b"]
    assert table(ending.join([*lines, ""])) == ROWS
    assert table(ending.join([*lines, ""]), "\t") == ROWS


def test_a_heading_that_begins_like_that_line_is_a_heading():
    assert table("sep=yes,answer\nq,a\n") == [{"sep=yes": "q", "answer": "a"}]


def test_lines_are_counted_from_the_top_of_the_file_also_behind_the_line_that_names_the_separator():
    with pytest.raises(WorkbenchError) as caught:
        table("sep=;\nquestion;answer\nq;a\nr;b;c\n")
    assert caught.value.code == "ragged_csv" and "line 4" in caught.value.message.to("en")


@pytest.mark.parametrize("first", ["", "Unnamed: 0", " "])
def test_row_numbers_that_pandas_writes_leave_questions_and_answers_as_they_are(first):
    rows = table(f"{first},question,answer\n0,q,a\n1,r,b\n")
    assert [{key: row[key] for key in ROWS[0]} for row in rows] == ROWS
    assert inspect_rows(rows).format == "prompt_completion"


def test_an_unnamed_column_with_content_is_called_by_its_place():
    assert table("question,,answer\nq,why,a\nr,,b\n")[0] == {"question": "q", "#2": "why", "answer": "a"}


@pytest.mark.parametrize("text", ["question,answer\nq\n", "question,answer\nq,a,c\n", "question,,\nq\nr,x,y,z\n"])
def test_other_rows_of_the_wrong_length_are_refused(text):
    with pytest.raises(WorkbenchError) as caught:
        table(text)
    assert caught.value.code == "ragged_csv"


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.tuples(st.text("abc,;\"\n'x 是", min_size=1), st.text("abc,;\"\n'x 是", min_size=1)), min_size=1),
    separator=st.sampled_from(",;\t|"),
    index=st.booleans(),
    empty=st.integers(0, 3),
    named=st.booleans(),
)
def test_whatever_a_spreadsheet_adds_the_cells_come_out_as_they_were(cells, separator, index, empty, named):
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator)
    writer.writerow([""] * index + ["question", "answer"] + [""] * empty)
    for number, pair in enumerate(cells):
        writer.writerow([number] * index + [*pair] + [""] * empty)
    text = (f"sep={separator}\r\n" if named else "") + buffer.getvalue()
    # A row that is blank in all its cells is no row.
    wanted = [pair for pair in cells if index or any(cell.strip() for cell in pair)]
    assert [(row["question"], row["answer"]) for row in table(text)] == wanted
