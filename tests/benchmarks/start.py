"""How long `python app.py` takes until its page answers: `python -m tests.benchmarks.start [--rounds 5]`.

The packages are installed already. Every round starts a process of its own in an empty home and asks for the page until
it comes. Promised is a median under 5 seconds; where it is missed the exit code is 1. Needs an otherwise quiet computer; the
processor time beside it says more where there is none. The bytes are those of the page itself, as a browser gets it and as
it is without compression.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from tests.browser.conftest import App

LONGEST = 5.0  # seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    taken, worked, sizes = [], [], (0, 0)
    for _ in range(parser.parse_args().rounds):
        with tempfile.TemporaryDirectory() as home:
            began = time.perf_counter()
            app = App(Path(home)).start()
            try:
                httpx.get(app.url, trust_env=False).raise_for_status()
                taken.append(time.perf_counter() - began)
                worked.append(sum(psutil.Process(app.process.pid).cpu_times()[:2]))
                sizes = _size(app.url, "gzip, deflate, br"), _size(app.url, "identity")
            finally:
                app.close()
    middle = statistics.median(taken)
    print(f"page answers after {middle:.2f} s (rounds {', '.join(f'{each:.2f}' for each in taken)})")
    print(f"processor time until then {statistics.median(worked):.2f} s")
    print(f"page: {sizes[0] / 1000:.0f} KB sent, {sizes[1] / 1000:.0f} KB without compression")
    if middle >= LONGEST:
        raise SystemExit(f"promised is less than {LONGEST} s")


def _size(url: str, accepted: str) -> int:
    """Bytes of the page on the wire."""
    with httpx.stream("GET", url, headers={"accept-encoding": accepted}, trust_env=False) as answer:
        return sum(map(len, answer.iter_raw()))


if __name__ == "__main__":
    main()
