"""Trains the shipped presets on this computer's graphics card, stops and resumes, and talks: `python -m tests.benchmarks.gpu_check`.

For a machine with a card: prints the device, speed and memory of each run, and whether stopping changed the result.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from workbench.bootstrap import environment

environment()


def main() -> None:
    """Run and print."""
    from tests.homes import largest_difference, losses, weights
    from workbench.config.presets import find_preset
    from workbench.engine import Engine

    with tempfile.TemporaryDirectory() as home:
        engine = Engine(Path(home))
        print(engine.status())

        def run(preset: str, stop_at: int = 0, **changes: Any) -> str:
            config = find_preset(preset).config().changed({key.replace("__", "."): v for key, v in changes.items()})
            began = time.monotonic()
            run_id = engine.submit(config)
            if stop_at:
                while not engine.wait(run_id, 0.02):
                    if engine.status().step >= stop_at:
                        engine.stop(run_id)
                engine.resume(run_id)
            engine.wait(run_id)
            record = engine.run(run_id)
            found = losses(engine.events(run_id))
            memory = max((event.get("memory_bytes", 0) for event in engine.events(run_id)), default=0)
            print(
                f"{preset} {changes}: {record.status} {time.monotonic() - began:.1f} s, loss {found.get(1)} -> "
                f"{record.train_loss}, evaluation {record.eval_loss}, {record.tokens_per_second} tokens/s, "
                f"{memory / 1e6:.0f} MB, error {record.error}",
                flush=True,
            )
            if record.error:
                print(engine.log(run_id)[-3000:])
            return run_id

        whole = run("first-run", adapter__dropout=0.1)
        again = run("first-run", stop_at=100, adapter__dropout=0.1)
        folders = [weights(engine.store.path(one)) for one in (whole, again)]
        print("largest difference of the stopped run:", largest_difference(*folders))
        for dtype in ("bf16", "fp16"):
            run("first-run", precision__dtype=dtype)
        run("first-run", adapter__kind="none", precision__dtype="bf16", optimization__learning_rate=5e-4)
        run("first-run", precision__activation_checkpointing="on", optimization__accumulation=2)
        run("shorter-kinder")
        run("shorter-kinder", precision__dtype="bf16")
        for tuned in (False, True):
            talk = [{"role": "user", "content": "What colour is the sky?"}]
            print("tuned" if tuned else "base", list(engine.chat(whole, talk, tuned=tuned))[-1])
        print(engine.merge(whole), engine.export_adapter(whole).stat().st_size, engine.status())
        engine.close()


if __name__ == "__main__":
    sys.exit(main())
