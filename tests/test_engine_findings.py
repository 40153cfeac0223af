"""What is said of a run's data before it starts: what is not used, what stands twice, and how a set can be read otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.homes import write_jsonl
from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.data.library import DataLibrary
from workbench.engine import checks, findings
from workbench.engine.plan import kept_back
from workbench.models.catalog import ModelCatalog


def asked(count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"question": f"How far is harbour {number}?", "answer": f"{number} miles.", **more} for number in range(count)
    ]


@pytest.fixture
def library(tmp_path: Path) -> DataLibrary:
    return DataLibrary(tmp_path / "home")


@pytest.fixture
def add(library: DataLibrary, tmp_path: Path) -> Any:
    def added(name: str, rows: list[dict[str, Any]]) -> str:
        return library.add(write_jsonl(tmp_path / f"{name}.jsonl", rows), name).id

    return added


def said(texts: list[Any]) -> tuple[str, str]:
    """Both languages of some lines."""
    return tuple("\n".join(text.to(lang) for text in texts) for lang in ("en", "zh"))  # type: ignore[return-value]


def config(train: str, **data: Any) -> RunConfig:
    return RunConfig.parse({"model": {"base": "starter"}, "data": {"train": train, **data}})


def test_what_is_not_used_is_said_before_the_start(library: DataLibrary, add: Any) -> None:
    rows = [*asked(30, region="north"), {"question": "And now?", "answer": None}, {"question": "", "answer": "Here."}]
    name = add("harbours", rows)
    english, chinese = said(findings.before_start(config(name), library, False))
    assert "harbours: 30 of 32 rows are used" in english and "32 条样本中使用 30 条" in chinese
    assert "Rows without answer: 1 (row 31)" in english and "Rows with an empty question: 1 (row 32)" in english
    assert 'region: not used (for example "north")' in english and "region：未使用（例如“north”）" in chinese
    assert "  question: " not in english  # what is used need not be said
    assert findings.before_start(config(add("plain", asked(30))), library, False) == []


def test_in_short_only_what_is_not_used_is_said_of_each_set(library: DataLibrary, add: Any) -> None:
    lost = [{"question": "And now?", "answer": None}, {"question": "", "answer": "Here."}]
    wide = {f"extra{number}": "x" for number in range(findings.NAMED + 3)}
    for name, rows, english, chinese in (
        ("plain", asked(30), "", ""),
        ("lost", [*asked(30), *lost], "“lost”: 2 of 32 rows.", "“lost”中未使用：32 条样本中的 2 条。"),
        ("one", asked(30, region="north"), "“one”: column region.", "“one”中未使用：列 region。"),
        ("wide", asked(3, **wide), "“wide”: columns extra0, extra1, extra2, extra3 and 3 more.", "extra3 以及另外 3 列。"),
        ("both", [*asked(30, region="north"), *lost], "2 of 32 rows, column region.", "32 条样本中的 2 条、列 region。"),
    ):  # fmt: skip
        chosen = add(name, rows)
        for what, settings in (
            ("training", config(chosen)),
            ("evaluation", config(add("used", asked(9)), eval=chosen)),
        ):
            before = said(findings.unused(settings, library, False))
            assert before[0].endswith(english) and before[1].endswith(chinese) and bool(before[0]) == bool(english), (
                name
            )
            assert not english or (
                before[0].startswith(f"Not used of the {what} data “{name}”") and "\n" not in before[0]
            )
    assert findings.unused(config("nothing"), library, False) == []


def test_a_guessed_encoding_and_the_evaluation_data_are_told_of_too(
    library: DataLibrary, add: Any, tmp_path: Path
) -> None:
    file = tmp_path / "cafes.csv"
    file.write_bytes("question,answer\nWhere is the café?,Près du port.\nEt l'hôtel?,À côté.\n".encode("cp1252"))
    chosen = library.add(file).id
    english, chinese = said(findings.before_start(config(add("plain", asked(9)), eval=chosen), library, False))
    assert english.startswith("evaluation data cafes: 2 of 2") and "Windows-1252, which is a guess" in english
    assert chinese.startswith("评估数据 cafes") and "training data" not in english


def test_many_reasons_are_told_in_part_and_counted(library: DataLibrary, add: Any) -> None:
    columns = {f"extra{number}": "x" for number in range(findings.TOLD + 7)}
    english, chinese = said(findings.before_start(config(add("wide", asked(3, **columns))), library, False))
    assert english.count("not used") == findings.TOLD and "and 7 more" in english and "另有 7 项" in chinese


def test_a_question_from_several_columns_is_shown_as_it_is_asked(library: DataLibrary, add: Any) -> None:
    rows = [{"instruction": "Translate.", "input": "", "output": "-"}]
    rows += [
        {"instruction": "Translate.", "input": f"line {n}", "passage": f"from page {n}", "output": "-"}
        for n in range(3)
    ]
    found = findings.view(library.load(add("lines", rows)))
    assert found["question"] == "from page 0\n\nTranslate.\nline 0"
    english, chinese = said(findings.described(found))
    assert "passage: is put before the question" in english and "  from page 0\n  \n  Translate.\n  line 0" in english
    assert "a question then looks like this" in english and "拼成的问题示例" in chinese
    assert findings.view(library.load(add("one", asked(3))))["question"] is None


@pytest.mark.parametrize("limit", [0, 40])
def test_copies_across_the_split_are_counted(library: DataLibrary, add: Any, limit: int) -> None:
    rows = asked(40)
    settings = config("twice", eval_share=0.2, max_rows=limit)
    kept = kept_back(settings, 40 if limit else 80)
    again = [{**row, "answer": row["answer"].replace(" ", "  \n")} for row in rows]
    name = add("twice", [*rows, *again])
    overlap = findings.overlap(settings, library, False)
    if limit:
        assert overlap == []  # the copies are not among the rows that are used
        return
    copies = sum((place + 40) % 80 not in kept for place in kept)
    assert copies and f"{copies} of the {len(kept)} rows kept for evaluation" in said(overlap)[0]
    assert "says the same" not in said(findings.before_start(settings, library, False))[0]
    repeated = findings.view(library.load(name))["problems"]
    assert [(problem["code"], problem["rows"], problem["left_out"]) for problem in repeated] == [
        ("repeated", list(range(41, 81)), False)
    ]


def test_a_set_without_copies_and_one_without_evaluation_pass(library: DataLibrary, add: Any) -> None:
    name = add("plain", asked(40))
    assert findings.overlap(config(name, eval_share=0.2), library, False) == []
    copies = add("copies", [*asked(40), *asked(40)])
    assert findings.overlap(config(copies, eval_share=0.0), library, False) == []


def test_an_evaluation_set_that_is_learned_is_said(library: DataLibrary, add: Any) -> None:
    train = add("train", asked(30))
    spaced = [{"answer": f" {row['answer']}", "question": row["question"]} for row in asked(30)]
    new = [{"question": f"New {number}?", "answer": "Yes."} for number in range(15)]
    for name, english, chinese in (
        (train, "is the training data itself", "就是训练数据本身"),
        (add("same", asked(30)), "is the training data itself", "就是训练数据本身"),
        (add("spaced", spaced), "All 30 rows", "30 条样本全部也在训练数据中"),
        (add("some", [*asked(5), *new]), "5 of the 20 rows", "20 条样本中有 5 条"),
        (add("new", new), "", ""),
        (add("single", asked(1)), "The only row of the evaluation data also stands", "仅有的一条样本"),
        (add("once", [*asked(1), *new]), "1 of the 16 rows kept for evaluation also stands", "16 条样本中有 1 条"),
    ):
        overlap = said(findings.overlap(config(train, eval=name), library, False))
        assert english in overlap[0] and chinese in overlap[1] and bool(overlap[0]) == bool(english), name


def test_a_single_row_is_not_told_as_several(library: DataLibrary, add: Any) -> None:
    twice = add("twice", [*asked(1), *asked(1)])
    (said_of,) = findings.overlap(config(twice, eval_share=0.1), library, False)
    assert said_of.to("en").startswith("The only row kept for evaluation also stands") and "唯一一条" in said_of.to(
        "zh"
    )
    for name, rows, used in (
        ("one", asked(1, region="north"), "1 row, of which 1 is used"),
        ("half", [*asked(1, region="north"), {"question": "", "answer": "Here."}], "2 rows, of which 1 is used"),
    ):
        chosen = add(name, rows)
        found = said(findings.described(findings.view(library.load(chosen))))
        assert used in found[0] and "使用 1 条" in found[1] and ("notes\n" in found[0]) == (name == "half")
        before = said(findings.before_start(config(chosen), library, False))
        assert f"{name}: 1 of {used.split(',')[0]} is used" in before[0] and "中使用 1 条" in before[1]


def test_data_that_cannot_be_read_is_left_to_the_check(library: DataLibrary, add: Any) -> None:
    assert findings.before_start(config("nothing"), library, False) == []
    assert findings.before_start(config(add("plain", asked(3)), eval="nothing"), library, False) == []


def problems_of(library: DataLibrary, tmp_path: Path, name: str, **sections: Any) -> Any:
    settings = RunConfig.parse({"model": {"base": "starter"}, "data": {"train": name}, **sections})
    return checks.check(settings, ModelCatalog(tmp_path / "home"), library, tmp_path, allow_paths=True).problems


def test_where_no_row_can_be_used_every_reason_stands_at_the_field(library: DataLibrary, tmp_path: Path) -> None:
    rows = [{"prompt": "a", "completion": ""}, {"prompt": "", "completion": "b"}, {"prompt": "c", "completion": ""}]
    file = write_jsonl(tmp_path / "useless.jsonl", rows)
    problems = problems_of(library, tmp_path, str(file))
    assert {problem.field for problem in problems} == {"data.train"}
    english, chinese = said([problem.message for problem in problems])
    assert english.splitlines() == [
        "not one row of this data set can be used (format: question and answer)",
        "Rows with an empty answer: 2",
        "Rows with an empty question: 1",
    ]
    assert "2 条样本的回答为空" in chinese


def test_rated_answers_can_be_read_as_conversations_and_the_hint_says_so(
    library: DataLibrary, add: Any, tmp_path: Path
) -> None:
    name = add("verdicts", [{"prompt": f"q{n}", "completion": f"a{n}", "label": n % 2} for n in range(8)])
    (problem,) = problems_of(library, tmp_path, name)
    english, chinese = said([problem.hint])
    assert "column “label”" in english and "“question and answer”" in english and "Read as" in english
    assert "“label”" in chinese and "读取方式" in chinese
    before = library.load(name)
    changed = library.read_as(name, "prompt_completion")
    assert (changed.kind, changed.format, library.info(name).kind) == ("chat", "prompt_completion", "chat")
    assert problems_of(library, tmp_path, name) == []
    after = library.load(name)
    assert (
        after.fingerprint != before.fingerprint and "messages" in after.examples[0]
    )  # a run of one can't go on as the other
    # It stays so: for another process, and after its counts are gone.
    meta = library.info(name).path.with_name("meta.json")
    assert DataLibrary(tmp_path / "home").info(name).kind == "chat"
    kept = {key: value for key, value in json.loads(meta.read_text("utf-8")).items() if key not in ("rows", "kind")}
    meta.write_text(json.dumps(kept), encoding="utf-8")
    again = DataLibrary(tmp_path / "home")
    assert again.info(name).kind == again.load(name).info.kind == "chat"
    assert library.read_as(name, "kto").kind == "feedback"


@pytest.mark.parametrize("name", ["preference", "nonsense", "", "../x"])
def test_a_reading_that_does_not_fit_is_refused(library: DataLibrary, add: Any, name: str) -> None:
    chosen = add("plain", asked(3))
    with pytest.raises(WorkbenchError) as caught:
        library.read_as(chosen, name)
    assert caught.value.code == "no_reading" and library.info(chosen).format == "prompt_completion"


def test_a_shipped_set_and_a_planted_reading_change_nothing(library: DataLibrary, add: Any, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError):
        library.read_as("pirate-voice", "messages")
    name = add("plain", asked(3))
    meta = library.info(name).path.with_name("meta.json")
    for planted in (7, "os.system", ["kto"], {"kto": 1}):
        meta.write_text(json.dumps({"name": "plain", "read_as": planted}), encoding="utf-8")
        assert DataLibrary(tmp_path / "home").load(name).info.format == "prompt_completion"
