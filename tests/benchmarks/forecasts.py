"""The time that a run is said to take, after trial steps, against the time that it then takes.

    python -m tests.benchmarks.forecasts [--presets first-run ...] [--steps 150]

Shipped presets with their own data, on this computer: each is measured as the button beside Start does it, then trained for so
many steps, evaluations, answers to the preset's questions and checkpoints included. Prints what was said before anything was
measured, what was said then, what it took, and the ratios.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from workbench.bootstrap import environment

environment()

PRESETS = ("first-run", "first-run-zh", "shorter-kinder")


def main() -> None:
    """Print one line per preset."""
    from workbench.config.presets import list_presets
    from workbench.engine import Engine

    known = {preset.id: preset for preset in list_presets()}
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--presets", nargs="+", default=[name for name in PRESETS if name in known], choices=known)
    options.add_argument("--steps", type=int, default=150)
    chosen = options.parse_args()
    print(f"{'preset':<28}{'guess s':>9}{'measured s':>12}{'took s':>9}{'guess/took':>12}{'measured/took':>15}")
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder) / "home")
        for name in chosen.presets:
            config = known[name].config().changed({"optimization.max_steps": chosen.steps})
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
