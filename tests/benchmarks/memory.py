"""The estimate of a run's peak memory against what the run really takes, each in a process of its own.

    python -m tests.benchmarks.memory [--models 17M 60M 110M qwen] [--kinds full lora qlora] [--method sft] [--dtype auto]

Random models, rows of exactly so many tokens that are all learned, a training job of the engine with three steps. On a
processor the peak is the largest resident set from when everything is imported until the result is saved, less what it was
before: the process's own base. On a graphics card it is what torch allocated at most. Per combination: what
`engine.memory.estimate` says, what was measured, and the ratio; below it phase by phase with `--phases`.
Within 15 % is the target on a processor; what lies outside is marked and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.loading import _resident

# hidden, feed-forward, layers, heads, heads of keys, vocabulary, tied
MODELS = {
    "17M": (384, 1152, 6, 6, 2, 8192, False),
    "60M": (512, 1408, 12, 8, 4, 16384, False),
    "110M": (768, 2048, 12, 12, 12, 32000, True),
    "qwen": (896, 4864, 24, 14, 2, 151_936, True),  # Qwen2.5-0.5B's shape
    "1.5B": (1536, 8960, 28, 12, 2, 151_936, True),
    "3B": (2048, 11008, 36, 16, 2, 151_936, True),
    "8B": (4096, 14336, 32, 32, 8, 128_256, False),
}
SMALL = ("17M", "60M", "110M", "qwen")
KINDS: dict[str, dict[str, Any]] = {
    "full": {"adapter.kind": "none"},
    "lora": {},
    "qlora": {"model.quantization": "nf4"},
}
LENGTHS, ROWS, STEPS = (256, 1024), 2, 2
GOAL = 0.15
CONTEXT = multiprocessing.get_context("fork")  # a card is first touched in the copies


def write_model(folder: Path, name: str) -> None:
    """A Llama of random weights, in 16 bits as published ones are, with a tokenizer of whole words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    hidden, ffn, layers, heads, kv_heads, vocabulary, tied = MODELS[name]
    torch.set_default_dtype(torch.bfloat16)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, tie_word_embeddings=tied, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(str(folder))
    words = ["<pad>", "<end>", *(f"w{number}" for number in range(vocabulary - 2))]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")
    fast.save_pretrained(str(folder))


def prepare() -> None:
    """Import all that a training uses, so that it belongs to the base."""
    import bitsandbytes  # noqa: F401
    import peft  # noqa: F401
    from trl import SFTTrainer  # noqa: F401

    from workbench.engine import training  # noqa: F401
    from workbench.methods import METHODS
    from workbench.methods.trainers import padding_free  # noqa: F401

    assert METHODS


def measure(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Run one job here; bytes of the peak, of each phase, and of what was estimated."""
    import torch

    from workbench.config.run import RunConfig
    from workbench.engine import training
    from workbench.engine.memory import estimate
    from workbench.models.loading import pick_device, pick_dtype
    from workbench.models.shape import shape_of

    tokens, rows = int(settings["data.max_length"]), ROWS * STEPS
    config = RunConfig().changed(
        {
            "data.eval_share": 0, "optimization.batch_size": ROWS, "optimization.accumulation": 1,
            "optimization.max_steps": STEPS, "checkpoints.every_steps": STEPS, "evaluation.questions": [], **settings,
        }
    )  # fmt: skip
    chance, facts = random.Random(0), json.loads((folder / "config.json").read_text())
    texts = [" ".join(f"w{chance.randrange(facts['vocab_size'] - 2)}" for _ in range(tokens - 1)) for _ in range(rows)]
    stages: dict[str, float] = {}
    base, stage = _resident("VmRSS"), ["start"]

    def mark(event: Any) -> None:
        stages[stage[0]] = max(stages.get(stage[0], 0), _resident("VmHWM") - base)
        if event.type == "stage":
            stage[0] = event.stage
        elif event.type == "metrics":
            stage[0] = "training"
        _forget_peak()

    with tempfile.TemporaryDirectory() as home:
        job = training.TrainingJob(
            config=config, folder=Path(home), base=folder, base_name="random", emit=mark, stop=threading.Event(),
            examples=[{"text": text} for text in texts], evaluation=None,
        )  # fmt: skip
        _forget_peak()
        training.train(job)
        stages[stage[0]] = max(stages.get(stage[0], 0), _resident("VmHWM") - base)
    shape, device = shape_of(facts), pick_device()
    assert shape is not None
    half = pick_dtype(config.precision.dtype, device) != "fp32"
    said = estimate(shape, config, row_tokens=tokens, device=device, half=half)
    card = torch.cuda.is_available()
    return {
        "measured": torch.cuda.max_memory_allocated() if card else max(stages.values()) * 1e6,
        "said": said.peak_bytes, "parts": said.parts, "phases": said.phases, "base": base * 1e6,
        "stages": {name: size * 1e6 for name, size in stages.items()},
    }  # fmt: skip


def _forget_peak() -> None:
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")  # VmHWM begins again at what is resident now (man 5 proc)


def _in_a_process_of_its_own(work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work` returns, done in a copy of this process, which ends with it; None where that fails."""
    results = CONTEXT.SimpleQueue()

    def run() -> None:
        try:
            results.put(work(*arguments))
        except BaseException:
            traceback.print_exc()
            results.put(None)

    process = CONTEXT.Process(target=run)
    process.start()
    found = results.get()
    process.join()
    return found


def _settings(kind: str, tokens: int, checkpointing: str, chosen: argparse.Namespace) -> dict[str, Any]:
    return {
        "method.kind": chosen.method, "data.max_length": tokens, "precision.dtype": chosen.dtype,
        "precision.activation_checkpointing": checkpointing, **KINDS[kind],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["60M", "qwen"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    parser.add_argument("--checkpointing", nargs="+", choices=("on", "off"), default=["off", "on"])
    parser.add_argument("--method", default="sft")
    parser.add_argument("--dtype", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    parser.add_argument("--phases", action="store_true")
    chosen = parser.parse_args()
    prepare()
    ratios = []
    print(f"{'model':7}{'kind':7}{'tokens':>7}  {'checkpointing':14}{'estimated':>10}{'measured':>10}  ratio   (MB)")
    for name in chosen.models:
        with tempfile.TemporaryDirectory() as folder:
            _in_a_process_of_its_own(write_model, Path(folder), name)
            for kind in chosen.kinds:
                for tokens in chosen.lengths:
                    for checkpointing in chosen.checkpointing:
                        found = _in_a_process_of_its_own(
                            measure, Path(folder), _settings(kind, tokens, checkpointing, chosen)
                        )
                        if found is None:
                            continue
                        ratio = found["said"] / found["measured"]
                        ratios.append(ratio)
                        mark = "" if abs(ratio - 1) <= GOAL else "  <--"
                        print(
                            f"{name:7}{kind:7}{tokens:7}  {checkpointing:14}{found['said'] / 1e6:10.0f}"
                            f"{found['measured'] / 1e6:10.0f}  {ratio:.2f}{mark}",
                            flush=True,
                        )
                        if chosen.phases:
                            for key in ("phases", "stages", "parts"):
                                print("   ", key, {n: round(s / 1e6) for n, s in found[key].items() if s > 1e5})
    outside = sum(abs(ratio - 1) > GOAL for ratio in ratios)
    print(f"{len(ratios)} combinations, median {statistics.median(ratios):.2f}, {outside} outside {GOAL:.0%}")
    sys.exit(1 if outside else 0)


if __name__ == "__main__":
    main()
