"""Settings as LLaMA-Factory writes them, read as ours: `train my_lora_sft.yaml` works, and what is left out is named.

Its keys and defaults: https://github.com/hiyouga/LLaMA-Factory, `src/llamafactory/hparams` (August 2026); what it takes from
transformers' `TrainingArguments` has their defaults. Keys that mean one of our settings are declared there (`knob(also=...)`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from workbench.config.fields import knobs, names_elsewhere
from workbench.config.registry import MethodOptions
from workbench.config.run import RunConfig, put
from workbench.config.text import Text, listed

SIGNS = ("model_name_or_path", "finetuning_type", "stage", "do_train")
"""A file whose first level has one of these, and none of our sections, is LLaMA-Factory's."""

_STAGES = {"pt": "pretrain", "rm": "reward"}
_TYPES = {"full": "none"}
_BITS = {4: "nf4", 8: "int8"}
_OPTIMIZERS = {
    "adamw_torch": "adamw", "adamw_torch_fused": "adamw", "adamw_hf": "adamw", "adamw_bnb_8bit": "adamw_8bit",
    "lion_32bit": "lion",
}  # fmt: skip
# What it takes where its file says nothing, and we would take something else.
_DEFAULTS: dict[str, Any] = {
    "adapter.rank": 8, "data.max_length": 2048, "data.eval_share": 0, "optimization.learning_rate": 5e-5,
    "optimization.warmup_ratio": 0,
}  # fmt: skip
# How it works and what it shows, not what is learned.
_IDLE = frozenset(
    """
    do_train do_eval do_predict overwrite_cache overwrite_output_dir preprocessing_num_workers preprocessing_batch_size
    dataloader_num_workers dataloader_pin_memory logging_steps logging_strategy plot_loss report_to ddp_timeout save_strategy
    eval_strategy evaluation_strategy save_only_model include_num_input_tokens_seen flash_attn enable_liger_kernel use_unsloth
    low_cpu_mem_usage cache_dir dataset_dir packing neat_packing deepspeed fsdp quantization_method
    double_quantization disable_tqdm log_level trust_remote_code tokenized_path
    """.split()
)
_OTHERWISE = ("warmup_steps", "stage", "data_seed")  # mean something else there, or are read on their own
_NOT_NEEDED = Text("Not needed here: {names}.", "这里不需要：{names}。")
_UNUSED = Text("Without a counterpart here, so not used: {names}.", "这里没有对应项，因此未使用：{names}。")
_TEMPLATE = Text(
    "The model's own chat template is used, not '{name}' by name.", "使用模型自带的对话模板，不按名称“{name}”选择。"
)
_PURE = Text(
    "bf16 is used for computing; weights that learn are held in fp32 here.",
    "计算使用 bf16；参与训练的权重在这里以 fp32 保存。",
)
_FIRST = Text(
    "Only the first data set is used: {name}. Put the others into its file.",
    "只使用第一个数据集：{name}。请把其余的合并进它的文件。",
)
_READ = Text(
    "{file} is a LLaMA-Factory file; it was read as follows.", "{file} 是 LLaMA-Factory 的配置，读取结果如下。"
)


def is_llama_factory(values: Mapping[Any, Any]) -> bool:
    """Whether this is a file of LLaMA-Factory's, and none of ours."""
    return any(sign in values for sign in SIGNS) and not any(section in values for section in RunConfig.model_fields)


def translated(values: Mapping[Any, Any], file: str) -> tuple[dict[str, Any], tuple[Text, ...]]:
    """Its settings as ours, unchecked, and what to say of the others.

    A method, a loss or an optimizer that we don't have stays as a value that `RunConfig` refuses by name: rather nothing than
    another one.

    Args:
        file: its name, for people.
    """
    settings = _Settings(dict(values))
    return settings.ours(), (_READ.with_(file=file), *settings.notes())


