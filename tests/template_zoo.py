"""Chat templates in the manner of well-known ones, in our own words, each with what it should teach of a conversation.

What is learned of an answer is what the model writes itself: all that stands behind the words it is asked with, up to the
token that ends it. `learned` computes that from each template's own rules, without looking at a rendered text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Turn = dict[str, Any]

SPECIALS = (
    "<|pad|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin|>", "<|start_header|>", "<|end_header|>",
    "<|eot|>", "<s>", "</s>", "[INST]", "[/INST]", "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>",
    "<|system|>", "<|tool|>", "<|end|>", "<|return|>", "<|message|>",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A template, its tokenizer's end token, and what it teaches of a conversation's answer at a place."""

    template: str
    eos: str
    learned: Callable[[list[Turn], int], str]


def _last_question(talk: list[Turn]) -> int:
    return max(place for place, turn in enumerate(talk) if turn["role"] == "user")


def _after_thought(text: str) -> str:
    return text.split("</think>")[-1]


def _thinking(talk: list[Turn], place: int) -> str:
    """Thoughts only behind the last question; an empty one where the last answer has none."""
    words = talk[place]["content"]
    thought = words.split("</think>")[0].split("<think>")[-1].strip("\n") if "</think>" in words else ""
    words = _after_thought(words).lstrip("\n") if "</think>" in words else words
    shown = place > _last_question(talk) and (thought or place == len(talk) - 1)
    return (f"<think>\n{thought}\n</think>\n\n" if shown else "") + words + "<|im_end|>"


def _thinking_asked(talk: list[Turn], place: int) -> str:
    """The same, asked with `<think>` and a line break, which is then no part of what is learned."""
    return _thinking(talk, place).removeprefix("<think>\n")


_THINKING = """
{%- set ns = namespace(last=0) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for m in messages -%}
{{- '<|im_start|>' + m.role + '\n' -}}
{%- if m.role == 'assistant' -%}
{%- set thought = '' -%}{%- set words = m.content -%}
{%- if m.reasoning_content is string -%}{%- set thought = m.reasoning_content -%}
{%- elif '</think>' in words -%}
{%- set thought = words.split('</think>')[0].split('<think>')[-1].strip('\n') -%}
{%- set words = words.split('</think>')[-1].lstrip('\n') -%}
{%- endif -%}
{%- if loop.index0 > ns.last and (loop.last or thought) -%}
{{- '<think>\n' + thought.strip('\n') + '\n</think>\n\n' -}}
{%- endif -%}
{{- words -}}
{%- for call in m.tool_calls or [] -%}
{{- '<tool_call>' + call.function.name + ' ' + (call.function.arguments | tojson) + '</tool_call>' -}}
{%- endfor -%}
{%- else -%}{{- m.content -}}{%- endif -%}
{{- '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
R1 = (
    "{%- for m in messages -%}{%- if m.role == 'assistant' -%}"
    "{{- '<|assistant|>' + m.content.split('</think>')[-1] + '<|end|>' -}}"
    "{%- else -%}{{- '<|' + m.role + '|>' + m.content -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|><think>\n' -}}{%- endif -%}"
)
NO_END = (
    "{%- for m in messages -%}{%- if not loop.first -%}{{- '\n' -}}{%- endif -%}"
    "{{- ('Q: ' if m.role == 'user' else 'Bot: ') + m.content -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '\nBot:' -}}{%- endif -%}"
)
TAGS = (
    "{%- for m in messages -%}{{- '<|' + m.role + '|>' + m.content -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def _with_end(talk: list[Turn], place: int, words: str, end: str) -> str:
    return words + (end if place == len(talk) - 1 else "")


ZOO = {
    "chatml": Kind(CHATML, "<|endoftext|>", lambda talk, place: talk[place]["content"] + "<|im_end|>"),
    "chatml with a default system prompt": Kind(
        "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}" + CHATML,
        "<|im_end|>",
        lambda talk, place: talk[place]["content"] + "<|im_end|>",
    ),
    "llama 3": Kind(
        "{{ '<|begin|>' }}{% for m in messages %}"
        "{{ '<|start_header|>' + m.role + '<|end_header|>\n\n' + m.content | trim + '<|eot|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header|>assistant<|end_header|>\n\n' }}{% endif %}",
        "<|endoftext|>",
        lambda talk, place: talk[place]["content"].strip() + "<|eot|>",
    ),
    "mistral": Kind(
        "{{ '<s>' }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
        "{% else %}{{ ' ' + m.content + '</s>' }}{% endif %}{% endfor %}",
        "</s>",
        lambda talk, place: " " + talk[place]["content"] + "</s>",
    ),
    "gemma": Kind(
        "{{ '<s>' }}{% for m in messages %}"
        "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
        "{{ m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        "<|endoftext|>",
        lambda talk, place: talk[place]["content"].strip() + "<end_of_turn>",
    ),
    "phi": Kind(
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ '<|endoftext|>' }}{% endif %}",
        "<|endoftext|>",
        lambda talk, place: talk[place]["content"] + "<|end|>" + ("\n<|endoftext|>" if place == len(talk) - 1 else ""),
    ),
    "another end behind the last answer": Kind(
        "{% for m in messages %}{{ '<|' + m.role + '|><|message|>' + m.content }}"
        "{{ '<|return|>' if loop.last and m.role == 'assistant' else '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|><|message|>' }}{% endif %}",
        "<|return|>",
        lambda talk, place: talk[place]["content"] + ("<|return|>" if place == len(talk) - 1 else "<|end|>"),
    ),
    "thinking": Kind(_THINKING, "<|im_end|>", _thinking),
    "thinking, asked with a thought": Kind(
        _THINKING.replace("<|im_start|>assistant\n' -}}{%- endif", "<|im_start|>assistant\n<think>\n' -}}{%- endif"),
        "<|im_end|>",
        _thinking_asked,
    ),
    "stripped thoughts": Kind(R1, "<|end|>", lambda talk, place: _after_thought(talk[place]["content"]) + "<|end|>"),
    "no end": Kind(
        NO_END,
        "<|endoftext|>",
        lambda talk, place: _with_end(talk, place, " " + talk[place]["content"], "<|endoftext|>"),
    ),
    "no end but the next tag": Kind(
        TAGS, "</s>", lambda talk, place: _with_end(talk, place, talk[place]["content"], "</s>")
    ),
}


def tokenizer_for(template: str, eos: str | None, *, specials: tuple[str, ...] = SPECIALS) -> Any:
    """A tokenizer of the 256 bytes and the marks of all these templates."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.add_special_tokens(list(specials))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=eos, pad_token="<|pad|>")
    tokenizer.chat_template = template
    return tokenizer


def learned_stretches(tokenizer: Any, encoded: Any) -> list[str]:
    """The learned stretches of a row, as text."""
    stretches: list[list[int]] = []
    previous = False
    for label in encoded.labels:
        if label != -100:
            stretches = stretches if previous else [*stretches, []]
            stretches[-1].append(label)
        previous = label != -100
    return [tokenizer.decode(ids) for ids in stretches]
