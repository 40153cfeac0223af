"""Which base models there are: the one that is shipped, the ones in the home folder, and folders linked from there.

Only files are read, without torch, so that the page can list models at once. The page names models by id alone; the
command line may also name a folder (`allow_paths`). Nothing here downloads, loads or deletes a model.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, listed, same
from workbench.models.files import ModelFiles, check_folder
from workbench.models.reading import model_error, read_json_object

__all__ = ["ModelCatalog", "ModelInfo", "check_folder"]

STARTER = "starter"
_STARTER_FOLDER = Path(__file__).resolve().parent / "starter" / "model"
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len", "seq_length")


@dataclass(frozen=True)
class ModelInfo:
    """One base model as the page and the command line show it; `problem` says why it can't be used."""

    id: str
    name: Text
    about: Text | None
    folder: Path
    architecture: str
    parameters: int
    bytes: int  # of the weight files
    context: int  # tokens; 0 where the model does not say
    shipped: bool
    has_template: bool
    dtype: str = ""  # of the stored weights: fp32, bf16, fp16, ...
    problem: WorkbenchError | None = None


class ModelCatalog:
    """The base models of one home folder.

    Args:
        home: the workbench's home; models are `home/models/<id>/`, links are `home/models/<id>.json`.
        shipped: the starter model's folder; another one in tests.
    """

    def __init__(self, home: Path, shipped: Path = _STARTER_FOLDER) -> None:
        self._folder = Path(home) / "models"
        self._shipped = Path(shipped)

    def list(self) -> list[ModelInfo]:
        """All models, the shipped one first, unusable ones with their problem."""
        known = {STARTER: self._shipped} if self._shipped.is_dir() else {}
        if self._folder.is_dir():
            for path in sorted(self._folder.iterdir(), key=lambda entry: entry.name.lower()):
                name = path.name if path.is_dir() else path.stem
                if _ID.fullmatch(name) and name not in known and (path.is_dir() or path.suffix == ".json"):
                    known[name] = path
        return [self._describe(name, path) for name, path in known.items()]

    def resolve(self, id_or_folder: str | Path, allow_paths: bool = False) -> ModelInfo:
        """The usable model with this id, or in this folder where paths are allowed; a WorkbenchError otherwise."""
        wanted = str(id_or_folder)
        path = self._find(wanted)
        # os.path answers to any name; pathlib raises for homes of nobody and for names that no disk can hold.
        if path is None and allow_paths and os.path.isdir(os.path.expanduser(wanted)):
            path = Path(os.path.expanduser(wanted)).resolve()
            wanted = str(path)
        if path is None:
            usable = [info for info in self.list() if info.problem is None]
            hint = Text("Choose one of: {names}.", "可选：{names}。").with_(names=listed(info.id for info in usable))
            if not allow_paths:  # the page, where nobody types an id
                hint = _IN_THE_PAGE.with_(names=listed(info.name for info in usable))
            raise model_error(
                Text("There is no model called {name}.", "没有名为 {name} 的模型。").with_(name=wanted),
                hint,
                code="unknown_model",
            )
        info = self._describe(wanted, path)
        if info.problem:
            raise info.problem
        return info

    def add(self, folder: str | Path, name: str | None = None) -> ModelInfo:
        """Register a model's folder where it lies: its path is noted, nothing is copied."""
        target = Path(folder).expanduser().resolve()
        check_folder(target)
        for info in self.list():
            if info.folder.resolve() == target:
                return info
        label = name or target.name
        base = re.sub(r"[^a-z0-9._-]+", "-", label.lower()).strip("._-")[:56] or "model"
        taken = {info.id.lower() for info in self.list()} | {STARTER}
        number, chosen = 1, base
        while chosen in taken:
            number += 1
            chosen = f"{base}-{number}"
        _write_json(self._folder / f"{chosen}.json", {"folder": str(target), "name": label})
        return self._describe(chosen, self._folder / f"{chosen}.json")

    def _find(self, name: str) -> Path | None:
        if not _ID.fullmatch(name):
            return None
        if name == STARTER:
            return self._shipped if self._shipped.is_dir() else None
        for path in (self._folder / name, self._folder / f"{name}.json"):
            if path.is_dir() or (path.suffix == ".json" and path.is_file()):
                return path
        return None

    def _describe(self, model_id: str, path: Path) -> ModelInfo:
        folder, label = path, path.name
        try:
            if path.is_file():
                folder, label = _read_link(path)
            elif path.parent == self._folder and path.is_symlink():
                raise model_error(
                    Text("{name} is a link; add its folder instead.", "{name} 是链接；请改为添加其文件夹。").with_(
                        name=path.name
                    ),
                    code="outside_folder",
                )
            files, problem = check_folder(folder), None
        except WorkbenchError as error:
            files, problem = None, error
        shipped = folder == self._shipped
        return ModelInfo(
            id=model_id,
            name=Text("Starter model", "入门模型") if shipped else same(label),
            about=_STARTER_ABOUT if shipped else None,
            folder=folder,
            architecture=_architecture(files),
            parameters=files.parameters if files else 0,
            bytes=files.bytes if files else 0,
            context=_context(files.config) if files else 0,
            shipped=shipped,
            has_template=bool(files and files.has_template),
            dtype=files.dtype if files else "",
            problem=problem,
        )


_IN_THE_PAGE = Text(
    "Choose one that is here ({names}), or add it as the Model tab says.",
    "请选择已有的模型（{names}），或按“模型”页的说明添加它。",
)
_STARTER_ABOUT = Text(
    "A very small model that comes with the workbench, for trying everything out without a download. It knows little.",
    "随工作台附带的极小模型，无需下载即可试用全部功能；它懂得很少。",
)


def _architecture(files: ModelFiles | None) -> str:
    if files is None:
        return ""
    names = files.config.get("architectures")
    first = names[0] if isinstance(names, list) and names else None
    return first if isinstance(first, str) else str(files.config["model_type"])


def _context(config: dict[str, Any]) -> int:
    for section in (config, config.get("text_config")):
        for key in _CONTEXT_KEYS:
            value = section.get(key) if isinstance(section, dict) else None
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return 0


def _read_link(path: Path) -> tuple[Path, str]:
    entry = read_json_object(path)
    folder, label = entry.get("folder"), entry.get("name")
    if not isinstance(folder, str) or not Path(folder).is_absolute():
        raise model_error(
            Text("{file} does not name a model's folder.", "{file} 没有指明模型文件夹。").with_(file=path.name),
            Text("Delete this file and add the folder again.", "请删除该文件并重新添加文件夹。"),
            code="invalid_json",
        )
    return Path(folder), label if isinstance(label, str) and label else Path(folder).name


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    temporary.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
