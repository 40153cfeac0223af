"""Load tokenizers, models and adapters: from local folders and safetensors, in the dtype asked for, no foreign code.

This module imports torch and is itself imported only when something is loaded. A model that comes back has all its
weights from the files (a missing tensor is an error, never a random one), and its 4-bit layers compute correct
gradients on every CPU.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.models.adapters import AdapterFiles, check_adapter
from workbench.models.building import TooLarge, no_larger_than
from workbench.models.config_file import unknown_architecture
from workbench.models.files import check_folder
from workbench.models.generation_settings import read_generation_settings
from workbench.models.quantized import QUANTIZATIONS, one_by_one, quantization_config
from workbench.models.reading import model_error
from workbench.models.templates import check_template
from workbench.models.tokenizer_file import check_tokenizer

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

POOLER = "pooler"
HEADS = ("score", "classifier", "pre_classifier", "classification_head", POOLER)
"""How architectures call what they have behind their body; it learns whole, and so it is never quantised."""

_LOG = logging.getLogger(__name__)
_PAD_TOKENS = ("<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|PAD_TOKEN|>")
_PLAIN_INITIALISATIONS = (None, True, False, "gaussian")


def pick_device() -> str:
    """The device to train and answer on: the process's own CUDA or ROCm card, Intel's or Apple's GPU, or the CPU."""
    for kind, cards in (("cuda", torch.cuda), ("xpu", torch.xpu)):  # ROCm calls itself cuda, too
        if cards.is_available():
            rank = os.environ.get("LOCAL_RANK", "0")  # set by torchrun, one process a card
            return f"{kind}:{int(rank) % cards.device_count() if rank.isdigit() else 0}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pick_dtype(choice: str, device: str | torch.device | None = None) -> str:
    """`fp32`, `bf16` or `fp16` for a choice that may be `auto`.

    auto is bf16 where the device computes it in hardware, fp16 on older CUDA cards, and fp32 elsewhere.
    """
    if choice != "auto":
        return choice
    kind = torch.device(device or pick_device()).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if kind == "xpu":
        return "bf16" if torch.xpu.is_bf16_supported() else "fp32"
    # torch has no public name for this; without it bf16 on a CPU is slower than fp32.
    hardware_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return "bf16" if kind == "cpu" and hardware_bf16 is not None and hardware_bf16() else "fp32"


def load_tokenizer(folder: Path | str) -> Any:
    """The tokenizer in `folder`, with a padding token and, if any, a chat template that was tried out.

    Raises:
        WorkbenchError: it can't be read, or its template must not be used (see `check_template`).
    """
    folder = Path(folder)
    check_tokenizer(folder)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
        _ensure_pad_token(tokenizer)
        template = _used_template(tokenizer)
    except Exception as error:  # the tokenizers library raises bare Exception for a broken file
        _LOG.warning("tokenizer in %s", folder, exc_info=True)
        raise model_error(
            Text("The tokenizer in {folder} can't be read: {detail}", "无法读取 {folder} 中的分词器：{detail}").with_(
                folder=folder.name, detail=_first_line(error)
            ),
            Text("Download or copy the tokenizer's files again.", "请重新下载或复制分词器文件。"),
            code="broken_tokenizer",
        ) from error
    if template:
        check_template(template)
    return tokenizer


