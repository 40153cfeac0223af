"""Which base models there are: the one that is shipped, the ones in the home folder, and folders linked from there.

Only files are read, without torch, so that the page can list models at once. The page names models by id alone; the
command line may also name a folder (`allow_paths`). Nothing here downloads or loads a model; it is deleted only by `delete`,
and what is left of that by `sweep`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.config.disk import (
    ENTRY,
    FILE,
    FOLDER,
    HELD,
    LEFT_SECONDS,
    disk_errors,
    entries,
    hide,
    real_place,
    remove,
    shown_entries,
    sweep,
    write_json,
)
from workbench.config.errors import WorkbenchError
from workbench.config.tasks import CAUSAL, CLASSIFICATION, REWARD, Task
from workbench.config.text import Text, listed, same, writable
from workbench.models.config_file import tasks_of
from workbench.models.files import ModelFiles, check_folder
from workbench.models.folders import model_folders
from workbench.models.reading import model_error, read_json_object
from workbench.models.shelves import HOLDS, MODELS, models_in, on_shelf
from workbench.models.unchanged import UnchangedFolders

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
    place: str = FOLDER  # what `delete` takes away: FOLDER, ENTRY, FILE, or HELD (nothing)
    problem: WorkbenchError | None = None
    tasks: tuple[Task, ...] = (CAUSAL, CLASSIFICATION, REWARD)
    """What it can be trained for."""

    @property
    def writes(self) -> bool:
        """Whether it can be talked to."""
        return CAUSAL in self.tasks


@dataclass(frozen=True)
class MadeModel:
    """A model that a run made and that lies in its folder: a base for other runs, and deleted with its run."""

    folder: Path
    name: Text
    run: str  # the run's name


class ModelCatalog:
    """The base models of one home folder.

    Args:
        home: the workbench's home; models are `home/models/<id>/`, links are `home/models/<id>.json`.
        shipped: the starter model's folder; another one in tests.
        made: what runs made, by id; asked each time.
    """

    def __init__(
        self,
        home: Path,
        shipped: Path = _STARTER_FOLDER,
        made: Callable[[], Mapping[str, MadeModel]] = dict,
    ) -> None:
        self._home = Path(home)
        self._folder = self._home / "models"
        self._shipped = Path(shipped)
        self._made = made
        self._unchanged = UnchangedFolders()

    def list(self) -> list[ModelInfo]:
        """All models, the shipped one first, unusable ones with their problem."""
        shipped = {STARTER: self._shipped} if self._shipped.is_dir() else {}
        found: list[ModelInfo] = []
        taken = {*shipped, *(own := self._own())}
        for name, path in (shipped | own).items():
            shelf = on_shelf(path, name)
            found += [self._describe(*model) for model in (shelf or {name: path}).items()]
            taken.update(shelf or ())
        made = {name: model for name, model in self._made().items() if name not in taken}
        return found + [self._describe(name, model.folder, model) for name, model in made.items()]

    def resolve(self, id_or_folder: str | Path, allow_paths: bool = False) -> ModelInfo:
        """The usable model with this id, or in this folder where paths are allowed; a WorkbenchError otherwise."""
        wanted = str(id_or_folder)
        path = self._find(wanted)
        # os.path answers to any name; pathlib raises for homes of nobody and for names that no disk can hold.
        if path is None and allow_paths and os.path.isdir(os.path.expanduser(wanted)):
            path = Path(os.path.expanduser(wanted)).resolve()
            wanted, path = self._with_id(path) or (str(path), path)
        if path is None:
            raise self._unknown(wanted, allow_paths)
        info = self._describe(wanted, path)
        if info.problem:
            raise info.problem
        return info

    def holds(self, info: ModelInfo) -> bool:
        """Whether a model that was resolved is there still; cheaper than resolving it again."""
        return os.path.isdir(info.folder) and (os.path.isabs(info.id) or self._find(info.id) is not None)

    def add(self, folder: str | Path, name: str | None = None) -> ModelInfo:
        """Register a model's folder where it lies: its path is noted, nothing is copied."""
        target = Path(folder).expanduser().resolve()
        check_folder(target)
        for info in self.list():
            if info.folder.resolve() == target:
                return info
        chosen = self._note(target, name)
        return self._describe(chosen, self._folder / f"{chosen}.json")

    def add_all(self, folder: str | Path) -> Sequence[ModelInfo]:
        """Register a model's folder, or a folder full of models (those that come later too).

        Raises:
            WorkbenchError: it is neither.
        """
        target = Path(folder).expanduser().resolve()
        if (target / "config.json").is_file() or not models_in(target):
            return (self.add(target),)
        for name, path in self._own().items():
            if on_shelf(path, name) is not None and _read_link(path)[0] == target:
                return [self._describe(*model) for model in (on_shelf(path, name) or {}).items()]
        chosen = self._note(target, None, **{HOLDS: MODELS})
        shelf = on_shelf(self._folder / f"{chosen}.json", chosen) or {}
        return [self._describe(*model) for model in shelf.items()]

    def _note(self, target: Path, name: str | None, **more: str) -> str:
        """Write down where something lies; the id of the note."""
        label = name or target.name
        base = re.sub(r"[^a-z0-9._-]+", "-", label.lower()).strip("._-")[:56] or "model"
        taken = {info.id.lower() for info in self.list()} | {STARTER}
        number, chosen = 1, base
        while chosen in taken:
            number += 1
            chosen = f"{base}-{number}"
        path = self._folder / f"{chosen}.json"
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"folder": str(target), "name": label, **more})
        return chosen

    def delete(self, model_id: str) -> None:
        """Remove what lies at a model's place: its folder, or the entry or link, and never the folder to which that leads.

        Raises:
            WorkbenchError: there is no such model, it ships with the workbench, or it cannot be removed.
        """
        remove(hide(self.place(model_id)))

    def place(self, model_id: str) -> Path:
        """What is deleted with a model: its folder, or the note of where it lies. Raises like `delete`."""
        path = self._own().get(model_id)
        if path is None and model_id in self._shelved():
            raise model_error(
                Text("This model lies in a folder of models.", "这个模型位于登记的模型文件夹中。"),
                Text(
                    "Delete it there; or take the whole folder out of the list: python -m workbench models delete {note}",
                    "请在该文件夹中删除它；或把整个文件夹移出列表：python -m workbench models delete {note}",
                ).with_(note=model_id.partition(".")[0]),
                code="held",
            )
        made = self._made().get(model_id) if path is None else None
        if made is not None:
            raise model_error(
                Text("This model belongs to the run {run}.", "这个模型属于运行“{run}”。").with_(run=made.run),
                Text("It is deleted with the run, on the Run tab.", "在“运行”页删除该运行时会一并删除。"),
                code="held",
            )
        if path is None and model_id == STARTER:
            raise model_error(
                Text("The starter model belongs to the workbench and stays.", "入门模型是随附的，不能删除。"),
                code="shipped",
            )
        if path is None:
            raise self._unknown(model_id, allow_paths=True)
        return real_place(path)

    def places(self, id_or_folder: str) -> set[Path]:
        """Where a model that is named by its id or its folder lies, be it whole or not: its `place`, and its folder."""
        found: set[Path] = set()
        with contextlib.suppress(OSError, ValueError, RuntimeError, WorkbenchError):  # names of no place, broken notes
            entry = self._find(id_or_folder)
            if entry is not None:
                found.add(real_place(entry))
            folder = entry or Path(os.path.expanduser(id_or_folder))
            found.add((folder if os.path.isdir(folder) else _read_link(folder)[0]).resolve())
        return found

    def sweep(self) -> None:
        """Remove what was half-made or half-deleted when a process ended. Only for who holds the home."""
        for folder in set(model_folders(self._home)):
            sweep(folder, LEFT_SECONDS)

    def _own(self) -> dict[str, Path]:
        """Everything that lies in the home's folder of models, by its id, which is also there for what is no model."""
        found = shown_entries(self._folder, self._name)
        for folder in model_folders(self._home)[1:]:
            for path in () if folder == self._folder else entries(folder):
                if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                    found.setdefault(path.name if path.name != STARTER else f"{folder.name}/{path.name}", path)
        return found

    def _name(self, path: Path) -> str:
        name = path.name
        if path.suffix == ".json" and not os.path.isdir(path) and not os.path.lexists(path.with_suffix("")):
            name = path.stem
        return name if name != STARTER else f"models/{name}"

    def _with_id(self, folder: Path) -> tuple[str, Path] | None:
        """The id and place of a folder that lies in the home's folder of models; None for one that lies elsewhere."""
        for name, path in self._own().items():
            if not path.is_symlink() and os.path.isdir(path) and os.path.samefile(path, folder):
                return name, path
        return None

    def _find(self, name: str) -> Path | None:
        if name == STARTER:
            return self._shipped if self._shipped.is_dir() else None
        own = self._own().get(name) or self._shelved().get(name)
        if own is not None:
            return own
        made = self._made().get(name)
        return made.folder if made else None

    def _shelved(self) -> dict[str, Path]:
        """The models in folders full of them."""
        return {
            model: place for name, path in self._own().items() for model, place in (on_shelf(path, name) or {}).items()
        }

    def _unknown(self, wanted: str, allow_paths: bool) -> WorkbenchError:
        usable = [info for info in self.list() if info.problem is None]
        hint = Text("Choose one of: {names}.", "可选：{names}。").with_(names=listed(info.id for info in usable))
        if not allow_paths:  # the page, where nobody types an id
            hint = _IN_THE_PAGE.with_(names=listed(info.name for info in usable))
        return model_error(
            Text("There is no model called {name}.", "没有名为 {name} 的模型。").with_(name=wanted),
            hint,
            code="unknown_model",
        )

    def _describe(self, model_id: str, path: Path, made: MadeModel | None = None) -> ModelInfo:
        folder, label = path, writable(path.name)
        if made is None and path.parent not in model_folders(self._home) and path != self._shipped:
            made = self._made().get(model_id)
        try:
            if path.parent in model_folders(self._home):
                self._check_place(model_id, path)
            if on_shelf(path, model_id) is not None:
                raise _empty_shelf(_read_link(path)[0])
            if not os.path.isdir(path):
                folder, label = _read_link(path)
            files, problem = self._unchanged.check(folder), None
        except WorkbenchError as error:
            files, problem = None, error
        shipped = folder == self._shipped
        return ModelInfo(
            id=model_id,
            name=Text("Starter model", "入门模型") if shipped else made.name if made else same(label),
            about=_STARTER_ABOUT if shipped else None,
            folder=folder,
            architecture=_architecture(files),
            parameters=files.parameters if files else 0,
            bytes=files.bytes if files else 0,
            context=_context(files.config) if files else 0,
            shipped=shipped,
            has_template=bool(files and files.has_template),
            dtype=files.dtype if files else "",
            place=HELD if made or (path.parent not in model_folders(self._home) and not shipped) else _place(path),
            problem=problem,
            tasks=tasks_of(files.config) if files else (),
        )

    @staticmethod
    def _check_place(model_id: str, path: Path) -> None:
        """Refuse what lies among the models and cannot be one."""
        if path.is_symlink():
            raise model_error(
                Text("{name} is a link; add its folder instead.", "{name} 是链接；请改为添加其文件夹。").with_(
                    name=path.name
                ),
                code="outside_folder",
            )
        if not os.path.isdir(path) and path.suffix != ".json":
            raise model_error(
                Text("{name} is a file; a model is a folder.", "{name} 是文件；模型应是文件夹。").with_(name=path.name),
                Text("Put the model's whole folder here.", "请把模型的整个文件夹放在这里。"),
                code="not_a_folder",
            )
        if not _ID.fullmatch(model_id):
            raise model_error(
                Text(
                    "{name} can be no model's name: it is taken, too long, or has other signs than letters, digits, . - _",
                    "{name} 不能用作模型名称：已被占用、过长，或含有字母、数字、. - _ 以外的字符",
                ).with_(name=path.name),
                Text("Rename the folder.", "请重命名该文件夹。"),
                code="bad_name",
            )


