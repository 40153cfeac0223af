"""A card for the Hub: a head that it takes, answers before and after, curves as a picture, and nothing private."""

import json
import math
from xml.etree import ElementTree

import pytest
import yaml

from tests.hub import Hub
from workbench.export.card import CardAnswer, answers_of, write_card
from workbench.export.curves import CURVES, draw_curves
from workbench.hub.push import plan_push, push
from workbench.hub.sources import make_source
from workbench.hub.tokens import Token
from workbench.models.origin import Origin, read_origin

NAME = "ben/tuned"


def head(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def numbers(svg: str, kind: str) -> list[list[float]]:
    """The coordinates of each line of a picture."""
    root = ElementTree.fromstring(svg)
    found = [each.attrib["points"] for each in root.iter(f"{{http://www.w3.org/2000/svg}}{kind}")]
    return [[float(number) for number in points.replace(",", " ").split()] for points in found]


@pytest.mark.parametrize(
    ("given", "licence", "name"),
    [
        ("apache-2.0", "apache-2.0", None),
        ("Apache-2.0", "apache-2.0", None),
        ("qwen-research", "other", "qwen-research"),
        ("Qwen Research: 2", "other", "qwen-research-2"),
        ("§§", "other", "other"),
        (None, None, None),
    ],
)
def test_the_head_names_a_licence_as_the_hub_does(given, licence, name):
    found = head(write_card(base="Qwen/Qwen2", license=given, repo_id=NAME))
    assert (found.get("license"), found.get("license_name")) == (licence, name)


@pytest.mark.parametrize(
    ("base", "expected"), [("Qwen/Qwen2", "Qwen/Qwen2"), ("starter", None), ("/home/anna/models/mine", None)]
)
@pytest.mark.parametrize("kind", ["adapter", "model"])
def test_the_head_names_a_base_that_the_hub_knows_and_the_text_any(base, expected, kind):
    card = write_card(base=base, kind=kind, repo_id=NAME, languages=["en", "zh", "Klingon!"])
    found = head(card)
    assert found.get("base_model") == expected and ("base_model_relation" in found) == (expected is not None)
    assert found["library_name"] == ("peft" if kind == "adapter" else "transformers")
    assert found["pipeline_tag"] == "text-generation" and found["language"] == ["en", "zh"]
    assert "anna" not in card and f'"{NAME}"' in card and "folder of this file" not in card
    compile(card.split("```python\n")[1].split("```")[0], "card", "exec")


def test_answers_are_the_first_and_the_last_to_each_question():
    samples = [(20, "A?", "late"), (0, "A?", "early"), (10, "A?", "between"), (0, "B?", "only"), (5, "C?", "new")]
    assert answers_of(samples) == (
        CardAnswer("A?", "early", "late"),
        CardAnswer("B?", "only", None),
        CardAnswer("C?", None, "new"),
    )
    assert answers_of([]) == ()


def test_the_card_shows_answers_as_they_were_and_without_them_none():
    text = "I am *bold*.\n\n1. <b>x</b>\n- y `z`\n# no heading\n![p](http://example.com/p.png) hf_abcdefghijklmnop"
    card = write_card(base="Qwen/Qwen2", answers=[CardAnswer("Who <i>are</i> you?", text, "Arr!\n\n---\nbye")])
    assert "## Answers before and after" in card and "### Who &lt;i&gt;are&lt;/i&gt; you?" in card
    shown = card.split("**Before**")[1]
    for sign in ("<b>", "hf_abc", "\n# ", "![p]", "\n---", "> ---"):
        assert sign not in shown
    assert "\\*bold\\*" in shown and "> 1\\. &lt;b&gt;" in shown and shown.count("\n>") == 6 + 4
    assert "Answers" not in write_card(base="Qwen/Qwen2") and "question" not in write_card(base="Qwen/Qwen2")


def test_endless_answers_and_many_questions_are_cut():
    card = write_card(base="a/b", answers=[CardAnswer(f"Q{number}", "x" * 9000, None) for number in range(50)])
    assert len(card) < 20_000 and "### Q9" in card and "### Q10" not in card


def test_curves_become_a_picture_that_stands_by_itself():
    falling = [(step, 3 / (1 + step)) for step in range(100)]
    svg = draw_curves({"loss <b>": falling, "kept back": [(50, 1.0)]})
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg") and "<b>" not in svg and "href" not in svg and "script" not in svg
    assert svg == draw_curves({"loss <b>": falling, "kept back": [(50, 1.0)]})
    (points,) = numbers(svg, "polyline")
    left, top = points[::2], points[1::2]
    assert len(left) == 100 and left == sorted(left) and top == sorted(top)  # down is more
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert min(left) > 0 and max(left) < width and min(top) > 0 and max(top) < height
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"loss <b>", "kept back", "step", "0", "80"} <= set(texts) and svg.count("<circle") == 1


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-1e-8, 1e-8], [1e20, -1e20], [1e-30, 2e-30]])
def test_curves_of_any_size_are_drawn(values):
    svg = draw_curves({"loss": list(enumerate(values))})
    ElementTree.fromstring(svg)
    assert "nan" not in svg and "inf" not in svg and len(svg) < 20_000


