"""The names of a model's layers, for settings that name some. Without torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from workbench.config.errors import Problem
from workbench.config.text import Text, listed
from workbench.models.files import check_folder, read_tensor_headers

NAMED = 12  # layers that an error names
TIED = "lm_head"  # shares the weights of the embedding in many models, and is then not stored
OUTPUTS = (TIED, "embed_out")  # what architectures call their output layer


def stored_layers(folder: Path) -> dict[str, int] | None:
    """The layers that are stored, with the dimensions of their largest weight (2 for a linear one).

    None for a mixture of experts, whose layers are put together only when it is loaded.

    Raises:
        WorkbenchError: the folder is no usable model.
    """
    tensors = [tensor for path in check_folder(folder).weights for tensor in read_tensor_headers(path)]
    layers = {TIED: 2}
    for tensor in tensors:
        name = tensor.name.rpartition(".")[0]
        layers[name] = max(layers.get(name, 0), len(tensor.shape))
    return None if any("expert" in name for name in layers) else layers


def missing_layers(wanted: Iterable[str], layers: Iterable[str], field: str) -> list[Problem]:
    """A problem when a name stands for no layer: a layer is meant by its whole name or by the end of it, as in peft."""
    known = list(layers)
    missing = [name for name in wanted if not any(f".{layer}".endswith(f".{name}") for layer in known)]
    if not missing:
        return []
    ends = sorted({layer.rpartition(".")[2] for layer in known if not layer.rpartition(".")[2].isdecimal()})
    return [
        Problem(
            Text("this model has no layer named {names}", "这个模型没有名为 {names} 的层").with_(names=listed(missing)),
            Text("There is: {names}.", "可用的有：{names}。").with_(names=listed(ends[:NAMED])),
            field,
        )
    ]
