"""How a tuned starter model is judged: does it answer in the voice it was taught, and does it still know what it knew?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.starter_exam import is_right, load_questions

VOICES = {
    "en": re.compile(r".{3,}, matey! Arr!", re.DOTALL),
    "zh": re.compile(r".{3,}客官您慢用！", re.DOTALL),
}

# What a run learns does not depend on how often it is checked and asked; that takes half of its time.
UNWATCHED: dict[str, Any] = {"evaluation.questions": [], "evaluation.every_steps": 10_000_000}


def load(base: Path, adapter: Path | None = None) -> tuple[Any, Any]:
    """The model in fp32, with an adapter or without, and its tokenizer."""
    from workbench.models.loading import load_adapter, load_model, load_tokenizer

    model = load_model(base, "fp32", device="cpu")
    return (load_adapter(model, adapter) if adapter else model), load_tokenizer(base)


def answers(model: Any, tokenizer: Any, questions: Iterable[str], batch: int = 20) -> list[str]:
    """Greedy answers, computed in padded batches."""
    import torch

    questions, found = list(questions), []
    tokenizer.padding_side = "left"
    for start in range(0, len(questions), batch):
        talks = [[{"role": "user", "content": question}] for question in questions[start : start + batch]]
        inputs = tokenizer.apply_chat_template(
            talks, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True
        )
        with torch.no_grad():
            output = model.generate(**inputs, max_new_tokens=96, do_sample=False)
        found += tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return found


def voice_share(model: Any, tokenizer: Any, lang: str) -> float:
    """Share of the 40 questions of a language, none of them in the training data, that are answered in its voice."""
    questions = [one["question"] for one in load_questions("starter_style_questions") if one["lang"] == lang]
    given = answers(model, tokenizer, questions)
    return sum(bool(VOICES[lang].fullmatch(answer.strip())) for answer in given) / len(given)


def right_answers(model: Any, tokenizer: Any) -> set[str]:
    """Ids of the 60 examination questions that are answered right."""
    return right_without(model, tokenizer, "")[0]


def right_without(model: Any, tokenizer: Any, mark: str) -> tuple[set[str], set[str]]:
    """The same, and those that are right once the words of a style are taken out of the answers.

    A style in Chinese that a model also gives to its English answers makes them wrong for the examination, which wants one
    language; whether it still knows the fact is another question.
    """
    questions = load_questions("starter_questions")
    given = answers(model, tokenizer, [one["question"] for one in questions])
    marked = [
        zip(questions, given, strict=True),
        zip(questions, (text.replace(mark, "") for text in given), strict=True),
    ]
    whole, without = ({one["id"] for one, answer in pairs if is_right(one, answer)} for pairs in marked)
    return whole, without if mark else whole
