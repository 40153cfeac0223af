"""Whether a model's tokenizer.json can be read and used: tried out in a process of its own.

Over some files the tokenizers library ends its whole process instead of raising an error, and with it the page and every
run: damaged ones, and those that make gigabytes out of a word. Besides, all threads of a process stand still while it
reads a large file. So `tokenizer_probe.py` reads the file and works with it under limits of time, memory and output.

What this cannot see: a tokenizer that behaves with the texts that are tried, and misbehaves with others.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.models import tokenizer_probe as probe
from workbench.models.probing import package_folders, run_probe
from workbench.models.reading import contained, damaged, model_error, unreadable

# With the time until the other process can begin, which a virus scanner or a busy computer may hold up.
LONGEST_SECONDS = 60 + probe.READ_LAST + probe.WORK_LAST

_LOG = logging.getLogger(__name__)
_BROKEN, _SLOW, _CRASH = "broken", "slow", "crash"
_REASONS = {
    probe.LONG: Text(
        "this model's tokenizer ({file}) makes far more out of a short text than was written",
        "此模型的分词器（{file}）会把一段短文本膨胀成极长的内容",
    ),
    probe.MEMORY: Text(
        "this model's tokenizer ({file}) needs far too much memory", "此模型的分词器（{file}）占用的内存过多"
    ),
    _SLOW: Text(
        "this model's tokenizer ({file}) does not come to an end with a short text",
        "此模型的分词器（{file}）连一段短文本都处理不完",
    ),
    probe.FAILS: Text(
        "this model's tokenizer ({file}) fails with a short text", "此模型的分词器（{file}）处理一段短文本时出错"
    ),
    _CRASH: Text(
        "this model's tokenizer ({file}) makes Python crash over a short text",
        "此模型的分词器（{file}）处理一段短文本时会使 Python 崩溃",
    ),
}
_OUT_OF_MEMORY = "memory allocation of"  # as Rust says it before it gives up

_lock = threading.Lock()
_contents: dict[tuple[str, int, int], str] = {}
"""Place, time and size of a file, to the hash of what it holds: many models share a tokenizer."""
_verdicts: dict[str, str] = {}


def check_tokenizer(folder: Path) -> None:
    """Refuse a tokenizer.json that can't be read, or hangs, swells or crashes over short texts.

    Other kinds of tokenizers are read only when they are loaded. The first call for a file takes a fifth of a second, a
    second for a large one; any other no time, until the file changes, and so for copies of it. What only the clock or a
    lack of memory said is asked again.

    Raises:
        WorkbenchError: (`broken_tokenizer`) it can't be read; (`bad_tokenizer`) it can't be worked with.
    """
    path = contained(folder, "tokenizer.json")
    if path is None:
        return
    state = path.stat()
    key = (str(path.resolve()), state.st_mtime_ns, state.st_size)
    with _lock:  # so that two who ask at the same time start one process
        if key not in _contents:
            _contents[key] = _content(path)
        verdict = _verdicts.get(_contents[key])
        if verdict is None:
            verdict, lasting = _try_out(path)
            if verdict is not None and lasting:
                _verdicts[_contents[key]] = verdict
    if verdict == _BROKEN:
        raise damaged(path, code="broken_tokenizer")
    if verdict not in (None, probe.FINE):
        raise _refusal(path, verdict)


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def _try_out(path: Path) -> tuple[str | None, bool]:
    """What a process that is gone when this returns says about the file, and whether it would say so again.

    None where nobody can say.
    """
    folders = package_folders("tokenizers")
    if not folders:
        return None, False
    own = str(Path(probe.__file__).parent)
    try:
        outcome = run_probe(probe.__file__, [folders[0], own, str(path)], b"", LONGEST_SECONDS)
    except OSError:
        _LOG.warning("%s could not be tried out", path, exc_info=True)
        return None, False
    read, said = outcome.words[:1] == (probe.READ,), outcome.words[1:]
    if not outcome.begun:  # loading it says more
        _LOG.warning("%s could not be tried out: %s", path, outcome.ending)
        return None, False
    if said == (probe.FINE,):
        return probe.FINE, True
    _LOG.warning("%s is refused: exit code %s, %s\n%s", path, outcome.code, outcome.words, outcome.ending)
    if said:
        return said[0], True
    # Where the computer has less memory than the process may take, the system ends it; in here it might end everything.
    # A large file needs some to be read, which may be there another time.
    if outcome.killed or _OUT_OF_MEMORY in outcome.ending:
        return probe.MEMORY, read or not outcome.killed
    if outcome.late:
        return _SLOW, not outcome.by_clock
    return _CRASH if read else _BROKEN, True


def _refusal(path: Path, verdict: str) -> WorkbenchError:
    return model_error(
        _REASONS[verdict].with_(file=path.name),
        Text(
            "Choose another model, or put the tokenizer of its original into its folder.",
            "请选择其他模型，或在该模型的文件夹中放入原版的分词器文件。",
        ),
        code="bad_tokenizer",
    )
