"""The Model tab without a browser: how often models are looked at, and what it asks before it deletes something."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from tests.test_ui_page import Asked
from tests.ui_double import FakeEngine
from workbench.engine import Engine, suited
from workbench.ui import html
from workbench.ui.finding import is_gone
from workbench.ui.page import build


def handlers(page: Any, *targets: tuple[str, str]) -> set[Any]:
    """What is called at these events, each an element's id and a name."""
    return {
        function.fn
        for function in page.fns.values()
        for block, event in function.targets
        if (getattr(page.blocks.get(block), "elem_id", None), event) in targets and function.fn is not None
    }


def test_each_choice_lists_the_models_once_and_no_edit_of_the_form_lists_them_for_a_suggestion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(tmp_path)
    page = build(engine)
    listed, real = [], engine.models.list
    monkeypatch.setattr(engine.models, "list", lambda: listed.append(1) or real())
    (show,) = handlers(page, ("model-again", "click"))
    choice, _, _, _, whole, cards, *_ = show("qwen3-0.6b", {}, request=Asked())
    assert choice.value == "qwen3-0.6b" and "old-model" in cards and whole.visible and len(listed) == 1
    del listed[:]
    draft = suited.first_draft(engine, "qwen3-0.6b", "pirate-voice", "en")
    for model in ("starter", "qwen3-0.6b", "old-model", "gone"):
        suited.suggested(engine, suited.choose_model(engine, draft, model))
    assert not listed


@pytest.mark.parametrize(
    ("name", "en", "zh"),
    [
        ("empty", "with all files in it", "全部文件"),
        ("bad.json", "only its entry goes", "只删除这个条目"),
        ("lost.json", "only its entry goes", "只删除这个条目"),
        ("notes.txt", "the file notes.txt", "文件“notes.txt”"),
    ],
)
def test_what_is_asked_before_deleting_says_what_goes(tmp_path: Path, name: str, en: str, zh: str) -> None:
    models = tmp_path / "models"
    models.mkdir()
    if name == "empty":
        (models / name).mkdir()
    else:
        gone = {"folder": str(tmp_path / "gone"), "name": "lost.json"}
        (models / name).write_text(json.dumps(gone) if name == "lost.json" else "{", encoding="utf-8")
    engine = Engine(tmp_path)
    try:
        page = build(engine)
        (ask,) = handlers(page, ("model-damaged-delete", "click"))
        (info,) = [info for info in engine.models.list() if info.problem]
        for lang, words in (("en", en), ("zh", zh)):
            assert words in ask(info.id, request=Asked(accept_language=lang))[1].replace("Only", "only")
    finally:
        engine.close()


def test_an_address_in_a_sentence_is_a_link_and_nothing_else_of_it_is_html() -> None:
    said = html.linked(
        "<b> it is at https://hf-mirror.com/ann/tiny. Not at javascript://x 或 http://127.0.0.1:80/a，好"
    )
    assert said.count("<a ") == 2 and "<b>" not in said and said.endswith("</a>，好")
    assert '<a href="https://hf-mirror.com/ann/tiny" target="_blank" rel="noopener noreferrer">' in said
    assert html.linked('https://x"onclick=1').startswith('<a href="https://x" target=')


def test_of_a_download_whose_model_was_deleted_since_nothing_is_said(tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "here").mkdir(parents=True)
    gone = [
        is_gone(SimpleNamespace(result=result), models) for result in ({"model": "here"}, {"model": "not"}, {}, None)
    ]
    assert gone == [False, True, False, False]


def test_a_tab_that_opens_takes_no_question_away(tmp_path: Path) -> None:
    shell = build(FakeEngine(tmp_path)).shell
    opened, _, outputs = shell.shared["model.opened"]
    made = opened("qwen3-0.6b", "", Asked())
    places = [place for place, one in enumerate(outputs) if one.elem_id == "model-delete-question"]
    assert len(places) == 1 and made[places[0]] == gr.skip() and len(made) == len(outputs)
    assert all(value != gr.skip() for value in made[:2])
