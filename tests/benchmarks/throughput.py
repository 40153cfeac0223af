"""How much work a second of processor time does: the workbench, plain trl, and a bare PyTorch loop on the same rows.

    python -m tests.benchmarks.throughput [--rounds 3] [--dtype fp32|bf16] [--threads 1] [--rows 200] [--json]

Every contestant runs in a process of its own, in turns, on one model folder (a Llama of 16.9 M parameters with random
weights) and 200 rows of uneven length whose questions are not learned: LoRA of rank 8 on all linear layers, batches of
4, 50 steps, learning rate 1e-3. Tokens are the ones that are not padding; ratios are taken within a round, because
other work on the machine disturbs both sides of a round alike, and in seconds of processor time.

  workbench   the engine's training job, with everything that it does beside training
  trl         a plain script: SFTTrainer with trl's defaults (padding, activation checkpointing)
  trl-quick   the same with activation checkpointing off, which is faster where memory suffices
  bare        the limit: plain PyTorch and nothing that the task does not need

The script's rank, batch size, learning rate, number of epochs and use_cpu are set; bf16, which trl switches on by
itself, follows --dtype. Targets with one thread: workbench at least 0.93 x bare's speed and at most 1.25 x its peak memory
in both dtypes, and in fp32 at least 1.9 x trl's speed; where they are missed the exit code is 1. `--json` prints one line
instead of the table: for each of the others `speed` and `memory`, the ratios of the workbench to it (medians of the rounds,
which stand beside them), the figures themselves, and what was `missed`. A processor without bf16 units computes bf16 some
thirty times slower (`bf16_units` says which it is): take few rows there, and believe the memory only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.bootstrap import environment

VOCABULARY, ROWS, BATCH = 8192, 200, 4
WORDS = VOCABULARY - 4
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} <end> {% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
SPEED, MEMORY = "tokens_per_cpu_second", "peak_mb"
LEAST_SPEED = {("trl", "fp32"): 1.9, ("bare", "fp32"): 0.93, ("bare", "bf16"): 0.93}  # ratios to them, with one thread
MOST_MEMORY = {("bare", "fp32"): 1.25, ("bare", "bf16"): 1.25}
STARTED = "WORKBENCH_BENCHMARK_STARTED"


class Clock:
    """Marks the points of a run: training begins, a step is over."""

    def __init__(self) -> None:
        self.began: tuple[float, float] | None = None
        self.first: tuple[float, float] | None = None
        self.last: tuple[float, float] | None = None

    def now(self) -> tuple[float, float]:
        return time.process_time(), time.time()

    def begin(self) -> None:
        self.began = self.now()

    def step(self) -> None:
        self.last = self.now()
        self.first = self.first or self.last

    def callback(self) -> Any:
        """For transformers' trainers."""
        from transformers import TrainerCallback

        clock = self

        class Marks(TrainerCallback):
            def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
                clock.begin()

            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                clock.step()

        return Marks()

    def report(self, tokens: int, losses: list[float]) -> dict[str, float]:
        """The numbers of a run."""
        assert self.began and self.first and self.last
        cpu, wall = (self.last[i] - self.began[i] for i in (0, 1))
        return {
            "tokens_per_cpu_second": tokens / cpu,
            "tokens_per_second": tokens / wall,
            "first_step_cpu_seconds": self.first[0],
            "first_step_seconds": self.first[1] - float(os.environ[STARTED]),
            "job_cpu_seconds": time.process_time(),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "loss": statistics.mean(losses),
        }


def prepare(folder: Path, rows: int = ROWS) -> None:
    """Write the model folder and the rows, the first of those that there are."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<end>", "<user>", "<assistant>", *(f"w{number}" for number in range(WORDS))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(words[:4])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(str(folder))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        intermediate_size=1152,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=3,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(str(folder))
    (folder / "rows.json").write_text(json.dumps(make_rows()[:rows]), encoding="utf-8")


def make_rows() -> list[list[dict[str, str]]]:
    """Conversations of one question and one answer: as uneven in length as people's data, about 130 tokens each."""
    source = random.Random(0)

    def text(middle: float) -> str:
        length = int(min(max(source.lognormvariate(middle, 0.8), 4), 300))
        return " ".join(f"w{min(int(source.expovariate(1) * WORDS / 8), WORDS - 1)}" for _ in range(length))

    return [[{"role": "user", "content": text(4.0)}, {"role": "assistant", "content": text(3.7)}] for _ in range(ROWS)]


