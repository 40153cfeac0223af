"""The section `optimization`: how far and how fast the weights move."""

from __future__ import annotations

from typing import Literal

from workbench.config.fields import knob
from workbench.config.sections import ROWS, STEPS, Section
from workbench.config.text import Text, same

# What counts where, as transformers (5.14, `Trainer.get_optimizer_cls_and_kwargs`, `get_constant_schedule`) hands it on.
_ADAM = ("adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit")
_WITH_BETAS, _WITH_EPSILON = ("optimizer", (*_ADAM, "lion")), ("optimizer", _ADAM)
_WITH_WARM_UP = ("scheduler", ("linear", "cosine", "constant_with_warmup", "polynomial", "inverse_sqrt"))


class OptimizationSection(Section):
    """Learning rate, batches, length and the optimizer (AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    learning_rate: float = knob(
        2e-4,
        Text("Learning rate", "学习率"),
        Text(
            "How far each step moves. Higher: learns faster, but may become unstable or forget; lower: safer and slower.",
            "每一步走多远。调高：学得快，但可能不稳定或遗忘；调低：更稳，也更慢。",
        ),
        level="basic",
        gt=0,
        le=1,
        also=("lr",),
    )
    epochs: float = knob(
        3.0,
        Text("Epochs", "轮数"),
        Text(
            "How often every row is read. More: it learns better at first, then learns by heart.",
            "每条样本读几遍。多：先学得更好，再多就变成死记硬背。",
        ),
        level="basic",
        gt=0,
        le=1000,
        also=("num_train_epochs", "num_epochs"),
    )
    max_steps: int = knob(
        0,
        Text("Stop after", "最多步数"),
        Text(
            "Ends the run after so many steps, whatever the epochs say. 0: the epochs decide.",
            "达到这么多步就结束，不管轮数。0 表示由轮数决定。",
        ),
        unit=STEPS,
        ge=0,
        le=10_000_000,
    )
    batch_size: int = knob(
        8,
        Text("Batch size", "批大小"),
        Text(
            "Rows that are computed together. More: steadier steps, more memory. Halve it when memory runs out.",
            "一起计算的样本数。越大：每步越平稳，也越占内存。内存不够时减半。",
        ),
        level="basic",
        unit=ROWS,
        ge=1,
        le=4096,
        also=("per_device_train_batch_size", "micro_batch_size"),
    )
    accumulation: int = knob(
        1,
        Text("Batches per step", "梯度累积"),
        Text(
            "Collects so many batches before each step: works like a larger batch without its memory, but steps take longer.",
            "攒够这么多批再走一步：效果像更大的批，但不多占内存，只是每步更久。",
        ),
        ge=1,
        le=4096,
        also=("gradient_accumulation_steps",),
    )
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "lion", "sgd"] = (
        knob(
            "adamw",
            Text("Optimizer", "优化器"),
            Text(
                "The rule for each step. AdamW suits nearly everything; the 8 bit and paged ones save memory on large models.",
                "每一步怎么走。AdamW 几乎都适用；8 位和分页版本在大模型上省内存。",
            ),
            choices={
                "adamw": same("AdamW"),
                "adamw_8bit": Text("AdamW, 8 bit", "AdamW（8 位）"),
                "paged_adamw_8bit": Text("AdamW, 8 bit, paged", "AdamW（8 位，分页）"),
                "paged_adamw_32bit": Text("AdamW, paged", "AdamW（分页）"),
                "adafactor": same("Adafactor"),
                "lion": same("Lion"),
                "sgd": same("SGD"),
            },
            also=("optim",),
        )
    )
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"] = knob(
        "linear",
        Text("Learning-rate schedule", "学习率曲线"),
        Text(
            "How the learning rate goes on after the warm-up. Falling ones (linear, cosine) end more precisely than constant.",
            "预热之后学习率怎么变。下降的曲线（linear、cosine）比恒定的收尾更精细。",
        ),
        choices={
            "linear": Text("linear fall", "线性下降"),
            "cosine": Text("cosine fall", "余弦下降"),
            "constant": Text("constant", "恒定"),
            "constant_with_warmup": Text("constant after warm-up", "预热后恒定"),
            "polynomial": Text("polynomial fall", "多项式下降"),
            "inverse_sqrt": Text("inverse square root", "平方根倒数"),
        },
        also=("lr_scheduler_type", "lr_scheduler"),
    )
    warmup_ratio: float = knob(
        0.03,
        Text("Warm-up", "预热比例"),
        Text(
            "Share of the run in which the learning rate rises to its full value. More: a calmer start, less time at full rate.",
            "学习率逐步升到设定值的那一段占多少。调大：开头更平稳，全速阶段变短。",
        ),
        ge=0,
        le=1,
        also=("warmup_steps",),
        when=_WITH_WARM_UP,
    )
    weight_decay: float = knob(
        0.0,
        Text("Weight decay", "权重衰减"),
        Text(
            "Pulls weights towards zero. Higher: less learning by heart, weaker learning.",
            "把权重往零拉。调高：不易死记，学习也变弱。",
        ),
        ge=0,
        le=10,
    )
    max_grad_norm: float = knob(
        1.0,
        Text("Gradient clipping", "梯度裁剪"),
        Text(
            "Caps the size of a step. Lower: safer against sudden jumps, slower. 0 switches it off.",
            "限制一步的大小。调低：更不怕突然跳动，但更慢。0 表示不限制。",
        ),
        ge=0,
        le=1000,
    )
    adam_beta1: float = knob(
        0.9,
        Text("Adam beta 1", "Adam beta 1"),
        Text(
            "How long the direction of earlier steps is remembered. Higher: smoother, slower to turn.",
            "记住之前方向的时间。调高：更平滑，转向更慢。",
        ),
        ge=0,
        lt=1,
        when=_WITH_BETAS,
    )
    adam_beta2: float = knob(
        0.999,
        Text("Adam beta 2", "Adam beta 2"),
        Text(
            "How long the size of earlier steps is remembered. Lower reacts faster and is less steady.",
            "记住之前步幅的时间。调低：反应更快，但没那么稳。",
        ),
        ge=0,
        lt=1,
        when=_WITH_BETAS,
    )
    adam_epsilon: float = knob(
        1e-8,
        Text("Adam epsilon", "Adam epsilon"),
        Text(
            "A small number that avoids division by zero. Higher makes very small gradients count less.",
            "避免除以零的小数。调高会让很小的梯度影响更小。",
        ),
        gt=0,
        le=1,
        when=_WITH_EPSILON,
    )
    neftune_alpha: float = knob(
        0.0,
        Text("Embedding noise (NEFTune)", "嵌入噪声（NEFTune）"),
        Text(
            "Adds noise to what the model reads; 5 can make answers livelier with little data. 0 switches it off.",
            "给模型读到的内容加一点噪声；数据少时取 5 可能让回答更生动。0 表示关闭。",
        ),
        ge=0,
        le=100,
        also=("neftune_noise_alpha",),
    )
    seed: int = knob(
        42,
        Text("Seed", "随机种子"),
        Text(
            "The same seed gives the same run again; another one shuffles differently.",
            "相同的种子能重现同一次运行；换一个则打乱方式不同。",
        ),
        ge=0,
        le=2**31 - 1,
        also=("data_seed", "random_state"),
    )
