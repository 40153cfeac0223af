"""One base in two roles: how long it takes to switch, and what the second adapter adds to the memory.

    python -m tests.benchmarks.roles [--model 110M] [--json]

A Llama with random weights, a policy adapter of rank 16 on all linear layers, and a reward adapter with its score head. Each
figure is taken in a process of its own: `base` loads the model alone, `both` the model with both adapters. The memory is the
resident one, with the first answer computed. Targets: a switch under 10 ms; `both` at most `base` plus the adapters and a
twentieth; where they are missed the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.loading import _resident
from workbench.bootstrap import environment

SWITCHES, SPARE = 40, 1.05
SWITCH_SECONDS = 0.01


def make_adapters(folder: Path) -> None:
    """A policy and a reward adapter for the model in `folder / "base"`."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    for name, task, kind, options in (
        ("policy", "CAUSAL_LM", AutoModelForCausalLM, {}),
        ("reward", "SEQ_CLS", AutoModelForSequenceClassification, {"num_labels": 1, "pad_token_id": 0}),
    ):
        model = kind.from_pretrained(folder / "base", **options)
        get_peft_model(
            model, LoraConfig(task_type=task, r=16, target_modules="all-linear", exclude_modules=["score"])
        ).save_pretrained(folder / name)


def measure(folder: Path, what: str) -> dict[str, Any]:
    """The figures of one process."""
    import peft  # noqa: F401 - it is no part of the second adapter's memory
    import torch

    from workbench.models.loading import load_adapter, load_model
    from workbench.models.roles import add_judge, role

    ids = torch.arange(3, 67)[None]
    before = _resident("VmRSS")
    model = load_model(folder / "base", "fp32", device="cpu")
    seconds: list[float] = []
    if what == "both":
        model = load_adapter(model, folder / "policy", name="policy")
        judge = add_judge(model, folder / "reward", "reward", pad=0)
        judge.scores(ids)
    with torch.no_grad():
        model(ids)
    memory = _resident("VmRSS") - before
    for _ in range(SWITCHES if what == "both" else 0):
        began = time.perf_counter()
        with role(model, "reward"):
            seconds.append(time.perf_counter() - began)
    megabytes = 1e6
    own = sum(weight.numel() for name, weight in model.named_parameters() if "lora_" in name) * 4 / megabytes
    return {"memory": memory, "adapters": own, "switch": statistics.median(seconds) if seconds else None}


def _in_fresh(folder: Path, name: str) -> None:
    """Writing a model in 16 bits leaves that as torch's usual type, so it is done elsewhere."""
    code = "import sys; from pathlib import Path; from tests.benchmarks.memory import write_model as w; w(Path(sys.argv[1]), sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, str(folder), name], check=True)


def main() -> int:
    """Measure, print, and say whether the targets are met."""
    environment()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="110M")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(Path(options.only[0]), options.only[1])))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _in_fresh(folder / "base", options.model)
        make_adapters(folder)
        found = {}
        for what in ("base", "both"):
            command = [sys.executable, "-m", "tests.benchmarks.roles", "--only", name, what]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[what] = json.loads(done.stdout.splitlines()[-1])
    base, both = found["base"], found["both"]
    ratio = both["memory"] / (base["memory"] + both["adapters"])
    result = {"switch_ms": 1000 * both["switch"], "memory_ratio": ratio, "base_mb": base["memory"],
              "both_mb": both["memory"], "adapters_mb": both["adapters"]}  # fmt: skip
    result["missed"] = [
        name for name, bad in (("switch", both["switch"] > SWITCH_SECONDS), ("memory", ratio > SPARE)) if bad
    ]
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))
    return 1 if result["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