def run_workbench(folder: Path, dtype: str, clock: Clock) -> list[float]:
    """The engine's own training job, from the model folder to the saved adapter, with its events."""
    import torch

    from workbench.config.run import RunConfig
    from workbench.engine.events import Metrics, Stage
    from workbench.engine.training import TrainingJob, train

    config = RunConfig().changed(
        {
            "data.max_length": 1024,
            "data.eval_share": 0.0,
            "adapter.rank": 8,
            "adapter.alpha": 16,
            "precision.dtype": dtype,
            "precision.threads": torch.get_num_threads(),
            "optimization.epochs": 1.0,
            "optimization.batch_size": BATCH,
            "optimization.learning_rate": 1e-3,
            "optimization.scheduler": "constant",
            "optimization.warmup_ratio": 0.0,
            "checkpoints.every_steps": 1000,
        }
    )
    losses: list[float] = []

    def note(event: Any) -> None:
        if isinstance(event, Stage) and event.stage == "training":
            clock.begin()
        if isinstance(event, Metrics) and event.loss is not None:
            clock.step()
            losses.append(event.loss)

    rows = [{"messages": row} for row in json.loads((folder / "rows.json").read_text(encoding="utf-8"))]
    run = Path(tempfile.mkdtemp(dir=folder))
    train(TrainingJob(config, run, folder, "benchmark", rows, None, note, threading.Event()))
    return losses


def run_trl(folder: Path, dtype: str, clock: Clock, **changes: Any) -> list[float]:
    """A plain script with trl's defaults: prompts and completions as trl's documents show it."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    trainer = SFTTrainer(
        model=str(folder),
        args=SFTConfig(
            output_dir=tempfile.mkdtemp(dir=folder),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            use_cpu=True,
            bf16=dtype == "bf16",
            report_to="none",
            disable_tqdm=True,
            **changes,
        ),
        train_dataset=Dataset.from_list([{"prompt": row[:1], "completion": row[1:]} for row in rows]),
        processing_class=AutoTokenizer.from_pretrained(folder),
        peft_config=adapter(),
        callbacks=[clock.callback()],
    )
    trainer.train()
    return logged(trainer)


def run_bare(folder: Path, dtype: str, clock: Clock) -> list[float]:
    """The limit."""
    from tests.benchmarks.bare_loop import train

    return train(folder, encoded(folder), BATCH, dtype == "bf16", clock.begin, clock.step)


CONTESTANTS: dict[str, Callable[[Path, str, Clock], list[float]]] = {
    "workbench": run_workbench,
    "trl": run_trl,
    "trl-quick": lambda folder, dtype, clock: run_trl(folder, dtype, clock, activation_checkpointing=False),
    "bare": run_bare,
}


def adapter() -> Any:
    """LoRA of rank 8 on all linear layers."""
    from peft import LoraConfig

    return LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, lora_dropout=0.0, target_modules="all-linear")


def logged(trainer: Any) -> list[float]:
    """The losses in a trainer's log."""
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def encoded(folder: Path) -> list[tuple[list[int], list[int]]]:
    """The rows as token ids and labels, without any library."""
    rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))

    def ids(message: dict[str, str]) -> list[int]:
        role = {"user": 2, "assistant": 3}[message["role"]]
        return [role, *(int(word[1:]) + 4 for word in message["content"].split()), 1]

    result = []
    for question, answer in rows:
        asked, said = ids(question), ids(answer)
        result.append((asked + said, [-100] * (len(asked) + 1) + said[1:]))
    return result


def one(name: str, folder: Path, dtype: str, threads: int) -> dict[str, float]:
    """Run one contestant in this process."""
    import torch

    torch.set_num_threads(threads)
    clock = Clock()
    losses = CONTESTANTS[name](folder, dtype, clock)
    return clock.report(sum(len(row[0]) for row in encoded(folder)), losses)


def in_own_process(name: str, folder: Path, dtype: str, threads: int) -> dict[str, float]:
    """Run one contestant in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--run", name, "--folder", str(folder)]
    command += ["--dtype", dtype, "--threads", str(threads)]
    count = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    given = {**os.environ, **count, STARTED: str(time.time())}
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


Found = dict[str, list[dict[str, float]]]


def ratios(found: Found, key: str) -> dict[str, list[float]]:
    """The workbench's figure over that of each of the others, round by round."""
    ours = found.get("workbench", [])
    others = {name: rounds for name, rounds in found.items() if name != "workbench" and ours}
    return {name: [a[key] / b[key] for a, b in zip(ours, rounds, strict=True)] for name, rounds in others.items()}


