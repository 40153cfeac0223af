"""What older versions of the settings were called and held, and how each becomes the next.

A file says its version at the top (`version: 2`); one that says none is of the first. The notes of a migration name what it left
away and why; one that only says the same in other words has none.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.problems import short
from workbench.config.registry import AdapterOptions
from workbench.config.text import Text, listed

KEY = "version"
VERSION = 2

_NEWER = Text("these settings were written by a newer version of the workbench", "这些设置由更新版本的工作台写成")
_UPDATE = Text("Update the workbench, then try again.", "请更新工作台后重试。")
_NO_VERSION = Text("{given} is no version of the settings", "{given} 不是设置的版本号")
_WITHOUT_ADAPTER = Text(
    "Full tuning has no adapter, so these settings are not used: {names}.",
    "全量微调没有适配器，以下设置不会起作用：{names}。",
)


def migrated(values: dict[str, Any]) -> tuple[dict[str, Any], tuple[Text, ...]]:
    """Settings as this version has them, and what to say of that.

    Args:
        values: as in YAML; what else is wrong with them stays for the check.

    Raises:
        WorkbenchError: a newer version wrote them, or `version` is none.
    """
    now = copy.deepcopy(values)
    version = now.pop(KEY, 1)
    if type(version) is not int or version < 1:
        raise WorkbenchError(_NO_VERSION.with_(given=short(version)), None, KEY)
    if version > VERSION:
        raise WorkbenchError(_NEWER, _UPDATE, KEY, code="newer")
    notes: list[Text] = []
    for migrate in _MIGRATIONS[version - 1 :]:
        notes += migrate(now)
    return now, tuple(notes)


def _options_of_their_kind(values: dict[str, Any]) -> list[Text]:
    """1 to 2: an adapter's settings beside `kind: none`, which held them, too, and used none."""
    adapter = values.get("adapter")
    whole = AdapterOptions.of("none")
    if not isinstance(adapter, dict) or adapter.get("kind") != "none" or whole is None:
        return []
    usual = AdapterOptions.read({"kind": "lora"}).model_dump(mode="json")
    left = [name for name in adapter if name in usual and name not in whole.model_fields]
    meant = [f"adapter.{name}" for name in left if adapter[name] != usual[name]]
    for name in left:
        del adapter[name]
    return [_WITHOUT_ADAPTER.with_(names=listed(meant))] if meant else []


_MIGRATIONS: tuple[Callable[[dict[str, Any]], list[Text]], ...] = (_options_of_their_kind,)
