"""How much memory loading a model takes at its peak, by dtype and quantisation, each in a process of its own.

Run: python -m tests.benchmarks.loading [--hidden 896 --layers 24 --vocabulary 151936] [fp32 bf16 int8 nf4]
The random model (by default of Qwen2.5-0.5B's shape) is written to a temporary folder. `above base` is what loading adds
to a process that has imported everything; `of weights` the same in sizes of what stays loaded: near 1 is as good as it gets.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KINDS = {"fp32": ("fp32", "none"), "bf16": ("bf16", "none"), "int8": ("bf16", "int8"), "nf4": ("bf16", "nf4")}
_MB = 1e6


def write_model(folder: Path, hidden: int, layers: int, vocabulary: int) -> None:
    """A Qwen2 of random bf16 weights with a byte-level tokenizer."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from tests.tiny_models import make_tokenizer

    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 38 // 7,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    torch.set_default_dtype(torch.bfloat16)
    Qwen2ForCausalLM(config).save_pretrained(str(folder))
    make_tokenizer(folder)


def measure(folder: Path, kind: str) -> dict[str, float]:
    """What one loading took: MB (1e6 bytes) and seconds."""
    import bitsandbytes  # noqa: F401 - part of the base that loading is measured against
    import torch
    import transformers

    from workbench.models.loading import load_model

    transformers.AutoModelForCausalLM.from_config  # noqa: B018 - imported late otherwise
    base, started = _resident("VmRSS"), time.monotonic()
    model = load_model(folder, *KINDS[kind], device="cpu")
    seconds = time.monotonic() - started
    peak = _resident("VmHWM")  # ru_maxrss would begin with the memory of the process that started this one
    unique = {tensor.data_ptr(): tensor.nbytes for tensor in [*model.parameters(), *model.buffers()]}
    return {
        "base": base,
        "peak": peak,
        "after": _resident("VmRSS"),
        "weights": sum(unique.values()) / _MB,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
    }


def _resident(key: str) -> float:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 / _MB for line in lines if line.startswith(key + ":")), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="fp32, bf16, int8, nf4; default all")
    parser.add_argument("--hidden", type=int, default=896)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.folder:
        print(json.dumps(measure(chosen.folder, chosen.kinds[0])))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), chosen.hidden, chosen.layers, chosen.vocabulary)
        print(f"{'':6}{'base':>8}{'peak':>8}{'above base':>12}{'weights':>9}{'of weights':>12}{'seconds':>9}   (MB)")
        for kind in chosen.kinds or KINDS:
            command = [sys.executable, "-m", "tests.benchmarks.loading", kind, "--folder", folder]
            found = json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            )
            above = found["peak"] - found["base"]
            print(
                f"{kind:6}{found['base']:8.0f}{found['peak']:8.0f}{above:12.0f}{found['weights']:9.0f}"
                f"{above / found['weights']:12.2f}{found['seconds']:9.1f}   after {found['after']:.0f}"
            )


if __name__ == "__main__":
    main()
