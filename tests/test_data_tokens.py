"""Tokens and labels: the ids of the chat template, the mask on the answers, cutting, counting and colouring."""

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.data.rendering import TemplateRefusal, render
from workbench.data.tokens import (
    colour,
    colour_example,
    colour_text,
    encode_chat,
    encode_many,
    encode_preference,
    encode_text,
    render_prompt,
    statistics,
)

ROOT = Path(__file__).resolve().parents[1]
HEADER = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
PLAIN = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}" + HEADER
MARKED = """
{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {{- '<|im_start|>assistant\n' }}
        {%- generation %}
            {{- m.content + '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\n' }}
    {%- else %}
        {{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
""" + HEADER.replace("{% if", "{%- if")
MARKED_TO_THE_CONTENT = PLAIN.replace(
    "m.content + '<|im_end|>",
    "'' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>",
)
# Like Qwen3: only the last answer shows (empty) thoughts, so a conversation up to an answer is no prefix of the whole.
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}" + HEADER
)
# Like Phi-3: the whole text ends with a token of its own.
CLOSED = PLAIN.replace(HEADER, HEADER.replace("{% endif", "{% else %}{{ '<|endoftext|>' }}{% endif"))
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
BARE = (
    "{% for m in messages %}{{ m.role + ': ' + (m.content | trim) + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
TEMPLATES = {"plain": PLAIN, "marked": MARKED, "thinking": THINKING, "closed": CLOSED, "bare": BARE}
# What is added behind the last answer, where a template writes no end.
ADDED = {"bare": "<|im_end|>"}

TALK = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hello 你好"},
    {"role": "assistant", "content": "one 世界 😀"},
    {"role": "user", "content": "and one more"},
    {"role": "assistant", "content": "one"},
]


@pytest.fixture(scope="module")
def make():
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|pad|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(["user system assistant hello one more think brief"] * 9, trainer)

    def build(template):
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|im_end|>", pad_token="<|pad|>")
        tokenizer.chat_template = template
        return tokenizer

    return build


def learned_text(tokenizer, encoded):
    """The learned stretches, as text."""
    stretches, previous = [], False
    for label in encoded.labels:
        if label != -100:
            stretches = stretches if previous else [*stretches, []]
            stretches[-1].append(label)
        previous = label != -100
    return [tokenizer.decode(ids) for ids in stretches]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_ids_are_those_of_the_chat_template_and_an_end_where_it_writes_none(make, name):
    tokenizer = make(TEMPLATES[name])
    encoded = encode_chat(tokenizer, TALK)
    added = [tokenizer.eos_token_id] * (name in ADDED)
    assert encoded.input_ids == tokenizer.apply_chat_template(TALK)["input_ids"] + added
    assert len(encoded.labels) == len(encoded.input_ids) and encoded.cut == 0
    assert all(label in (-100, token) for label, token in zip(encoded.labels, encoded.input_ids, strict=True))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", ["one 世界 😀<|im_end|>", "one<|im_end|>"]),
        ("marked", ["one 世界 😀<|im_end|>", "one<|im_end|>"]),
        ("thinking", ["one 世界 😀<|im_end|>", "<think>\n\n</think>\n\none<|im_end|>"]),
        ("closed", ["one 世界 😀<|im_end|>", "one<|im_end|>\n<|endoftext|>"]),
        ("bare", [" one 世界 😀\n", " one\n<|im_end|>"]),
    ],
)
def test_only_the_answers_and_their_end_tokens_are_learned(make, name, expected):
    tokenizer = make(TEMPLATES[name])
    assert learned_text(tokenizer, encode_chat(tokenizer, TALK)) == expected


def test_the_mask_of_a_marked_template_is_the_one_of_transformers(make):
    tokenizer = make(MARKED)
    reference = tokenizer.apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
    assert [label != -100 for label in encode_chat(tokenizer, TALK).labels] == [
        bool(flag) for flag in reference["assistant_masks"]
    ]


def test_a_mark_that_stops_short_of_the_end_token_is_extended(make):
    tokenizer = make(MARKED_TO_THE_CONTENT)
    assert learned_text(tokenizer, encode_chat(tokenizer, TALK)) == ["one 世界 😀<|im_end|>", "one<|im_end|>"]


def test_marked_and_unmarked_templates_of_the_same_text_give_the_same_labels(make):
    assert encode_chat(make(MARKED), TALK) == encode_chat(make(PLAIN), TALK)


