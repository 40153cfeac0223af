"""The command line: the same engine and the same folders as the page, without the page.

Results go to stdout (with `--json` one JSON object and nothing else), progress and logs to stderr. Exit codes: 0 done;
1 the work failed or was stopped; 2 the request was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from workbench.bootstrap import ROOT, ensure, environment, language


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    environment()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show Chinese must not end the program
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    if options.lang:
        os.environ["WORKBENCH_LANG"] = options.lang
    lang = options.lang or language([])
    ensure()
    from workbench import commands
    from workbench.config.errors import StopRequested, WorkbenchError
    from workbench.engine.boundary import explain

    try:
        result, code = getattr(commands, options.command)(options, lang)
    except (KeyboardInterrupt, StopRequested):
        return 1
    except Exception as error:
        if options.debug:
            raise
        problem = explain(error)
        wrong = isinstance(error, WorkbenchError)
        told = error if wrong else WorkbenchError(problem.message, problem.hint, problem.field)
        if options.json:
            print(json.dumps({"error": told.as_dict(lang)}, ensure_ascii=False))
        print(told.to(lang), file=sys.stderr)
        return 2 if wrong and error.code not in commands.FAILURES else 1
    _print(result, options.json)
    return code


def _print(result: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.data, ensure_ascii=False, default=str))
    elif result.text:
        print(result.text)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get("WORKBENCH_HOME") or ROOT / "workspace"),
        help="folder for models, data sets and runs (default: %(default)s)",
    )
    common.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    common.add_argument("--lang", choices=("en", "zh"), help="language of messages")

    parser = argparse.ArgumentParser(prog="python -m workbench", description="Fine-tune language models.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    presets = commands.add_parser("presets", parents=[common], help="list, show or copy presets")
    presets.add_argument("action", nargs="?", default="list", choices=("list", "show", "copy"))
    presets.add_argument("id", nargs="?", help="the preset")
    presets.add_argument("file", nargs="?", type=Path, help="where to copy it")

    train = commands.add_parser("train", parents=[common], help="train from a preset or a YAML file")
    train.add_argument("preset", metavar="PRESET_OR_YAML")
    train.add_argument("overrides", nargs="*", metavar="section.key=value")

    runs = commands.add_parser("runs", parents=[common], help="list, show or delete runs")
    runs.add_argument("action", nargs="?", default="list", choices=("list", "show", "delete"))
    runs.add_argument("run", nargs="?")

    models = commands.add_parser("models", parents=[common], help="list base models, or add a folder")
    models.add_argument("action", nargs="?", default="list", choices=("list", "add"))
    models.add_argument("folder", nargs="?", type=Path, metavar="DIR")

    resume = commands.add_parser("resume", parents=[common], help="go on with a run from its last checkpoint")
    resume.add_argument("run")
    resume.add_argument("overrides", nargs="*", metavar="section.key=value")

    chat = commands.add_parser("chat", parents=[common], help="talk to a model or to what a run made")
    chat.add_argument("target", metavar="MODEL_OR_RUN")
    chat.add_argument("--prompt", help="ask this one question and print the answer")
    chat.add_argument("--base", action="store_true", help="of a run: ask its base model")
    chat.add_argument("--max-new-tokens", type=int, default=256)
    chat.add_argument("--temperature", type=float, default=0.0, help="0: always the likeliest word")
    chat.add_argument("--top-p", type=float, default=1.0)

    merge = commands.add_parser("merge", parents=[common], help="write base and adapter as one model folder")
    merge.add_argument("run")
    merge.add_argument("folder", type=Path, metavar="DIR")
    merge.add_argument("--dtype", default="auto", help="fp32, bf16, fp16 or auto")
    return parser


if __name__ == "__main__":
    sys.exit(main())
