"""Runs made up to their first step, and looks at what the engine made of their settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.homes import chat_rows, label_rows, pair_rows, text_rows, write_jsonl
from tests.method_parts import tiny_llama
from tests.tiny_models import make_base, make_tokenizer
from workbench.config.errors import StopRequested
from workbench.config.run import RunConfig
from workbench.data.library import DataLibrary
from workbench.engine import Engine
from workbench.engine.checkpoints import CHECKPOINT_WHOLE
from workbench.methods import METHODS

# Rows of each kind of data that a method learns from.
ROWS = {"chat": chat_rows, "preference": pair_rows, "labels": label_rows, "text": text_rows}
BASE = {"model.base": "tiny", "data.max_length": 64, "precision.dtype": "fp32", "precision.threads": 1}
OF_KIND = {"pretrain": {"method.packing": False}}  # so that a row of the data is one of the trainer's
STEPS = 100  # of the schedules that are looked at


@dataclass(frozen=True)
class Made:
    """What the engine had made when the training would have begun."""

    trainer: Any
    threads: int
    engine: Engine
    run_id: str


class Workshop:
    """Has runs made up to their first step; the ones with usual settings are kept."""

    def __init__(self, home: Path) -> None:
        (home / "models").mkdir(parents=True)
        make_base(home / "models" / "tiny")
        make_base(home / "models" / "other", seed=1)
        tiny_llama(attention_bias=True, mlp_bias=True).save_pretrained(home / "models" / "biased")
        make_tokenizer(home / "models" / "biased")
        for kind, rows in ROWS.items():
            DataLibrary(home).add(write_jsonl(home / f"{kind}.jsonl", rows(48)), kind)
            DataLibrary(home).add(write_jsonl(home / f"other-{kind}.jsonl", rows(148)[100:]), f"other-{kind}")
        self.engine = Engine(home)
        self.caught: list[tuple[Any, int]] = []
        self._usual: dict[str, Made] = {}

    def catch(self, trainer: Any, *_: Any) -> None:
        """Stands where the training would begin, on the training's own thread."""
        import torch

        self.caught.append((trainer, torch.get_num_threads()))
        raise StopRequested

    def config(self, kind: str, settings: dict[str, Any]) -> RunConfig:
        """The config of a run; `{data}` in a value stands for the kind of data that the method learns from."""
        data = METHODS[kind].data_kinds[0]
        given = {"method.kind": kind, "data.train": "{data}", **BASE, **OF_KIND.get(kind, {}), **settings}
        filled = {k: v.replace("{data}", data) if isinstance(v, str) else v for k, v in given.items()}
        return RunConfig().changed(filled)

    def make(self, kind: str, settings: dict[str, Any]) -> Made:
        """A run with these settings, by dotted path."""
        run = self.engine.submit(self.config(kind, settings))
        assert self.engine.wait(run, 60)
        assert self.engine.run(run).status == "stopped", self.engine.run(run).error
        return Made(*self.caught.pop(), self.engine, run)

    def usual(self, kind: str, beside: dict[str, Any]) -> Made:
        """A run without the setting that is looked at."""
        key = f"{kind} {beside}"
        if key not in self._usual:
            self._usual[key] = self.make(kind, beside)
        return self._usual[key]


# Looks at rows


def fields(row: Any) -> dict[str, Any]:
    """A trainer's row, which is a dictionary or one of ours."""
    return row if isinstance(row, dict) else asdict(row)


def numbers(*datasets: Any, made: Made) -> list[int]:
    """The numbers with which the questions begin."""
    read = made.trainer.processing_class.decode
    rows = [fields(row) for dataset in datasets for row in dataset]
    return sorted(int(re.findall(r"(\d+)\. ", read(row.get("prompt_ids") or row["input_ids"]))[0]) for row in rows)


def used_rows(made: Made) -> list[int]:
    return numbers(made.trainer.train_dataset, made.trainer.eval_dataset, made=made)


def checked_rows(made: Made) -> list[int]:
    return numbers(made.trainer.eval_dataset, made=made)


def counts(made: Made) -> tuple[int, int]:
    return len(made.trainer.train_dataset), len(made.trainer.eval_dataset)


def longest(made: Made) -> int:
    answers = ("input_ids", "chosen_ids", "rejected_ids")
    rows = [fields(row) for row in made.trainer.train_dataset]
    return max(len(row.get("prompt_ids", [])) + max(len(row.get(name, [])) for name in answers) for row in rows)


def all_is_learned(made: Made) -> bool:
    return all(-100 not in row["labels"] for row in made.trainer.train_dataset)


def batch(made: Made) -> int:
    return len(next(iter(made.trainer.get_train_dataloader().batch_sampler)))


def checked_batch(made: Made) -> int:
    return len(next(iter(made.trainer.get_eval_dataloader().batch_sampler)))


def order(made: Made) -> list[Any]:
    import torch

    torch.manual_seed(0)  # the order is the run's own, whatever was drawn before
    return list(made.trainer.get_train_dataloader().batch_sampler)


# Looks at the model and its adapter


