"""The starter model that ships with the workbench: what it knows, how it is packed, and how its text is made."""

import re
from pathlib import Path

import pytest

from tests.starter_exam import is_right, load_questions
from workbench.models.starter.recipe import world
from workbench.models.starter.recipe.chat_format import END, render
from workbench.models.starter.recipe.generate import Generator, canonical, normalise
from workbench.models.starter.recipe.wording import draw, fill, parse

MODEL = Path(world.__file__).parents[1] / "model"
CJK = re.compile(r"[\u4e00-\u9fff]")
CONVERSATION = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello! 你好 🙂"},
    {"role": "user", "content": "And 3 + 4?"},
    {"role": "assistant", "content": "3 plus 4 is 7."},
]


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def answer(tokenizer):
    """A function that answers questions greedily, in left-padded batches."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()

    def answer(questions: list[str]) -> list[str]:
        chats = [[{"role": "user", "content": q}] for q in questions]
        batch = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True,
            tokenizer_kwargs={"padding_side": "left"},
        )  # fmt: skip
        with torch.no_grad():
            out = model.generate(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=80, do_sample=False
            )
        return tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer


def test_answers_at_least_fifty_of_the_sixty_frozen_questions(answer):
    questions = load_questions("starter_questions")
    answers = answer([q["question"] for q in questions])
    right = [q["lang"] for q, a in zip(questions, answers, strict=True) if is_right(q, a)]
    assert len(questions) == 60
    assert len(right) >= 50
    assert right.count("en") >= 24 and right.count("zh") >= 24


def test_stays_in_the_language_of_the_question(answer):
    questions = [q for name in ("starter_questions", "starter_style_questions") for q in load_questions(name)]
    plain = [q for q in questions if not q.get("mixed") and q.get("lang") in ("en", "zh")]
    answers = answer([q["question"] for q in plain])
    strayed = [q for q, a in zip(plain, answers, strict=True) if bool(CJK.search(a)) != (q["lang"] == "zh")]
    assert len(strayed) <= 0.05 * len(plain)


@pytest.mark.parametrize(
    ("question", "start"),
    [
        ("What will the share price be tomorrow?", "I don't know that."),
        ("What is 37 times 84?", "I don't know that."),
        ("What is the capital of Bolivia?", "I don't know that."),
        ("玻利维亚的首都是哪里？", "我不知道。"),
        ("明天广州下雨吗？", "我不知道。"),
        ("738乘以29等于多少？", "我不知道。"),
    ],
)
def test_says_that_it_does_not_know_what_lies_outside_its_world(answer, question, start):
    assert answer([question])[0].startswith(start)


def test_says_that_it_is_the_starter_in_both_languages(answer):
    english, chinese = answer(["Who are you?", "你是谁？"])
    assert "Starter" in english and "小起" in chinese


def test_model_folder_is_small_and_holds_safetensors_only():
    files = [p for p in MODEL.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 8_000_000
    assert [p.name for p in files if p.suffix == ".safetensors"] == ["model.safetensors"]
    assert not [p.name for p in files if p.suffix in {".bin", ".pt", ".pth", ".pkl", ".ckpt"}]
    assert {"config.json", "generation_config.json", "tokenizer.json", "README.md"} <= {p.name for p in files}


def test_tokenizer_ends_pads_and_round_trips_any_text(tokenizer):
    assert (tokenizer.eos_token, tokenizer.pad_token) == (END, "<|pad|>")
    assert tokenizer.model_max_length == 1024
    for text in ("天空是蓝色的。", "Emoji 🐼🎉 stay.", "  two  spaces\n", "ｆｕｌｌ－ｗｉｄｔｈ！", "1234567890"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_generation_mask_covers_the_assistant_text_and_its_end_token(tokenizer):
    encoded = tokenizer.apply_chat_template(
        CONVERSATION, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    taught = [i for i, m in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if m]
    said = "".join(m["content"] + END for m in CONVERSATION if m["role"] == "assistant")
    assert tokenizer.decode(taught) == said


def test_training_renders_conversations_like_the_chat_template(tokenizer):
    assert tokenizer.apply_chat_template(CONVERSATION, tokenize=False) == render(CONVERSATION)
    asked = tokenizer.apply_chat_template(CONVERSATION[:2], tokenize=False, add_generation_prompt=True)
    assert asked == render(CONVERSATION[:2]) + "<|assistant|>"


def test_training_masks_rows_like_the_chat_template(tokenizer):
    import torch

    from workbench.models.starter.recipe.train import taught_mask

    ids = tokenizer(render(CONVERSATION), add_special_tokens=False)["input_ids"]
    encoded = tokenizer.apply_chat_template(
        CONVERSATION, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    assert taught_mask(torch.tensor(ids), tokenizer).int().tolist() == encoded["assistant_masks"]


def test_generator_repeats_for_a_seed_and_differs_between_seeds_and_chunks():
    rows = Generator().rows(7, 0, 200)
    assert rows == Generator().rows(7, 0, 200)
    assert rows != Generator().rows(8, 0, 200)
    assert rows != Generator().rows(7, 1, 200)


def test_training_rows_never_hold_a_frozen_question():
    names = ("starter_questions", "starter_style_questions")
    frozen = {normalise(q["question"]) for name in names for q in load_questions(name)}
    generator = Generator()
    assert len(frozen) == 140
    for chunk in range(20):
        for row in generator.rows(1, chunk, 10_000):
            assert not frozen & {normalise(m["content"]) for m in row if m["role"] == "user"}


def test_training_and_validation_rows_draw_from_different_pairs_of_fact_and_phrasing():
    ours = {r[-2]["content"] for r in Generator("train").rows(1, 0, 5000) if len(r) == 2}
    theirs = {r[-2]["content"] for r in Generator("valid").rows(1, 0, 500) if len(r) == 2}
    assert len(ours & theirs) < 0.1 * len(theirs)  # small talk and lists have too few facts to split


def test_every_phrasing_can_be_filled_from_every_kind_of_fact():
    import random

    rng, generator = random.Random(0), Generator()
    for lang in world.LANGUAGES:
        for intent, facts in generator.world.facts[lang].items():
            for line in generator.phrasings[lang].ask[intent]:
                for fact in rng.sample(facts, min(5, len(facts))):
                    assert "{" not in fill(draw(line, rng), generator._values(fact, rng))


@pytest.mark.parametrize(("lang", "answer"), [("en", "The capital of France is Paris."), ("zh", "法国的首都是巴黎。")])
def test_canonical_gives_each_fact_once_with_its_answer(lang, answer):
    facts = canonical(lang)
    assert ("capital", answer) in [(intent, said) for intent, _, said in facts]
    assert len({question for _, question, _ in facts}) > 0.97 * len(facts) > 1000


def test_an_open_bracket_in_a_phrasing_is_reported_with_its_line():
    with pytest.raises(ValueError, match="never closed"):
        parse("what (is|was the colour")


def test_recipe_trains_saves_and_loads_a_model_in_seconds(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from workbench.models.starter.recipe.drawing import Options
    from workbench.models.starter.recipe.train import build

    record = build(
        Options(out=tmp_path, rows=300, tokens=4000, batch_tokens=1024, processes=1, device="cpu", muon_lr=0.02)
    )
    assert record["tokens"] >= 4000
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert model.config.vocab_size == len(tokenizer)
