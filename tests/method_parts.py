"""What a method is given, for tests: a tiny random model, its tokenizer, examples and arguments."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.tiny_models import make_tokenizer
from workbench.config.run import RunConfig
from workbench.methods import METHODS
from workbench.methods.arguments import common_arguments
from workbench.methods.base import Parts

LONG, SHORT = 40, 6


def tiny_llama(**changes: Any) -> Any:
    """A Llama of two layers; 264 tokens of vocabulary fit the byte-level tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {
        "vocab_size": 264,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.1,
        "pad_token_id": 256,
        "eos_token_id": 257,
        "bos_token_id": None,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(**{**settings, **changes}))


def chats(count: int = 24) -> list[dict[str, Any]]:
    """Questions of very different length whose answer follows from their first letter."""
    rows = []
    for number in range(count):
        letter, answer = ("a", "yes!") if number % 2 else ("b", "no.")
        question = letter + "x" * (LONG if number % 3 == 0 else SHORT)
        rows.append({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})
    return rows


def preferences(count: int = 24) -> list[dict[str, Any]]:
    """Pairs whose preferred answer is always the same word."""
    return [
        {
            "prompt": [{"role": "user", "content": "x" * (1 + number % 7)}],
            "chosen": [{"role": "assistant", "content": "good"}],
            "rejected": [{"role": "assistant", "content": "bad"}],
        }
        for number in range(count)
    ]


def make_parts(folder: Path, train: list[dict[str, Any]], model: Any = None, **changes: Any) -> Parts:
    """Parts for the config with `changes` (dotted paths with `__` for the dot, and `evaluation`, `steps`)."""
    from transformers import AutoTokenizer

    from workbench.engine.training import adapter_config

    evaluation, steps = changes.pop("evaluation_rows", []), changes.pop("steps", 12)
    defaults = {
        "optimization.max_steps": steps,
        "optimization.batch_size": 4,
        "optimization.learning_rate": 1e-2,
        "optimization.warmup_ratio": 0.0,
        "optimization.scheduler": "constant",
        "adapter.rank": 8,
        "adapter.alpha": 16,
        "precision.dtype": "fp32",
    }
    given = {name.replace("__", "."): value for name, value in changes.items()}
    kind = {"method.kind": given.pop("method.kind")} if "method.kind" in given else {}
    config = RunConfig().changed({**kind, **defaults, **given})
    make_tokenizer(folder / "tokenizer")
    usual = "text" if train and [*train[0]] == ["text"] else METHODS[config.method.kind].data_kinds[0]
    plan = SimpleNamespace(total=steps, log_every=1, evaluate_every=steps, save_every=1000)
    return Parts(
        config=config,
        model=tiny_llama() if model is None else model,
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        train=train,
        evaluation=evaluation,
        arguments=common_arguments(
            config,
            folder / "out",
            device="cpu",
            dtype=config.precision.dtype,
            plan=plan,
            evaluates=bool(evaluation),
        ),
        peft_config=adapter_config(config),
        kinds=(usual, usual),
    )


def logged(trainer: Any, name: str = "loss") -> list[float]:
    """The values that a trainer logged under one name, in order."""
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def watch_steps(trainer: Any) -> list[int]:
    """A list that gets the step from which the trainer goes on (0: it begins) and then every step that it does."""
    from transformers import TrainerCallback

    done: list[int] = []

    class Watch(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            done.append(state.global_step)

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            done.append(state.global_step + 1)

    trainer.add_callback(Watch())
    return done