def load_model(
    folder: Path | str,
    dtype: str,
    quantization: str = "none",
    device: str | torch.device | None = None,
    attention: str | None = None,
    *,
    auto_class: Any = None,
    settings: dict[str, Any] | None = None,
) -> Any:
    """The model in `folder`, in eval mode, on `device`.

    Args:
        folder: a folder that `check_folder` accepts; anything else raises its error.
        dtype: fp32, bf16 or fp16: of the weights, and of the computation where they are quantised.
        quantization: none, int8 or nf4 (bitsandbytes).
        device: where the weights go, without a second copy on the way; default `pick_device()`.
        attention: an attention implementation of transformers; default sdpa, or eager for models that lack it.
        auto_class: the transformers Auto class; default AutoModelForCausalLM.
        settings: for its config, of a head that the files need not have (see `assembly`).
    """
    files = check_folder(folder)
    if dtype not in DTYPES or quantization not in QUANTIZATIONS:
        raise ValueError(f"dtype {dtype!r}, quantization {quantization!r}")
    place = torch.device(device or pick_device())
    options: dict[str, Any] = {
        "dtype": DTYPES[dtype],
        "use_safetensors": True,
        "trust_remote_code": False,
        "local_files_only": True,
        "output_loading_info": True,
        "attn_implementation": attention or "sdpa",
    }
    options |= _of_task(files.folder, settings)
    if quantization != "none":
        whole = [*HEADS] if settings is not None else None
        options["quantization_config"] = quantization_config(quantization, DTYPES[dtype], whole)
    if place.type != "cpu" or quantization != "none":
        options["device_map"] = {"": place}
    # Weights that stay as in the file are best mapped: the system can drop them when it needs the memory.
    converted = quantization != "none" or (place.type == "cpu" and files.dtype != dtype)
    try:
        with no_larger_than(files.parameters, files.tensors), one_by_one(converted):
            auto_class = auto_class or transformers.AutoModelForCausalLM
            model, info = _from_pretrained(auto_class, files.folder, options, fall_back=attention is None)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except TooLarge as error:
        raise _much_larger(files.folder) from error
    except Exception as error:  # a config.json with wrong values can make a model's code raise anything
        raise _explain(error, files.folder, files.config) from error
    _check_complete(info, files.folder, model if settings is not None else None)
    guard_packing(model)
    if getattr(model, "hf_device_map", None) and place.type == "cpu":
        del model.hf_device_map  # peft would spread the model over the devices that it finds
    if converted:
        _release_memory()
    return model.eval()


def _of_task(folder: Path, settings: dict[str, Any] | None) -> dict[str, Any]:
    """What a model is told that writes, or that gets a head with these settings."""
    if settings is not None:
        return {**settings, "ignore_mismatched_sizes": True}  # a head of other classes is made anew
    # Given here, the folder's own file is not read: one odd value in it would end the loading, or the first answer.
    return {"generation_config": transformers.GenerationConfig(**read_generation_settings(folder).used)}


