"""The time that a run is said to take, after trial steps, against the time that it then takes.

    python -m tests.benchmarks.forecasts [--presets first-run ...] [--steps 150]
    python -m tests.benchmarks.forecasts --random 110M --steps 20      LoRA on random weights of that size, rows of 256 tokens

Shipped presets with their own data, on this computer: each is measured as the button beside Start does it, then trained for so
many steps, evaluations, answers to the preset's questions and checkpoints included. Prints what was said before anything was
measured, what was said then, what it took, and the ratios.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

from tests.benchmarks.memory import MODELS, write_model
from workbench.bootstrap import environment
from workbench.config.run import RunConfig

environment()

PRESETS = ("first-run", "first-run-zh", "shorter-kinder")


def random_run(folder: Path, size: str) -> RunConfig:
    """LoRA with the usual settings on random weights and random words."""
    write_model(folder / size, size)
    chance, words = random.Random(0), MODELS[size][5] - 2
    rows = ({"text": " ".join(f"w{chance.randrange(words)}" for _ in range(255))} for _ in range(400))
    file = folder / "words.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    base = {"model.base": str(folder / size), "data.train": str(file), "evaluation.questions": []}
    return RunConfig().changed({**base, "data.max_length": 256, "optimization.batch_size": 2})


def main() -> None:
    """Print one line per preset."""
    from workbench.config.presets import list_presets
    from workbench.engine import Engine

    known = {preset.id: preset for preset in list_presets()}
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--presets", nargs="+", default=[name for name in PRESETS if name in known], choices=known)
    options.add_argument("--steps", type=int, default=150)
    options.add_argument("--random", choices=MODELS, help="a model of random weights instead of the presets")
    chosen = options.parse_args()
    print(f"{'preset':<28}{'guess s':>9}{'measured s':>12}{'took s':>9}{'guess/took':>12}{'measured/took':>15}")
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder) / "home", allow_paths=True)
        configs = {name: known[name].config() for name in chosen.presets}
        if chosen.random:
            configs = {chosen.random: random_run(Path(folder), chosen.random)}
        for name, usual in configs.items():
            config = usual.changed({"optimization.max_steps": chosen.steps})
            guess = engine.forecast(config).seconds
            engine.finish(engine.measure(config))
            said = engine.forecast(config).seconds
            began = time.monotonic()
            engine.wait(engine.submit(config))
            took = time.monotonic() - began
            assert all(run.status == "completed" for run in engine.runs())
            print(
                f"{name:<28}{guess:>9.1f}{said:>12.1f}{took:>9.1f}{guess / took:>12.2f}{said / took:>15.2f}", flush=True
            )
        engine.close()


if __name__ == "__main__":
    main()
