"""Command line of the recipe: `python -m workbench.models.starter.recipe --out DIR` makes a starter model folder."""

import argparse
from dataclasses import fields
from pathlib import Path

from .drawing import Options
from .world import HERE


def main() -> None:
    """Reads the options and builds; every default is that of `Options`."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m workbench.models.starter.recipe")
    parser.add_argument(
        "--out", type=Path, default=HERE.parent / "model", help="folder to write (default: the shipped one)"
    )
    defaults = {f.name: f.default for f in fields(Options)}
    helps = {
        "tokens": "tokens to train on", "rows": "different rows to draw", "batch_tokens": "tokens in a batch",
        "muon_lr": "learning rate of the matrices", "adam_lr": "learning rate of embeddings and norms",
        "weight_decay": "weight decay of the matrices", "seed": "seed of text, order and weights",
        "processes": "processes that draw text", "max_seconds": "stop training after this time",
    }  # fmt: skip
    for name, text in helps.items():
        kind = type(defaults[name])
        parser.add_argument(
            "--" + name.replace("_", "-"), type=kind, default=defaults[name], help=f"{text} ({defaults[name]})"
        )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    # Imported late: the processes that draw text import this module too, and torch would cost each of them seconds.
    from .train import build

    record = build(Options(**vars(parser.parse_args())))
    print({k: v for k, v in record.items() if k != "log"})


if __name__ == "__main__":
    main()
