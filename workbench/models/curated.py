"""The models that the workbench recommends for download: `catalog.yaml`, read strictly.

Another thing than `catalog.py`, which lists what is on this computer. Each entry has what a choice needs without network:
where the model is, how large, under which licence, what it is good for, and its shape, from which memory is estimated.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError

from workbench.config.errors import WorkbenchError
from workbench.config.presets import read_shipped_yaml
from workbench.config.problems import MAX_SHOWN, problems_of, rule_error, short
from workbench.config.reading import Damaged, read_text
from workbench.config.text import LANGUAGES, Text, listed

__all__ = ["CuratedModel", "Experts", "Shape", "curated_models", "read_curated"]

_FILE = Path(__file__).resolve().parent / "catalog.yaml"
_STRICT = ConfigDict(strict=True, extra="forbid")


def _text(value: Any) -> Text:
    """The `Text` that `{en, zh}` in a file stands for."""
    sides = value if isinstance(value, dict) else {}
    missing = [lang for lang in LANGUAGES if not isinstance(sides.get(lang), str) or not sides[lang].strip()]
    if missing:
        raise rule_error("", Text("there is no text for {lang}", "缺少 {lang} 的文本").with_(lang=listed(missing)))
    if len(sides) > len(LANGUAGES):
        unknown = next(lang for lang in sides if lang not in LANGUAGES)
        raise rule_error("", Text("there is no language {lang}", "没有 {lang} 这种语言").with_(lang=short(unknown)))
    return Text(sides["en"], sides["zh"])


Positive = Annotated[int, Field(gt=0, le=2**53)]
Words = Annotated[str, Field(min_length=1, max_length=120)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?$")]
Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
"""By its code in ISO 639-1."""
Said = Annotated[Text, PlainValidator(_text)]


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A mixture of experts in every layer: `per_token` of `count` are chosen for a token, `shared` more are not chosen."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    count: Positive
    per_token: Positive
    size: Positive  # width of one expert
    shared: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The numbers of a model's config.json from which its memory is estimated."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    model_type: Words
    hidden_size: Positive
    layers: Positive
    heads: Positive
    kv_heads: Positive
    head_dim: Positive
    intermediate_size: Positive  # with experts that of layers without them, of which there may be none
    vocab_size: Positive
    tied: bool  # whether the output layer is the embedding
    experts: Experts | None = None


@dataclass(frozen=True, kw_only=True)
class CuratedModel:
    """One recommended model. `id` is its name in the list of models once it is here; a preset names it by that."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    id: Name
    repository: Repository  # on Hugging Face
    modelscope: Repository | None = None  # its repository on ModelScope, where one is known
    title: Words
    parameters: Positive  # tied weights counted once
    active_parameters: Positive | None = None  # that a token passes, of a mixture of experts
    download: Positive  # bytes of the safetensors files
    licence: Words
    terms: Said | None = None  # what the licence restricts
    gated: bool  # whether an account must accept the licence before the download
    context: Positive  # tokens
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]
    kind: Literal["chat", "base", "classifier"]
    thinking: Literal["none", "always", "switchable"]
    good_for: Said
    shape: Shape

    def config(self) -> dict[str, Any]:
        """What the model's config.json says of its shape, under the names that its architecture has for that."""
        shape, experts = self.shape, self.shape.experts
        names = _DISTILBERT if shape.model_type == "distilbert" else _USUAL
        config = {names[key]: getattr(shape, key) for key in names}
        if experts is not None:
            config |= {"num_experts": experts.count, "num_experts_per_tok": experts.per_token}
            config |= {"moe_intermediate_size": experts.size}
        return {"model_type": shape.model_type, "max_position_embeddings": self.context, **config}


_USUAL = {
    "hidden_size": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate_size": "intermediate_size",
    "vocab_size": "vocab_size",
    "tied": "tie_word_embeddings",
}
_DISTILBERT = {
    "hidden_size": "dim",
    "layers": "n_layers",
    "heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "vocab_size": "vocab_size",
}


@functools.lru_cache(maxsize=1)
def curated_models() -> tuple[CuratedModel, ...]:
    """The recommended models, small to large; the file is read once."""
    return read_curated(_FILE)


def read_curated(path: Path) -> tuple[CuratedModel, ...]:
    """The models in a file like `catalog.yaml`.

    Raises:
        WorkbenchError: (`damaged`, or `yaml` with the line) naming the entry and the key that are wrong.
    """
    values = read_shipped_yaml(read_text(path), path.name)
    if not isinstance(values, list) or not values:
        raise _damaged(path, Text("it holds no list of models", "内容不是模型列表"))
    shape = TypeAdapter(CuratedModel)
    models: dict[str, CuratedModel] = {}
    for number, value in enumerate(values, 1):
        entry = _name(value, number)
        try:
            # By way of JSON, where strict types and tuples and dataclasses inside dataclasses go together.
            model = shape.validate_json(json.dumps(value, default=lambda other: [str(other)]), strict=True)
        except ValidationError as error:
            raise _damaged(path, _wrong(entry, error)) from None
        for key, given in (("id", model.id), ("repository", model.repository)):
            # Folders are named by the id, and not all systems tell large letters from small ones.
            if models.setdefault(f"{key} {given.lower()}", model) is not model:
                twice = Text("{given} is there twice", "{given} 重复出现").with_(given=given)
                raise _damaged(path, _at(entry, key, twice))
    return tuple(dict.fromkeys(models.values()))


def _name(value: Any, number: int) -> str:
    """What an entry is called in an error: its id, or its place in the list where it has none."""
    name = value.get("id") if isinstance(value, dict) else None
    return name[:MAX_SHOWN] if isinstance(name, str) and name else f"#{number}"


def _wrong(entry: str, error: ValidationError) -> Text:
    first = error.errors(include_url=False)[0]
    what = _IN_FILES.get(first["type"]) or problems_of(error, BaseModel)[0].message
    return _at(entry, ".".join(str(part) for part in first["loc"]), what)


_IN_FILES = {
    "unexpected_keyword_argument": Text("there is no such key", "没有这个键"),
    "dataclass_type": Text("it holds no keys with values", "内容不是键和值"),
}


def _at(entry: str, key: str, what: Text) -> Text:
    if not key:
        return Text("{entry}: {what}", "{entry}：{what}").with_(entry=entry, what=what)
    return Text("{entry}, {key}: {what}", "{entry} 的 {key}：{what}").with_(entry=entry, key=key, what=what)


def _damaged(path: Path, why: Text) -> WorkbenchError:
    return Damaged(
        path.name,
        why,
        Text("It comes with the workbench: install that again.", "该文件随工作台附带，请重新安装工作台。"),
    )