def missed(found: Found, dtype: str) -> list[str]:
    """The promises that the medians don't keep."""
    said = []
    for other, rounds in ratios(found, SPEED).items():
        middle, least = statistics.median(rounds), LEAST_SPEED.get((other, dtype), 0.0)
        if middle < least:
            said.append(f"speed, workbench / {other}: {middle:.2f}, promised is {least} at least")
    for other, rounds in ratios(found, MEMORY).items():
        middle, most = statistics.median(rounds), MOST_MEMORY.get((other, dtype), float("inf"))
        if middle > most:
            said.append(f"memory, workbench / {other}: {middle:.2f}, promised is {most} at most")
    return said


def as_json(found: Found, dtype: str, threads: int) -> str:
    """Everything in one line."""
    import torch

    def middles(values: dict[str, list[float]]) -> dict[str, float]:
        return {name: round(statistics.median(rounds), 3) for name, rounds in values.items()}

    def rounded(values: dict[str, list[float]]) -> dict[str, list[float]]:
        return {name: [round(each, 3) for each in rounds] for name, rounds in values.items()}

    speed, memory = ratios(found, SPEED), ratios(found, MEMORY)
    figures = {
        key: middles({name: [each[key] for each in rounds] for name, rounds in found.items()})
        for key in (SPEED, MEMORY, "loss")
    }
    line = {"dtype": dtype, "threads": threads, "bf16_units": bool(torch.cpu._is_avx512_bf16_supported())}
    line |= {"speed": middles(speed), "memory": middles(memory)}
    line |= {
        "speed_rounds": rounded(speed),
        "memory_rounds": rounded(memory),
        **figures,
        "missed": missed(found, dtype),
    }
    return json.dumps(line)


def table(found: Found) -> None:
    """Print medians, and the workbench's ratio to each of the others.

    Tokens a CPU second tell the programs apart whatever else the computer does; tokens a second stand beside them.
    """
    heads = {
        SPEED: "tok/CPU-s",
        "tokens_per_second": "tok/s",
        "first_step_seconds": "1st step s",
        "first_step_cpu_seconds": "(CPU s)",
        "job_cpu_seconds": "job CPU s",
        MEMORY: "peak MB",
        "loss": "loss",
    }
    print("".join(["contestant".ljust(12), *(head.rjust(12) for head in heads.values())]))
    for name, rounds in found.items():
        middle = [statistics.median(result[key] for result in rounds) for key in heads]
        print(name.ljust(12) + "".join(f"{value:12.{3 if value < 20 else 0}f}" for value in middle))
    for key in (SPEED, "tokens_per_second", MEMORY):
        for other, values in ratios(found, key).items():
            each, middle = ", ".join(f"{ratio:.2f}" for ratio in values), statistics.median(values)
            print(f"workbench / {other}, {heads[key]}: {middle:.2f} (rounds {each})")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--run", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    environment()
    os.environ["HF_HUB_OFFLINE"] = "1"
    if options.run:
        print(json.dumps(one(options.run, options.folder, options.dtype, options.threads)))
        return
    with tempfile.TemporaryDirectory(prefix="throughput-") as name:
        folder = Path(name)
        prepare(folder, options.rows)
        found: Found = {contestant: [] for contestant in options.only}
        for number in range(options.rounds):
            for contestant in options.only:
                found[contestant].append(in_own_process(contestant, folder, options.dtype, options.threads))
            print(f"round {number + 1} of {options.rounds} done", file=sys.stderr, flush=True)
        if options.json:
            print(as_json(found, options.dtype, options.threads))
        else:
            rows = encoded(folder)
            count, learned = (sum(len(row[0]) for row in rows), sum(x != -100 for row in rows for x in row[1]))
            print(f"{count} tokens, {learned} learned, {options.dtype}, threads: {options.threads}")
            table(found)
    if options.threads == 1 and missed(found, options.dtype):
        raise SystemExit("\n".join(missed(found, options.dtype)))


if __name__ == "__main__":
    main()
