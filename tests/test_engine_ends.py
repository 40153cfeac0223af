"""Where answers end: at every end that template, generation settings and tokenizer know, in chat and in what is exported."""

from __future__ import annotations

import json

import pytest

from tests.method_parts import chats, make_parts
from tests.template_zoo import CHATML, NO_END, TAGS, ZOO, tokenizer_for
from tests.tiny_models import make_adapter, make_writer
from workbench.data.ends import end_notice, ending_of

torch = pytest.importorskip("torch")
from workbench.engine.generation import Sampling, _Streamer, generate  # noqa: E402
from workbench.export.merged import merge  # noqa: E402
from workbench.methods.rows import encode_rows  # noqa: E402
from workbench.models.loading import load_model, load_tokenizer  # noqa: E402

ASK = [{"role": "user", "content": "?"}]
OTHER_END = ZOO["another end behind the last answer"].template
LAST_ALONE = (  # the end behind the last answer alone, and tags that are ordinary text
    "{%- for m in messages -%}{{- '\n\n### ' + m.role + ':\n' + m.content -}}"
    "{%- if loop.last and m.role == 'assistant' -%}{{- '</s>' -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '\n\n### assistant:\n' -}}{%- endif -%}"
)
TEXT_END = (  # an end that is ordinary text
    "{%- for m in messages -%}{{- '[' + m.role + ']' + m.content + ' --over' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '[assistant]' -}}{%- endif -%}"
)
# Template, the tokenizer's end, what the model writes (from the last token of the question on), its generation settings.
STOPS = {
    "the template's end": (CHATML, "<|endoftext|>", "\naye<|im_end|>", None),
    "the template's end, another one in the settings": (CHATML, "</s>", "\naye<|im_end|>", {"eos_token_id": 3}),
    "the tokenizer's end": (CHATML, "<|endoftext|>", "\naye<|endoftext|>", None),
    "the settings' end": (CHATML, "<|endoftext|>", "\naye<|eot|>", {"eos_token_id": ["<|im_end|>", "<|eot|>"]}),
    "no end of the tokenizer's": (CHATML, None, "\naye<|im_end|>", None),
    "the next question as text": (NO_END, "</s>", ":aye\nQ:", None),
    "the next question as text, no end at all": (NO_END, None, ":aye\nQ:", None),
    "the next question's tag": (TAGS, "</s>", "<|assistant|>aye<|user|>", None),
    "the end that was taught instead": (TAGS, "</s>", "<|assistant|>aye</s>", None),
    "an end of earlier answers alone": (OTHER_END, "<|return|>", "<|message|>aye<|end|><|user|><|message|>", None),
    "no end of earlier answers": (LAST_ALONE, "</s>", "\naye", None),
    "an end that is text": (TEXT_END, None, "]aye --ov", None),
}
FOLLOWERS = {"no end of earlier answers": "\n\n### user:", "an end that is text": " --over"}


def with_ids(settings, tokenizer):
    ends = (settings or {}).get("eos_token_id")
    if isinstance(ends, list):
        return {"eos_token_id": [tokenizer.convert_tokens_to_ids(end) for end in ends]}
    return settings


def say(folder, said=None, **sampling):
    pieces = [] if said is None else said
    model, tokenizer = load_model(folder, "fp32", device="cpu"), load_tokenizer(folder)
    return generate(model, tokenizer, ASK, Sampling(**{"max_new_tokens": 40, **sampling}), on_text=pieces.append)


