"""What memory a run takes at its peak, from the shape of its model and its settings alone: no weights, no torch, no network.

All figures are bytes. What a process holds before it has a model (Python, torch: its base) is not among them; on a graphics
card a part `reserve` stands for its context and for what the allocator cannot use.

Activations were counted as tensors that autograd saves, for each token and layer, on six Llama-like shapes, which the linear
forms of `_ACTIVATIONS` meet within 0.5 %. What a processor's memory holds besides was measured (`docs/memory.md`;
`python -m tests.benchmarks.memory` measures anew). Not calibrated: DoRA, experts, encoders, quantised models on a graphics card
(taken as LoRA in bf16).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from workbench.adapters.lora import LoraOptions, lora_of
from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.tasks import CAUSAL
from workbench.config.text import Text
from workbench.methods import METHODS
from workbench.models.shape import Shape

# Bytes a number in a linear layer. NF4: half a byte, and 4 for the scale of 64; with its scales quantised too 0.516 (QLoRA,
# arXiv:2305.14314, 3). int8 (arXiv:2208.07339): a byte, and 4 for the scale of each row.
_QUANTISED = {"int8": 1.002, "nf4": 0.5625, "nf4_double": 0.516}
# Bytes a number that learns. 8 bit: a byte for each moment, with a scale of 4 for 256 of them.
_STATES = {
    "adamw": 8.0, "paged_adamw_32bit": 8.0, "adamw_8bit": 2.06, "paged_adamw_8bit": 2.06, "lion": 4.0, "sgd": 0.0,
    "adafactor": 0.1,
}  # fmt: skip
# Bytes a token and layer, in units of width, width of the feed-forward part and width of the keys: (lora, 16 bits).
_ACTIVATIONS = {
    (False, True): (20.1, 8.0, 4.0),
    (True, True): (36.4, 10.0, 4.2),
    (False, False): (32.1, 16.0, 8.0),
    (True, False): (24.4, 16.0, 8.2),
}
_PIECE_TOKENS, _PIECE_WORDS = 4096, 32768  # the head that keeps no logits computes at most so many at once
_WHOLE_HEAD = 5e8  # bytes of logits up to which a processor computes them at once, as `trainers.padding_free` does
_RESERVE_SHARE, _RESERVE = 0.05, int(0.8 * 2**30)  # of a graphics card: assumed, not measured
_LIBRARIES = int(0.11e9)  # on a processor, what libraries load and keep with the first step
# On a processor: what freed tensors leave in memory in holes that fit no later one, in sizes of the inputs of all layers in 32
# bits. Layers that are quantised make many short-lived tensors. The inputs of one layer count up to so many bytes, in 32 and
# in 16 bits: measured up to 6 MB, and the larger a tensor is, the likelier its room is given back at once.
_HOLES = {"full": 6.0, "lora": 7.5, "quantised": 21.0}
_LARGEST_HOLE = {False: 2**23, True: 3 * 2**19}
_SHORTEST = 16  # tokens, as `data.max_length` allows


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What a method holds and computes besides the model that learns.

    Attributes:
        sequences: tokens pass so many times, for each row (2 for a pair of answers).
        reference: holds the model as it was: a second copy when the whole model learns; with an adapter it is only off.
        value, judge: a second model of the same shape that learns (estimates), or only looks (rewards).
        generates: writes answers, with a cache of keys and values.
        words: scores each word of the vocabulary; otherwise it has classes or one number.
        whole_head: keeps all logits of a step.
    """

    sequences: int = 1
    reference: bool = False
    value: bool = False
    judge: bool = False
    generates: bool = False
    words: bool = True
    whole_head: bool = False

    @property
    def padded(self) -> bool:
        """Whether the rows of a batch are padded to the longest one of them."""
        return self.whole_head or not self.words


METHOD_ROLES = MappingProxyType(
    {
        "sft": Roles(),
        "pretrain": Roles(),
        # What the model said before is computed before the first step when the whole model learns: no second copy.
        "dpo": Roles(sequences=2, whole_head=True),
        "orpo": Roles(sequences=2, whole_head=True),
        "kto": Roles(reference=True, whole_head=True),
        "reward": Roles(sequences=2, words=False),
        "classify": Roles(words=False),
        "ppo": Roles(reference=True, value=True, judge=True, generates=True, whole_head=True),
        "grpo": Roles(reference=True, generates=True, whole_head=True),
        "rloo": Roles(reference=True, generates=True, whole_head=True),
    }
)


