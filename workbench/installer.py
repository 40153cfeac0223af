"""Makes `.venv` and installs pinned packages into it, telling a person what happens meanwhile.

Standard library only, like `bootstrap.py`, its only caller. Whatever goes wrong becomes one `WorkbenchError`; all that pip
printed is kept in `.venv/install.log`. A kill while pip copies packages leaves a note behind, and the environment is made
anew the next time, because pip takes a half-copied package for an installed one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from workbench.bootstrap import MARK, fingerprint, language, marked, pip_variables, read_pins, say, venv_python
from workbench.config.errors import WorkbenchError
from workbench.config.text import Text

LOG = "install.log"
_BEGUN = ".workbench-installing"
_TORCH = "https://download.pytorch.org/whl/"
_USUAL_TORCH = Text(
    "Torch for this computer can't be had from {index}; the usual build is tried, which may be larger or leave the "
    "graphics card unused. To change that, name a mirror in WORKBENCH_TORCH_INDEX, delete .venv and start again.",
    "无法从 {index} 取得适合这台电脑的 torch，将改用通用版本：体积可能更大，也可能用不上显卡。"
    "如需更换，请在 WORKBENCH_TORCH_INDEX 中填写镜像地址，删除 .venv 后重新启动。",
)
# What PyTorch's CUDA 13 build asks for; older cards and drivers get the CUDA 12.6 build.
_CUDA_13_DRIVER, _CUDA_13_CAPABILITY = 580, 7.5


def install(root: Path, files: list[str], despite_mark: bool = False) -> None:
    """Make or mend `.venv` and install `files` into it.

    Args:
        root: the repository.
        files: requirement files, relative to it.
        despite_mark: something is missing although the environment is marked as complete.
    """
    venv = root / ".venv"
    with _alone(root):
        if not despite_mark and marked(root, files) and venv_python(root).exists():
            return  # another start did it while this one waited
        try:
            pip = None if (venv / _BEGUN).exists() else _pip_version(root)
            if pip is None:
                say(Text("Preparing {venv}...", "正在准备 {venv}……").with_(venv=venv))
                _make(venv)
                pip = _pip_version(root)
            before = _read_marks(venv)
            (venv / MARK).unlink(missing_ok=True)
            _install_all(root, files, pip or "0")
            done = {**before, **{name: fingerprint(root / name) for name in files}}
            (venv / MARK).write_text("".join(f"{name} {value}\n" for name, value in done.items()), encoding="utf-8")
        except OSError as error:
            raise explain([str(error)], venv) from None


def _read_marks(venv: Path) -> dict[str, str]:
    try:
        lines = (venv / MARK).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return dict(line.split(" ", 1) for line in lines if " " in line)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keep a second start out of the same folder while one installs; where folders can't be locked, hope."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(Text("Waiting for another start that is installing...", "另一个启动过程正在安装，请稍候……"))
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a network file system without locks
            pass
        yield
    finally:
        os.close(handle)


def _make(venv: Path) -> None:
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise _no_venv(module)
    # From inside `.venv` itself, the Python that it was made from.
    python = getattr(sys, "_base_executable", None) or sys.executable
    made = subprocess.run(
        [python, "-m", "venv", "--clear", str(venv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if made.returncode != 0:
        raise explain(made.stdout.splitlines(), venv)


def _pip_version(root: Path) -> str | None:
    """The version of the pip in `.venv`, or None when that environment can't be used."""
    code = "import sys, pip._internal.commands.install; sys.stdout.write(pip.__version__)"
    try:
        asked = subprocess.run([str(venv_python(root)), "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return None
    return asked.stdout.decode() if asked.returncode == 0 else None


def _install_all(root: Path, files: list[str], pip: str) -> None:
    pins = {name: version for file in files for name, version in read_pins(root / file).items()}
    say(
        Text(
            "Installing {count} packages and what they need; this happens once and takes some minutes.",
            "正在安装 {count} 个软件包及其依赖；只需一次，大约几分钟。",
        ).with_(count=len(pins))
    )
    (root / ".venv" / LOG).write_text("", encoding="utf-8")
    index, needed = torch_index() if "torch" in pins else (None, False)
    if index is not None:
        options = ["--no-deps", "--retries", "1", "--index-url", index, f"torch=={pins['torch']}"]
        failure = _pip(root, options, pip, 1)
        if failure is not None and needed:
            raise failure
        if failure is not None:
            say(_USUAL_TORCH.with_(index=index))
    options = [part for file in files for part in ("-r", str(root / file))]
    if (failure := _pip(root, options, pip, len(pins))) is not None:
        raise failure


def torch_index() -> tuple[str | None, bool]:
    """Where this computer's build of torch lies, None for the usual index, and whether no other build will do.

    The usual index has the CUDA 13 build for Linux and builds without CUDA for Windows, and so have its mirrors. So where
    somebody has named a source of packages, a build for a card is still looked for in PyTorch's own index; but that may be
    out of reach from there, and then the named source has to do.
    """
    chosen = os.environ.get("WORKBENCH_TORCH_INDEX")
    if chosen is not None:
        return chosen or None, bool(chosen)
    if os.environ.get("PIP_NO_INDEX"):
        return None, False
    named = any(os.environ.get(name) for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"))
    cards = _cards()
    old = any(driver < _CUDA_13_DRIVER or capability < _CUDA_13_CAPABILITY for driver, capability in cards)
    if old or (cards and sys.platform == "win32"):
        return _TORCH + ("cu126" if old else "cu130"), not named
    if not cards and sys.platform.startswith("linux") and not named:
        return _TORCH + "cpu", False  # only smaller
    return None, False


def _cards() -> list[tuple[float, float]]:
    """Driver and compute capability of every NVIDIA card; none where there is no nvidia-smi."""
    if (program := shutil.which("nvidia-smi")) is None:
        return []
    query = [program, "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"]
    try:
        output = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20).stdout.decode()
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = re.findall(r"^\s*(\d+)[\d.]*\s*,\s*(\d+\.\d+)", output, re.MULTILINE)
    return [(float(driver), float(capability)) for driver, capability in found]


def _pip(root: Path, options: list[str], version: str, total: int) -> WorkbenchError | None:
    """Run `pip install` with visible progress; the error when it failed."""
    command = [str(venv_python(root)), "-m", "pip", "install", "--no-color", "--no-input"]
    # "raw" came with pip 24.1; an older one says nothing while it downloads, and the seconds are counted instead.
    bar = "raw" if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= (24, 2) else "off"
    variables = pip_variables()
    variables.update(PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8")
    process = subprocess.Popen(
        [*command, "--progress-bar", bar, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=variables,
        encoding="utf-8",
        errors="replace",
    )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_pump, args=(process, lines), daemon=True).start()
    display = _Display(total)
    seen: list[str] = []
    begun = root / ".venv" / _BEGUN
    try:
        with open(root / ".venv" / LOG, "a", encoding="utf-8") as log:
            for line in _until_none(lines, display):
                if not line.startswith("Progress "):
                    log.write(line + "\n")
                    seen.append(line)
                display.feed(line)
                if line.startswith("Installing collected packages"):
                    begun.touch()
        process.wait()
        if process.returncode >= 0:  # it ended by itself, and undid what it had not finished
            begun.unlink(missing_ok=True)
    finally:
        display.close()
        if process.poll() is None:
            process.terminate()
    return explain(seen, root / ".venv") if process.returncode else None


def _pump(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line.rstrip())
    lines.put(None)


def _until_none(lines: queue.Queue[str | None], display: _Display) -> Iterator[str]:
    while True:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            display.tick()
            continue
        if line is None:
            return
        yield line


class _Display:
    """pip's lines, condensed: one line that changes on a terminal, one line a package elsewhere."""

    def __init__(self, total: int) -> None:
        self.total, self.seen, self.needed = total, 0, 0
        self.text: Text | None = None
        self.share, self.since, self.shown = "", time.monotonic(), 0
        self.terminal = sys.stderr.isatty()
        self.lang = language()

    def feed(self, line: str) -> None:
        """Take one line of pip's output."""
        line = line.strip()
        if re.match(r"(Collecting|Requirement already satisfied:|Processing) ", line):
            wanted = "(from" not in line or "(from -r" in line
            self.seen += wanted
            self.needed += not wanted
        elif re.match(r"(Downloading|Using cached) \S+\.(whl|tar\.gz|zip)( |$)", line):
            file = re.search(r"([^/\s-]+)-(\d[^-\s]*?)(-\S*|\.tar\.gz|\.zip)( \(.*\))?$", line)
            name = f"{file.group(1)} {file.group(2)}" if file else line.split()[-1]
            size = (file.group(4) or "") if file else ""
            more = Text(" and {count} that they need", "及 {count} 个依赖").with_(count=self.needed)
            self._show(
                Text(
                    "{n} of {total} packages{more}: {name}{size}", "第 {n}/{total} 个软件包{more}：{name}{size}"
                ).with_(
                    n=min(self.seen, self.total),
                    total=self.total,
                    more=more if self.needed else "",
                    name=name,
                    size=size,
                )
            )
        elif line.startswith("Progress "):
            done, whole = ([int(part) for part in re.findall(r"\d+", line)] + [0, 0])[:2]
            self.share = f" {100 * done // whole} %" if whole else ""
            self.tick()
        elif line.startswith("Installing collected packages:"):
            count = len(line.split(":", 1)[1].split(","))
            self._show(Text("Unpacking {count} packages", "正在解压 {count} 个软件包").with_(count=count))
        elif line.startswith("WARNING: Retrying"):
            self._show(Text("The network doesn't answer; trying again", "网络没有响应，正在重试"))

    def tick(self) -> None:
        """Draw the line again with the seconds that have gone by."""
        if self.terminal and self.text is not None:
            seconds = int(time.monotonic() - self.since)
            self._draw(f"{self.text.to(self.lang)}{self.share}  {seconds // 60}:{seconds % 60:02d}")

    def close(self) -> None:
        """Leave the terminal on a fresh line."""
        if self.shown:
            self._draw("")
            sys.stderr.write("\r")
            sys.stderr.flush()

    def _show(self, text: Text) -> None:
        changed = text != self.text
        self.text, self.share, self.since = text, "", time.monotonic()
        if self.terminal:
            self.tick()
        elif changed:
            say(text, self.lang)

    def _draw(self, line: str) -> None:
        room = shutil.get_terminal_size().columns - 1
        wide = sum(2 if ord(letter) > 0x2E80 else 1 for letter in line)
        if wide > room:
            line = line[: max(0, room * len(line) // wide - 1)]
            wide = room
        encoding = sys.stderr.encoding or "utf-8"
        sys.stderr.write("\r" + line.encode(encoding, "replace").decode(encoding) + " " * max(0, self.shown - wide))
        sys.stderr.flush()
        self.shown = wide


_NEARLY_NOTHING = 20 * 2**20  # bytes; an empty environment with pip takes about this
_NETWORK = (
    r"NewConnectionError|Max retries exceeded|Failed to establish|name resolution|Name or service not known|"
    r"getaddrinfo|ConnectTimeout|ReadTimeout|[Rr]ead timed out|Network is unreachable|No route to host|ProxyError|"
    r"SSLError|Connection (refused|reset|broken|aborted)|RemoteDisconnected|IncompleteRead|Could not fetch URL"
)


def explain(lines: list[str], venv: Path) -> WorkbenchError:
    """The one sentence for what pip, venv or the system said."""
    output = "\n".join(lines)
    # ensurepip doesn't say why it failed, so a disk that is full now counts as the reason.
    full = shutil.disk_usage(venv.parent).free < _NEARLY_NOTHING
    if full or re.search(r"No space left|Errno 28|not enough space|WinError 112|[Dd]isk quota", output):
        return WorkbenchError(
            Text("The disk with {venv} is full.", "{venv} 所在的磁盘已满。").with_(venv=venv),
            Text(
                "Free some space (about 3 GB, 10 GB with a GPU) and start again.",
                "请腾出空间（约 3 GB，使用 GPU 时约 10 GB）后重新启动。",
            ),
            code="disk_full",
        )
    if re.search(r"ensurepip is not|No module named '?(venv|ensurepip)", output):
        return _no_venv("ensurepip")
    if re.search(_NETWORK, output):
        return WorkbenchError(
            Text("The packages can't be downloaded: the network doesn't answer.", "无法下载软件包：网络没有响应。"),
            Text(
                "Check the connection; behind a proxy set HTTPS_PROXY, and set PIP_INDEX_URL to use a mirror.",
                "请检查网络；如使用代理请设置 HTTPS_PROXY；也可使用镜像，例如 "
                "PIP_INDEX_URL=https://pypi.tuna.tsinghua.edu.cn/simple。",
            ),
            code="network",
        )
    if re.search(r"Permission denied|Errno 13|Errno 30|Read-only file system|Access is denied|WinError 5\b", output):
        return WorkbenchError(
            Text("{venv} can't be written.", "无法写入 {venv}。").with_(venv=venv),
            Text(
                "Put the workbench into a folder of your own, or delete .venv if another user made it.",
                "请把本工具放到自己的文件夹；如果 .venv 由其他用户创建，请先删除它。",
            ),
            code="not_writable",
        )
    return _unknown(output, venv)


def _unknown(output: str, venv: Path) -> WorkbenchError:
    if absent := re.search(r"No matching distribution found for ([^\s;(]+)", output):
        return WorkbenchError(
            Text(
                "There is no {package} for Python {python} on {system}.",
                "没有适用于 Python {python}（{system}）的 {package}。",
            ).with_(
                package=absent.group(1),
                python=platform.python_version(),
                system=f"{platform.system()} {platform.machine()}",
            ),
            Text(
                "Use Python 3.11 to 3.14 on 64-bit Linux, Windows, or a Mac with Apple silicon (macOS 14 or newer).",
                "请使用 Python 3.11 至 3.14，以及 64 位 Linux、Windows 或 Apple 芯片的 Mac（macOS 14 或更新）。",
            ),
            code="no_build",
        )
    said = [line for line in output.splitlines() if re.search(r"error|fail", line, re.IGNORECASE)]
    last = (said or output.splitlines() or ["?"])[-1].strip()[:200]
    return WorkbenchError(
        Text("The packages could not be installed: {last}", "软件包安装失败：{last}").with_(last=last),
        Text("All that pip said is in {log}.", "pip 的完整输出见 {log}。").with_(log=venv / LOG),
        code="pip_failed",
    )


def _no_venv(module: str) -> WorkbenchError:
    return WorkbenchError(
        Text(
            "This Python ({path}) comes without its module {module}.",
            "当前 Python（{path}）缺少 {module} 模块。",
        ).with_(path=sys.executable, module=module),
        Text(
            "On Debian and Ubuntu type: sudo apt install python{version}-venv - elsewhere use Python from python.org.",
            "在 Debian 或 Ubuntu 上请运行：sudo apt install python{version}-venv；其他系统请使用 python.org 的 Python。",
        ).with_(version="{}.{}".format(*sys.version_info)),
        code="no_venv",
    )
