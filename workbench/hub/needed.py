"""Which files of a repository a model needs, by their names; and why a repository without them is none that can be used."""

from __future__ import annotations

import re
from collections.abc import Sequence

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.hub.errors import hub_error
from workbench.models.files import TOKENIZER_FILES, TOKENIZER_VOCABULARIES, WEIGHTS, WEIGHTS_INDEX

__all__ = ["FILE_NAME", "needed_files"]

# A name of a file that lies in the model's folder itself, and that every system can write.
FILE_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,198}[A-Za-z0-9]", re.ASCII)
_SHARD = re.compile(r"model-\d{5,6}-of-\d{5,6}\.safetensors", re.ASCII)
_ANY_SHARD = re.compile(r"(?!consolidated|adapter).+-\d{5,6}-of-\d{5,6}\.safetensors", re.ASCII)
_WORDS = re.compile(r"(?:README|LICEN[CS]E|NOTICE|USE_POLICY)(?:[._-][A-Za-z0-9._-]{1,40})?", re.ASCII | re.IGNORECASE)
_WORD_ENDINGS = ("", ".md", ".txt", ".rst")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
_ADAPTER = "adapter_config.json"


def needed_files(repo_id: str, names: Sequence[str], tags: Sequence[str] = ()) -> list[str]:
    """The files to download, what says most of the model first and the weights last.

    Never pickles, code, other formats, or a second copy of the weights.

    Args:
        names: paths of all files of the repository.
        tags: what the repository says of itself.

    Raises:
        WorkbenchError: (adapter_folder, hub_gguf, quantized, hub_pickles, remote_code, hub_unusable) there is no model in
            it that can be trained here.
    """
    here = sorted({name for name in names if FILE_NAME.fullmatch(name)})
    weights = _weights(here)
    vocabularies = [name for name in TOKENIZER_VOCABULARIES if name in here]
    if "config.json" not in here or not weights or not vocabularies:
        raise _unusable(repo_id, list(names), bool(weights))
    if "quantize_config.json" in here or {"gptq", "awq"} & {tag.lower() for tag in tags}:
        raise _quantised(repo_id)
    small = [name for name in ("generation_config.json", *TOKENIZER_FILES) if name in here]
    words = [name for name in here if _WORDS.fullmatch(name) and _ending(name) in _WORD_ENDINGS]
    return list(dict.fromkeys(["config.json", *small, *words, *weights]))


def _ending(name: str) -> str:
    """How a file's name ends, as far as that says what it is: that of `LICENSE-2.0` doesn't."""
    ending = name[name.rfind(".") :].lower() if "." in name else ""
    return "" if ending[1:].isdigit() else ending


def _weights(here: list[str]) -> list[str]:
    """The weight files that are read; the whole file before the many, as reading the folder does it."""
    if WEIGHTS in here:
        return [WEIGHTS]
    if WEIGHTS_INDEX not in here:
        return []
    shards = [name for name in here if _SHARD.fullmatch(name)] or [name for name in here if _ANY_SHARD.fullmatch(name)]
    return [WEIGHTS_INDEX, *shards] if shards else []


def _unusable(repo_id: str, names: list[str], has_weights: bool) -> WorkbenchError:
    """Why nothing in a repository can be used: by what is there instead."""
    endings = {name[name.rfind(".") :].lower() for name in names if "." in name}
    another = Text("Choose another model.", "请换一个模型。")
    if _ADAPTER in names and not has_weights:
        return hub_error(
            Text("{model} is an adapter, not a whole model", "{model} 是适配器，不是完整的模型").with_(model=repo_id),
            Text(
                "Download the model that it was made for; its page names it.",
                "请下载它所基于的模型，模型页面上有说明。",
            ),
            code="adapter_folder",
        )
    if ".safetensors" in endings and "config.json" in names and not has_weights:
        return hub_error(
            Text("the weights of {model} lie in files of another layout", "{model} 的权重文件采用了其他布局").with_(
                model=repo_id
            ),
            Text(
                "Choose a copy in the layout of transformers: model.safetensors, or parts of it with an index.",
                "请选择 transformers 布局的版本：model.safetensors，或带索引的多个分片。",
            ),
            code="hub_unusable",
        )
    if ".gguf" in endings and not has_weights:
        return hub_error(
            Text(
                "{model} holds GGUF files, which are made for answering and can't be trained",
                "{model} 是 GGUF 格式，只用于推理，无法训练",
            ).with_(model=repo_id),
            Text(
                "Take the original model, mostly the same name without -GGUF.",
                "请使用原始模型，通常是去掉 -GGUF 的同名模型。",
            ),
            code="hub_gguf",
        )
    if endings & set(_PICKLES) and not has_weights:
        return hub_error(
            Text(
                "{model} keeps its weights in pickle files, which can carry programs and are not loaded",
                "{model} 的权重是 pickle 文件，可能夹带程序，因此不予加载",
            ).with_(model=repo_id),
            Text("Choose a copy in safetensors format.", "请选择 safetensors 格式的版本。"),
            code="hub_pickles",
        )
    if ".py" in endings and not has_weights:
        return hub_error(
            Text("{model} holds programs and no weights", "{model} 只有程序代码，没有权重").with_(model=repo_id),
            another,
            code="remote_code",
        )
    missing = "model.safetensors" if not has_weights else "config.json" if "config.json" not in names else None
    return hub_error(
        Text("{model} holds no model that can be trained: no {file}", "{model} 中没有可训练的模型：缺少 {file}").with_(
            model=repo_id, file=missing or "tokenizer.json"
        ),
        another,
        code="hub_unusable",
    )


def _quantised(repo_id: str) -> WorkbenchError:
    return hub_error(
        Text("{model} is already quantised", "{model} 已经量化").with_(model=repo_id),
        Text(
            "Take the original model; it can be quantised while it is loaded.",
            "请使用原始模型；加载时可以再量化。",
        ),
        code="quantized",
    )
