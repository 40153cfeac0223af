"""Where models are kept: the home's own folder, and folders on other disks that were chosen for new ones.

The choice stands in `home/models.json`. Models stay where they are when another folder is chosen, and stay listed.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from workbench.config.disk import disk_errors, write_json
from workbench.config.errors import WorkbenchError
from workbench.config.reading import Damaged, read_record
from workbench.config.text import Text, writable
from workbench.models.reading import model_error

_FILE = "models.json"


class _Kept(TypedDict):
    folders: list[str]  # the one for new models last


_KEPT = TypeAdapter(_Kept)


def model_folders(home: Path) -> tuple[Path, ...]:
    """All folders with models of a home, its own first, the one for new models last."""
    own = Path(home) / "models"
    try:
        kept = read_record(Path(home) / _FILE, _KEPT)["folders"] if os.path.lexists(Path(home) / _FILE) else []
    except Damaged:
        kept = []
    others = [Path(name) for name in kept if "\0" not in name and os.path.isabs(name)]
    return (own, *(folder for folder in others if folder != own), *([own] if others and others[-1] == own else []))


def new_models_folder(home: Path) -> Path:
    """Where new models are put.

    Raises:
        WorkbenchError: the folder that was chosen is not there.
    """
    folder = model_folders(home)[-1]
    if folder != Path(home) / "models" and not folder.is_dir():
        raise model_error(
            Text("The folder for models is not there: {folder}", "存放模型的文件夹不存在：{folder}").with_(
                folder=writable(str(folder))
            ),
            Text(
                "Connect its disk, or choose another folder: python -m workbench models folder DIR",
                "请连接它所在的磁盘，或另选文件夹：python -m workbench models folder 文件夹",
            ),
            code="no_models_folder",
        )
    return folder


def choose_models_folder(home: Path, folder: Path) -> Path:
    """Put new models into this folder from now on; it is made where it is not there.

    Raises:
        WorkbenchError: nothing can be written there, or it lies inside the home or the workbench.
    """
    own, wanted = Path(home) / "models", Path(os.path.abspath(os.path.expanduser(folder)))
    if wanted != own and (wanted in Path(home).parents or Path(home) in (wanted, *wanted.parents)):
        raise WorkbenchError(
            Text(
                "this folder belongs to the workbench's home: {folder}", "这个文件夹属于工作台的主目录：{folder}"
            ).with_(folder=writable(str(wanted))),
            Text(
                "Choose one outside of it, such as one on another disk.",
                "请选择主目录以外的文件夹，例如另一块磁盘上的。",
            ),
            code="bad_folder",
        )
    with disk_errors(wanted / "x"):
        wanted.mkdir(parents=True, exist_ok=True)
        probe = wanted / ".workbench.tmp"
        probe.write_bytes(b"")
        probe.unlink()
    others = [str(one) for one in model_folders(home)[1:] if one not in (own, wanted)]
    write_json(Path(home) / _FILE, {"folders": [*others, str(wanted)]})
    return wanted
