"""The page without a browser: the form reaches the config, problems reach their fields, words reach both languages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import free_port
from tests.ui_double import FakeEngine
from workbench.bootstrap import ROOT, environment
from workbench.config.errors import Problem
from workbench.config.fields import Setting, knobs
from workbench.config.problems import short
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.methods import METHODS

environment()

import gradio as gr  # noqa: E402

from workbench.ui import guide, html, tabs  # noqa: E402
from workbench.ui import page as page_module  # noqa: E402
from workbench.ui.form import KIND, Form, read_value, show_value  # noqa: E402
from workbench.ui.language import Words, head_script, language_of  # noqa: E402
from workbench.ui.page import build  # noqa: E402
from workbench.ui.theme import PALETTE, css  # noqa: E402


class Asked:
    """The part of a request that the page reads."""

    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> FakeEngine:
    return FakeEngine(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def page(engine: FakeEngine) -> gr.Blocks:
    return build(engine)


@pytest.fixture
def form(page: gr.Blocks) -> Form:
    return page.shell.shared["train.form"]


def other_value(setting: Setting) -> Any:
    """A value that its widget can show, that the config takes, and that is not the default."""
    fixed = {"model.base": "qwen3-0.6b", "data.train": "wuxia-voice", "data.eval": "better-answers"}
    fixed |= {"adapter.kind": "dora", "adapter.bias": "all", "method.loss": "robust"}  # with which all others count
    if setting.path in fixed:
        return fixed[setting.path]
    if setting.kind == "choice":
        return next(value for value, _ in setting.choices if value != setting.default)
    if setting.kind == "switch":
        return not setting.default
    if setting.kind == "texts":
        return ["first one", "second one"]
    if setting.kind == "text":
        return "another name"
    low, high = setting.minimum, setting.maximum
    if setting.kind == "integer":
        return int(setting.default) + 1 if high is None or setting.default + 1 <= high else int(setting.default) - 1
    middle = ((low or 0.0) + (high if high is not None else 1.0)) / 2
    return middle if middle != setting.default else middle / 2


VISITOR = "0" * 32


def filled(form: Form, kind: str) -> tuple[list[Any], dict[str, Any]]:
    """What the widgets hold when everything is changed, and what the config should then say."""
    values, wanted = [], {KIND: kind}
    for field in form.fields:
        value = kind if field.setting.path == KIND else other_value(field.setting)
        values.append(show_value(field.setting, value))
        if field.setting.applies({"method": {"kind": kind, "loss": "robust"}}):
            wanted[field.setting.path] = value
    return values, wanted


@pytest.mark.parametrize("kind", sorted(METHODS))
def test_every_setting_has_a_widget_and_every_widget_reaches_the_run(page: gr.Blocks, form: Form, kind: str) -> None:
    engine = page.shell.engine
    engine.submitted.clear()
    values, wanted = filled(form, kind)
    expected = {
        setting.path for setting in knobs(RunConfig) if setting.applies({"method": {"kind": kind, "loss": "robust"}})
    }
    assert set(wanted) == expected
    begin, inputs, outputs = page.shell.shared["train.begin"]
    assert len(inputs) == 2 + len(values)
    result = begin("", {}, *values, request=Asked())
    assert len(result) == len(outputs)
    got = engine.submitted.pop().values()
    for path, value in wanted.items():
        section, _, name = path.partition(".")
        assert got[section][name] == value, path
        if path != KIND:
            assert value != next(f.setting.default for f in form.fields if f.setting.path == path), path


def test_start_pressed_again_before_its_answer_is_one_run_and_after_it_another(page: gr.Blocks, form: Form) -> None:
    engine, values = page.shell.engine, form.show(RunConfig().values())
    engine.submitted.clear()
    begin, _, outputs = page.shell.shared["train.begin"]
    run, click = outputs.index(page.shell.run), -1
    first, again = (begin("a click", {}, *values, request=Asked()) for _ in range(2))
    assert first[run] == again[run] and len(engine.submitted) == 1
    assert len({"a click", first[click], again[click]}) == 3
    assert begin(first[click], {}, *values, request=Asked())[run] != first[run]


def test_a_shown_config_reads_back_as_itself(form: Form) -> None:
    for config in (RunConfig(), RunConfig.parse({"optimization": {"epochs": 0.5, "adam_epsilon": 1e-12}})):
        assert RunConfig.parse(form.read(form.show(config.values()))) == config


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("optimization.learning_rate", None),
        ("optimization.learning_rate", float("nan")),
        ("optimization.learning_rate", float("inf")),
        ("optimization.learning_rate", -1),
        ("optimization.learning_rate", 10**400),
        ("optimization.epochs", -(10**10_000)),
        ("optimization.batch_size", 10**10_000),
        ("optimization.max_steps", "9" * 10_000),
        ("optimization.learning_rate", "1e-3"),
        ("optimization.batch_size", 2.5),
        ("optimization.batch_size", True),
        ("optimization.batch_size", 10**30),
        ("adapter.rank", []),
        ("data.max_length", 1),
        ("output.name", "a/b"),
        ("output.name", "x" * 300),
        ("evaluation.questions", "\n".join("abcdefghijklmnopqrstuvwxyz")),
    ],
    ids=lambda value: str(short(value))[:20],
)
def test_a_wrong_value_is_said_at_its_field_and_starts_nothing(
    page: gr.Blocks, form: Form, path: str, typed: Any
) -> None:
    engine = page.shell.engine
    engine.submitted.clear()
    values = form.show(RunConfig().values())
    index = form.fields.index(form.field(path))
    values[index] = typed
    check, _, outputs = page.shell.shared["train.check"]
    for lang in ("en", "zh"):
        result = check({}, VISITOR, "1", *values, request=Asked(cookie=f"lang={lang}"))
        assert len(result) == len(outputs)
        said = json.loads(result[0])[form.fields[index].name]
        assert bool(re.search("[\u4e00-\u9fff]", said)) is (lang == "zh")
        section = form.fields[index].section
        if section is not None:
            assert result[1 + section]["open"] is True
    begin, _, _ = page.shell.shared["train.begin"]
    begin("", {}, *values, request=Asked())
    assert not engine.submitted


def test_a_problem_goes_away_when_it_is_put_right(page: gr.Blocks, form: Form) -> None:
    check, _, _ = page.shell.shared["train.check"]
    values = form.show(RunConfig().values())
    index = form.fields.index(form.field("adapter.rank"))
    wrong = [*values]
    wrong[index] = 0
    marked = check({}, VISITOR, "1", *wrong, request=Asked())
    shown = marked[len(form.slots)]
    assert shown
    right = check(shown, VISITOR, "1", *values, request=Asked())
    assert right[0] == "" and right[len(form.slots)] == {}
    assert "facts" in right[len(form.slots) + 1]  # the forecast is back


def test_a_problem_without_a_field_stands_beside_start(page: gr.Blocks, form: Form) -> None:
    engine = page.shell.engine
    engine.problems = [Problem(Text("the <disk> is full", "磁盘已满"), None, None)]
    try:
        check, _, _ = page.shell.shared["train.check"]
        card = check({}, VISITOR, "1", *form.show(RunConfig().values()), request=Asked())[len(form.slots) + 1]
        assert "The &lt;disk&gt; is full" in card
    finally:
        engine.problems = []


def test_a_preset_fills_the_form(page: gr.Blocks, form: Form) -> None:
    fill, outputs = page.shell.shared["train.fill"]
    result = fill("first-run-zh", VISITOR, "zh")
    assert len(result) == len(outputs) and result[1] == "first-run-zh"
    kept = page.shell.engine.drafts.get(VISITOR).draft.values
    assert kept["data"]["train"] == "wuxia-voice" and kept["model"]["base"] == "starter"
    assert result[2 + form.fields.index(form.field("optimization.learning_rate"))] == 0.003


def test_empty_and_whole_numbers_are_read_as_people_mean_them() -> None:
    settings = {setting.path: setting for setting in knobs(RunConfig)}
    assert read_value(settings["data.eval"], "") is None
    assert read_value(settings["optimization.epochs"], 2) == 2.0
    assert read_value(settings["adapter.rank"], 8.0) == 8 and isinstance(read_value(settings["adapter.rank"], 8.0), int)
    assert read_value(settings["adapter.target_modules"], "q_proj, v_proj\n") == ["q_proj", "v_proj"]
    assert read_value(settings["evaluation.questions"], "One, two?\n\n Three? ") == ["One, two?", "Three?"]


# -- words ------------------------------------------------------------------------------------------------------------


def test_every_word_of_the_page_exists_in_both_languages(page: gr.Blocks) -> None:
    words = page.shell.words.i18n.translations
    assert set(words["en"]) == set(words["zh"]) and len(words["en"]) > 80
    untranslated = []
    for block in page.blocks.values():
        for name in ("label", "info", "placeholder"):
            value = getattr(block, name, None)
            if isinstance(value, str) and re.search("[A-Za-z]{3}", value) and getattr(block, "show_label", True):
                untranslated.append((type(block).__name__, name, value))
    known = {"run.yaml", "Top-p", "Adam beta 1", "Adam beta 2", "Adam epsilon"}
    assert [found for found in untranslated if found[2] not in known] == []


def test_translations_reach_the_browser_letter_by_letter() -> None:
    words = Words()
    marker = words.marker(Text("it's {x} 'q'", "这是 {x} 的").with_(x='{"a": 1}'))
    assert words.i18n.translations["en"][marker.key] == "it's {\"a\": 1} 'q'"
    assert words.marker(Text("LoRA", "LoRA")) == "LoRA"


@pytest.mark.parametrize(
    ("headers", "lang"),
    [
        ({}, "en"),
        ({"cookie": "lang=zh"}, "zh"),
        ({"cookie": "a=b; lang=en", "accept_language": "zh-CN"}, "en"),
        ({"cookie": "lang=xx", "accept_language": "zh-CN,zh;q=0.9,en"}, "zh"),
        ({"accept_language": "fr-FR,fr;q=0.9"}, "en"),
        ({"cookie": "bad;;;==="}, "en"),
    ],
)
def test_the_reader_decides_the_language(headers: dict[str, str], lang: str) -> None:
    assert language_of(Asked(**headers), "en") == lang  # type: ignore[arg-type]


def test_the_language_script_is_one_script_that_nothing_can_break_out_of() -> None:
    script = head_script("zh")
    assert script.count("</script>") == 1 and '"default": "zh"' in script


# -- html and colours ---------------------------------------------------------------------------------------------------


def test_html_pieces_escape_what_they_are_given() -> None:
    bad = "<img src=x onerror=window.__x=1>\"'"
    made = [
        html.chip(bad, kind="idle", extra=bad), html.card(bad, bad), html.kpis([(bad, bad)]), html.facts([(bad, bad)]),
        html.progress(0.5, bad, bad), html.verdict(bad, bad), html.badge(bad), html.tokens([(bad, True, False)]),
        html.note(bad), html.lead(bad), html.meter(0.5, bad), html.both(Text("{x}", "{x}").with_(x=bad)),
    ]  # fmt: skip
    for piece in made:
        assert "<img" not in piece and "onerror=window.__x=1&gt;" in piece


@pytest.mark.parametrize("index", [0, 1], ids=["light", "dark"])
def test_text_has_enough_contrast_on_its_ground(index: int) -> None:
    def shine(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def ratio(one: str, other: str) -> float:
        a, b = sorted((shine(PALETTE[one][index]), shine(PALETTE[other][index])))
        return (b + 0.05) / (a + 0.05)

    grounds = ("ground", "surface", "raised")
    for text in ("text", "quiet"):
        assert all(ratio(text, ground) >= 4.5 for ground in grounds), text
    for text in ("accent", "no", "warn"):
        assert ratio(text, "surface") >= 4.5 and ratio(text, "ground") >= 4.5, text
    pairs = [("on-fill", "fill"), ("on-fill", "fill-hover"), ("good-text", "good-ground"), ("warn-text", "warn-ground")]
    for text, ground in (*pairs, ("no-text", "no-ground"), ("learned-text", "learned"), ("text", "line")):
        assert ratio(text, ground) >= 4.5, (text, ground)
    assert ratio("input-line", "surface") >= 3  # the edge of a field


def test_the_style_sheet_calls_nobody() -> None:
    assert "http" not in css() and "@import" not in css() and "url(" not in css()


# -- the guide ------------------------------------------------------------------------------------------------------------


def test_the_page_holds_each_style_and_each_script_once(page: gr.Blocks) -> None:
    made = [block for block in page.blocks.values() if isinstance(block, gr.HTML)]
    for held in ([block.css_template for block in made], [block.js_on_load for block in made]):
        assert [text for text in held if text and held.count(text) > 1] == []


def test_the_guide_follows_what_is_true(engine: FakeEngine) -> None:
    fake = FakeEngine(engine.home, seconds=1000)
    assert guide.step_of({}, None).number == 1
    assert guide.step_of({"at": 2}, None).number == 2
    assert guide.step_of({"at": 3}, None).action == "train"
    run = fake.submit(RunConfig())
    assert guide.step_of({"at": 1}, fake.run(run)).action == "watch"  # started without the guide
    fake.finish(run)
    assert guide.step_of({}, fake.run(run)).action == "talk"
    assert guide.step_of({"talked": run}, fake.run(run)).action == "ask"
    assert guide.step_of({"talked": run, "asked": run}, fake.run(run)).action == "end"
    assert guide.step_of({"closed": True}, fake.run(run)) is None


@pytest.mark.parametrize("status", ["failed", "interrupted", "paused"])
def test_the_guide_offers_a_way_on_from_a_run_that_failed(engine: FakeEngine, status: str) -> None:
    fake = FakeEngine(engine.home)
    run = fake.run(fake.submit(RunConfig()))
    step = guide.step_of({"at": 3}, replace(run, status=status))
    assert step.action == "again"
    assert guide.step_of({"at": 3, "again": run.id}, replace(run, status=status)).action == "train"


# -- the whole ----------------------------------------------------------------------------------------------------------


def test_the_guide_lets_those_pass_who_bring_data_or_a_model_of_their_own(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path)
    own, shipped = engine.data.add(Path("mine.csv")).id, next(info.id for info in engine.data.list() if info.shipped)
    for dataset in (own, shipped, "", "gone"):
        for model in ("starter", "qwen3-0.6b", "old-model", "", "gone"):
            brings = dataset == own or model == "qwen3-0.6b"  # the old one is damaged
            assert guide.aside(engine, {}, None, dataset, model) is brings
    record = engine.run(engine.submit(engine.preset("first-run").config()))
    for memory, found in (({"at": 2}, None), ({"asked_for": True}, None), ({}, record)):
        assert not guide.aside(engine, memory, found, own, "qwen3-0.6b")


@pytest.mark.parametrize(("model", "shown"), [("starter", True), ("qwen3-0.6b", False)])
def test_the_guide_looks_at_the_model_that_the_page_has_chosen(tmp_path: Path, model: str, shown: bool) -> None:
    page = build(FakeEngine(tmp_path))
    place = page.shell.shared["guide"]["row"]
    first, *_ = [event.fn for event in page.fns.values() if event.name == "first" and place in event.outputs]
    row, *_ = first({}, "", "", model, request=Asked())
    assert row.visible is shown


def test_tabs_are_found_in_their_order() -> None:
    assert [tab.ID for tab in tabs.discover()] == ["model", "data", "train", "run", "export", "chat"]


def test_things_that_are_clicked_have_their_names(page: gr.Blocks) -> None:
    ids = {getattr(block, "elem_id", None) for block in page.blocks.values()}
    assert {"train-start", "guide-next", "run-stop", "run-resume", "chat-send", "model-next", "train-preset"} <= ids
    assert {"field-optimization-learning_rate", "field-model-base", "field-adapter-rank"} <= ids


def test_a_page_that_answers_has_loaded_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, httpx; from workbench.engine import Engine; from workbench.ui.page import start; "
        f"engine = Engine({str(tmp_path)!r}); served = start(engine, port=17860); "
        "said = httpx.get(served.url, trust_env=False).status_code; "
        "heavy = ('torch','transformers','trl','peft','datasets','accelerate','bitsandbytes'); "
        "print(said, [m for m in heavy if m in sys.modules]); served.close(); engine.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "200 []", done.stdout


def test_gradio_makes_one_application_for_a_page(tmp_path: Path, monkeypatch: Any) -> None:
    """By itself it makes three, the most of the time between its import and the page."""
    made: list[Any] = []
    create = page_module.App.create_app

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(create(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(page_module.App, "create_app", staticmethod(counted))
    served = page_module.start(FakeEngine(tmp_path), port=free_port())
    served.close()
    assert made == [served.page.app]
    assert page_module.App.create_app is counted


def test_analytics_are_off_and_no_proxy_stands_between(page: gr.Blocks) -> None:
    import os

    assert page.analytics_enabled is False
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False" and "127.0.0.1" in os.environ["NO_PROXY"]
