"""What would be downloaded of a model, and what is said of one that can't be had."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest

from tests.hub import Hub, code, made, pickles, rate_limit, shards
from tests.hub.samples import CONFIG
from workbench.config.errors import WorkbenchError
from workbench.hub import Source, Token
from workbench.hub.listing import DownloadPlan, check_id, plan

TINY: dict[str, bytes | str] = {"config.json": CONFIG, "tokenizer.json": "{}", "model.safetensors": made(9_000)}


def mirror(hub: Hub) -> Source:
    return Source("mirror", hub.url)


def refused(hub: Hub, repo_id: str, **options: Any) -> WorkbenchError:
    with pytest.raises(WorkbenchError) as caught:
        plan(options.pop("source", mirror(hub)), repo_id, **options)
    error = caught.value
    assert error.hint is not None and error.to("zh") != error.to("en")
    return error


def names(found: DownloadPlan) -> list[str]:
    return [file.name for file in found.files]


def test_a_model_of_twenty_files(hub: Hub) -> None:
    more = {
        "original/consolidated.00.pth": made(50),
        "pytorch_model.bin": made(50),
        "modeling.py": "x",
        "a.gguf": made(9),
    }
    more |= {"consolidated.safetensors": made(70), "onnx/model.onnx": made(9), "LICENSE": "Apache", "LICENSE.py": "x"}
    repo = hub.add(
        "ann/tiny", {**shards(20), **more}, license="apache-2.0", safetensors={"parameters": {"F32": 9}, "total": 9}
    )
    found = plan(mirror(hub), repo.id)
    assert set(names(found)) == set(shards(20)) | {"LICENSE"}
    assert names(found)[0] == "config.json" and names(found)[-1].endswith(".safetensors")
    assert (found.repo_id, found.sha, found.licence, found.parameters, found.gated) == (
        repo.id,
        repo.sha,
        "apache-2.0",
        9,
        False,
    )
    assert found.bytes == sum(len(repo.files[name]) for name in names(found))
    held = repo.head.files
    for file in found.files:
        assert (file.bytes, file.expected) == (held[file.name].size, held[file.name].etag)
        hasher = file.hasher()
        hasher.update(repo.files[file.name])
        assert hasher.hexdigest() == file.expected
    assert found.config == json.loads(CONFIG)
    assert dict(hub.times_fetched(repo)) == {"config.json": 1}


@pytest.mark.parametrize("xet", [False, True])
def test_whole_weights_come_before_parts(hub: Hub, xet: bool) -> None:
    repo = hub.add("ann/tiny", {**shards(9), **TINY, "adapter_config.json": "{}"}, xet=xet)
    assert {name for name in names(plan(mirror(hub), repo.id)) if "safetensors" in name} == {"model.safetensors"}


def test_a_version(hub: Hub) -> None:
    repo = hub.add("ann/tiny", TINY)
    first = repo.sha
    repo.change({"model.safetensors": made(8_000, 5)})
    repo.change({**TINY, "model.safetensors": made(7_000, 6)}, ref="v1.0")
    sizes = [plan(mirror(hub), repo.id, revision).files[-1].bytes for revision in (None, first, "v1.0")]
    assert sizes == [8_000, 9_000, 7_000]
    assert refused(hub, repo.id, revision="v2").code == "hub_missing"
    for revision in ("../main", "a b", "", "x" * 300, "a?b", "v1/.."):
        assert refused(hub, repo.id, revision=revision).code == "hub_id"


@pytest.mark.parametrize(
    "given, meant",
    [
        (" ann/tiny ", "ann/tiny"),
        ("gpt2", "gpt2"),
        ("https://huggingface.co/ann/tiny", "ann/tiny"),
        ("https://huggingface.co/ann/tiny/tree/main?x=1#y", "ann/tiny"),
        ("https://hf-mirror.com/ann/tiny/", "ann/tiny"),
        ("https://www.modelscope.cn/models/ann/tiny/summary", "ann/tiny"),
    ],
)
def test_a_name_or_the_address_of_its_page(given: str, meant: str) -> None:
    assert check_id(given) == meant


@pytest.mark.parametrize(
    "given",
    [
        "",
        "../../x",
        "..",
        "/etc/passwd",
        "C:/x",
        "a\\b",
        "a/b/c",
        "a--b/c",
        "x.git",
        "ann/tiny\n/x",
        "ann/ti\0ny",
        "ann/tiny?x=1",
        "ann/tiny#x",
        "ann/%2e%2e",
        "ａnn/tiny",
        "a" * 97,
        "https://evil.example/ann/tiny",
        "https://huggingface.co@evil.example/ann/tiny",
        "https://huggingface.co/../../x",
        "https://huggingface.co/%2e%2e/x",
        "https://huggingface.co/datasets/ann/rows",
        "https://huggingface.co/spaces/ann/app",
        "https://huggingface.co/",
        "file:///etc/passwd",
        "https://[",
    ],
)
def test_what_is_no_name_is_refused_without_asking(hub: Hub, given: str) -> None:
    error = refused(hub, given)
    assert error.code == "hub_id" and not hub.seen and len(error.to("en")) < 400


# Who may have it


def test_a_gated_model(hub: Hub) -> None:
    repo = hub.add("meta/gated", TINY, gated="manual")
    ben = hub.account("ben")
    error = refused(hub, repo.id)
    assert error.code == "hub_gated" and "https://huggingface.co/meta/gated" in error.to("en")
    error = refused(hub, repo.id, token=Token(ben.token))
    assert error.code == "hub_gated" and "let in" in error.to("en")
    repo.granted.add("ben")
    assert plan(mirror(hub), repo.id, token=Token(ben.token)).gated
    assert not [seen for seen in hub.seen if seen.storage and seen.token]


def test_a_missing_one_and_a_private_one(hub: Hub) -> None:
    repo = hub.add("ann/secret", TINY, private=True)
    ann, ben = hub.account("ann", role="read"), hub.account("ben")
    for name in (repo.id, "ann/none"):
        assert refused(hub, name).code == "hub_missing"
        assert refused(hub, name, token=Token(ben.token)).code == "hub_missing"
    assert plan(mirror(hub), repo.id, token=Token(ann.token)).repo_id == repo.id


def test_a_wrong_token_and_one_without_the_right(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hub.add("ann/tiny", TINY)
    planted = "hf_" + "PlantedPlantedPlantedPlantedPlante"
    error = refused(hub, "ann/tiny", token=Token(planted))
    assert error.code == "hub_token" and "settings/tokens" in error.to("en")
    fine = hub.account("ann", token=planted)
    hub.fault("/api/models/ann/tiny", status=403, message=f"{planted} may not")
    error = refused(hub, "ann/tiny", token=Token(fine.token))
    assert error.code == "hub_token" and planted not in error.to("en") + error.to("zh") + caplog.text


# Who doesn't answer


@pytest.mark.parametrize("where", ["/api/models/*", "*/config.json"])
@pytest.mark.parametrize(
    "fault, code",
    [
        ({"status": 500}, "hub_server"),
        ({"status": 418}, "hub_unreachable"),
        ({"cut": 3}, "hub_unreachable"),
        (rate_limit(55), "hub_rate"),
    ],
    ids=lambda value: str(value)[:14],
)
def test_an_answer_that_is_none(hub: Hub, waits: list[float], where: str, fault: dict[str, Any], code: str) -> None:
    hub.add("ann/tiny", TINY)
    hub.fault(where, **fault)
    error = refused(hub, "ann/tiny")
    assert error.code == code and waits == []
    if code == "hub_rate":
        assert "55" in error.to("zh")


@pytest.mark.parametrize("where", ["/api/models/*", "*/config.json"])
@pytest.mark.parametrize("fault", [{"silent": True}, {"slow": 4.0}], ids=["silent", "slow"])
def test_an_answer_that_never_comes(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, where: str, fault: dict[str, Any]
) -> None:
    from workbench.hub import listing

    assert listing.ANSWER_SECONDS == 10
    monkeypatch.setattr(listing, "ANSWER_SECONDS", 1)
    hub.add("ann/tiny", TINY)
    hub.fault(where, **fault)
    start = time.monotonic()
    assert refused(hub, "ann/tiny").code == "hub_unreachable"
    assert time.monotonic() - start < 10
    hub.faults.lift()


def test_nobody_is_there_or_is_to_be_asked(hub: Hub) -> None:
    hub.add("ann/tiny", TINY)
    assert refused(hub, "ann/tiny", source=Source("mirror", hub.url, offline=True)).code == "hub_offline"
    assert not hub.seen
    nowhere = Source("mirror", "https://hub.example", proxy="http://127.0.0.1:9")
    assert refused(hub, "ann/tiny", source=nowhere).code == "hub_proxy"
    hub.down()
    assert refused(hub, "ann/tiny").code == "hub_unreachable"


@pytest.mark.parametrize(
    "what",
    [
        {"sha": "main"},
        {"siblings": "all"},
        {"siblings": [{"rfilename": 5}]},
        {"siblings": [{"rfilename": name} for name in TINY]},
        {"siblings": [{"rfilename": "config.json", "size": -1, "blobId": "0" * 40}]},
        {"siblings": [{"rfilename": "model.safetensors", "size": 1, "lfs": {"sha256": "../x"}}]},
        {"id": None},
    ],
    ids=str,
)
def test_a_listing_of_another_shape(hub: Hub, monkeypatch: pytest.MonkeyPatch, what: dict[str, Any]) -> None:
    from tests.hub import reading

    hub.add("ann/tiny", TINY)
    described = reading.described
    monkeypatch.setattr(reading, "described", lambda *asked: {**described(*asked), **what})
    assert refused(hub, "ann/tiny").code == "hub_unreachable"


# What is no model for us

ADAPTER: dict[str, bytes | str] = {"adapter_config.json": "{}", "adapter_model.safetensors": made(90), "README.md": "#"}


@pytest.mark.parametrize(
    "files, code, word",
    [
        (pickles(), "hub_pickles", "safetensors"),
        (code(), "remote_code", "code"),
        ({"modeling.py": "x", "README.md": "#"}, "remote_code", "programs"),
        ({"model-Q4.gguf": made(90), "README.md": "#"}, "hub_gguf", "-GGUF"),
        ({"model-Q4.gguf": made(90), "config.json": CONFIG, "tokenizer.json": "{}"}, "hub_gguf", "-GGUF"),
        (ADAPTER, "adapter_folder", "adapter"),
        ({**ADAPTER, "tokenizer.json": "{}", "config.json": CONFIG}, "adapter_folder", "adapter"),
        ({**TINY, "quantize_config.json": "{}"}, "quantized", "original"),
        (
            {
                **TINY,
                "config.json": json.dumps({"model_type": "llama", "quantization_config": {"quant_method": "awq"}}),
            },
            "quantized",
            "awq",
        ),
        ({**TINY, "config.json": json.dumps({"model_type": "llama", "quantization": {"bits": 4}})}, "quantized", "mlx"),
        ({**TINY, "config.json": '{"model_type": "vit-of-nobody"}'}, "unknown_architecture", "vit-of-nobody"),
        ({**TINY, "config.json": "{"}, "hub_unusable", "config.json"),
        ({**TINY, "config.json": "[1]"}, "hub_unusable", "config.json"),
        ({"config.json": CONFIG, "model.safetensors": made(9)}, "hub_unusable", "tokenizer.json"),
        ({"tokenizer.json": "{}", "model.safetensors": made(9)}, "hub_unusable", "config.json"),
        (
            {"config.json": CONFIG, "tokenizer.json": "{}", "consolidated.safetensors": made(9)},
            "hub_unusable",
            "layout",
        ),
        (
            {"sub/config.json": CONFIG, "sub/tokenizer.json": "{}", "sub/model.safetensors": made(9)},
            "hub_unusable",
            "no",
        ),
        ({}, "hub_unusable", "no"),
    ],
    ids=range(18),
)
def test_a_repository_without_a_model_for_us(hub: Hub, files: dict[str, bytes | str], code: str, word: str) -> None:
    repo = hub.add("ann/odd", files)
    error = refused(hub, repo.id)
    assert error.code == code and word in error.to("en") and error.field is None
    assert set(hub.times_fetched(repo)) <= {"config.json"}


@pytest.mark.parametrize("tag", ["gptq", "AWQ"])
def test_a_tag_tells_that_it_is_quantised(hub: Hub, tag: str) -> None:
    repo = hub.add("ann/small-4bit", TINY, tags=[tag])
    assert refused(hub, repo.id).code == "quantized"


def test_a_config_that_is_not_the_listed_one(hub: Hub) -> None:
    repo = hub.add("ann/tiny", TINY)
    for other in (CONFIG[:-1] + " }", CONFIG.replace("llama", "gemma"), ""):
        repo.serve("config.json", other.encode())
        assert refused(hub, repo.id).code == "hub_file"
    repo.serve("config.json", None)
    assert refused(hub, repo.id).code == "hub_file"


def test_licences(hub: Hub) -> None:
    own = {"cardData": {"license": "other", "license_name": "qwen-research"}}
    about: list[tuple[dict[str, Any], str]] = [
        ({}, ""),
        ({"license": "mit"}, "mit"),
        (own, "qwen-research"),
        ({"tags": ["license:llama3"]}, "llama3"),
        ({"cardData": {"license": ["mit"]}}, ""),
    ]
    for number, (options, licence) in enumerate(about):
        hub.add(f"ann/m{number}", TINY, **options)
        assert plan(mirror(hub), f"ann/m{number}").licence == licence
