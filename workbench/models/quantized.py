"""Loading a quantised model, one tensor after the other, so that memory holds little beside what stays.

Two things make loading peak, and both end here. transformers maps the weight files into memory, where every page that was
read counts as used until the model is gone; and bitsandbytes computes a whole weight at once on a CPU, with some twenty bytes
for each of its numbers on the way. Weights are read one by one here, and quantised in pieces of whole blocks (4 bit) or
whole rows (8 bit), which are independent of each other: the result is the same to the last bit. Imports torch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from transformers import modeling_utils

QUANTIZATIONS = ("none", "int8", "nf4")

_LOG = logging.getLogger(__name__)
_PIECE = 2**20  # numbers quantised at once: some 20 MB on the way; a multiple of every size of block
_LOCK = threading.Lock()
_THREAD = threading.local()


@contextmanager
def one_by_one(wanted: bool = True) -> Iterator[None]:
    """Within it, what this thread loads reads each weight from its file when it is due, and maps no file into memory."""
    if wanted and not _read_where_wanted():
        _LOG.warning("this version of transformers reads weights in another way, so that loading takes more memory")
    before = getattr(_THREAD, "one_by_one", False)
    _THREAD.one_by_one = wanted
    try:
        yield
    finally:
        _THREAD.one_by_one = before


def _read_where_wanted() -> bool:
    """Let transformers open files in the way that `one_by_one` asks for; whether it can be told.

    It chooses by the system alone. Delete this when from_pretrained takes the way of reading as an argument.
    """
    opens = getattr(modeling_utils, "safe_open", None)
    if not callable(opens):
        return False
    with _LOCK:
        if not isinstance(opens, _Opener):
            modeling_utils.safe_open = _Opener(opens)  # type: ignore[attr-defined]
    return True


class _Opener:
    """Opens safetensors files as its caller says, but for the way of reading within `one_by_one`."""

    def __init__(self, opens: Any) -> None:
        self._opens = opens

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if getattr(_THREAD, "one_by_one", False) and options.get("backend") == "mmap":
            options["backend"] = "pread"
        return self._opens(*arguments, **options)


def quantization_config(
    kind: str, dtype: torch.dtype, whole: list[str] | None = None
) -> transformers.BitsAndBytesConfig:
    """What transformers is told of a quantisation, which is done in pieces on a CPU from now on.

    Args:
        kind: int8 or nf4; nf4 quantises its scales a second time (QLoRA, https://arxiv.org/abs/2305.14314, 3).
        dtype: of the computation.
        whole: layers that stay as they are; None: what transformers leaves, the output layer.
    """
    _quantise_in_pieces()
    if kind == "int8":
        # It warns about its cast to fp16 on every call of every layer.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return transformers.BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=whole)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        llm_int8_skip_modules=whole,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=True,
    )


def quantise_4bit(weight: torch.Tensor, blocksize: int, kind: str, double: bool) -> tuple[torch.Tensor, Any]:
    """What bitsandbytes' `quantize_4bit` gives for a weight, computed in pieces.

    Args:
        weight: (outputs, inputs), on a CPU.
        blocksize: numbers that share a scale.
        kind: nf4 or fp4.
        double: whether the scales are quantised, too.

    Returns:
        The packed numbers, (ceil(numbers / 2), 1) of uint8, and bitsandbytes' `QuantState`.
    """
    from bitsandbytes import functional

    flat = weight.reshape(-1)
    count = flat.numel()
    packed = torch.empty((-(-count // 2), 1), dtype=torch.uint8)
    scales = torch.empty(-(-count // blocksize), dtype=torch.float32)
    for start in range(0, count, _PIECE):
        piece = flat[start : start + _PIECE]
        numbers, state = functional.quantize_4bit(piece, blocksize=blocksize, quant_type=kind)
        packed[start // 2 : start // 2 + numbers.shape[0]] = numbers
        scales[start // blocksize : start // blocksize + state.absmax.numel()] = state.absmax
    known: dict[str, Any] = {"absmax": scales}
    if double:  # as `quantize_4bit` does it
        offset = scales.mean()
        numbers, second = functional.quantize_blockwise(scales - offset, blocksize=256)
        known = {"absmax": numbers, "offset": offset, "state2": second}
    code = functional.get_4bit_type(kind, device=weight.device)
    state = functional.QuantState(
        shape=weight.shape, dtype=weight.dtype, blocksize=blocksize, code=code, quant_type=kind, **known
    )
    return packed, state


def quantise_8bit(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What bitsandbytes' `int8_vectorwise_quant` gives for a weight, computed in pieces of whole rows.

    Args:
        weight: (outputs, inputs), on a CPU.

    Returns:
        The numbers, of weight's shape, and the rows' scales, (outputs,) of float32.
    """
    from bitsandbytes import functional

    numbers = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(weight.shape[0], dtype=torch.float32)
    rows = max(_PIECE // max(weight.shape[1], 1), 1)
    for start in range(0, weight.shape[0], rows):
        piece = weight[start : start + rows].to(torch.float16)
        numbers[start : start + rows], scales[start : start + rows], _ = functional.int8_vectorwise_quant(piece)
    return numbers, scales


def _quantise_in_pieces() -> None:
    """Let transformers quantise by way of this module. Once for the process, since what comes out is the same.

    Delete this when bitsandbytes quantises on a CPU without copies of the whole weight, or transformers piece by piece.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    with _LOCK:
        for kind, operation in (("4bit", _operation_4bit), ("8bit", _operation_8bit)):
            today = AUTO_QUANTIZER_MAPPING[f"bitsandbytes_{kind}"]
            if not getattr(today, "in_pieces", False):
                members = {"in_pieces": True, "get_quantize_ops": operation()}
                AUTO_QUANTIZER_MAPPING[f"bitsandbytes_{kind}"] = type(today.__name__, (today,), members)


def _operation_4bit() -> Any:
    import bitsandbytes
    from transformers.integrations.bitsandbytes import Bnb4bitQuantize

    class InPieces(Bnb4bitQuantize):
        """Quantises a weight on a CPU in pieces, and any other as transformers does."""

        def convert(self, input_dict: dict[str, Any], **options: Any) -> dict[str, Any]:
            model, result = options["model"], {}
            for name, value, module in _weights(input_dict, model):
                old = model.get_parameter_or_buffer(name)
                if value.device.type != "cpu" or old.quant_storage != torch.uint8:
                    result.update(super().convert({name: input_dict[name]}, **options))
                    continue
                packed, state = quantise_4bit(value, old.blocksize, old.quant_type, old.compress_statistics)
                module.quant_state, module._is_hf_initialized = state, True
                known = {**old.__dict__, "quant_state": state, "bnb_quantized": True}
                result[name] = bitsandbytes.nn.Params4bit(packed, requires_grad=False, **known)
            return result

    return lambda self: InPieces(self)


def _operation_8bit() -> Any:
    import bitsandbytes
    from transformers.integrations.bitsandbytes import Bnb8bitQuantize

    class InPieces(Bnb8bitQuantize):
        """Quantises a weight on a CPU in pieces, and any other as transformers does."""

        def convert(self, input_dict: dict[str, Any], **options: Any) -> dict[str, Any]:
            model, result = options["model"], {}
            for name, value, _module in _weights(input_dict, model):
                old = model.get_parameter_or_buffer(name)
                if value.device.type != "cpu" or old.has_fp16_weights:
                    result.update(super().convert({name: input_dict[name]}, **options))
                    continue
                numbers, scales = quantise_8bit(value)
                known = {**old.__dict__, "CB": numbers, "SCB": scales}
                result[name] = bitsandbytes.nn.Int8Params(numbers, requires_grad=False, **known)
            return result

    return lambda self: InPieces(self)


def _weights(given: dict[str, Any], model: torch.nn.Module) -> Iterable[tuple[str, torch.Tensor, Any]]:
    """Each weight to be quantised, with its name and layer; those of GPT-2's layers lie the other way round in the file."""
    from transformers.pytorch_utils import Conv1D

    for name, value in given.items():
        module = model.get_submodule(name.rpartition(".")[0])
        weight = value[0] if isinstance(value, list) else value
        yield name, weight.T if issubclass(module.source_cls, Conv1D) else weight, module  # type: ignore[arg-type]