def guard_packing(model: torch.nn.Module) -> int:
    """Keep bitsandbytes from re-packing 4-bit weights in place on the CPU; the number of layers guarded.

    On CPUs with AVX512-BF16, Linear4bit packs its weight on the first forward in eval mode and never unpacks it, after
    which gradients, merging, dequantising and saving are silently wrong. Delete this when bitsandbytes unpacks for
    training (bitsandbytes issue 2078 is about the same packing).
    """
    bitsandbytes = sys.modules.get("bitsandbytes")  # not imported: there can be no such layer
    if bitsandbytes is None:
        return 0
    layers = [module for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    return len(layers)


def check_vocabulary(model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer that has more tokens than the model has embeddings: it would fail in the middle of a run."""
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise model_error(
            Text(
                "The tokenizer has {tokens} tokens, but the model has embeddings for {rows}.",
                "分词器有 {tokens} 个词元，而模型只有 {rows} 个词嵌入。",
            ).with_(tokens=len(tokenizer), rows=rows),
            Text("Put the model's own tokenizer into its folder.", "请在模型文件夹中放入与之配套的分词器。"),
            code="vocabulary_mismatch",
        )


def load_adapter(model: Any, adapter_folder: Path | str, *, name: str = "default", trainable: bool = False) -> Any:
    """Put a LoRA adapter onto a loaded model and give the PeftModel back; the model's own weights are shared.

    Args:
        model: a model, or a PeftModel that gets one adapter more.
        adapter_folder: a folder that `check_adapter` accepts.
        name: the adapter's name in the PeftModel.
        trainable: whether its weights get gradients.
    """
    from peft import LoraConfig, PeftModel

    files = check_adapter(adapter_folder)
    is_peft = isinstance(model, PeftModel)
    _check_fit(model.get_base_model() if is_peft else model, files)
    config = LoraConfig(**files.arguments, inference_mode=not trainable)
    options = {
        "is_trainable": trainable,
        "torch_device": str(next(model.parameters()).device),
        # Weights are read straight into place; the other initialisations change the base and have to run.
        "low_cpu_mem_usage": files.arguments.get("init_lora_weights") in _PLAIN_INITIALISATIONS,
    }
    try:
        if is_peft:
            model.add_adapter(name, config, low_cpu_mem_usage=options["low_cpu_mem_usage"])
            model.load_adapter(str(files.folder), adapter_name=name, **options)
        else:
            model = PeftModel.from_pretrained(model, str(files.folder), adapter_name=name, config=config, **options)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # what peft raises for an adapter that does not fit depends on the layer
        _LOG.warning("adapter in %s", files.folder, exc_info=error)
        raise not_of_this_base(_first_line(error)) from error
    _check_loaded(model, files, name)
    return model


def _release_memory() -> None:
    """Give the buffers of quantising back to the system: on Linux they stay with the process, as much as the model."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc has it, musl has not
        trim(0)


def _from_pretrained(auto_class: Any, folder: Path, options: dict[str, Any], fall_back: bool) -> tuple[Any, dict]:
    try:
        return auto_class.from_pretrained(str(folder), **options)
    except ValueError as error:
        if not fall_back or "scaled_dot_product_attention" not in str(error):
            raise
        return auto_class.from_pretrained(str(folder), **{**options, "attn_implementation": "eager"})


def _check_complete(info: dict[str, Any], folder: Path, with_head: Any = None) -> None:
    """Refuse what lacks weights; of a model `with_head`, those of its body."""
    missing = sorted(info.get("missing_keys") or ())
    wrong = [str(item[0]) for item in info.get("mismatched_keys") or ()]
    if with_head is not None:
        body = f"{with_head.base_model_prefix}."
        missing, wrong = (
            [name for name in names if name.startswith(body) and not name.startswith(f"{body}{POOLER}.")]
            for names in (missing, wrong)
        )
    if missing or wrong:
        raise model_error(
            Text(
                "{count} of the model's tensors are not in the files of {folder}, the first is {name}.",
                "{folder} 的权重文件中缺少 {count} 个张量，第一个是 {name}。",
            ).with_(count=len(missing + wrong), folder=folder.name, name=(missing + wrong)[0]),
            Text("Download or copy the folder again.", "请重新下载或复制该文件夹。"),
            code="missing_tensors",
        )
    if info.get("unexpected_keys"):
        _LOG.info("tensors not used by %s: %s", folder, sorted(info["unexpected_keys"])[:10])


def _explain(error: Exception, folder: Path, config: dict[str, Any]) -> WorkbenchError:
    """What a library's loading error means."""
    _LOG.warning("loading %s", folder, exc_info=error)
    text = str(error)
    if isinstance(error, ImportError):
        return model_error(
            Text("Loading {folder} needs a package: {detail}", "加载 {folder} 需要软件包：{detail}").with_(
                folder=folder.name, detail=_first_line(error)
            ),
            Text("Install it, or choose another model.", "请安装该软件包，或选择其他模型。"),
            code="missing_package",
        )
    if "Unrecognized configuration class" in text or "model type" in text:
        return unknown_architecture(str(config["model_type"]))
    if isinstance(error, StrictDataclassError):
        key = re.search(r"field '(\w+)'", text)
        return model_error(
            Text(
                "config.json of {folder} has a wrong value: {key}.", "{folder} 的 config.json 中有错误的值：{key}。"
            ).with_(folder=folder.name, key=key[1] if key else text.strip().splitlines()[-1].strip()[:200]),
            Text("Download or copy config.json again.", "请重新下载或复制 config.json。"),
            code="impossible_config",
        )
    message = Text("{folder} can't be loaded: {detail}", "无法加载 {folder}：{detail}")
    if "ignore_mismatched_sizes" in text:
        message = Text(
            "config.json of {folder} names other sizes than the weights have.",
            "{folder} 的 config.json 中的尺寸与权重不符。",
        )
    return model_error(
        message.with_(folder=folder.name, detail=_first_line(error)),
        Text("Download or copy the folder again.", "请重新下载或复制该文件夹。"),
        code="damaged_weights",
    )


def _much_larger(folder: Path) -> WorkbenchError:
    return model_error(
        Text(
            "config.json of {folder} describes a model that is far larger than its weights.",
            "{folder} 的 config.json 描述的模型比权重文件大得多。",
        ).with_(folder=folder.name),
        Text("Download or copy config.json again.", "请重新下载或复制 config.json。"),
        code="impossible_config",
    )


def _check_fit(base: Any, files: AdapterFiles) -> None:
    """Compare the adapter's shapes with the model before anything is put into it."""
    if getattr(base, "_checkpoint_conversion_mapping", None):
        return  # peft renames the tensors of such architectures while loading; `_check_loaded` still looks
    modules, outputs = dict(base.named_modules()), files.outputs()
    parameters = {name.rpartition(".")[2] for name in files.arguments.get("target_parameters", ())}
    for path, shape in files.targets().items():
        module = modules.get(path.replace(".base_layer", ""))
        while hasattr(module, "base_layer"):
            module = module.base_layer
        if module is None:
            raise not_of_this_base(path)
        given = (outputs.get(path, (0,))[0], *shape[1:])
        own = [weight for name, weight in module.named_parameters(recurse=False) if name in parameters]
        if own and not any(_fits_parameter(given, shape[0], weight.shape) for weight in own):
            raise not_of_this_base(f"{path}: {given} / {tuple(own[0].shape)}")
        inputs = getattr(module, "in_features", None)
        if inputs is not None and not own and given != (module.out_features, inputs):
            raise not_of_this_base(f"{path}: {given} / {(module.out_features, inputs)}")


def _fits_parameter(given: tuple[int, ...], ranks: int, shape: tuple[int, ...]) -> bool:
    """Whether an adapter of so many outputs and inputs, with a rank for each expert, fits a parameter of this shape."""
    experts, *sides = (1, *shape) if len(shape) == 2 else shape
    return ranks % experts == 0 and sorted(given) == sorted(sides)  # architectures differ in the order of sides


def _check_loaded(model: Any, files: AdapterFiles, name: str) -> None:
    from peft import get_peft_model_state_dict

    expected = set(get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False))
    missing = sorted(expected - {tensor.name for tensor in files.tensors})
    if missing:
        raise not_of_this_base(missing[0])


def not_of_this_base(detail: str) -> WorkbenchError:
    """For an adapter that fits another model."""
    return WorkbenchError(
        Text(
            "The adapter does not belong to this base model ({detail}).",
            "该适配器与此基座模型不匹配（{detail}）。",
        ).with_(detail=detail),
        Text("Choose the base model that it was trained on.", "请选择训练该适配器时使用的基座模型。"),
        "model.base",
        code="adapter_mismatch",
    )


def _used_template(tokenizer: Any) -> str | None:
    """The one of a tokenizer's chat templates that conversations are rendered with."""
    try:
        template = tokenizer.get_chat_template()
    except ValueError:  # it has none, or several and none for general use
        return None
    if not isinstance(template, str):
        raise TypeError(f"its chat template is of type {type(template).__name__}")
    return template


def _ensure_pad_token(tokenizer: Any) -> None:
    """Padding is masked everywhere, so any token will do; one that means nothing else is best."""
    if tokenizer.pad_token is not None:
        return
    vocabulary = tokenizer.get_vocab()
    own = next((token for token in _PAD_TOKENS if token in vocabulary), None)
    tokenizer.pad_token = own or tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else line[:197] + "..."