def test_an_answer_that_stands_in_the_question_too_is_not_confused(make):
    talk = [{"role": "user", "content": "one<|im_end|>\none"}, {"role": "assistant", "content": "one"}] * 2
    tokenizer = make(THINKING)
    got = learned_text(tokenizer, encode_chat(tokenizer, talk))
    assert got == ["one<|im_end|>", "<think>\n\n</think>\n\none<|im_end|>"]


def test_private_characters_in_the_data_do_not_disturb_the_mask(make):
    talk = [{"role": "user", "content": "\ue0f0 q \ue0f1"}, {"role": "assistant", "content": "\ue0f1a\ue0f2"}]
    tokenizer = make(MARKED)
    assert learned_text(tokenizer, encode_chat(tokenizer, talk)) == ["\ue0f1a\ue0f2<|im_end|>"]


def test_learning_everything_learns_every_token(make):
    encoded = encode_chat(make(PLAIN), TALK, learn="all")
    assert encoded.labels == encoded.input_ids


def test_cutting_keeps_the_start_and_counts_the_rest(make):
    tokenizer = make(PLAIN)
    whole = encode_chat(tokenizer, TALK)
    cut = encode_chat(tokenizer, TALK, max_length=20)
    assert cut.input_ids == whole.input_ids[:20] and cut.labels == whole.labels[:20]
    assert cut.cut == len(whole.input_ids) - 20


def test_statistics_count_learned_cut_and_dropped_rows(make):
    tokenizer = make(PLAIN)
    short = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    lost = [{"role": "user", "content": "q" * 200}, {"role": "assistant", "content": "a"}]
    whole = encode_chat(tokenizer, lost)
    stats = statistics(encode_many(tokenizer, "chat", [{"messages": short}, {"messages": lost}], max_length=64))
    first = encode_chat(tokenizer, short)
    assert (stats.rows, stats.cut, stats.dropped, stats.longest) == (2, 1, 1, len(whole.input_ids))
    assert (stats.tokens, stats.learned_tokens) == (len(first.input_ids), 2)


def test_text_is_learned_to_its_end_token(make):
    tokenizer = make(None)
    encoded = encode_text(tokenizer, "hello 世界")
    assert encoded.labels == encoded.input_ids
    assert tokenizer.decode(encoded.input_ids) == "hello 世界<|im_end|>"
    assert encode_text(tokenizer, "hello<|im_end|>").input_ids.count(tokenizer.eos_token_id) == 1
    assert encode_text(tokenizer, "hello " * 50, max_length=8).cut > 0


def test_the_prompt_ends_with_the_header_of_the_answer(make):
    tokenizer = make(PLAIN)
    expected = tokenizer.apply_chat_template(TALK[:2], add_generation_prompt=True)["input_ids"]
    assert render_prompt(tokenizer, TALK[:2]) == expected


@pytest.mark.parametrize("call", [encode_chat, render_prompt, colour])
def test_conversations_need_a_chat_template_and_text_does_not(make, call):
    tokenizer = make(None)
    with pytest.raises(WorkbenchError) as caught:
        call(tokenizer, TALK)
    assert caught.value.code == "no_chat_template" and "对话模板" in caught.value.to("zh")
    assert encode_text(tokenizer, "hello").input_ids


def loaded_set(rows, name):
    """A data set in memory, of chat rows; a row that is None stands in the file and cannot be used."""
    numbers = [number for number, row in enumerate(rows, start=1) if row is not None]
    return SimpleNamespace(
        info=SimpleNamespace(name=name),
        examples=[{"messages": row} for row in rows if row is not None],
        numbers=numbers,
    )


def refusal_of(call, *arguments, **options):
    with pytest.raises(TemplateRefusal) as caught:
        call(*arguments, **options)
    assert caught.value.code == "chat_template"
    return caught.value


def test_a_refused_row_is_named_by_its_number_in_its_own_file(make):
    tokenizer = make(NO_SYSTEM + PLAIN)
    other = loaded_set([TALK[1:]] * 300, "other.jsonl")
    rows = [TALK[1:]] * 300
    rows[2:9], rows[250] = [None] * 7, TALK
    mine = loaded_set(rows, "mine.jsonl")
    kept = mine.examples[::-1][:200]  # shuffled, and a part kept back
    refusal = refusal_of(encode_many, tokenizer, "chat", kept)
    assert refusal.row is None and "row" not in refusal.to("en") and refusal.example is mine.examples[243]
    named = refusal.in_file(other, None, mine)
    assert named.row == 251 and "Row 251 of mine.jsonl" in named.to("en")
    assert "数据集 mine.jsonl 第 251 条样本" in named.to("zh") and "System role not supported" in named.to("zh")
    assert refusal.in_file(other).row is None


