"""`python -m tests [pytest arguments]`: packages, a browser, then pytest; all tests in two processes, named ones in one.

Works on a bare machine: what is missing is installed into `.venv` first. Every Python 3 can read this file.
"""

import os
import sys
from pathlib import Path

from workbench.config.first_words import refuse_old_python

refuse_old_python()  # before the imports that an old Python can't read

from workbench.bootstrap import ROOT, ensure, say

BROWSER_TESTS = ROOT / "tests" / "browser"
# Files stay together, and the browser's tests all together: one browser at a time (see `tests/conftest.py`).
TWO_PROCESSES = ["-n", "2", "--dist", "loadscope", "--no-loadscope-reorder"]
_LOOKS_ONLY = ("--help", "-h", "--version", "-V", "--collect-only", "--co", "--fixtures")
_ONE_PROCESS = ("-n", "--numprocesses", "--dist", "--pdb", "--trace", "-s", "--capture=no")


def wants_browser(arguments: list[str]) -> bool:
    """Whether pytest with these arguments reaches a test in tests/browser."""
    text = " ".join(arguments)
    if any(word in arguments for word in _LOOKS_ONLY):
        return False
    if "not browser" in text or "--ignore=tests/browser" in text or not any(BROWSER_TESTS.glob("test_*.py")):
        return False
    named = named_paths(arguments)
    # With no path named, everything is run.
    return not named or any(
        path == BROWSER_TESTS or path in BROWSER_TESTS.parents or BROWSER_TESTS in path.parents for path in named
    )


def wants_two_processes(arguments: list[str]) -> bool:
    """Whether pytest with these arguments runs everything, and nobody has said in how many processes."""
    words = [word for argument in arguments for word in (argument, argument.split("=")[0], argument[:2])]
    return not named_paths(arguments) and not any(word in words for word in (*_LOOKS_ONLY, *_ONE_PROCESS))


def named_paths(arguments: list[str]) -> list[Path]:
    """The files and folders that are named among pytest's arguments."""
    named = [Path(argument.split("::")[0]) for argument in arguments if not argument.startswith("-")]
    return [path.resolve() for path in named if path.exists()]


def main(arguments: list[str]) -> int:
    """Run the tests; pytest's exit code, or 2 when there is no browser."""
    ensure(what="tests")
    os.environ["HF_HUB_OFFLINE"] = "1"
    if wants_two_processes(arguments):
        os.environ["OMP_NUM_THREADS"] = "1"  # or each process would compute with all cores
        arguments = [*TWO_PROCESSES, *arguments]
    if wants_browser(arguments):
        from tests import browsers

        path = browsers.find() or browsers.get()
        if path is None:
            say(browsers.missing())
            return 2
        os.environ[browsers.VARIABLE] = path
    import pytest

    return int(pytest.main(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
