"""From a bare Python to a running workbench: `ensure()` returns at once where every package is there.

Elsewhere it makes `.venv` beside `app.py`, installs the pinned packages and runs the same command again in it. Standard
library only. It knows nothing about the engine or the page; the installing itself is in `installer.py`, and what a Python
that is too old is told in `config/first_words.py`. Python 3.8 can still read this file, for doors that ask late.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from workbench import proxies
from workbench.config.chatter import silence
from workbench.config.errors import WorkbenchError
from workbench.config.first_words import language, refuse_old_python
from workbench.config.text import Text

ROOT = Path(__file__).resolve().parent.parent

APP, TESTS = "requirements.txt", "tests/requirements.txt"
MARK = ".workbench-requirements"
_RESTARTS = "WORKBENCH_RESTARTS"


def environment() -> None:
    """Set what the libraries read when they are imported: no telemetry, no chatter, no proxy for this machine."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # exactly this word; "0" is not read
    silence()
    # Gradio asks its own page at start-up. With a proxy set and no exception for this machine that question goes to the
    # proxy, and the start fails.
    for text in proxies.of_this_process():
        say(text)


def say(text: Text | WorkbenchError, lang: str | None = None) -> None:
    """One line on stderr, in the reader's language, whatever the terminal can show."""
    line = text.to(lang or language())
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding), file=sys.stderr, flush=True)


def ensure(extra: list[str] | None = None, what: str = "app") -> None:
    """Return when every package is there; otherwise install them and run this command again in `.venv`.

    Args:
        extra: further requirement files, relative to the repository.
        what: "app", or "tests" for the packages of the checks as well.

    Raises:
        SystemExit: 2 with one sentence on stderr when it can't be done, 1 when the person stopped it.
    """
    environment()
    files = [APP] + ([TESTS] if what == "tests" else []) + list(extra or [])
    refuse_old_python()  # the doors have asked before; this is for one that forgets
    try:
        _prepare(ROOT, files)
    except WorkbenchError as error:
        say(error)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        say(Text("Stopped. The same command goes on from here.", "已停止。再次运行同一命令即可继续。"))
        raise SystemExit(1) from None


def read_pins(path: Path) -> dict[str, str]:
    """The exact pins of a requirements file, name to version; comments and options are left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise WorkbenchError(
            Text("{path} can't be read: {why}.", "无法读取 {path}：{why}。").with_(path=path, why=error.strerror),
            Text("Get the repository again, complete.", "请重新获取完整的代码仓库。"),
            code="no_requirements",
        ) from None
    found = (re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*==\s*([^\s;#]+)", line) for line in lines)
    return {match.group(1): match.group(2) for match in found if match}


def compare(pins: dict[str, str]) -> tuple[list[str], list[str]]:
    """What is missing here, and what has another version; nothing is imported, so this takes milliseconds."""
    from importlib import metadata

    missing, different = [], []
    for name, wanted in pins.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        # "2.13.0+cpu" is 2.13.0 built for this machine.
        if found.split("+")[0] != wanted.split("+")[0]:
            different.append(f"{name} {found} ({wanted})")
    return missing, different


def fingerprint(path: Path) -> str:
    """A hash of a file's pins; a changed comment changes nothing."""
    pins = sorted(read_pins(path).items())
    return hashlib.sha256(repr(pins).encode()).hexdigest()


def marked(root: Path, files: list[str]) -> bool:
    """Whether `.venv` was installed completely from these files as they are now."""
    try:
        done = (root / ".venv" / MARK).read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return all(f"{name} {fingerprint(root / name)}" in done for name in files)


def venv_python(root: Path) -> Path:
    """The Python inside `.venv`."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _prepare(root: Path, files: list[str]) -> None:
    pins = {name: version for file in files for name, version in read_pins(root / file).items()}
    missing, different = compare(pins)
    ours = Path(sys.prefix).resolve() == (root / ".venv").resolve()
    if ours:
        if not missing and not different and marked(root, files):
            os.environ.pop(_RESTARTS, None)
            return
    elif not missing and (not different or _is_managed()):
        if different:
            say(
                Text(
                    "Going on with other versions than the tested ones: {names}.",
                    "将使用与测试版本不同的软件包：{names}。",
                ).with_(names=", ".join(different))
            )
        return
    restarts = int(os.environ.get(_RESTARTS, "0"))
    if restarts > 1:
        raise WorkbenchError(
            Text(
                "The packages were installed but can't be found: {names}.",
                "软件包已安装，但仍找不到：{names}。",
            ).with_(names=", ".join(missing + different) or ".venv"),
            Text("Delete the folder {folder} and start again.", "请删除文件夹 {folder} 后重新启动。").with_(
                folder=root / ".venv"
            ),
            code="bad_environment",
        )
    if ours or not (marked(root, files) and venv_python(root).exists()):
        from workbench import installer

        if (text := proxies.without_socks(dict(os.environ))) is not None:
            say(text)
        installer.install(root, files, despite_mark=ours)
    _restart(root, restarts + 1)


def pip_variables() -> dict[str, str]:
    """The environment for pip: nothing that is meant for this Python, and no proxy that pip can't use."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    proxies.without_socks(variables)
    return variables


def _is_managed() -> bool:
    """Whether somebody else looks after this Python's packages: an activated environment, a container, a Space."""
    environment_active = sys.prefix != sys.base_prefix or os.environ.get("CONDA_DEFAULT_ENV", "base") != "base"
    container = any(Path(name).exists() for name in ("/.dockerenv", "/run/.containerenv"))
    return environment_active or container or "SPACE_ID" in os.environ


def _restart(root: Path, count: int) -> None:
    """Run the same command in `.venv`; does not return."""
    os.environ[_RESTARTS] = str(count)
    os.environ.pop("__PYVENV_LAUNCHER__", None)  # macOS: would point the new Python back at the old one
    command = [str(venv_python(root)), *sys.orig_argv[1:]]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        os.execv(command[0], command)
    # Windows has no exec: the old process waits, and leaves Ctrl-C to the new one, which gets it too.
    child = subprocess.Popen(command)
    while True:
        try:
            raise SystemExit(child.wait())
        except KeyboardInterrupt:
            continue
