"""The models recommended for download: the shipped list is whole and true to itself, and a damaged one gives a sentence."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.bootstrap import ROOT
from workbench.config.errors import WorkbenchError
from workbench.config.presets import list_presets
from workbench.config.text import Text, count_chinese
from workbench.models import catalog, curated
from workbench.models.curated import CuratedModel, curated_models, read_curated

MODELS = curated_models()
FREE = {"Apache-2.0", "MIT"}  # licences that need no sentence about what they restrict
BY_ID = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)


def test_the_list_has_what_a_choice_needs() -> None:
    assert 15 <= len(MODELS) <= 25
    assert {model.kind for model in MODELS} == {"chat", "base", "classifier"}
    assert {model.thinking for model in MODELS} == {"none", "always", "switchable"}
    assert {model.gated for model in MODELS} == {True, False}
    for lang in ("en", "zh"):
        assert {model.kind for model in MODELS if lang in model.languages} == {"chat", "base", "classifier"}
    assert any(model.shape.model_type == "distilbert" for model in MODELS)
    assert any(model.shape.experts for model in MODELS)
    assert "gpt-neox-20b" in {model.id for model in MODELS}
    assert [model.parameters for model in MODELS] == sorted(model.parameters for model in MODELS)


def test_every_model_that_a_preset_names_is_in_the_list() -> None:
    named = {preset.values["model"]["base"] for preset in list_presets()} - {catalog.STARTER}
    assert named
    assert named <= {model.id for model in MODELS}


def test_ids_and_repositories_are_each_there_once_and_of_the_hubs_form() -> None:
    from huggingface_hub.utils import validate_repo_id

    for key in ("id", "repository", "title"):
        given = [getattr(model, key).lower() for model in MODELS]
        assert len(set(given)) == len(given), key
    for model in MODELS:
        assert catalog._ID.fullmatch(model.id), model.id  # so that a folder of this name can be a model
        for repository in filter(None, (model.repository, model.modelscope)):
            validate_repo_id(repository)
            assert repository.count("/") == 1


@BY_ID
def test_an_entry_speaks_both_languages(model: CuratedModel) -> None:
    for text in filter(None, (model.good_for, model.terms)):
        assert re.fullmatch(r"[A-Z][^\u4e00-\u9fff]{20,}\.", text.en), text.en
        assert count_chinese(text.zh) >= 8 and text.zh.endswith("。"), text.zh
        assert not re.search(r"[,;:?!]", text.zh), f"half-width signs in {text.zh}"
    assert (model.terms is None) == (model.licence in FREE)
    assert model.terms is not None or not model.gated


@BY_ID
def test_the_parameters_are_those_of_the_shape(model: CuratedModel) -> None:
    built = count_parameters(model)
    assert abs(built - model.parameters) <= 0.01 * model.parameters
    experts = model.shape.experts
    assert (experts is None) == (model.active_parameters is None)
    if experts is not None:
        resting = (experts.count - experts.per_token) * model.shape.layers * 3 * model.shape.hidden_size * experts.size
        assert abs(built - resting - (model.active_parameters or 0)) <= 0.01 * (model.active_parameters or 0)


@BY_ID
def test_the_download_holds_the_parameters(model: CuratedModel) -> None:
    embedding = model.shape.vocab_size * model.shape.hidden_size if model.shape.tied else 0
    # 16 or 32 bits each; some repositories store the tied output layer a second time.
    allowed = {width * (model.parameters + twice) for width in (2, 4) for twice in (0, embedding)}
    assert any(abs(model.download - size) <= 0.01 * size for size in allowed)


def test_a_models_config_is_one_that_the_workbench_reads() -> None:
    from workbench.models.config_file import check_config, text_architectures

    known = text_architectures()
    assert known
    for model in MODELS:
        if model.kind != "classifier":
            check_config(model.config())
        shape = model.shape
        assert shape.heads % shape.kv_heads == 0
        assert shape.experts is None or shape.experts.per_token < shape.experts.count


def test_reading_is_quick_and_needs_no_heavy_library() -> None:
    code = (
        "import sys; from workbench.models.curated import curated_models\n"
        "assert curated_models() is curated_models()\n"
        "print([name for name in ('torch', 'transformers', 'gradio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    text = curated._FILE.read_text(encoding="utf-8")

    def seconds(read: Any) -> float:
        spent = []
        for _ in range(5):
            before = time.process_time()
            read()
            spent.append(time.process_time() - before)
        return min(spent)

    plainly = seconds(lambda: yaml.safe_load(text))
    assert seconds(lambda: read_curated(curated._FILE)) < plainly, "7 ms against 25 on one computer, checks included"


def entry(**changed: Any) -> dict[str, Any]:
    """One right entry, as the file holds it, with some of its keys changed; `...` takes a key away."""
    shape = {"model_type": "llama", "hidden_size": 64, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16}
    shape |= {"intermediate_size": 128, "vocab_size": 500, "tied": True}
    whole: dict[str, Any] = {
        "id": "tiny",
        "repository": "somebody/tiny",
        "title": "Tiny",
        "parameters": 100000,
        "download": 200000,
        "licence": "MIT",
        "gated": False,
        "context": 512,
        "languages": ["en"],
        "kind": "chat",
        "thinking": "none",
        "good_for": {"en": "For tests.", "zh": "测试用。"},
        "shape": shape,
    }
    for path, value in changed.items():
        *way, key = path.split("__")
        place = whole
        for step in way:
            place = place[step]
        place.pop(key, None)
        if value is not ...:
            place[key] = value
    return whole


def written(folder: Path, *entries: Any) -> Path:
    path = folder / "catalog.yaml"
    path.write_text(yaml.safe_dump(list(entries), allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


def test_a_right_entry_is_read(tmp_path: Path) -> None:
    experts = {"count": 8, "per_token": 2, "size": 32, "shared": 1}
    path = written(tmp_path, entry(), entry(id="other", repository="somebody/other", shape__experts=experts))
    tiny, other = read_curated(path)
    assert (tiny.id, tiny.modelscope, tiny.terms, tiny.languages) == ("tiny", None, None, ("en",))
    assert tiny.good_for == Text("For tests.", "测试用。")
    assert other.shape.experts == curated.Experts(**experts)
    with pytest.raises(AttributeError):
        tiny.id = "else"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"colour": "red"}, "colour"),
        ({"shape__width": 3}, "shape.width"),
        ({"shape__experts": {"count": 8, "per_token": 2, "size": 32}}, "shape.experts.shared"),
        ({"title": ...}, "title"),
        ({"parameters": "many"}, "parameters"),
        ({"parameters": "100000"}, "parameters"),
        ({"parameters": 0}, "parameters"),
        ({"parameters": True}, "parameters"),
        ({"download": 1.5}, "download"),
        ({"download": 10**30}, "download"),
        ({"gated": "no"}, "gated"),
        ({"shape__tied": 1}, "shape.tied"),
        ({"shape": []}, "shape"),
        ({"shape__layers": None}, "shape.layers"),
        ({"kind": "poet"}, "kind"),
        ({"languages": []}, "languages"),
        ({"languages": ["english"]}, "languages.0"),
        ({"languages": "en"}, "languages"),
        ({"repository": "../tiny"}, "repository"),
        ({"repository": "https://huggingface.co/somebody/tiny"}, "repository"),
        ({"modelscope": "tiny"}, "modelscope"),
        ({"title": {"en": "Tiny"}}, "title"),
        ({"good_for": "For tests."}, "good_for"),
        ({"good_for": {"en": "For tests."}}, "good_for"),
        ({"good_for": {"en": "For tests.", "zh": " "}}, "good_for"),
        ({"good_for": {"en": "For tests.", "zh": "测试用。", "de": "Zum Testen."}}, "good_for"),
        ({"terms": {"zh": "不可商用。"}}, "terms"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_in_an_entry_is_said_with_its_key(tmp_path: Path, changed: dict[str, Any], key: str) -> None:
    right = entry(id="right", repository="somebody/right")
    with pytest.raises(WorkbenchError) as caught:
        read_curated(written(tmp_path, right, entry(**changed)))
    said = caught.value
    assert said.code == "damaged"
    assert f"catalog.yaml cannot be read: tiny, {key}: " in said.to("en")
    assert f"tiny 的 {key}：" in said.to("zh") and count_chinese(said.to("zh").split(f"{key}：")[1]) > 2
    assert not re.search(r"\{\w+\}|Input should", said.to("en").split(f"{key}: ")[1])


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "it holds no list of models"),
        ("[]", "it holds no list of models"),
        ("models: 3", "it holds no list of models"),
        ("- 3", "#1: it holds no keys"),
        ("- [1, 2]", "#1: it holds no keys"),
        ("- title: A model", "#1, id: it is missing"),
        ("- id: 2024-01-01", "#1, id: "),
        ("- id: ../x\n", "../x, id: "),
        ("- id: a\n   b: c\n", "line 2"),
        ("- id: 2024-13-45", "line 1"),
        ("[" * 5000, "line 1"),
        ("- id: &a x\n  title: *b\n", "line 2"),
        ("- \0", "line 1"),
    ],
)
def test_garbage_in_the_file_gives_a_sentence(tmp_path: Path, lines: str, told: str) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(lines, encoding="utf-8")
    with pytest.raises(WorkbenchError) as caught:
        read_curated(path)
    assert told in caught.value.to("en")
    assert count_chinese(caught.value.to("zh")) > 3


def test_other_files_than_texts_give_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("binary.yaml", "folder.yaml", "missing.yaml"):
        with pytest.raises(WorkbenchError, match=name):
            read_curated(tmp_path / name)


@pytest.mark.parametrize(
    ("changed", "key"), [({"repository": "a/b"}, "id"), ({"id": "b"}, "repository"), ({"id": "TINY"}, "id")]
)
def test_a_model_that_is_there_twice_is_refused(tmp_path: Path, changed: dict[str, Any], key: str) -> None:
    with pytest.raises(WorkbenchError, match=f"{key}: .* is there twice"):
        read_curated(written(tmp_path, entry(), entry(**changed)))


def count_parameters(model: CuratedModel) -> int:
    """The parameters of the transformers model that has this shape; no memory is taken for them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    config = AutoConfig.for_model(**model.config())
    if (config.pad_token_id or 0) >= model.shape.vocab_size:
        config.pad_token_id = None
    kind = AutoModelForSequenceClassification if model.kind == "classifier" else AutoModelForCausalLM
    with torch.device("meta"):
        built = kind.from_config(config)
    return sum({id(weight): weight.numel() for weight in built.parameters()}.values())
