"""An extra of the workbench: a package that only some need, installed beside the others when somebody asks for it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from typing import Any

from workbench.config.demo import refuse_in_demo
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.problems import short
from workbench.config.text import Text
from workbench.engine.jobs import base
from workbench.hub import modelscope

EXTRAS = {"modelscope": modelscope.PACKAGE}  # with its exact version
COMMAND = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
_LOOK_SECONDS = 0.1


class Request(base.Request):
    """Which of `EXTRAS`."""

    extra: str


class Install(base.JobKind):
    """pip does it, in a process of its own; what it installs can be used at once, without a restart."""

    kind = "install"
    lane = "network"
    stopping = Text("Nothing is installed then. It can be asked for again.", "停止后不会安装，之后可以重新安装。")
    asks = Request

    def title(self, tools: base.Tools, request: Request) -> Text:
        return Text("Installation of {package}", "安装 {package}").with_(package=_package(request).partition("=")[0])

    def check(self, tools: base.Tools, request: Request) -> None:
        refuse_in_demo()
        _package(request)

    def work(self, job: base.Job) -> dict[str, Any]:
        package = _package(job.request)
        job.progress(Text("Installing {package}", "正在安装 {package}").with_(package=package))
        process = subprocess.Popen(
            [*COMMAND, package], env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        lines: list[str] = []
        reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                reader.join(_LOOK_SECONDS)
                job.check()
        except StopRequested:
            process.kill()
            raise
        finally:
            code = process.wait()
        if code:
            said = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "")
            raise WorkbenchError(
                Text("pip could not install {package}: {said}", "pip 未能安装 {package}：{said}").with_(
                    package=package, said=short(said)
                ),
                Text("Is there a network? Try again, or choose a mirror of Hugging Face.",
                     "网络是否正常？请重试，或改用 Hugging Face 镜像。"),
                code="not_installed",
            )  # fmt: skip
        importlib.invalidate_caches()
        return {"package": package}


def _package(request: Request) -> str:
    if request.extra not in EXTRAS:
        raise WorkbenchError(
            Text("there is no extra {name}", "没有名为 {name} 的扩展").with_(name=short(request.extra)),
            code="unknown_extra",
        )
    return EXTRAS[request.extra]


def _environment() -> dict[str, str]:
    """For pip: nothing that is meant for this Python."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _read(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip():
            lines.append(line.strip())