class _Settings:
    """The keys of one file; each is taken once."""

    def __init__(self, values: dict[Any, Any]) -> None:
        self._left = {str(key): value for key, value in values.items() if value is not None}
        self._told: list[Text] = []
        self._idle: list[str] = []
        self._nested: dict[str, Any] = {}

    def ours(self) -> dict[str, Any]:
        for place, usual in _DEFAULTS.items():
            put(self._nested, place, usual)
        method = self._take("stage", lambda stage: _STAGES.get(stage, stage)) or MethodOptions.DEFAULT
        put(self._nested, "method.kind", method)
        self._kinds()
        self._data()
        self._numbers()
        ours = _paths(self._nested)
        for key, value in list(self._left.items()):
            path = ours.get(key)
            if key in _IDLE:
                self._idle.append(key)
                del self._left[key]
            elif path is not None and isinstance(value, str | int | float):
                put(self._nested, path, value)
                del self._left[key]
        adapter = self._nested["adapter"]
        if "alpha" not in adapter and isinstance(adapter.get("rank"), int):
            adapter["alpha"] = 2 * adapter["rank"]
        return self._nested

    def notes(self) -> list[Text]:
        told = list(self._told)
        told += [_UNUSED.with_(names=listed(sorted(self._left)))] if self._left else []
        return told + ([_NOT_NEEDED.with_(names=listed(sorted(self._idle)))] if self._idle else [])

    def _take(self, key: str, convert: Callable[[Any], Any] = lambda value: value) -> Any:
        """A key's value as ours; None where it is absent. A value that cannot be looked up stays what it is."""
        value = self._left.pop(key, None)
        try:
            return convert(value) if value is not None else None
        except (TypeError, ValueError, OverflowError):
            return value

    def _switch(self, key: str) -> bool:
        """Whether it is on; what is neither true nor false stays, and is told."""
        if isinstance(self._left.get(key), bool):
            return self._left.pop(key) is True
        return False

    def _put(self, path: str, value: Any) -> None:
        if value is not None:
            put(self._nested, path, value)

    def _kinds(self) -> None:
        kind = self._take("finetuning_type", lambda kind: _TYPES.get(kind, kind))
        self._put("adapter.kind", kind)
        if kind in (None, "lora") and self._switch("use_dora"):
            self._put("adapter.kind", "dora")
        if kind != "none":
            for key, path in (
                ("lora_target", "adapter.target_modules"),
                ("additional_target", "adapter.modules_to_save"),
            ):
                self._put(path, self._take(key, _layers))
        self._put("model.quantization", self._take("quantization_bit", lambda bits: _BITS.get(bits, bits)))
        for key, dtype in (("bf16", "bf16"), ("pure_bf16", "bf16"), ("fp16", "fp16")):
            if self._switch(key):
                self._put("precision.dtype", dtype)
                self._told += [_PURE] if key == "pure_bf16" else []
        if self._switch("disable_gradient_checkpointing"):
            self._put("precision.activation_checkpointing", "off")
        on = self._take("gradient_checkpointing", lambda on: {True: "on", False: "off"}.get(on, on))
        self._put("precision.activation_checkpointing", on)

    def _data(self) -> None:
        for key, path in (("dataset", "data.train"), ("eval_dataset", "data.eval")):
            names = self._take(key, _names)
            if isinstance(names, list) and names:
                self._put(path, names[0])
                if len(names) > 1:
                    self._told.append(_FIRST.with_(name=str(names[0])))
            else:
                self._put(path, names or None)
        if self._switch("train_on_prompt"):
            self._put("data.learn", "all")
        if isinstance(share := self._left.get("val_size"), int | float) and share >= 1:
            self._left["val_size (rows)"] = self._left.pop("val_size")  # a number of rows: we keep a share back
        if (template := self._take("template")) is not None:
            self._told.append(_TEMPLATE.with_(name=str(template)[:60]))

    def _numbers(self) -> None:
        self._put("optimization.optimizer", self._take("optim", lambda name: _OPTIMIZERS.get(name, name)))
        if (steps := self._take("max_steps")) is not None:
            self._put("optimization.max_steps", 0 if steps == -1 else steps)
        if isinstance(steps := self._left.get("warmup_steps"), int | float) and 0 <= steps < 1:
            self._put("optimization.warmup_ratio", self._take("warmup_steps"))
        name, folder = self._take("run_name"), self._take("output_dir")
        if name is None and isinstance(folder, str):
            name = PurePosixPath(folder.replace("\\", "/")).name
        self._put("output.name", name)


def _paths(nested: dict[str, Any]) -> dict[str, str]:
    """Our settings by the names in a LLaMA-Factory file: those that are declared, and our own where they are the same."""
    ours = (setting.path for setting in knobs(RunConfig) if setting.path.startswith("optimization."))
    found = {path.rpartition(".")[2]: path for path in ours}
    found |= names_elsewhere(RunConfig, nested)
    kinds = {setting.path: setting.when[:1] for setting in knobs(RunConfig)}
    found = {name: path for name, path in found.items() if all(one.holds(nested) for one in kinds[path])}
    return {name: path for name, path in found.items() if name not in _OTHERWISE}


def _names(value: Any) -> Any:
    """Names parted by commas, as a list."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _layers(value: Any) -> Any:
    return ["all-linear"] if value == "all" else _names(value)
