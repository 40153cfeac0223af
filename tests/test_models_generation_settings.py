"""Whatever a model's generation settings say, its answers come, and what they do not follow is named."""

from __future__ import annotations

import json

import pytest

from tests.template_zoo import CHATML
from tests.tiny_models import make_writer
from workbench.models.generation_settings import read_generation_settings

torch = pytest.importorskip("torch")
from workbench.engine.generation import Sampling, generate  # noqa: E402
from workbench.models.loading import load_model, load_tokenizer  # noqa: E402

# Settings, and which of them are named; None: the file itself.
ODD = [
    ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "early_stopping": True},
     ["diversity_penalty", "early_stopping", "num_beam_groups", "num_beams"]),
    ({"num_beams": "many"}, ["num_beams"]),
    ({"num_return_sequences": 3}, ["num_return_sequences"]),
    ({"penalty_alpha": 0.6, "top_k": 4}, ["penalty_alpha"]),
    ({"forced_eos_token_id": 99, "forced_bos_token_id": 10**9}, ["forced_bos_token_id", "forced_eos_token_id"]),
    ({"max_length": 1, "max_new_tokens": 0}, []),
    ({"max_length": "long", "min_length": 500, "min_new_tokens": 500}, ["min_length", "min_new_tokens"]),
    ({"prompt_lookup_num_tokens": 3, "assistant_early_exit": 1, "num_assistant_tokens": 5},
     ["assistant_early_exit", "num_assistant_tokens", "prompt_lookup_num_tokens"]),
    ({"dola_layers": "high", "guidance_scale": 3, "stop_strings": ["y"], "max_time": 1e-9},
     ["dola_layers", "guidance_scale", "max_time", "stop_strings"]),
    ({"watermarking_config": {"bias": 9}, "bad_words_ids": "aye", "suppress_tokens": [0, -1], "sequence_bias": 3},
     ["bad_words_ids", "sequence_bias", "suppress_tokens", "watermarking_config"]),
    ({"cache_implementation": "none such", "use_cache": "no", "temperature": "hot", "top_p": -1, "top_k": None}, []),
    ({"repetition_penalty": -1, "no_repeat_ngram_size": 0.5, "eos_token_id": "x", "pad_token_id": [1], "bos_token_id": {}},
     ["bos_token_id", "eos_token_id", "no_repeat_ngram_size", "pad_token_id", "repetition_penalty"]),
    ({"repetition_penalty": float("nan"), "eos_token_id": [1, 10**400]}, ["eos_token_id", "repetition_penalty"]),
    ({"custom_generate": "some/repository", "{0}": 1, "\ud800": "x"}, ["custom_generate", "{0}", "\ufffd"]),
    ({"num_beams": 1, "num_return_sequences": 1, "length_penalty": 1.0, "output_scores": False, "stop_strings": None}, []),
]  # fmt: skip


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return make_writer(tmp_path_factory.mktemp("settings") / "m", CHATML, "</s>", "\naye<|im_end|>")


def answer(folder, **sampling):
    model, tokenizer = load_model(folder, "fp32", device="cpu"), load_tokenizer(folder)
    return generate(model, tokenizer, [{"role": "user", "content": "?"}], Sampling(max_new_tokens=9, **sampling))


@pytest.mark.parametrize(("settings", "named"), ODD)
def test_odd_settings_change_no_answer_and_are_named(writer, settings, named):
    (writer / "generation_config.json").write_text(json.dumps(settings))
    assert answer(writer) == "aye" and answer(writer, temperature=0.01) == "aye"
    notice = read_generation_settings(writer).notice()
    assert (notice is not None) == bool(named)
    for lang in ("en", "zh") if named else ():
        assert all(name in notice.to(lang) for name in named)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\udcff", '{"top_k": 1' + 10_000 * "0" + "}"])
def test_a_file_that_cannot_be_read_keeps_nobody_from_an_answer(writer, text):
    (writer / "generation_config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert answer(writer) == "aye"
    assert "generation_config.json" in read_generation_settings(writer).notice().to("zh")


def test_many_odd_settings_are_counted(writer):
    (writer / "generation_config.json").write_text(json.dumps({f"odd_{number}": 1 for number in range(40)}))
    notice = read_generation_settings(writer).notice()
    assert "odd_0" in notice.to("en") and "34 more" in notice.to("en") and "34 项" in notice.to("zh")


def test_settings_for_answers_in_config_json_do_no_harm_either(writer):
    (writer / "generation_config.json").unlink(missing_ok=True)
    path = writer / "config.json"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), "num_beams": 4, "forced_eos_token_id": 3, "max_length": 2}))
    assert answer(writer) == "aye"
    path.write_text(before)


def test_what_is_understood_is_followed(tmp_path):
    settings = {"no_repeat_ngram_size": 1, "eos_token_id": 259}
    assert answer(make_writer(tmp_path / "m", CHATML, "</s>", "\nayeay", {"eos_token_id": 259})) == "ayeayeaye"
    (tmp_path / "m" / "generation_config.json").write_text(json.dumps(settings))
    assert not answer(tmp_path / "m").startswith("ayea")
    assert read_generation_settings(tmp_path / "m").notice() is None
