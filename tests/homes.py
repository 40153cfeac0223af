"""Ready-made homes for tests: a tiny random model, small data sets, and a config that trains them in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tiny_models import make_base
from workbench.config.run import RunConfig
from workbench.engine.owners import FOLDER

WAIT = 120  # seconds until a run is called stuck
WORDS = ("red", "blue", "green", "white", "black", "brown", "grey", "pink")


def chat_rows(count: int = 48) -> list[dict[str, Any]]:
    """Questions with one fixed form of answer."""
    rows = []
    for number in range(count):
        word = WORDS[number % len(WORDS)]
        question = f"{number}. {word}?"
        rows.append(
            {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": f"aye {word}"}]}
        )
    return rows


def pair_rows(count: int = 48) -> list[dict[str, Any]]:
    """Pairs in which the short answer is preferred."""
    return [
        {"prompt": f"{number}. {WORDS[number % 8]}?", "chosen": "yes", "rejected": "no no no no"}
        for number in range(count)
    ]


def label_rows(count: int = 48) -> list[dict[str, Any]]:
    """Texts of which the colour makes the label."""
    return [
        {
            "text": f"{number}. {WORDS[number % 8]}, as a colour?",
            "label": "dark" if number % 8 in (3, 4, 5) else "light",
        }
        for number in range(count)
    ]


def text_rows(count: int = 48) -> list[dict[str, Any]]:
    """Plain texts."""
    return [{"text": f"{number}. {WORDS[number % 8]} is a colour"} for number in range(count)]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as a file."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def make_home(home: Path) -> Path:
    """A home with the model `tiny` and the data sets `talk` and `pairs`."""
    from workbench.data.library import DataLibrary

    (home / "models").mkdir(parents=True)
    make_base(home / "models" / "tiny")
    library = DataLibrary(home)
    for name, rows in (("talk", chat_rows()), ("pairs", pair_rows())):
        library.add(write_jsonl(home / f"{name}.jsonl", rows), name)
    return home


def tiny_config(**sections: dict[str, Any]) -> RunConfig:
    """A run of a few seconds, in fp32 on one thread, with dropout."""
    values: dict[str, dict[str, Any]] = {
        "model": {"base": "tiny"},
        "data": {"train": "talk", "max_length": 64},
        "adapter": {"rank": 4, "alpha": 8, "dropout": 0.1},
        "precision": {"dtype": "fp32", "threads": 1},
        "optimization": {"learning_rate": 5e-3, "max_steps": 12, "batch_size": 4},
        "evaluation": {"every_steps": 4},
        "checkpoints": {"every_steps": 3},
    }
    for name, section in sections.items():
        usual = {} if section.get("kind") == "none" else values.get(name, {})  # full tuning has no adapter to set
        values[name] = {**usual, **section}
    return RunConfig.parse(values)


def losses(events: list[dict[str, Any]]) -> dict[int, float]:
    """Training loss by step; of a step that was done twice, the last."""
    return {event["step"]: event["loss"] for event in events if event["type"] == "metrics" and "loss" in event}


def weights(run_folder: Path) -> dict[str, Any]:
    """The tensors of a run's result."""
    from safetensors.torch import load_file

    for name in ("adapter/adapter_model.safetensors", "model/model.safetensors"):
        if (run_folder / name).is_file():
            return load_file(run_folder / name)
    raise AssertionError(f"no result in {run_folder}")


def largest_difference(left: dict[str, Any], right: dict[str, Any]) -> float:
    """Over all tensors of two results."""
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def done(engine: Any, config: RunConfig) -> Any:
    """The record of a run of this config, once it is over."""
    run = engine.submit(config)
    assert engine.wait(run, WAIT)
    return engine.run(run)


def kept_in(home: Path) -> list[Path]:
    """What lies in a home beside the locks, which are empty files that a process leaves."""
    return sorted(path for path in home.rglob("*") if FOLDER not in path.parts)
