"""What is trained here can be talked to, merged, and loaded elsewhere, whatever the architecture."""

from __future__ import annotations

import gc

import pytest

from tests.architectures import ARCHITECTURES, make_architecture, walk
from tests.homes import make_home

torch = pytest.importorskip("torch")

# Built like another one in the list: the benchmark walks them.
ALIKE = {
    *("arcee", "codegen", "cohere2", "ernie4_5", "glm", "gpt_bigcode", "helium", "hunyuan_v1_dense", "minicpm3"),
    *("ministral", "nemotron", "seed_oss", "deepseek_v2", "dots1", "glm4_moe", "hunyuan_v1_moe", "falcon_mamba"),
    *("mistral", "gemma", "gemma2", "gptj", "olmo", "granite", "smollm3", "glm4", "exaone4", "stablelm", "starcoder2"),
    *("qwen2_moe", "granitemoe", "bamba"),
}
WALKED = [kind for kind in ARCHITECTURES if kind not in ALIKE]
# Of each family of builds one is stopped and resumed here; `tests.benchmarks.architectures` does so with all of them.
RESUMED = {"gpt2", "qwen3_moe", "mamba2"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    from workbench.engine import Engine

    home = make_home(tmp_path_factory.mktemp("architectures") / "home")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    engine = Engine(home)
    gc.collect()
    gc.freeze()  # a run collects garbage several times, among a million objects of the libraries
    yield engine
    gc.unfreeze()
    engine.close()
    torch.set_num_threads(threads)


def test_at_least_25_architectures_are_walked_mixtures_of_experts_and_state_spaces_among_them():
    walked = {kind: ARCHITECTURES[kind] for kind in WALKED}
    experts = [kind for kind, config in walked.items() if any("expert" in key for key in config)]
    states = [kind for kind, config in walked.items() if any("state" in key or "mamba" in key for key in config)]
    assert len(walked) >= 25 and len(experts) >= 8 and len(states) >= 5


@pytest.mark.parametrize("kind", WALKED)
def test_an_architecture_is_trained_talked_to_merged_and_loaded_elsewhere(engine, monkeypatch, kind):
    make_architecture(engine.home / "models" / kind, kind)
    outcome = walk(engine, monkeypatch, kind, resume=kind in RESUMED)
    assert not outcome.failure
    assert outcome.differences.pop("resume", 0.0) == 0.0
    assert outcome.differences["own"] == 0.0, "here and in plain peft the adapter does the same"
    assert outcome.differences["merged"] < 1e-4


@pytest.mark.parametrize("kind", ["mixtral", "phimoe", "mamba", "gpt2"])
def test_a_model_tuned_in_full_is_walked_too(engine, monkeypatch, kind):
    folder = engine.home / "models" / kind
    if not folder.exists():
        make_architecture(folder, kind)
    outcome = walk(engine, monkeypatch, kind, resume=False, kind="none")
    assert not outcome.failure and max(outcome.differences.values()) < 1e-4


@pytest.mark.parametrize(("kind", "layer"), [("gpt2", "wte"), ("mamba", "embeddings"), ("llama", "embed_tokens")])
@pytest.mark.parametrize("whole", [False, True])
def test_an_embedding_that_shares_its_weight_with_the_output_layer_is_merged_alone(
    engine, monkeypatch, kind, layer, whole
):
    folder = engine.home / "models" / f"{kind}-tied"
    if not folder.exists():
        make_architecture(folder, kind, tie_word_embeddings=True)
    chosen = {"modules_to_save": [layer]} if whole else {"target_modules": [layer]}
    outcome = walk(engine, monkeypatch, folder.name, resume=False, **chosen)
    assert not outcome.failure and outcome.differences["merged"] < 1e-4
