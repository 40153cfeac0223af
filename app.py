"""The workbench's page: `python app.py`. Also the entry of a Hugging Face Space.

Reads the flags, sees to the packages, and opens the page; nothing else happens here.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from workbench.bootstrap import ROOT, ensure, environment, say


def _arguments() -> argparse.Namespace:
    on_a_space = "SPACE_ID" in os.environ
    parser = argparse.ArgumentParser(prog="app.py", description="Fine-tune language models in the browser.")
    parser.add_argument(
        "--host",
        default="0.0.0.0" if on_a_space else "127.0.0.1",
        help="address to listen on; 0.0.0.0 lets other computers in (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: %(default)s)")
    parser.add_argument("--no-browser", action="store_true", default=on_a_space, help="don't open a window")
    parser.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get("WORKBENCH_HOME") or ROOT / "workspace"),
        help="folder for models, data sets and runs (default: %(default)s)",
    )
    parser.add_argument("--lang", choices=("en", "zh"), help="language of messages (default: the system's)")
    arguments = parser.parse_args()
    if not 0 < arguments.port < 65536:
        parser.error(f"--port is {arguments.port}, and must be between 1 and 65535")
    return arguments


def main() -> int:
    """Run the page until it is closed; the exit code."""
    environment()
    arguments = _arguments()
    ensure()
    from workbench.config.errors import WorkbenchError
    from workbench.ui.page import serve

    try:
        home = arguments.home.expanduser().resolve()
        serve(home, arguments.host, arguments.port, not arguments.no_browser, arguments.lang)
    except WorkbenchError as error:
        say(error)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