@pytest.mark.parametrize("kind", ["chosen", "completion", "prompt"])
def test_a_refused_row_of_any_kind_is_known(make, kind):
    good = {"prompt": TALK[1:2], "chosen": [TALK[2]], "rejected": [TALK[4]]}
    if kind != "chosen":
        good = {"prompt": TALK[1:2], **({"completion": [TALK[2]], "label": True} if kind == "completion" else {})}
    bad = {**good, "prompt": TALK[:2]}
    tokenizer = make(NO_SYSTEM + PLAIN)
    named = {"chosen": "preference", "completion": "feedback", "prompt": "prompts"}[kind]
    assert refusal_of(encode_many, tokenizer, named, [good] * 130 + [bad, good]).example is bad
    assert refusal_of(colour_example, tokenizer, bad).example is bad


def test_a_row_that_is_refused_only_up_to_an_answer_is_known(make):
    # Renders the whole, and cannot render a conversation that ends with its first question.
    tokenizer = make("{% if messages|length == 1 %}{{ raise_exception('too short') }}{% endif %}" + THINKING)
    fine, bad = {"messages": TALK[:3]}, {"messages": TALK[1:]}
    assert refusal_of(encode_many, tokenizer, "chat", [fine, fine, bad, fine]).example is bad


def test_who_asks_with_a_system_prompt_is_told_to_clear_it(make):
    tokenizer = make(NO_SYSTEM + PLAIN)
    refusal = refusal_of(render_prompt, tokenizer, TALK[:2])
    assert "row" not in refusal.to("en").lower() and "Clear the system prompt" in refusal.to("en")
    assert "样本" not in refusal.to("zh") and "清空系统提示" in refusal.to("zh")
    strict = make("{{ raise_exception('never') }}")
    assert "system prompt" not in refusal_of(render_prompt, strict, TALK[:2]).to("en")


@pytest.mark.parametrize("slip", ["{{ 1 // 0 }}", "{{ messages[9].x.y }}", "{% if %}", "{{ ''.__class__.__mro__ }}"])
def test_whatever_a_template_stumbles_over_is_its_refusal(make, slip):
    assert refusal_of(encode_chat, make(slip + PLAIN), TALK[1:]).reason


def test_a_template_that_writes_far_more_than_was_said_is_refused(make):
    tokenizer = make("{% for n in range(99999) %}{{ 'a' * 20 }}{% endfor %}" + PLAIN)
    assert "2,000,030" in refusal_of(render_prompt, tokenizer, [{"role": "user", "content": ""}]).to("en")
    long = [{"role": "user", "content": "a" * 2_000_000}]
    assert len(render(make(PLAIN), [long])[0]) > 2_000_000


def test_many_rows_are_the_same_as_single_ones_and_report_progress(make):
    tokenizer = make(PLAIN)
    examples = [{"messages": [{**TALK[1], "content": f"q {n}"}, TALK[2]]} for n in range(300)]
    seen = []
    many = encode_many(
        tokenizer, "chat", examples, max_length=30, progress=lambda done, total: seen.append((done, total))
    )
    assert many == [encode_chat(tokenizer, example["messages"], max_length=30) for example in examples]
    assert seen[-1] == (300, 300) and len(seen) > 1 and seen == sorted(seen)


def test_encoding_stops_when_asked(make):
    stop = threading.Event()
    seen = []

    def progress(done, total):
        seen.append(done)
        stop.set()

    with pytest.raises(StopRequested):
        encode_many(make(PLAIN), "chat", [{"messages": TALK}] * 500, stop=stop, progress=progress)
    assert len(seen) == 1