def roles_of(kind: str) -> Roles:
    """Of a method; of one that is not counted above, what it declares, with all logits kept: rather too much than too little."""
    method = METHODS.get(kind)
    if kind in METHOD_ROLES or method is None:
        return METHOD_ROLES[kind]
    return Roles(sequences=method.sequences, words=method.task == CAUSAL, whole_head=True)


@dataclass(frozen=True, kw_only=True)
class Holding:
    """In what form things are held, where `estimate` has translated the settings of a run.

    Attributes:
        frozen: bytes a number of the model's weights that are not quantised.
        half: whether activations have 16 bits.
        quantization: none, int8, nf4, or nf4_double.
        rank: of LoRA; 0 for full tuning.
        learned: bytes a number that learns, and of its gradient.
        states: bytes of the optimizer's states, for each number that learns.
        extra: numbers that learn besides those of LoRA.
        checkpointing: keeps only each layer's inputs; `offloaded`: these not on the device.
        processor: the libraries and the holes between tensors are counted, which graphics cards do not have.
        pieces: the head computes logits in pieces and keeps none, except where they are fewer than `whole_up_to` bytes.
    """

    frozen: float
    half: bool
    quantization: str = "none"
    rank: int = 0
    learned: float = 4.0
    states: float = 8.0
    extra: int = 0
    checkpointing: bool = False
    offloaded: bool = False
    processor: bool = False
    pieces: bool = True
    whole_up_to: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """Bytes of each part, of each phase (`loading`, `step`, `saving`), and the peak, which is the largest phase.

    Parts that are not there at the same time (gradients and activations) make the parts' sum more than the peak.
    """

    parts: dict[str, int]
    phases: dict[str, int]

    @property
    def peak_bytes(self) -> int:
        return max(self.phases.values())


@dataclass(frozen=True)
class Change:
    """A setting that lowers the peak: what to set, what it saves and what remains, in bytes."""

    path: str
    value: int | str
    text: Text
    saved_bytes: int
    peak_bytes: int


def estimate(
    shape: Shape,
    config: RunConfig,
    *,
    row_tokens: int,
    device: str,
    half: bool | None = None,
    method: str | None = None,
) -> Estimate:
    """The peak of a run.

    Args:
        shape: of the base model.
        config: the run. `auto` checkpointing counts as off.
        row_tokens: tokens of the longest row; what `data.max_length` cuts is not counted.
        device: as torch names it ("cpu", "cuda", "mps" ...).
        half: whether `auto` precision means 16 bits there; where it is None, everywhere but on a processor.
        method: one of `METHOD_ROLES` in place of the config's own.
    """
    processor = device.startswith("cpu")
    by_itself = not processor if half is None else half
    half = config.precision.dtype in ("bf16", "fp16") or (config.precision.dtype == "auto" and by_itself)
    roles = roles_of(method or config.method.kind)
    tokens = config.optimization.batch_size * roles.sequences * min(row_tokens, config.data.max_length)
    lora = lora_of(config.adapter)
    holding = Holding(
        frozen=2.0 if half and not config.adapter.whole else 4.0,
        half=half,
        quantization=config.model.quantization,
        rank=lora.rank if lora is not None else 0,
        states=_STATES[config.optimization.optimizer],
        extra=_extra(shape, lora) if lora is not None else 0,
        checkpointing=config.precision.activation_checkpointing == "on",
        processor=processor,
        pieces=not roles.whole_head,
        whole_up_to=0.0 if device.startswith("cuda") else _WHOLE_HEAD,
    )
    found = estimate_held(shape, holding, tokens=tokens, roles=roles)
    return _with_reserve(found) if device.startswith("cuda") else found


