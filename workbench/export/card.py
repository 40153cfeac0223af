"""The README.md that travels with an adapter or a merged model: what it is, how it was made, how to use it.

The card is English, since that is what the Hugging Face Hub shows. It holds nothing of this computer: folders become
the model's name, and anything that looks like an access token is blotted out. It knows nothing about runs; whoever has
one passes the values. With a `repo_id` it is a card for the Hub, which refuses a commit whose card has a head that it
doesn't take: what it wouldn't is left out there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from workbench.config.tasks import CAUSAL, CLASSIFICATION, Task
from workbench.models.origin import HUB_NAME, LICENCES

KINDS = ("adapter", "model")

_TOKEN = re.compile(r"\b(hf_|sk-|ghp_|github_pat_)[A-Za-z0-9_-]{8,}")
_LOAD_ADAPTER = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer{also}

base = {base}  # the base model: {where}
adapter = {here}

tokenizer = AutoTokenizer.from_pretrained({tokenizer})
model = AutoModelForCausalLM.from_pretrained(base, dtype={dtype})
model = PeftModel.from_pretrained(model, adapter).eval()
{settings}"""
_SETTINGS = "model.generation_config = GenerationConfig.from_pretrained(adapter)  # where its answers end\n"
_LOAD_MODEL = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = {here}

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype={dtype}).eval()
"""
# A model that sorts or scores, and how it is asked.
_CLASSES = {"AutoModelForCausalLM": "AutoModelForSequenceClassification"}
_HEAD = ", num_labels={count}, pad_token_id=tokenizer.pad_token_id"
_SORT = """
inputs = tokenizer("A text to sort", return_tensors="pt")
shares = model(**inputs).logits[0].softmax(-1)
labels = {labels}
print({{label: round(share.item(), 3) for label, share in zip(labels, shares)}})
"""
_SCORE = """
messages = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hello! How can I help you?"}]
inputs = tokenizer.apply_chat_template(messages, return_dict=True, return_tensors="pt")
print(model(**inputs).logits[0].item())
"""
_HUB_OR_FOLDER = "its name on the Hugging Face Hub, or its folder on your computer"
_WITH_THE_WORKBENCH = "write the path of the workbench's folder workbench/models/starter/model here"
_ASK_CHAT = """
messages = [{"role": "user", "content": "Hello!"}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
"""
_ASK_TEXT = """
inputs = tokenizer("Once upon a time", return_tensors="pt")
"""
_ANSWER = """\
output = model.generate(**inputs, max_new_tokens=100)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
"""


_MOST_ANSWERS, _LONGEST_ANSWER = 10, 1500  # shown in a card; characters of each
_MARKS = re.compile(r"[*_\[\]()#!~>+-]")  # of Markdown
_NUMBER = re.compile(r"^(\d+)([.])")  # the beginning of a list
_LANGUAGE = re.compile(r"[a-z]{2,3}", re.ASCII)


@dataclass(frozen=True)
class Asked:
    """How a model is asked in the card's example.

    Attributes:
        task: what it is there for.
        labels: that it sorts by, in the order of its outputs.
    """

    task: Task = CAUSAL
    labels: tuple[str, ...] = ()

    def code(self, load: str, kind: str, chat: bool) -> str:
        """The example, after the lines that load the model."""
        if self.task == CAUSAL:
            return load + (_ASK_CHAT if chat else _ASK_TEXT) + _ANSWER
        for name, other in _CLASSES.items():
            load = load.replace(name, other)
        if kind == "adapter":  # the base has no head: the adapter brings it
            load = load.replace("(base, ", f"(base{_HEAD.format(count=max(len(self.labels), 1))}, ", 1)
        return load + (_SORT.format(labels=[*self.labels]) if self.task == CLASSIFICATION else _SCORE)


@dataclass(frozen=True)
class CardAnswer:
    """One of the person's own questions, answered before and after the training; None where it wasn't asked then."""

    question: str
    before: str | None
    after: str | None


def answers_of(samples: Iterable[tuple[int, str, str]]) -> tuple[CardAnswer, ...]:
    """The first and the last answer to each question.

    Args:
        samples: step, question and answer, in any order. What was answered at step 0 came before the training.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for step, question, answer in samples:
        found.setdefault(question, []).append((step, answer))
    answers = []
    for question, given in found.items():
        first, last = min(given, key=lambda each: each[0]), max(given, key=lambda each: each[0])
        before, after = first[1] if first[0] == 0 else None, last[1] if last[0] > 0 else None
        answers.append(CardAnswer(question, before, after))
    return tuple(answers)


def portable_name(base: str) -> str:
    """A base model's name for other computers: a Hub name stays, a folder becomes its last part.

    A snapshot in the Hugging Face cache becomes the Hub name that it is a copy of.
    """
    base = base.strip()
    path = PureWindowsPath(base) if re.match(r"[A-Za-z]:|.*\\", base) else PurePosixPath(base)
    for part in path.parts:
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    is_folder = path.is_absolute() or base.startswith((".", "~")) or len(path.parts) > 2 or Path(base).is_dir()
    if not is_folder:
        return base
    # The shipped model lies in `<name>/model`; "model" alone would say nothing.
    names = [part for part in path.parts if part not in (path.anchor, ".", "..", "~")]
    if len(names) > 1 and names[-1] in ("model", "merged"):
        return names[-2]
    return names[-1] if names else "base"


def write_card(
    *,
    base: str,
    kind: str = "adapter",
    name: str | None = None,
    method: str | None = None,
    made: str | None = None,
    dataset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    losses: Mapping[str, float | None] | None = None,
    license: str | None = None,
    languages: Sequence[str] = (),
    chat: bool = True,
    dtype: str = "fp32",
    tokenizer_inside: bool = True,
    settings_inside: bool = False,
    base_shipped: bool = False,
    repo_id: str | None = None,
    curves: str | None = None,
    answers: Sequence[CardAnswer] = (),
    asked: Asked | None = None,
) -> str:
    """The text of a README.md.

    Args:
        base: the base model's id; a folder is reduced to its name.
        kind: adapter or model (merged, or tuned in full).
        name: the heading.
        method: method.kind of the run, for the tags.
        made: the method in words.
        dataset: the training data's name.
        settings: main settings, dotted path to value, in the order to show.
        losses: final ones, such as {"training": 0.41, "evaluation": None}; None is left out.
        license, languages: of the base model, and ISO codes; left out when unknown.
        chat: whether the model answers conversations (has a chat template) or continues text.
        dtype: fp32, bf16 or fp16, for the example.
        tokenizer_inside: whether an adapter's folder brings the tokenizer.
        settings_inside: whether it brings a generation_config.json, which peft does not read by itself.
        base_shipped: whether the base model comes with the workbench and is nowhere else.
        repo_id: where it is pushed to; its users get it from there.
        curves: the name of the picture of its curves, beside the card.
        answers: the person's own questions with what was answered; they are shown to everybody who reads the card.
        asked: how it is asked; None: as a model that writes.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}")
    base = portable_name(base)
    known = {key: value for key, value in (losses or {}).items() if value is not None}
    parts = [
        _front_matter(base, kind, method, dataset, license, languages, repo_id is not None),
        _introduction(base, kind, name, made or method, dataset),
        f"Licence of the base model: {_line(license)}." if license and repo_id else "",
        "## How to use it\n\n"
        + _usage(base, kind, chat, dtype, base_shipped, tokenizer_inside, settings_inside, repo_id, asked or Asked()),
        _answers(answers),
        f"## Curves\n\n![Loss by step](./{curves})" if curves else "",
        _table("Settings", ("Setting", "Value"), settings or {}),
        _table("Final losses", ("Loss", "Value"), known),
    ]
    return "\n\n".join(part.rstrip() for part in parts if part) + "\n"


def _introduction(base: str, kind: str, name: str | None, made: str | None, dataset: str | None) -> str:
    title = _line(name or ("Adapter" if kind == "adapter" else "Model"))
    what = f"LoRA adapter for `{_line(base)}`" if kind == "adapter" else f"version of `{_line(base)}`"
    data = f" Training data: {_line(dataset)}." if dataset else ""
    return f"# {title}\n\nA {what}, made with {_line(made or 'fine-tuning')}.{data}"


def _front_matter(
    base: str,
    kind: str,
    method: str | None,
    dataset: str | None,
    license: str | None,
    languages: Sequence[str],
    for_hub: bool,
) -> str:
    import yaml

    values: dict[str, Any] = {}
    if not for_hub or HUB_NAME.fullmatch(base):
        values = {"base_model": base, "base_model_relation": "adapter" if kind == "adapter" else "finetune"}
    values["library_name"] = "peft" if kind == "adapter" else "transformers"
    values["pipeline_tag"] = "text-generation"
    if license and (not for_hub or license.lower() in LICENCES):
        values["license"] = license.lower() if for_hub else license
    elif license:
        values |= {
            "license": "other",
            "license_name": re.sub(r"[^a-z0-9.]+", "-", license.lower()).strip("-") or "other",
        }
    if for_hub:
        languages = [code for code in languages if _LANGUAGE.fullmatch(code)]
    if languages:
        values["language"] = list(languages)
    if dataset and re.fullmatch(r"[\w.-]+/[\w.-]+", dataset):
        values["datasets"] = [dataset]  # the Hub only links data sets that it knows by such a name
    values["tags"] = [tag for tag in ("lora" if kind == "adapter" else None, method, "fine-tuned") if tag]
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return f"---\n{_TOKEN.sub('[removed]', text)}---"


def _answers(answers: Sequence[CardAnswer]) -> str:
    """The person's questions, with the answers as quotations."""
    parts = []
    for each in answers[:_MOST_ANSWERS]:
        said = [
            f"**{title}**\n\n{_quote(text)}" for title, text in (("Before", each.before), ("After", each.after)) if text
        ]
        if said:
            parts.append("\n\n".join([f"### {_plain(each.question[:300])}", *said]))
    return "\n\n".join(["## Answers before and after", *parts]) if parts else ""


def _quote(text: str) -> str:
    """A quotation that nothing in it ends, and of which no line is Markdown."""
    text = text.strip()
    text = text if len(text) <= _LONGEST_ANSWER else text[:_LONGEST_ANSWER] + " …"
    lines = [_plain(line) for line in text.splitlines()]
    return "\n".join(
        f"> {line}\\" if line and number < len(lines) else f"> {line}".rstrip() for number, line in enumerate(lines, 1)
    )


def _plain(text: str) -> str:
    """One line of Markdown that shows the text as it is."""
    return _NUMBER.sub(r"\1\\\2", _MARKS.sub(r"\\\g<0>", _line(text)))


def _usage(
    base: str,
    kind: str,
    chat: bool,
    dtype: str,
    shipped: bool,
    tokenizer_inside: bool,
    settings_inside: bool,
    repo_id: str | None,
    asked: Asked,
) -> str:
    names = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
    values = {
        "here": _string(repo_id) if repo_id else '"."  # the folder of this file',
        "base": _string(base),
        "dtype": _string(names.get(dtype, "auto")),
        "where": _WITH_THE_WORKBENCH if shipped else _HUB_OR_FOLDER,
        "tokenizer": "adapter" if tokenizer_inside else "base",
        "also": ", GenerationConfig" if settings_inside else "",
        "settings": _SETTINGS if settings_inside else "",
    }
    load = (_LOAD_ADAPTER if kind == "adapter" else _LOAD_MODEL).format(**values)
    code = asked.code(load, kind, chat)
    packages = "torch transformers peft" if kind == "adapter" else "torch transformers"
    where = "" if repo_id else " in the folder of this file"
    intro = f"Install the packages (`pip install {packages}`), then run this{where}:"
    return f"{intro}\n\n```python\n{code}```"


def _table(title: str, head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    for key, value in rows.items():
        if isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        lines.append(f"| {_line(key)} | {_line(shown)} |")
    return f"## {title}\n\n" + "\n".join(lines)


def _line(text: str) -> str:
    """One line of Markdown that can't break out of its table cell or become HTML."""
    text = _TOKEN.sub("[removed]", " ".join(str(text).split()))
    for sign, safe in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'")):
        text = text.replace(sign, safe)
    return text


def _string(text: str) -> str:
    """A Python string literal; json's spelling is one, and keeps to double quotes."""
    import json

    return json.dumps(_TOKEN.sub("[removed]", text), ensure_ascii=False)
