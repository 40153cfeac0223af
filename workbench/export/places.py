"""Where a model folder may be made. Checked before anything is loaded."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text


def check_destination(destination: Path, sources: list[Path]) -> None:
    """Refuse a place where no model folder can be made: nothing may lie there, above it only folders.

    Args:
        destination: an absolute path.
        sources: folders that are read, and stay as they are.

    Raises:
        WorkbenchError: with the code destination_exists, or bad_path.
    """
    above = next(parent for parent in destination.parents if os.path.lexists(parent))
    if not above.is_dir():
        raise WorkbenchError(
            Text("{path} is no folder", "{path} 不是文件夹").with_(path=above),
            Text("Put it right, or choose another place.", "请先处理，或换一个位置。"),
            code="bad_path",
        )
    real = destination.resolve()
    for source in sources:
        home = Path(source).resolve()
        if real.is_relative_to(home) or home.is_relative_to(real):
            raise _destination_error(
                Text("{folder} lies inside the model's own folder.", "{folder} 位于模型自己的文件夹中。"), destination
            )
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise _destination_error(
            Text("{folder} exists and is no folder.", "{folder} 已存在且不是文件夹。"), destination
        )
    if destination.is_dir() and any(destination.iterdir()):
        raise _destination_error(Text("{folder} is not empty.", "{folder} 不是空文件夹。"), destination)


def _destination_error(message: Text, destination: Path) -> WorkbenchError:
    return WorkbenchError(
        message.with_(folder=str(destination)),
        Text("Choose a folder that does not exist yet.", "请选择一个尚不存在的文件夹。"),
        code="destination_exists",
    )