def _holds(made: Made, base: str) -> bool:
    """Whether the model has the very numbers that are stored in this base model."""
    from safetensors.torch import load_file

    stored = load_file(made.engine.home / "models" / base / "model.safetensors")["model.embed_tokens.weight"]
    return bool((made.trainer.model.get_input_embeddings().weight == stored).all())


def base_is_other(made: Made) -> bool:
    return _holds(made, "other")


def linear_class(made: Made) -> str:
    layer = next(module for name, module in made.trainer.model.named_modules() if name.endswith("q_proj.base_layer"))
    return f"{type(layer).__name__} {getattr(layer.weight, 'quant_type', '')}".strip()


def learning(made: Made) -> list[str]:
    return [name for name, weight in made.trainer.model.named_parameters() if weight.requires_grad]


def adapter_kind(made: Made) -> str:
    names = learning(made)
    if len(names) == len(list(made.trainer.model.parameters())):
        return "none"
    return "dora" if any("lora_magnitude_vector" in name for name in names) else "lora"


def layers(made: Made) -> dict[str, Any]:
    """The layers with an adapter."""
    from peft.tuners.lora import LoraLayer

    return {name: layer for name, layer in made.trainer.model.named_modules() if isinstance(layer, LoraLayer)}


def of_layers(look: Callable[[Any], Any]) -> Callable[[Made], Any]:
    """What is the same in all layers with an adapter."""

    def found(made: Made) -> Any:
        (value,) = {look(layer) for layer in layers(made).values()}
        return value

    return found


def targets(made: Made) -> list[str]:
    return sorted({name.rpartition(".")[2] for name in layers(made)})


def biases(made: Made) -> list[str]:
    """Layers whose bias is trained."""
    return sorted({re.findall(r"\w+_proj", name)[0] for name in learning(made) if name.endswith(".bias")})


def whole_layers(made: Made) -> list[str]:
    names = [name.partition(".modules_to_save.") for name in learning(made)]
    heads = ("score",)  # which learn whole anyway
    return [last for before, found, _ in names if found and (last := before.rpartition(".")[2]) not in heads]


def first_weights(made: Made) -> float:
    return float(next(iter(layers(made).values())).lora_A["default"].weight.detach().sum())


def precision(made: Made) -> tuple[bool, str, bool]:
    """Whether it computes in bf16, in what the base model is held, and whether nothing was rounded off it on the way."""
    held = made.trainer.model.get_input_embeddings().weight.dtype
    return made.trainer.args.bf16, str(held), _holds(made, "tiny")


# Looks at the steps


def argument(name: str) -> Callable[[Made], Any]:
    return lambda made: getattr(made.trainer.args, name)


def of_trainer(*names: str) -> Callable[[Made], Any]:
    def found(made: Made) -> Any:
        values = [getattr(made.trainer, name) for name in names]
        return values if len(values) > 1 else values[0]

    return found


def optimizer(made: Made) -> Any:
    if made.trainer.optimizer is None:
        made.trainer.create_optimizer_and_scheduler(STEPS)
    return made.trainer.optimizer


def optimizer_class(made: Made) -> str:
    found = optimizer(made)
    return f"{type(found).__name__} {getattr(getattr(found, 'args', None), 'optim_bits', '')}".strip()


def of_optimizer(look: Callable[[dict[str, Any]], Any]) -> Callable[[Made], Any]:
    return lambda made: max(look(group) for group in optimizer(made).param_groups)


def share(made: Made, step: int) -> float:
    """The share of the learning rate at a step of `STEPS`."""
    optimizer(made)
    return round(made.trainer.lr_scheduler.lr_lambdas[0](step), 4)


def schedule(made: Made) -> list[Any]:
    return [made.trainer.args.lr_scheduler_type.value, *(share(made, step) for step in (10, 40, 60))]


def warm_up(made: Made) -> int:
    return next(step for step in range(STEPS) if share(made, step) == 1)


def steps(made: Made) -> int:
    """The trainer's own count."""
    return made.trainer.set_initial_training_values(made.trainer.args, made.trainer.get_train_dataloader())[-1]


# Looks at what goes on beside the steps


def callback(made: Made) -> Any:
    from workbench.engine.callback import RunCallback

    (found,) = (each for each in made.trainer.callback_handler.callbacks if isinstance(each, RunCallback))
    return found


def kept_checkpoints(made: Made) -> int:
    """Of six that are there when one more is saved."""
    trainer, folder = made.trainer, Path(made.trainer.args.output_dir)
    for step in range(1, 8):
        (folder / f"checkpoint-{step}").mkdir(parents=True, exist_ok=True)
        (folder / f"checkpoint-{step}" / CHECKPOINT_WHOLE).write_text("{}")
    trainer.state.global_step = 7
    callback(made).on_save(trainer.args, trainer.state, trainer.control)
    return len(list(folder.iterdir()))


def asked(made: Made) -> list[str]:
    trainer = made.trainer
    callback(made).on_train_begin(trainer.args, trainer.state, trainer.control, model=trainer.model)
    return [event["question"] for event in made.engine.events(made.run_id) if event["type"] == "sample"]


def name_of_run(made: Made) -> str:
    return made.engine.run(made.run_id).name
