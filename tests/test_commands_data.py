"""`python -m workbench data`, and what `train` says of its data before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.homes import make_home, tiny_config, write_jsonl
from tests.test_commands import say
from workbench.config.presets import dump

MIXED: list[dict[str, Any]] = [
    *(
        {"question": f"Where does boat {n} lie?", "passage": f"Boat {n} lies at pier {n}.", "answer": f"Pier {n}."}
        for n in range(6)
    ),
    {"question": "And boat 9?", "passage": "Boat 9 is at sea.", "answer": ""},
    {"question": "", "answer": "Nowhere."},
]


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_LANG", "en")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = make_home(tmp_path_factory.mktemp("data") / "home")
    (home / "run.yaml").write_text(dump(tiny_config(optimization={"max_steps": 1})), encoding="utf-8")
    return home


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "boats.jsonl", [{**row, "harbour": "Velm"} for row in MIXED])


def test_inspect_says_what_a_file_is_read_as_and_what_is_not_used(home: Path, file: Path) -> None:
    said = say("data", "inspect", file, "--home", home)
    assert said.code == 0 and said.err == ""
    assert said.out.startswith("question and answer (conversations), 8 rows, of which 6 are used\n")
    for line in (
        "  passage: is put before the question\n",
        '  harbour: not used (for example "Velm")\n',
        "  Boat 0 lies at pier 0.\n",
        "  Rows with an empty answer: 1 (row 7)\n",
        "  Rows with an empty question: 1 (row 8)",
    ):
        assert line in said.out
    chinese = say("data", "inspect", file, "--home", home, "--lang", "zh").out
    assert "8 条样本，使用 6 条" in chinese and "harbour：未使用（例如“Velm”）" in chinese


def test_inspect_as_json_has_the_names_that_scripts_rely_on(home: Path, file: Path) -> None:
    data = say("data", "inspect", file, "--home", home, "--json").data
    assert (data["format"], data["kind"], data["rows"], data["usable"]) == ("prompt_completion", "chat", 8, 6)
    assert [(problem["code"], problem["rows"], problem["left_out"]) for problem in data["problems"]] == [
        ("empty_answer", [7], True),
        ("empty_question", [8], True),
    ]
    assert data["problems"][0]["message"] == "Rows with an empty answer: 1" and "tokens" not in data
    uses = {column["name"]: (column["role"], column["example"]) for column in data["columns"]}
    assert uses["passage"] == ("context", "Boat 0 lies at pier 0.") and uses["harbour"] == (None, "Velm")
    assert data["question"] == "Boat 0 lies at pier 0.\n\nWhere does boat 0 lie?"


def test_inspect_with_a_model_counts_tokens_up_to_the_length_asked(home: Path, file: Path) -> None:
    flags = ("--model", "tiny", "--home", home, "--json")
    whole = say("data", "inspect", file, *flags).data
    assert whole["tokens"] > whole["learned_tokens"] > 0 and whole["longest"] <= whole["tokens"]
    assert (whole["cut"], whole["dropped"], whole["rows"]) == (0, 0, 8)
    short = say("data", "inspect", file, *flags, "--max-length", 16).data
    assert short["cut"] == 6 and short["tokens"] < whole["tokens"]
    told = say("data", "inspect", file, "--model", "tiny", "--home", home).out.splitlines()[-1]
    assert told.startswith(f"{whole['tokens']} tokens, {whole['learned_tokens']} of them learned")
    wrong = say("data", "inspect", file, *flags, "--max-length", 0)
    assert wrong.code == 2 and wrong.data["error"]["field"] == "data.max_length"


def test_what_cannot_be_inspected_is_an_error_with_all_reasons(home: Path, tmp_path: Path) -> None:
    file = write_jsonl(
        tmp_path / "useless.jsonl", [{"prompt": "", "completion": "a"}, *[{"prompt": "b", "completion": ""}] * 2]
    )
    said = say("data", "inspect", file, "--home", home, "--json")
    reasons = [problem["message"] for problem in said.data["error"]["problems"]]
    assert said.code == 2 and said.data["error"]["message"] == reasons[0]
    assert reasons[1:] == ["Rows with an empty answer: 2", "Rows with an empty question: 1"]
    assert all(reason[1:] in said.err for reason in reasons)
    for name, code in ((tmp_path / "nothing.jsonl", 2), ("nothing", 2)):
        missing = say("data", "inspect", name, "--home", home, "--json")
        assert missing.code == code and "problems" not in missing.data["error"]
    trained = say("train", home / "run.yaml", f"data.train={file}", "--home", home)
    assert trained.code == 2 and all(reason[1:] in trained.err for reason in reasons)


def test_sets_are_listed_brought_and_deleted(home: Path, file: Path) -> None:
    added = say("data", "add", file, "--name", "Boats", "--home", home)
    assert (added.out, added.code) == ("boats\n", 0)
    assert added.err == say("data", "inspect", file, "--home", home).out, "what is left out, and why"
    listed = say("data", "--home", home, "--json").data["data"]
    boats = next(entry for entry in listed if entry["id"] == "boats")
    assert (boats["name"], boats["rows"], boats["usable"], boats["shipped"]) == ("Boats", 8, 6, False)
    assert any(
        line.startswith("boats  Boats  prompt_completion, 8, ") for line in say("data", "--home", home).out.splitlines()
    )
    assert say("data", "inspect", "boats", "--home", home, "--json").data["usable"] == 6
    assert say("data", "delete", "boats", "--home", home).out == "boats\n"
    assert say("data", "delete", "boats", "--home", home).code == 2
    assert say("data", "delete", "pirate-voice", "--home", home, "--lang", "zh").code == 2


def test_what_is_left_out_of_a_set_that_is_brought_stands_in_json_too(home: Path, file: Path) -> None:
    said = say("data", "add", file, "--name", "More boats", "--home", home, "--json", "--lang", "zh")
    seen = say("data", "inspect", file, "--home", home, "--json", "--lang", "zh").data
    assert said.data == {"id": "more-boats", **seen} and [problem["rows"] for problem in seen["problems"]] == [[7], [8]]
    assert "回答为空" in said.err and "harbour" in said.err


@pytest.mark.parametrize("length", [16, 0, -5])
def test_a_length_in_tokens_needs_a_model(home: Path, file: Path, length: int) -> None:
    said = say("data", "inspect", file, "--max-length", length, "--home", home, "--json")
    assert said.code == 2 and said.data["error"]["field"] == "max_length" and "--model" in said.data["error"]["hint"]
    assert "--model" in say("data", "inspect", file, "--max-length", length, "--home", home, "--lang", "zh").err


def test_train_says_first_what_of_its_data_is_not_used(home: Path, file: Path) -> None:
    said = say("train", home / "run.yaml", f"data.train={file}", f"data.eval={file}", "--home", home, "--json")
    assert said.code == 0 and said.data["status"] == "completed", said.err
    before, _, after = said.err.partition("Loading the model")
    assert (
        "training data boats.jsonl: 6 of 8 rows are used" in before and "evaluation data boats.jsonl: 6 of 8" in before
    )
    for line in ('  harbour: not used (for example "Velm")', "  Rows with an empty answer: 1 (row 7)"):
        assert before.splitlines().count(line) == 2
    assert "The evaluation data is the training data itself" in before and "1/1" in after
    quiet = say("train", home / "run.yaml", "--home", home, "--json")
    assert quiet.code == 0 and "rows are used" not in quiet.err


def test_train_says_what_encoding_was_guessed_and_what_stands_twice(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "cafes.csv"
    rows = [f"Où est le café {n} ?,Près de l'église n° {n}." for n in range(20)] * 2
    file.write_bytes("\r\n".join(["question,answer", *rows]).encode("cp1252"))
    said = say("train", home / "run.yaml", f"data.train={file}", "data.eval_share=0.5", "--home", home, "--lang", "zh")
    assert said.code == 0 and "猜测的 Windows-1252" in said.err and "20 条样本与前面的样本内容相同" in said.err
    assert "留作评估的 20 条样本中有" in said.err
