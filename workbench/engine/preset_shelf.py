"""The presets of a home: those that are shipped, and a person's own, each a YAML file in `presets/`."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path, PurePosixPath

from workbench.config.disk import disk_errors, shown_entries, slug, write_atomically
from workbench.config.errors import WorkbenchError
from workbench.config.presets import Preset, dump_preset, find_preset, list_presets, load_preset, parse_preset
from workbench.config.run import RunConfig
from workbench.config.text import Text, same, writable

SUFFIX = ".yaml"
MINE = "my-"
"""How ids of one's own begin, so that none is that of a shipped one, in this version or the next."""
MOST = 200
LONGEST_NAME = 80  # characters
LARGEST_FILE = 1_000_000  # bytes

_ABOUT = Text("Your own settings.", "你自己保存的设置。")
_NO_NAME = Text("this preset has no name yet", "这个预设还没有名称")
_LONG = Text("this name is too long: at most {most} characters", "名称太长：最多 {most} 个字符")
_NAME_IT = Text("Type a name under which you will find it again.", "请输入一个方便以后找到它的名称。")
_FULL = Text("there are {most} presets of your own already", "你自己的预设已有 {most} 个")
_DELETE_ONE = Text("Delete one that you no longer need.", "请删除不再需要的。")
_SHIPPED = Text("this preset is shipped with the workbench and stays", "这是工作台自带的预设，不能删除")
_SAVE_FIRST = Text("Save it under a name of your own; that one can be deleted.", "可以另存为自己的预设，那个可以删除。")
_LARGE = Text("{file} is too large for a file of settings", "{file} 太大，不像是设置文件")
_NO_TEXT = Text("{file} is no text file", "{file} 不是文本文件")
_CHOOSE_YAML = Text(
    "Choose a YAML file, such as a run's config.yaml.", "请选择 YAML 文件，例如某个运行的 config.yaml。"
)


class PresetShelf:
    """Any thread may use it.

    Args:
        folder: where a person's own lie; made when the first is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], Preset]] = {}
        """By the file's name: when it was written and its size, and what it says. The page asks several times a look."""

    def all(self) -> list[Preset]:
        """The shipped ones, those of the first run first, then a person's own by name; what can't be read is in `damaged`."""
        return [*list_presets(), *self._read()[0]]

    def damaged(self) -> dict[str, WorkbenchError]:
        """Why a person's own can't be used, by the file's name."""
        return self._read()[1]

    def get(self, preset_id: str) -> Preset:
        """One by its id.

        Raises:
            WorkbenchError: there is none.
        """
        return next((one for one in self._read()[0] if one.id == preset_id), None) or find_preset(preset_id)

    def save(self, title: str | Text, config: RunConfig, about: Text = _ABOUT) -> Preset:
        """Keep settings under a name, in one or both languages; the one of that name is replaced.

        Raises:
            WorkbenchError: the name is empty or too long, there are too many, or the disk refuses it.
        """
        names = _names(title)
        with self._lock:
            before = self._called(names)
            return self._keep(before.id if before else None, names, about, config)

    def add(self, content: bytes, file: str) -> Preset:
        """Keep the settings of a file: one of ours, a run's `config.yaml`, or LLaMA-Factory's; its `notes` say what is not used.

        None is replaced: another one of that name gets a number, and the very same settings are kept once.

        Args:
            file: its name, for people; what it leads to is not opened.

        Raises:
            WorkbenchError: it holds no settings, or wrong ones.
        """
        file = writable(PurePosixPath(file.replace("\\", "/")).name)[:LONGEST_NAME] or "run.yaml"
        if len(content) > LARGEST_FILE:
            raise WorkbenchError(_LARGE.with_(file=file), _CHOOSE_YAML)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise WorkbenchError(_NO_TEXT.with_(file=file), _CHOOSE_YAML) from None
        given = parse_preset(text, Path(file))
        config = given.config()
        title, about = (None if text == same(given.id) else text for text in (given.title, given.about))
        wanted = names = _names(title or same(config.output.name or given.id))
        config = config.changed({"output.name": ""})
        with self._lock:
            number = 1
            while (before := self._called(names)) is not None and before.config() != config:
                number += 1
                names = [f"{name[: LONGEST_NAME - 5]} {number}" for name in wanted]
            kept = before or self._keep(None, names, about or _ABOUT, config)
        return replace(kept, notes=given.notes)

    def delete(self, preset_id: str) -> None:
        """Remove one of a person's own, also one that can't be read.

        Raises:
            WorkbenchError: there is none, or it is a shipped one.
        """
        with self._lock:
            path = shown_entries(self.folder).get(f"{preset_id}{SUFFIX}")
            if path is None:
                find_preset(preset_id)
                raise WorkbenchError(_SHIPPED, _SAVE_FIRST, "preset", code="shipped")
            with disk_errors(path):
                path.unlink(missing_ok=True)

    def _read(self) -> tuple[list[Preset], dict[str, WorkbenchError]]:
        good: list[Preset] = []
        wrong: dict[str, WorkbenchError] = {}
        for name, path in shown_entries(self.folder).items():
            if not name.startswith(MINE) or not name.endswith(SUFFIX) or path.is_symlink() or not path.is_file():
                continue
            try:
                good.append(self._load(name, path))
            except WorkbenchError as error:
                wrong[name] = error
        return sorted(good, key=lambda one: (one.title.to("en").casefold(), one.id)), wrong

    def _load(self, name: str, path: Path) -> Preset:
        """One of them, checked.

        Raises:
            WorkbenchError: it can't be used.
        """
        try:
            facts = path.stat()
            written = (facts.st_mtime_ns, facts.st_size)
        except OSError:  # deleted this moment: reading it says so
            written = (0, 0)
        before = self._known.get(name)
        if before is not None and before[0] == written:
            return before[1]
        preset = replace(load_preset(path), own=True)
        preset.config()
        self._known[name] = (written, preset)
        return preset

    def _called(self, names: list[str]) -> Preset | None:
        """The own preset with this name in either language."""
        return next((one for one in self._read()[0] if {one.title.to("en"), one.title.to("zh")} & {*names}), None)

    def _keep(self, preset_id: str | None, names: list[str], about: Text, config: RunConfig) -> Preset:
        """Write it, as a new one where it has no id."""
        known = shown_entries(self.folder)
        if preset_id is None and len(known) >= MOST:
            raise WorkbenchError(_FULL.with_(most=MOST), _DELETE_ONE, "preset")
        preset_id = preset_id or self._new_id(names[0], set(known))
        path = self.folder / f"{preset_id}{SUFFIX}"
        with disk_errors(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, dump_preset(Text(names[0], names[1]), about, config))
        return self.get(preset_id)

    @staticmethod
    def _new_id(name: str, known: set[str]) -> str:
        base = found = f"{MINE}{slug(name, 'preset')}"
        number = 1
        while f"{found}{SUFFIX}" in known:
            number += 1
            found = f"{base}-{number}"
        return found


def _names(title: str | Text) -> list[str]:
    """A preset's name, English and Chinese.

    Raises:
        WorkbenchError: one is empty or too long for a list.
    """
    texts = title if isinstance(title, Text) else same(title)
    names = [writable(" ".join(text.split())) for text in (texts.to("en"), texts.to("zh"))]
    if not all(names):
        raise WorkbenchError(_NO_NAME, _NAME_IT, "preset")
    if max(map(len, names)) > LONGEST_NAME:
        raise WorkbenchError(_LONG.with_(most=LONGEST_NAME), _NAME_IT, "preset")
    return names