def estimate_held(shape: Shape, holding: Holding, *, tokens: int, roles: Roles = METHOD_ROLES["sft"]) -> Estimate:
    """The peak of a step with so many tokens at once, without any reserve."""
    full = not holding.rank
    weights = _weights(shape, holding)
    learned = shape.parameters if full else shape.lora_parameters(holding.rank) + holding.extra
    layer = _layer(shape, holding, tokens)
    kept = layer * shape.layers
    copies = 1 + roles.value
    if holding.checkpointing:
        inputs = tokens * shape.hidden * shape.layers * (2 if holding.half and holding.frozen < 4 else 4)
        kept = layer + (0 if holding.offloaded else inputs)
    parts = {
        "weights": weights,
        "adapter": 0.0 if full else learned * holding.learned * copies,
        "optimizer": learned * holding.states * copies,
        "gradients": learned * holding.learned * copies,
        "activations": kept * copies,
        "head": _head(shape, holding, tokens, roles),
        # Autocast keeps 16-bit copies of 32-bit weights until the step ends.
        "casts": 2.0 * shape.parameters if holding.half and holding.frozen >= 4 else 0.0,
        "unpacking": 2.0 * shape.largest_linear if holding.quantization != "none" else 0.0,
        "other models": weights * ((roles.value + roles.reference if full else 0) + roles.judge),
        "cache": 0.0,
        "libraries": float(_LIBRARIES) if holding.processor else 0.0,
        "holes": _holes(shape, holding, tokens),
    }
    if roles.generates:
        parts["cache"] = float(tokens * shape.layers * 2 * shape.kv_width * (2 if holding.half else 4))
    standing = parts["weights"] + parts["adapter"] + parts["other models"] + parts["libraries"]
    always = standing + parts["optimizer"] + parts["unpacking"] + parts["casts"] + parts["holes"]
    # The gradient of a tied embedding comes twice, and is added.
    twice = 4.0 * shape.vocabulary * shape.hidden if full and shape.tied else 0.0
    busy = max(parts["activations"] + parts["head"], parts["gradients"] + layer + twice, parts["cache"])
    tensor = 4.0 * max(shape.largest_linear, shape.vocabulary * shape.hidden)  # one is converted or copied at a time
    phases = {
        "loading": parts["weights"] + parts["other models"] + tensor,
        "step": always + busy,
        "saving": standing + parts["optimizer"] + parts["holes"] + tensor,
    }
    return Estimate(_whole(parts), _whole(phases))


def learned_bytes(shape: Shape, config: RunConfig) -> tuple[float, float]:
    """Bytes of the weights that a run changes, and of the optimizer's states for them, as a checkpoint holds them."""
    learned, lora = shape.parameters, lora_of(config.adapter)
    if lora is not None:
        learned = shape.lora_parameters(lora.rank) + _extra(shape, lora)
    return 4.0 * learned, _STATES[config.optimization.optimizer] * learned


def _extra(shape: Shape, lora: LoraOptions) -> int:
    """Numbers that learn besides those of LoRA: whole layers that are saved along, which are the outer ones."""
    return len(lora.modules_to_save) * shape.vocabulary * shape.hidden


def advice(
    shape: Shape,
    config: RunConfig,
    *,
    row_tokens: int,
    device: str,
    half: bool | None = None,
    method: str | None = None,
) -> tuple[Change, ...]:
    """Single changes that lower the peak of this run, the one that saves most first. Arguments as for `estimate`."""
    before = estimate(shape, config, row_tokens=row_tokens, device=device, half=half, method=method).peak_bytes
    changes = []
    for path, value, text in _possible(config, min(row_tokens, config.data.max_length), device):
        try:
            changed = config.changed({path: value})
        except WorkbenchError:  # another setting does not go with it
            continue
        peak = estimate(shape, changed, row_tokens=row_tokens, device=device, half=half, method=method).peak_bytes
        if peak < before:
            changes.append(Change(path, value, text, before - peak, peak))
    return tuple(sorted(changes, key=lambda change: -change.saved_bytes))


