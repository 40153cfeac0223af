"""`python -m tests [pytest arguments]`: packages, a browser, then pytest; the quick tests first, the browser's last.

Works on a bare machine: what is missing is installed into `.venv` first. Every Python 3 can read this file.
"""

import os
import sys
from pathlib import Path

from workbench.config.first_words import refuse_old_python

refuse_old_python()  # before the imports that an old Python can't read

from workbench.bootstrap import ROOT, ensure, say

BROWSER_TESTS = ROOT / "tests" / "browser"


def wants_browser(arguments: list[str]) -> bool:
    """Whether pytest with these arguments reaches a test in tests/browser."""
    text = " ".join(arguments)
    if any(word in arguments for word in ("--help", "-h", "--version", "-V", "--collect-only", "--co", "--fixtures")):
        return False
    if "not browser" in text or "--ignore=tests/browser" in text or not any(BROWSER_TESTS.glob("test_*.py")):
        return False
    named = [Path(argument.split("::")[0]) for argument in arguments if not argument.startswith("-")]
    named = [path.resolve() for path in named if path.exists()]
    # With no path named, everything is run.
    return not named or any(
        path == BROWSER_TESTS or path in BROWSER_TESTS.parents or BROWSER_TESTS in path.parents for path in named
    )


def main(arguments: list[str]) -> int:
    """Run the tests; pytest's exit code, or 2 when there is no browser."""
    ensure(what="tests")
    os.environ["HF_HUB_OFFLINE"] = "1"
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
