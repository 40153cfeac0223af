"""The walk of every architecture through train, resume, chat, merge and reload, as a table or as JSON.

    python -m tests.benchmarks.architectures [--json] [ARCHITECTURE ...]

The models are random and tiny (see `tests/architectures.py`); the differences are the largest between two outputs: of a
resumed run's weights and those of one that was never stopped, of the adapter loaded here and in plain peft, and of the
merged model in plain transformers and the adapter in plain peft.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from tests.architectures import ARCHITECTURES, STEPS, Walk, make_architecture, walk
from tests.homes import make_home
from workbench.bootstrap import environment


def walks(kinds: list[str]) -> list[Walk]:
    """Every architecture's walk, in a home that is gone afterwards."""
    import torch
    import transformers

    from workbench.engine import Engine

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(make_home(Path(folder) / "home"))
        gc.freeze()
        for kind in kinds:
            make_architecture(engine.home / "models" / kind, kind)
            with pytest.MonkeyPatch.context() as patch:
                outcomes.append(walk(engine, patch, kind, resume=True))
            print(kind, f"{outcomes[-1].seconds:.1f} s", outcomes[-1].failure, file=sys.stderr, flush=True)
        engine.close()
    return outcomes


def table(outcomes: list[Walk]) -> str:
    """The outcomes in Markdown."""
    names = ("resume", "own", "merged")
    lines = [f"| architecture | {' | '.join(STEPS)} | resumed | here / peft | merged / peft |"]
    lines.append("|---" * (len(STEPS) + len(names) + 1) + "|")
    for outcome in outcomes:
        marks = ["yes" if step in outcome.done else "no" for step in STEPS]
        numbers = [f"{outcome.differences[name]:.1e}" if name in outcome.differences else "-" for name in names]
        lines.append(f"| {' | '.join([outcome.kind, *marks, *numbers])} |")
    largest = {name: max((each.differences.get(name, 0.0) for each in outcomes), default=0.0) for name in names}
    lines.append(
        f"| largest of {len(outcomes)} {'| ' * (len(STEPS) + 1)}{' | '.join(f'{largest[n]:.1e}' for n in names)} |"
    )
    return "\n".join(lines)


def main() -> int:
    """Walk the architectures that are named, or all of them; 1 when one does not come to its end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="ARCHITECTURE", help=f"default: all {len(ARCHITECTURES)}")
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    chosen = parser.parse_args()
    environment()
    os.environ["HF_HUB_OFFLINE"] = "1"
    outcomes = walks(chosen.kinds or list(ARCHITECTURES))
    print(json.dumps([dataclasses.asdict(each) for each in outcomes]) if chosen.json else table(outcomes))
    return int(any(each.failure for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