_IN_THE_PAGE = Text(
    "Choose one that is here ({names}), or add it as the Model tab says.",
    "请选择已有的模型（{names}），或按“模型”页的说明添加它。",
)
_STARTER_ABOUT = Text(
    "A very small model that comes with the workbench, for trying everything out without a download. It knows little.",
    "随工作台附带的极小模型，无需下载即可试用全部功能；它懂得很少。",
)


def _empty_shelf(folder: Path) -> WorkbenchError:
    return model_error(
        Text("There are no models in the folder {folder}.", "文件夹 {folder} 里没有模型。").with_(
            folder=writable(str(folder))
        ),
        Text(
            "Is its disk connected? Each model in it is a folder.",
            "它所在的磁盘已连接吗？其中每个模型应各占一个文件夹。",
        ),
        code="no_models",
    )


def _place(path: Path) -> str:
    if path.is_symlink() or not os.path.isdir(path):
        return ENTRY if path.is_symlink() or path.suffix == ".json" else FILE
    return FOLDER


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
    again = Text("Delete this entry and add the folder again.", "请删除该条目并重新添加文件夹。")
    try:
        entry = read_json_object(path)
    except WorkbenchError as error:
        raise model_error(error.message, again, code=error.code) from error
    folder, label = entry.get("folder"), entry.get("name")
    if not isinstance(folder, str) or "\0" in folder or not Path(folder).is_absolute():
        raise model_error(
            Text("{file} does not name a model's folder.", "{file} 没有指明模型文件夹。").with_(file=path.name),
            again,
            code="invalid_json",
        )
    return Path(folder), label if isinstance(label, str) and label else Path(folder).name