def plain(folder):
    """What plain transformers writes, as tokens: greedy, at most 40."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer.apply_chat_template(ASK, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    output = AutoModelForCausalLM.from_pretrained(folder).generate(**inputs, max_new_tokens=40, do_sample=False)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])


@pytest.mark.parametrize("name", [name for name in STOPS if name not in FOLLOWERS])
def test_chat_stops_at_every_end_and_shows_nothing_of_it(tmp_path, name):
    template, eos, steps, settings = STOPS[name]
    said = []
    assert (
        say(make_writer(tmp_path / "m", template, eos, steps, with_ids(settings, tokenizer_for(template, eos))), said)
        == "aye"
    )
    assert said == sorted(said) and all("aye".startswith(text) for text in said)


@pytest.mark.parametrize("name", FOLLOWERS)
def test_chat_stops_where_the_template_would_go_on_though_no_token_says_so(tmp_path, name):
    """The text is the end here; a model that knows one token after each cannot write it, so its words are handed over."""
    template, eos, _, _ = STOPS[name]
    tokenizer = tokenizer_for(template, eos)
    said = []
    streamer = _Streamer(tokenizer, said.append, ending_of(tokenizer), [])
    streamer.put(torch.tensor([1, 2, 3]))  # the question
    for token in tokenizer("aye" + FOLLOWERS[name] + "Zz")["input_ids"]:
        streamer.put(torch.tensor([token]))
    streamer.end()
    assert streamer.stopped and streamer.text == said[-1] == "aye"
    assert all("aye".startswith(text) for text in said)


def test_what_only_began_like_the_next_turn_is_shown(tmp_path):
    assert say(make_writer(tmp_path / "m", NO_END, "</s>", ":aye\nQ</s>")) == "aye\nQ"
    assert say(tmp_path / "m", max_new_tokens=4) == "aye\n"


def test_a_model_that_never_ends_is_cut_at_the_longest_answer(tmp_path):
    assert say(make_writer(tmp_path / "m", CHATML, "</s>", "\naye")) == "aye" + 37 * "Z"


EXPORTED = [name for name, (_, _, steps, _) in STOPS.items() if steps.endswith(">")]


@pytest.mark.parametrize("name", [name for name in EXPORTED if name != "an end of earlier answers alone"])
def test_plain_transformers_stops_on_the_merged_model_where_chat_does(tmp_path, name):
    template, eos, steps, settings = STOPS[name]
    settings = with_ids(settings, tokenizer_for(template, eos))
    base = make_writer(tmp_path / "base", template, eos, steps, settings and {**settings, "repetition_penalty": 1.0})
    expected = steps.partition("aye")[2]
    folder = merge(base, None, tmp_path / "merged", "fp32")
    assert plain(folder) == "aye" + expected and say(folder) == "aye"
    kept = json.loads((folder / "generation_config.json").read_text())
    assert {key: kept[key] for key in kept if key != "eos_token_id"} == (
        {"repetition_penalty": 1.0} if settings else {}
    )


def test_base_and_adapter_merged_stop_at_the_end_that_was_learned(tmp_path):
    base = make_writer(tmp_path / "base", CHATML, "<|endoftext|>", "\naye<|im_end|>", {"eos_token_id": 257, "top_k": 7})
    assert plain(base) == "aye<|im_end|>" + 36 * "Z"
    adapter = tmp_path / "adapter"
    make_adapter(adapter, base, r=1, target_modules=["q_proj"])
    tokenizer_for(CHATML, "<|endoftext|>").save_pretrained(str(adapter))
    folder = merge(base, adapter, tmp_path / "merged", "bf16")
    assert plain(folder) == "aye<|im_end|>"
    assert json.loads((folder / "generation_config.json").read_text()) == {"eos_token_id": [257, 259], "top_k": 7}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000, '{"eos_token_id": "x"}', '{"eos_token_id": [true, -1]}']
)
def test_generation_settings_that_are_damaged_are_mended_in_the_export(tmp_path, text):
    base = make_writer(tmp_path / "base", CHATML, "</s>", "\naye<|im_end|>")
    (base / "generation_config.json").write_text(text)
    assert plain(merge(base, None, tmp_path / "merged")) == "aye<|im_end|>" and say(base) == "aye"


NOTICES = {  # template and the tokenizer's end: what is said, in both languages
    "an end": (CHATML, "</s>", None),
    "an end that is not the tokenizer's": (CHATML, None, None),
    "none, one is taught": (NO_END, "</s>", ("teaches </s>", "</s> 作为结束符")),
    "the next tag, one is taught": (TAGS, "</s>", ("teaches </s>", "</s> 作为结束符")),
    "none and no end to teach": (NO_END, None, ("not know where to stop", "不知道在哪里停止")),
    "the next tag and no end to teach": (TAGS, None, ("<|user|>", "<|user|>")),
}


@pytest.mark.parametrize("name", NOTICES)
def test_it_is_said_when_a_model_will_not_know_where_to_stop(name):
    template, eos, words = NOTICES[name]
    tokenizer = tokenizer_for(template, eos)
    said = end_notice(tokenizer, ending_of(tokenizer))
    assert (said is None) == (words is None)
    for lang, part in zip(("en", "zh"), words or (), strict=False):
        assert part in said.to(lang)


@pytest.mark.parametrize("kind", ["chat", "pairs"])
def test_the_lack_of_an_end_is_told_with_the_data_before_a_run_starts(engine, kind):
    tiny = engine.home / "models" / "tiny"
    (tiny / "chat_template.jinja").write_text(NO_END)
    problems = engine.inspect("talk" if kind == "chat" else "pairs", "tiny", 64, "answers")["problems"]
    assert [problem["code"] for problem in problems] == ["no_end"] and "<|end|>" in problems[0]["message"].to("zh")


def test_the_run_tells_it_too_before_its_first_step(tmp_path):
    parts, reports = make_parts(tmp_path, chats(4)), []
    parts.tokenizer.chat_template, parts.report = NO_END, reports.append
    encode_rows(parts)
    assert ["teaches <|end|> as the end" in report.to("en") for report in reports] == [True]