def _possible(config: RunConfig, row_tokens: int, device: str) -> list[tuple[str, int | str, Text]]:
    found: list[tuple[str, int | str, Text]] = []
    batch = config.optimization.batch_size
    if batch > 1:
        found.append(("optimization.batch_size", batch // 2, _BATCH.with_(rows=batch // 2)))
    if row_tokens // 2 >= _SHORTEST:
        found.append(("data.max_length", row_tokens // 2, _LENGTH.with_(tokens=row_tokens // 2)))
    if config.precision.activation_checkpointing != "on":
        found.append(("precision.activation_checkpointing", "on", _CHECKPOINTING))
    if config.adapter.whole:
        found.append(("adapter.kind", "lora", _LORA))
    else:
        if config.model.quantization == "none":
            found.append(("model.quantization", "int8", _INT8))
        if config.model.quantization != "nf4":
            found.append(("model.quantization", "nf4", _NF4))
    if device.startswith("cuda") and "8bit" not in config.optimization.optimizer:
        found.append(("optimization.optimizer", "adamw_8bit", _OPTIMIZER))
    return found


def _weights(shape: Shape, holding: Holding) -> float:
    linear = shape.linear_parameters * _QUANTISED.get(holding.quantization, holding.frozen)
    return linear + shape.other_parameters * holding.frozen


def _layer(shape: Shape, holding: Holding, tokens: int) -> float:
    """What one layer saves for the way back."""
    # On a processor plain LoRA layers keep their inputs in 16 bits alone (`models/quick_lora.py`), as layers without LoRA.
    quick = holding.processor and holding.half and holding.quantization == "none"
    hidden, ffn, keys = _ACTIVATIONS[bool(holding.rank) and not quick, holding.half]
    return tokens * (hidden * shape.hidden + ffn * shape.active_ffn + keys * shape.kv_width)


def _holes(shape: Shape, holding: Holding, tokens: int) -> float:
    if not holding.processor:
        return 0.0
    full = not holding.rank
    kind = "quantised" if holding.quantization != "none" else "full" if full else "lora"
    count = _HOLES[kind] / (2 if kind == "quantised" and holding.half else 1)
    return count * shape.layers * min(4.0 * tokens * shape.hidden, _LARGEST_HOLE[holding.half and not full])


def _head(shape: Shape, holding: Holding, tokens: int, roles: Roles) -> float:
    if not roles.words:
        return 4.0 * tokens * shape.hidden
    number = 2 if holding.half else 4
    # Logits, their copy in 32 bits, and the gradients of both; in 32 bits no copy is needed.
    logits = shape.vocabulary * (number + 4 + 4 + (number if holding.half else 0))
    # Its own gradient comes first, while everything else is still there.
    trained = 0 if holding.rank else 4 * shape.vocabulary * shape.hidden
    if not holding.pieces:
        return float(tokens * logits + trained)
    piece = min(tokens, _PIECE_TOKENS) * min(shape.vocabulary, _PIECE_WORDS) * number
    # Shorter batches of the same run may come just below the limit.
    whole = min(tokens, holding.whole_up_to / (4 * shape.vocabulary)) * logits
    return max(float(piece + 4 * tokens * shape.hidden), whole) + trained


def _with_reserve(found: Estimate) -> Estimate:
    reserve = int(found.peak_bytes * _RESERVE_SHARE) + _RESERVE
    phases = {name: size + reserve for name, size in found.phases.items()}
    return Estimate({**found.parts, "reserve": reserve}, phases)


def _whole(sizes: dict[str, float]) -> dict[str, int]:
    return {name: int(size) for name, size in sizes.items()}


PARTS = MappingProxyType(
    {
        "weights": Text("the model", "模型"),
        "adapter": Text("what is trained", "被训练的部分"),
        "gradients": Text("its corrections (gradients)", "梯度"),
        "optimizer": Text("notes on each number that learns (optimizer)", "优化器状态"),
        "activations": Text("intermediate results", "中间结果（激活）"),
        "head": Text("scores of all words", "词表打分（logits）"),
        "casts": Text("copies in 16 bits", "16 位副本"),
        "unpacking": Text("the layer that is unpacked", "正在解包的层"),
        "other models": Text("other models", "其他模型"),
        "cache": Text("memory while it answers", "生成时的缓存"),
        "holes": Text("gaps between them", "内存碎片"),
        "libraries": Text("libraries", "程序库"),
        "reserve": Text("reserve", "预留"),
        "program": Text("the workbench itself", "工作台本身"),
    }
)
"""What each part of an `Estimate` is called; `program` comes with `fitting.memory_fit`."""

_BATCH = Text("Learn {rows} rows at a time.", "每次只学 {rows} 条样本。")
_LENGTH = Text("Cut rows after {tokens} tokens.", "样本超过 {tokens} 个词元就截断。")
_CHECKPOINTING = Text(
    "Compute intermediate results twice instead of keeping them: about a quarter slower.",
    "中间结果不保存而是重算：约慢四分之一。",
)
_LORA = Text(
    "Train a small addition to the model instead of the whole model.", "不训练整个模型，只训练附加在上面的一小部分。"
)
_INT8 = Text("Hold the model in 8 bits a number: slightly less exact.", "每个数用 8 位存放模型：精度略降。")
_NF4 = Text(
    "Hold the model in 4 bits a number: a little less exact than 8.", "每个数用 4 位存放模型：精度比 8 位再低一点。"
)
_OPTIMIZER = Text(
    "Keep the notes that training makes on each number in 8 bits.", "训练为每个数记下的状态改用 8 位存放。"
)