def test_long_curves_are_thinned_and_no_number_is_no_point():
    svg = draw_curves({"loss": [(step, math.nan if step % 7 == 0 else 1 / step) for step in range(20_000)]})
    assert len(numbers(svg, "polyline")[0]) <= 800 and len(svg) < 20_000
    assert draw_curves({}) is None and draw_curves({"loss": [(1, math.nan), (2, math.inf)], "b": []}) is None


RECORD = {"repo_id": "Qwen/Qwen2", "kind": "huggingface", "licence": "apache-2.0"}


@pytest.mark.parametrize(
    ("record", "card", "expected"),
    [
        (RECORD, "---\nlicense: mit\n---\n", Origin("Qwen/Qwen2", "apache-2.0")),
        ({**RECORD, "kind": "modelscope", "licence": ""}, "---\nlicense: mit\n---\n", Origin("", "mit")),
        (None, "---\ntags: [a\nlicense: other\nlicense_name: qwen\n---\n", Origin("", "qwen")),
        (None, "---\nlicense_name: mine\n---\n", Origin("", "mine")),
        (None, "---\nlicense: [mit]\n---\n", Origin()),
        (None, "---\nlicense: {a\n---\n", Origin()),
        (None, "# Model\nlicense: mit\n", Origin()),
        (None, "---\nlicense: mit\n", Origin()),
        ({"repo_id": "../../x", "kind": "mirror", "licence": ["mit"]}, None, Origin()),
        ([1], "", Origin()),
        (None, None, Origin()),
    ],
)
def test_where_a_model_comes_from_is_read_from_its_record_and_its_card(tmp_path, record, card, expected):
    if record is not None:
        (tmp_path / "download.json").write_text(json.dumps(record))
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert read_origin(tmp_path) == expected


@pytest.mark.parametrize("data", [b"---\nlicense: \xff\n---\n", b"---\nlicense: " + b"[" * 10_000 + b"\n---\n"])
def test_a_card_that_is_none_says_nothing(tmp_path, data):
    (tmp_path / "README.md").write_bytes(data)
    (tmp_path / "download.json").write_bytes(b"{")
    assert read_origin(tmp_path) == Origin()


def test_the_hub_takes_the_card_with_its_picture(hub: Hub, tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    token, source = Token(hub.account("ben").token), make_source("mirror", hub.url)
    card = write_card(base="Qwen/Qwen2", repo_id=NAME, license="mit", curves=CURVES, name="Öl: 50 % [x]")
    svg = draw_curves({"loss": [(1, 2.0), (2, 1.0)]})
    push(plan_push(tmp_path, NAME, token, source, texts={"README.md": card, CURVES: svg}), source, token)
    there = hub.repo(NAME).files
    assert there["README.md"].decode() == card and there[CURVES].decode() == svg and f"](./{CURVES})" in card
