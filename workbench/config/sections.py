"""The sections of a run's configuration: WHAT a run is. Plain values only; nothing here loads, opens or trains anything.

Every setting is declared once, here (or, for a training method's own options, in that method's file).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core import PydanticKnownError

from workbench.config.fields import knob
from workbench.config.text import Text, writable

STEPS = Text("steps", "步")
TOKENS = Text("tokens", "词元")
ROWS = Text("rows", "样本")


class Section(BaseModel):
    """Refuses unknown keys, NaN, infinity, values of the wrong type and text that no file can hold; cannot be changed
    once made."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True, protected_namespaces=())

    @field_validator("*")
    @classmethod
    def _writable(cls, value: Any) -> Any:
        # Pydantic looks at this by itself only where a text has a length or a pattern.
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and writable(text) != text:
                raise PydanticKnownError("string_unicode")
        return value


class ModelSection(Section):
    """Which model is trained, and in what form it is held in memory."""

    base: str = knob(
        "starter",
        Text("Base model", "基座模型"),
        Text(
            "The model that training starts from. A larger one knows more and needs more memory and time.",
            "训练从这个模型开始。模型越大懂得越多，也越占内存、越费时间。",
        ),
        level="basic",
        min_length=1,
        max_length=1024,
        also=("model_name_or_path", "base_model", "model_name"),
    )
    quantization: Literal["none", "int8", "nf4"] = knob(
        "none",
        Text("Quantization", "量化"),
        Text(
            "Holds the base model in fewer bits: less memory, slightly less exact. Only with an adapter.",
            "用更少的位数存放基座模型：更省内存，精度略降。只能配合适配器使用。",
        ),
        choices={
            "none": Text("none (full precision)", "不量化"),
            "int8": Text("8 bit (half the memory)", "8 位（内存减半）"),
            "nf4": Text("4 bit NF4 (a quarter of the memory)", "4 位 NF4（内存约四分之一）"),
        },
        also=("quantization_bit", "load_in_4bit", "load_in_8bit"),
    )


class DataSection(Section):
    """Which rows are learned, and how much of each."""

    train: str = knob(
        "pirate-voice",
        Text("Training data", "训练数据"),
        Text("The data set whose answers the model learns to give.", "模型要学会给出这个数据集里的回答。"),
        level="basic",
        min_length=1,
        max_length=1024,
        also=("dataset", "datasets", "train_file"),
    )
    eval: str | None = knob(
        None,
        Text("Evaluation data", "评估数据"),
        Text(
            "A second data set that is never learned, only used for checking. Empty: a share of the training data is kept back.",
            "另一个只用来检查、不参与学习的数据集。留空则从训练数据中留出一部分。",
        ),
        max_length=1024,
        also=("eval_dataset", "validation_file"),
    )
    eval_share: float = knob(
        0.1,
        Text("Share kept for evaluation", "留作评估的比例"),
        Text(
            "More: the evaluation is surer, but fewer rows are learned. 0 switches evaluation off.",
            "越大：评估越可靠，但可学的样本变少。0 表示不评估。",
        ),
        ge=0,
        le=0.5,
        also=("val_size", "val_set_size", "test_size"),
    )
    max_length: int = knob(
        512,
        Text("Longest row", "最大长度"),
        Text(
            "Rows with more tokens than this are cut at the end. More: nothing is lost, but memory grows.",
            "超过这个词元数的样本会从末尾截断。调大：内容不丢，但更占内存。",
        ),
        level="basic",
        unit=TOKENS,
        ge=16,
        le=131072,
        also=("cutoff_len", "max_seq_length", "max_seq_len", "sequence_len", "block_size"),
    )
    learn: Literal["answers", "all"] = knob(
        "answers",
        Text("Learn from", "学习哪些部分"),
        Text(
            "'Answers' learns what the assistant says; 'all' also learns to write the questions.",
            "“只学回答”学习助手说的话；“全部”连问题也一起学着写。",
        ),
        choices={"answers": Text("answers only", "只学回答"), "all": Text("everything", "全部")},
        also=("train_on_prompt", "train_on_inputs", "assistant_only_loss", "completion_only_loss"),
    )
    max_rows: int = knob(
        0,
        Text("Use at most", "最多使用"),
        Text(
            "Only the first so many rows are used; fewer is faster. 0 uses all.",
            "只用前面这么多条样本，少则快。0 表示全部使用。",
        ),
        unit=ROWS,
        ge=0,
        le=10_000_000,
        also=("max_samples", "max_train_samples"),
    )


