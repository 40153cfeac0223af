"""The models and data sets of the engine double: three of each, plausible, without files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from workbench.config.errors import WorkbenchError
from workbench.config.presets import Preset
from workbench.config.run import RunConfig
from workbench.config.text import Text, same
from workbench.data.library import DatasetInfo
from workbench.engine.preset_shelf import PresetShelf
from workbench.models.catalog import ModelInfo


class FakeModels:
    """Three models: the starter, one that was added, one that is broken."""

    def __init__(self, home: Path) -> None:
        self._all = [
            _model(home, "starter", Text("Starter", "入门模型"), 4_200_000, 16_900_000, 1024, shipped=True),
            _model(home, "qwen3-0.6b", same("Qwen3 0.6B"), 596_000_000, 1_190_000_000, 40960),
            replace(
                _model(home, "old-model", same("old-model"), 0, 0, 0),
                problem=WorkbenchError(
                    Text("The folder old-model holds only .bin weights.", "文件夹 old-model 里只有 .bin 权重。"),
                    Text("Get the model as safetensors.", "请改用 safetensors 格式的模型。"),
                ),
            ),
        ]

    def list(self) -> list[ModelInfo]:
        """All models."""
        return list(self._all)

    def resolve(self, model_id: str, allow_paths: bool = False) -> ModelInfo:
        """The usable model with this id."""
        for info in self._all:
            if info.id == model_id:
                if info.problem:
                    raise info.problem
                return info
        raise WorkbenchError(
            Text("There is no model called {name}.", "没有名为 {name} 的模型。").with_(name=model_id),
            code="unknown_model",
        )

    def delete(self, model_id: str) -> None:
        """Forget a model."""
        self._all = [info for info in self._all if info.id != model_id]


class FakeData:
    """Shipped sets in both languages and a preference set; `add` registers a file without reading it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._all = [
            _dataset(home, "pirate-voice", Text("Pirate voice", "海盗口吻（英文）"), 300),
            _dataset(home, "wuxia-voice", Text("Wuxia voice (Chinese)", "武侠口吻"), 280),
            _dataset(home, "better-answers", Text("Better answers", "更好的回答"), 120, kind="preference"),
        ]

    def list(self) -> list[DatasetInfo]:
        """All sets."""
        return list(self._all)

    def add(self, path: Path, name: str | None = None) -> DatasetInfo:
        """Register a file."""
        info = replace(_dataset(self.home, Path(path).stem.lower(), same(name or Path(path).stem), 3), shipped=False)
        self._all.append(info)
        return info

    def resolve(self, dataset_id: str, allow_paths: bool = False) -> Path:
        """The set's file."""
        return self.get(dataset_id).path

    def get(self, dataset_id: str) -> DatasetInfo:
        """The set with this id."""
        for info in self._all:
            if info.id == dataset_id:
                return info
        raise WorkbenchError(
            Text("There is no data set called {name}.", "没有名为 {name} 的数据集。").with_(name=dataset_id)
        )

    def read_as(self, dataset_id: str, name: str) -> DatasetInfo:
        """Note another format."""
        found = replace(self.get(dataset_id), format=name)
        self._all = [found if info.id == dataset_id else info for info in self._all]
        return found

    def delete(self, dataset_id: str) -> None:
        """Forget a set of the user's."""
        if self.get(dataset_id).shipped:
            raise WorkbenchError(Text("Shipped data sets stay.", "自带的数据集不能删除。"))
        self._all = [info for info in self._all if info.id != dataset_id]


class FakePresets:
    """A person's own presets, as with the engine."""

    shelf: PresetShelf

    def damaged_presets(self) -> dict[str, WorkbenchError]:
        """As with the engine."""
        return self.shelf.damaged()

    def save_preset(self, name: str, config: RunConfig) -> Preset:
        """As with the engine."""
        return self.shelf.save(name, config)

    def add_preset(self, content: bytes, file: str) -> Preset:
        """As with the engine."""
        return self.shelf.add(content, file)

    def delete_preset(self, preset_id: str) -> None:
        """As with the engine."""
        self.shelf.delete(preset_id)


def _model(home: Path, name: str, label: Text, count: int, size: int, context: int, shipped: bool = False) -> ModelInfo:
    about = Text("Small, quick, speaks English and Chinese.", "小巧、快速，会说英文和中文。") if shipped else None
    return ModelInfo(
        id=name, name=label, about=about, folder=home / name, architecture="LlamaForCausalLM", parameters=count,
        bytes=size, context=context, shipped=shipped, has_template=True,
    )  # fmt: skip


def _dataset(home: Path, name: str, label: Text, rows: int, kind: str = "chat") -> DatasetInfo:
    about = Text("Questions with answers in a voice of its own.", "问题，以及带有独特口吻的回答。")
    return DatasetInfo(name, label, about, kind, "messages", rows, True, home / f"{name}.jsonl", usable=rows)
