"""A model is built only as large as its weights are: whoever builds more than that is stopped in the middle.

The second wall behind `config_sizes`, for numbers in a config.json that only an architecture's own code knows. Imports torch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules import module as registry

# Far more than any architecture needs: experts stored as one tensor and built one by one, layers replaced by quantised
# ones, tied weights built twice; and tables for a long context, which are not stored.
_TIMES, _SPARE_PIECES, _SPARE_NUMBERS = 4, 20_000, 2**24
_PIECES_PER_TENSOR, _TABLES = 64, 2**32


class TooLarge(Exception):  # noqa: N818 - what it means is said by `loading`
    """A model is being built that is far larger than its weights."""


@contextmanager
def no_larger_than(parameters: int, tensors: int) -> Iterator[None]:
    """Stop what this thread builds when it exceeds the weights by far.

    Args:
        parameters: how many numbers the weights have.
        tensors: how many tensors.

    Raises:
        TooLarge: from inside the block.
    """
    mine = threading.get_ident()
    pieces = numbers = tables = 0

    def count(_module: nn.Module, _name: str, piece: Any) -> None:
        nonlocal pieces, numbers, tables
        if threading.get_ident() != mine:
            return
        pieces += 1
        if getattr(piece, "is_meta", False):  # one that is loaded has its place in the file
            if isinstance(piece, nn.Parameter):
                numbers += piece.numel()
            else:
                tables += piece.numel() * piece.element_size()
        if (
            pieces > _SPARE_PIECES + _PIECES_PER_TENSOR * tensors
            or numbers > _SPARE_NUMBERS + _TIMES * parameters
            or tables > _TABLES + _TIMES * parameters
        ):
            raise TooLarge

    hooks = [
        registry.register_module_parameter_registration_hook(count),
        registry.register_module_buffer_registration_hook(count),
        registry.register_module_module_registration_hook(count),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