class PrecisionSection(Section):
    """With how many bits numbers are computed, and what is traded for memory."""

    dtype: Literal["auto", "fp32", "bf16", "fp16"] = knob(
        "auto",
        Text("Precision", "精度"),
        Text(
            "Fewer bits are faster and use less memory; 32 bit is the most exact. Auto takes bf16 where the hardware has it.",
            "位数少更快、更省内存；32 位最精确。自动：硬件支持时用 bf16。",
        ),
        choices={
            "auto": Text("auto", "自动"),
            "fp32": Text("fp32 (32 bit)", "fp32（32 位）"),
            "bf16": Text("bf16 (16 bit)", "bf16（16 位）"),
            "fp16": Text("fp16 (16 bit, graphics card only)", "fp16（16 位，仅显卡）"),
        },
        also=("bf16", "fp16", "pure_bf16", "torch_dtype"),
    )
    activation_checkpointing: Literal["auto", "on", "off"] = knob(
        "auto",
        Text("Activation checkpointing", "激活检查点"),
        Text(
            "Computes intermediate values twice instead of keeping them: less memory, about a quarter slower. Auto switches it on only when memory would not suffice.",
            "中间结果不保存而是重算：更省内存，约慢四分之一。自动：只在内存不够时开启。",
        ),
        choices={"auto": Text("auto", "自动"), "on": Text("on", "开"), "off": Text("off", "关")},
        also=("gradient_checkpointing", "disable_gradient_checkpointing", "use_gradient_checkpointing"),
    )
    threads: int = knob(
        0,
        Text("Processor threads", "处理器线程数"),
        Text(
            "How many processor cores compute. More is faster up to the number of cores. 0 takes all of them.",
            "用多少个处理器核心计算。不超过核心数时越多越快。0 表示全部使用。",
        ),
        ge=0,
        le=1024,
        also=("OMP_NUM_THREADS",),
    )


class EvaluationSection(Section):
    """How the run is checked while it learns."""

    every_steps: int = knob(
        0,
        Text("Check every", "每隔多少步评估"),
        Text(
            "Smaller: you see sooner whether it still learns, but more time goes into checking. 0 checks ten times a run.",
            "越小：越早看出是否还在进步，但检查更费时间。0 表示整个运行检查十次。",
        ),
        unit=STEPS,
        ge=0,
        le=10_000_000,
        also=("eval_steps",),
    )
    batch_size: int = knob(
        8,
        Text("Rows at once when checking", "评估批大小"),
        Text("More is faster and takes more memory; the result is the same.", "越大越快，也越占内存；结果相同。"),
        unit=ROWS,
        ge=1,
        le=1024,
        also=("per_device_eval_batch_size", "eval_batch_size"),
    )
    questions: list[str] = knob(
        [],
        Text("Your own questions", "你自己的问题"),
        Text(
            "One question a line, asked before, during and after training, so that you can read the difference. Each one takes a "
            "moment. Have one among them that your data say nothing of: it shows whether the model still knows what it knew.",
            "每行一个问题，训练前、中、后各问一次，方便直接读出差别。每个问题都要花一点时间。最好留一个与数据无关的问题，"
            "看看模型原来会的还会不会。",
        ),
        level="basic",
        max_length=20,
    )


class CheckpointsSection(Section):
    """When the run is saved, so that it can be resumed after a stop, a crash or a power cut."""

    every_steps: int = knob(
        0,
        Text("Save every", "每隔多少步保存"),
        Text(
            "Smaller: less is lost when the computer stops, but saving takes time. 0 saves about every fifth of the run.",
            "越小：意外中断时损失越少，但保存要花时间。0 表示大约每完成五分之一保存一次。",
        ),
        unit=STEPS,
        ge=0,
        le=10_000_000,
        also=("save_steps",),
    )
    keep: int = knob(
        2,
        Text("Checkpoints to keep", "保留检查点数"),
        Text(
            "More: you can go back further, but each one takes disk space.", "越多：可以退回更早，但每个都占磁盘空间。"
        ),
        ge=1,
        le=100,
        also=("save_total_limit",),
    )


class OutputSection(Section):
    """What the result is called."""

    name: str = knob(
        "",
        Text("Name of this run", "运行名称"),
        Text("How you will find it again. Empty: made from the data set.", "方便以后找到它。留空则用数据集的名称。"),
        level="basic",
        max_length=80,
        pattern=r"^[^\x00-\x1f\x7f/\\<>\u202a-\u202e\u2066-\u2069]*$",
        also=("run_name", "output_dir"),
    )