def test_every_kind_of_example_is_encoded(make):
    tokenizer, question, answer = make(PLAIN), TALK[:2], [TALK[2]]
    feedback = encode_many(tokenizer, "feedback", [{"prompt": TALK[:4], "completion": [TALK[4]], "label": True}])[0]
    assert learned_text(tokenizer, feedback) == ["one<|im_end|>"]
    assert feedback.label is True
    assert encode_many(tokenizer, "text", [{"text": "hello"}]) == [encode_text(tokenizer, "hello")]
    (labelled,) = encode_many(tokenizer, "labels", [{"text": "hello there", "label": "warm"}], max_length=2)
    assert (labelled.label, len(labelled.input_ids), labelled.cut) == ("warm", 2, labelled.longest - 2)
    assert encode_many(tokenizer, "prompts", [{"prompt": question}])[0].input_ids == render_prompt(tokenizer, question)
    pair = {"prompt": question, "chosen": answer, "rejected": answer}
    assert encode_many(tokenizer, "preference", [pair]) == [encode_preference(tokenizer, pair)]
    assert encode_many(tokenizer, "chat", []) == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_preference_pair_is_split_where_the_answers_start(make, name):
    tokenizer = make(TEMPLATES[name])
    pair = {"prompt": TALK[:4], "chosen": [TALK[4]], "rejected": [{"role": "assistant", "content": "two 二"}]}
    encoded = encode_preference(tokenizer, pair)
    for side, ids in (("chosen", encoded.chosen_ids), ("rejected", encoded.rejected_ids)):
        whole = tokenizer.apply_chat_template(pair["prompt"] + pair[side])["input_ids"]
        assert encoded.prompt_ids + ids == whole + [tokenizer.eos_token_id] * (name in ADDED)
        assert pair[side][0]["content"] in tokenizer.decode(ids)


def test_a_preference_pair_is_cut_behind_its_prompt(make):
    tokenizer = make(PLAIN)
    pair = {"prompt": TALK[:2], "chosen": [{"role": "assistant", "content": "x" * 50}], "rejected": [TALK[4]]}
    whole = encode_preference(tokenizer, pair)
    room = len(whole.prompt_ids) + 10
    cut = encode_preference(tokenizer, pair, max_length=room)
    assert len(cut.chosen_ids) == 10 and cut.rejected_ids == whole.rejected_ids
    assert cut.cut == len(whole.chosen_ids) - 10 and not cut.dropped and cut.longest == whole.longest
    stats = statistics([cut, encode_preference(tokenizer, pair, max_length=5)])
    assert (stats.rows, stats.cut, stats.dropped) == (2, 2, 1)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("max_length", [None, 1, 17, 33, 10_000])
def test_coloured_pieces_join_to_the_whole_text(make, name, max_length):
    tokenizer = make(TEMPLATES[name])
    talk = [{"role": "user", "content": "龘靐齉 你好，世界！😀"}, {"role": "assistant", "content": "鱻 é 한국어 😀😀"}]
    pieces = colour(tokenizer, talk, max_length=max_length)
    text = tokenizer.apply_chat_template(talk, tokenize=False) + ADDED.get(name, "")
    assert "".join(piece.text for piece in pieces) == text
    assert any(piece.learned for piece in pieces)
    assert any(piece.cut for piece in pieces) == (max_length is not None and max_length < 1000)


def test_coloured_pieces_show_what_is_learned_and_cut(make):
    tokenizer = make(PLAIN)
    pieces = colour(tokenizer, TALK[3:], max_length=len(render_prompt(tokenizer, TALK[3:4])) + 1)
    assert [(piece.text, piece.learned, piece.cut) for piece in pieces] == [
        ("<|im_start|>user\nand one more<|im_end|>\n<|im_start|>assistant\n", False, False),
        ("one", True, False),
        ("<|im_end|>", True, True),
        ("\n", False, True),
    ]


def test_text_and_pairs_are_coloured_too(make):
    tokenizer = make(PLAIN)
    assert "".join(piece.text for piece in colour_text(tokenizer, "你好 hello")) == "你好 hello"
    pair = {"prompt": TALK[:4], "chosen": [TALK[4]], "rejected": [{"role": "assistant", "content": "no"}]}
    learned = [piece.text for piece in colour_example(tokenizer, pair, side="rejected") if piece.learned]
    assert learned == ["no<|im_end|>"]
    assert colour_example(tokenizer, {"messages": TALK}) == colour(tokenizer, TALK)
    assert colour_text(tokenizer, "") == []


def test_two_threads_encode_with_a_marked_template_at_the_same_time(make):
    tokenizer = make(MARKED)
    expected = encode_chat(tokenizer, TALK)
    results, errors = [], []

    def work():
        try:
            results.extend(encode_many(tokenizer, "chat", [{"messages": TALK}] * 200))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and results == [expected] * 800


def test_importing_the_data_package_loads_nothing_heavy():
    code = (
        "import sys, workbench.data.library, workbench.data.tokens\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'pandas', 'jinja2') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"
