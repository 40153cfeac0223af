"""The reader's language, and what a Python that is too old is told.

Every Python 3 can read this file, and it imports nothing of the workbench, which only newer ones can: no f-strings, and
types in quotes.
"""

import locale
import os
import sys

MINIMUM = (3, 11)  # transformers, numpy and pandas ask for it

# No `Text`: its module is already too new.
_TOO_OLD = {
    "en": "The workbench needs Python {least} or newer, and this is Python {found} ({path}). Install a newer one from "
    "python.org or your system's packages, and start again with it.",
    "zh": "本工具需要 Python {least} 或更新版本，而当前是 Python {found}（{path}）。请从 python.org 或系统软件源安装新版本，"
    "再用它启动。",
}


def refuse_old_python(version: "tuple[int, ...] | None" = None) -> None:
    """Leave with one sentence (exit code 2) when this Python is too old for the pinned packages."""
    version = tuple(sys.version_info[:3]) if version is None else version
    if version >= MINIMUM:
        return
    values = {"least": _dotted(MINIMUM), "found": _dotted(version), "path": sys.executable}
    line = _TOO_OLD[language()].format(**values)
    try:
        line.encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # old Pythons write ASCII where they don't know the system's language
        line = _TOO_OLD["en"].format(**values)
    print(line, file=sys.stderr)
    raise SystemExit(2)


def _dotted(version: "tuple[int, ...]") -> str:
    return ".".join(str(part) for part in version)


def language(arguments: "list[str] | None" = None) -> str:
    """The reader's language, "en" or "zh": `--lang`, then WORKBENCH_LANG, then the system's."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for index, argument in enumerate(arguments):
        if argument == "--lang" and index + 1 < len(arguments):
            return _known(arguments[index + 1])
        if argument.startswith("--lang="):
            return _known(argument[len("--lang=") :])
    names = [os.environ.get(name, "") for name in ("WORKBENCH_LANG", "LC_ALL", "LC_MESSAGES", "LANG")]
    try:
        names.append(locale.getlocale()[0] or "")
    except ValueError:  # a locale that Python doesn't know
        pass
    return _known(next((name for name in names if name), "en"))


def _known(name: str) -> str:
    return "zh" if name.lower().startswith(("zh", "chinese")) else "en"
