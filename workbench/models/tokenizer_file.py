"""Whether a model's tokenizer.json can be read: tried out in a process of its own.

Over some damaged files the tokenizers library ends its whole process instead of raising an error, and with it the page
and every run. Besides, all threads of a process stand still while it reads a large file.
"""

from __future__ import annotations

import importlib.util
import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

from workbench.models.reading import contained, damaged

LONGEST_SECONDS = 60  # the largest files known take one

_LOG = logging.getLogger(__name__)
_READY, _READ = "ready", "read"
_PROBE = f"""
import sys
sys.path.append(sys.argv[1])
from tokenizers import Tokenizer
print("{_READY}", flush=True)
Tokenizer.from_file(sys.argv[2])
print("{_READ}")
"""
_lock = threading.Lock()
_verdicts: dict[tuple[str, int, int], bool] = {}


def check_tokenizer(folder: Path) -> None:
    """Refuse a tokenizer.json that can't be read. Other kinds of tokenizers are read only when they are loaded.

    The first call for a file takes a tenth of a second, half a second for a large one; any other no time, until the
    file changes.

    Raises:
        WorkbenchError: (`broken_tokenizer`) it can't be read.
    """
    path = contained(folder, "tokenizer.json")
    if path is None:
        return
    state = path.stat()
    key = (str(path.resolve()), state.st_mtime_ns, state.st_size)
    with _lock:  # so that two who ask at the same time start one process
        readable = _verdicts.get(key)
        if readable is None:
            readable = _try_out(path)
            if readable is not None:
                _verdicts[key] = readable
    if readable is False:
        raise damaged(path, code="broken_tokenizer")


def _try_out(path: Path) -> bool | None:
    """Whether a process that is gone when this returns could read the file; None where nobody can say."""
    spec = importlib.util.find_spec("tokenizers")
    if spec is None or not spec.origin:
        return None
    # An isolated Python leaves out some places in which this one may have the library.
    command = [sys.executable, "-I", "-c", _PROBE, str(Path(spec.origin).parents[1]), str(path)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LONGEST_SECONDS,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.TimeoutExpired):
        _LOG.warning("%s could not be tried out", path, exc_info=True)
        return None
    words = done.stdout.decode("ascii", "replace").split()
    if _READ in words:
        return True
    _LOG.warning("reading %s: exit code %s\n%s", path, done.returncode, done.stderr.decode("utf-8", "replace")[-500:])
    # Without its first word Python did not start; killed, the system needed the memory. Loading it says more.
    killed = done.returncode == -getattr(signal, "SIGKILL", 9)
    return None if words != [_READY] or killed else False
