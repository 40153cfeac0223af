"""What is left out of the page's config is what nobody reads: the API says the same, and the page is smaller."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ui_double import FakeEngine
from workbench.bootstrap import environment

environment()

import gradio as gr  # noqa: E402

from workbench.ui.lean import lean  # noqa: E402
from workbench.ui.page import build  # noqa: E402


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build(FakeEngine(tmp_path_factory.mktemp("home")))


def size(config: Any) -> int:
    return len(json.dumps(config["components"], default=str))


def test_the_api_is_described_as_without_it(page: Any) -> None:
    short, whole = page.get_config_file(), gr.Blocks.get_config_file(page)
    page.config = short
    said = page.get_api_info()
    page.config = whole
    assert said == page.get_api_info() and "/train" in said["named_endpoints"]
    page.config = short


def test_every_component_is_there_with_all_that_its_script_reads(page: Any) -> None:
    short, whole = page.get_config_file(), gr.Blocks.get_config_file(page)
    assert [one["id"] for one in short["components"]] == [one["id"] for one in whole["components"]]
    assert size(short) < 0.6 * size(whole)
    given = {one["id"]: one for one in whole["components"]}
    for one in short["components"]:
        assert one["props"].items() <= given[one["id"]]["props"].items() and one["type"] == given[one["id"]]["type"]


def test_what_is_drawn_again_under_a_key_keeps_what_it_preserves() -> None:
    one = {
        "id": 1,
        "type": "html",
        "key": "k",
        "component_class_id": "custom-x",
        "props": {"preserved_by_key": ["value"]},
    }
    assert lean(one, public=False) == one


def test_what_is_on_or_unusual_stays() -> None:
    props = {
        "_selectable": True,
        "likeable": False,
        "html_template": "<b>${value}</b>",
        "css_template": "",
        "visible": False,
    }
    made = lean({"id": 1, "type": "html", "component_class_id": "0ab", "key": None, "props": props}, public=False)
    assert made["props"] == {"_selectable": True, "html_template": "<b>${value}</b>", "visible": False}
    assert made["component_class_id"] == "html" and "key" not in made


def test_a_setting_is_one_component_and_a_section_one_more(page: Any) -> None:
    config = page.get_config_file()
    kinds = {one["id"]: one["type"] for one in config["components"]}
    form = page.shell.shared["train.form"]
    fields = {field.widget._id for field in form.fields}

    def below(node: Any) -> Any:
        yield node["id"]
        for child in node.get("children") or ():
            yield from below(child)

    def nodes(node: Any) -> Any:
        yield node
        for child in node.get("children") or ():
            yield from nodes(child)

    sections = {section._id: n for n, section in enumerate(form.sections)}
    drawn = {node["id"]: list(below(node)) for node in nodes(config["layout"]) if node["id"] in sections}
    assert len(drawn) == len(sections)
    for section, n in sections.items():
        here = {field.widget._id for field in form.fields if field.section == n}
        assert here <= set(drawn[section]) & fields
        # The section, its grid, and the frame that Gradio puts around what is filled in.
        assert sorted(kinds[one] for one in set(drawn[section]) - here) == ["accordion", "column", "form"]
