"""Trying out a stranger's file in a process of its own, which may hang, swell or crash without harm to this one."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

READY = "ready"  # what a probe prints once it is able to begin
_ENDING = 2000  # characters of what a process complained about that are kept


@dataclass(frozen=True)
class Outcome:
    """What became of a probe.

    Args:
        words: what it printed after READY, in order; its verdict is the last, where it came so far.
        ending: what it complained about, at the end.
        code: its exit code; negative where a signal ended it.
        late: whether it was ended because its time was up, by the system or from here.
        by_clock: whether that was time on the clock, which also runs while a computer sleeps or is held up: it says little
            about the file, and need not be true another time.
        killed: whether somebody else ended it: the system, where the memory is at its end.
        begun: whether it tried anything at all; where not (Python did not start), nobody can say anything about the file.
    """

    words: tuple[str, ...]
    ending: str
    code: int
    late: bool
    by_clock: bool
    killed: bool
    begun: bool

    @property
    def complaint(self) -> str:
        """The last line of what it complained about, for an error."""
        return (self.ending.strip().splitlines() or [f"exit code {self.code}"])[-1]


def run_probe(script: str, arguments: list[str], data: bytes, longest: float) -> Outcome:
    """Run a probe to its end; it is gone when this returns.

    Args:
        script: its file. It runs in isolated mode: it finds no packages but those in the folders that it is given.
        arguments: what it gets on its command line.
        data: what it gets on its standard input.
        longest: seconds on the clock after which it is ended, should its own limits fail.

    Raises:
        OSError: it could not be started.
    """
    child = subprocess.Popen(
        [sys.executable, "-I", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    by_clock = False
    with child:
        try:
            output, errors = child.communicate(data, longest)
        except subprocess.TimeoutExpired:  # it ends by itself before; this is for when even that fails
            by_clock = True
            child.kill()
            output, errors = child.communicate()
        except BaseException:
            child.kill()
            raise
    words = output.decode("ascii", "replace").split()
    ending = errors.decode("utf-8", "replace")
    killed = not by_clock and child.returncode == -getattr(signal, "SIGKILL", 9)
    by_clock = by_clock or ending.startswith("Timeout")  # as faulthandler says it
    return Outcome(
        words=tuple(words[1:]),
        ending=ending[-_ENDING:],
        code=child.returncode,
        late=by_clock or child.returncode == -getattr(signal, "SIGXCPU", 24),
        by_clock=by_clock,
        killed=killed,
        begun=words[:1] == [READY],
    )


def package_folders(*names: str) -> list[str]:
    """Where packages are: an isolated Python leaves out some places in which this one may have them."""
    found = (importlib.util.find_spec(name) for name in names)
    return sorted({str(Path(spec.origin).parents[1]) for spec in found if spec is not None and spec.origin})
