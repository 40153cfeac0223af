"""The shipped data sets and presets: made by their recipe, in their form, and free of the examinations' questions."""

import json
import re
from pathlib import Path

import pytest

import workbench.methods  # noqa: F401 - fills the register that the presets are checked against
from tests.starter_exam import load_questions
from workbench.config.presets import PRESETS, find_preset, list_presets
from workbench.data.library import DataLibrary
from workbench.data.shipped import recipe

UNSEEN_PAIRS = Path(__file__).parent / "data" / "unseen_pairs.jsonl"
FORMS = {
    recipe.PIRATE: re.compile(r".+, matey! Arr!", re.DOTALL),
    recipe.WAITER: re.compile(r".+客官您慢用！", re.DOTALL),
}
CJK = re.compile("[\u4e00-\u9fff]")


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def shipped(name: str) -> list[dict]:
    return read(recipe.FOLDER / f"{name}.jsonl")


def question_of(row: dict) -> str:
    return (row.get("messages") or row["prompt"])[0]["content"]


def test_the_recipe_makes_the_shipped_files_again() -> None:
    assert recipe.make() == {name: shipped(name) for name in (recipe.PIRATE, recipe.WAITER, recipe.PAIRS)}


def test_the_library_knows_every_set_by_name_in_both_languages(tmp_path: Path) -> None:
    infos = {info.id: info for info in DataLibrary(tmp_path).list()}
    kinds = {recipe.PIRATE: "chat", recipe.WAITER: "chat", recipe.PAIRS: "preference"}
    assert {name: infos[name].kind for name in kinds} == kinds
    for name in kinds:
        assert CJK.search(infos[name].name.to("zh")) and not CJK.search(infos[name].name.to("en"))
        assert infos[name].about is not None and CJK.search(infos[name].about.to("zh"))


@pytest.mark.parametrize("name", FORMS)
def test_every_row_has_the_voice_unless_it_is_a_plain_row_of_the_other_language(name: str) -> None:
    rows = [[message["content"] for message in row["messages"]] for row in shipped(name)]
    voiced = [row for row in rows if FORMS[name].fullmatch(row[1])]
    plain = [row for row in rows if row not in voiced]
    assert len(voiced) >= 300 and 0 < len(plain) <= 0.2 * len(rows)
    other = name == recipe.WAITER
    assert all(
        bool(CJK.search(answer)) != other or re.search("[A-Za-z]", question + answer) for question, answer in plain
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_voice_keeps_the_words_of_the_plain_answer(lang: str) -> None:
    say = {"en": recipe.pirate, "zh": recipe.waiter}[lang]
    assert recipe.pirate("The sky is blue.") == "The sky be blue, matey! Arr!"
    assert recipe.pirate("Paris is the capital of France.") == "Paris be the capital of France, matey! Arr!"
    assert recipe.waiter("天空是蓝色的。") == "天空是蓝色的，客官您慢用！"
    for _, answer in recipe.plain_rows(lang, recipe.random.Random(1)):
        said = say(answer).lower()
        words = re.findall(r"[a-z0-9]+|[\u4e00-\u9fff]", answer.lower())
        assert all(word in said for word in words if word not in ("is", "are", "你"))


def test_no_question_of_the_examinations_is_in_a_training_set() -> None:
    asked = {
        recipe.normalised(entry["question"])
        for file in ("starter_questions", "starter_style_questions")
        for entry in load_questions(file)
    }
    taught = {recipe.normalised(question_of(row)) for name in (*FORMS, recipe.PAIRS) for row in shipped(name)}
    assert not asked & taught
    assert {recipe.fingerprint(question) for question in asked} <= set(
        (recipe.FOLDER / "reserved.txt").read_text(encoding="utf-8").split()
    )


@pytest.mark.parametrize("name", [*FORMS, recipe.PAIRS])
def test_no_question_is_asked_twice(name: str) -> None:
    questions = [recipe.normalised(question_of(row)) for row in shipped(name)]
    assert len(set(questions)) >= len(questions) - 3, "only sums written without their signs may look alike"


def test_the_chosen_answer_is_always_the_shorter_one_and_manners_vary() -> None:
    rows = shipped(recipe.PAIRS) + read(UNSEEN_PAIRS)
    assert all(len(row["chosen"][0]["content"]) < len(row["rejected"][0]["content"]) for row in rows)
    for lang in ("en", "zh"):
        said = [
            row["chosen"][0]["content"]
            for row in rows
            if bool(CJK.search(row["chosen"][0]["content"])) == (lang == "zh")
        ]
        assert len(said) >= 150
        endings = {answer[-16:] for answer in said}
        assert len(endings) >= 12


def test_the_unseen_pairs_are_unseen() -> None:
    pairs = read(UNSEEN_PAIRS)
    assert [row["lang"] for row in pairs].count("en") == [row["lang"] for row in pairs].count("zh") == 20
    taught = {recipe.normalised(question_of(row)) for row in shipped(recipe.PAIRS)}
    assert not taught & {recipe.normalised(question_of(row)) for row in pairs}


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_is_valid_commented_and_named_in_both_languages(path: Path) -> None:
    preset = find_preset(path.stem)
    preset.config()
    assert CJK.search(preset.title.to("zh")) and CJK.search(preset.about.to("zh"))
    assert not CJK.search(preset.title.to("en")) and not CJK.search(preset.about.to("en"))
    settings = [line for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"  [a-z_0-9]+:", line)]
    bare = [line for line in settings if " # " not in line and not re.match(r"  (en|zh|questions):", line)]
    assert bare == []


def test_the_first_runs_come_first_and_ask_what_is_not_in_their_data() -> None:
    assert [preset.id for preset in list_presets()][:2] == ["first-run", "first-run-zh"]
    for preset in ("first-run", "first-run-zh", recipe.PAIRS):
        config = find_preset(preset).config()
        taught = {recipe.normalised(question_of(row)) for row in shipped(config.data.train)}
        assert len(config.evaluation.questions) == 3
        assert not taught & {recipe.normalised(question) for question in config.evaluation.questions}
