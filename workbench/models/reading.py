"""Reading a model's small files: only from inside its folder, only JSON, and what is wrong is said in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.problems import MAX_SHOWN, short
from workbench.config.reading import LARGEST, Damaged, parse_json, read_bytes, system_says
from workbench.config.text import Text

_JSON_LIMIT = 64 * 1024 * 1024  # bytes; the largest tokenizer indexes seen are a few MB
_AGAIN = Text("Download or copy the folder again.", "请重新下载或复制该文件夹。")


def model_error(message: Text, hint: Text | None = None, *, code: str = "model_unusable") -> WorkbenchError:
    """An error about the chosen base model; the page marks that setting."""
    return WorkbenchError(message, hint, "model.base", code=code)


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; a WorkbenchError that names the file when it holds anything else."""
    try:
        value = parse_json(read_bytes(path, _JSON_LIMIT), path.name)
    except Damaged as error:
        raise _no_json(path, error.why) from error
    if not isinstance(value, dict):
        raise model_error(
            Text("{file} does not hold a JSON object.", "{file} 的内容不是 JSON 对象。").with_(file=path.name),
            _AGAIN,
            code="invalid_json",
        )
    return value


def entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a JSON value with what stands there, however deep; items of a list come with the key of the list.

    Not by recursion, which Python ends at some depth of nesting that its JSON reader still takes.
    """
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        key, item = waiting.pop()
        yield key, item
        if isinstance(item, dict):
            waiting += item.items()
        elif isinstance(item, list):
            waiting += ((key, each) for each in item)


def refuse_huge_numbers(value: Any, name: str) -> None:
    """Refuse a whole number that nothing can hold, anywhere in a value that was read from the file `name`.

    Libraries compute with it, write it out or make a float of it, and fail at a place that says nothing.
    """
    for key, item in entries(value):
        if isinstance(item, int) and abs(item) > LARGEST:
            raise model_error(
                Text(
                    "{file} says {key} = {value}; no number is that large.", "{file} 中 {key} = {value}，数值过大。"
                ).with_(file=name, key=short_key(key), value=short(item)),
                Text("Download or copy this file again.", "请重新下载或复制该文件。"),
                code="impossible_config",
            )


def short_key(key: str) -> str:
    """A key from a stranger's file as it can stand in a sentence."""
    return key if len(key) <= MAX_SHOWN else key[: MAX_SHOWN - 1] + "…"


def damaged(path: Path, code: str = "damaged_weights") -> WorkbenchError:
    """The error for a file that is not what it was when somebody made it."""
    return model_error(
        Text("{file} is cut off or damaged.", "{file} 不完整或已损坏。").with_(file=path.name),
        Text("Download or copy this file again.", "请重新下载或复制该文件。"),
        code=code,
    )


def unreadable(path: Path, error: OSError | Damaged) -> WorkbenchError:
    """The error for a file that the system doesn't let this process read."""
    why = error.why if isinstance(error, Damaged) else system_says(error)
    return model_error(
        Text("{file} can't be read ({detail}).", "无法读取 {file}（{detail}）。").with_(file=path.name, detail=why),
        Text("Look at its permissions, or copy it again.", "请检查其访问权限，或重新复制。"),
        code="unreadable",
    )


def _no_json(path: Path, detail: Text) -> WorkbenchError:
    return model_error(
        Text("{file} is not readable JSON ({detail}).", "{file} 不是可读取的 JSON（{detail}）。").with_(
            file=path.name, detail=detail
        ),
        _AGAIN,
        code="invalid_json",
    )


def contained(folder: Path, name: str) -> Path | None:
    """The file `name` directly in `folder`, or None where there is none.

    A link that leads out of the folder is refused; the Hugging Face cache is the exception, since its snapshots are
    links into the `blobs` folder beside them, and from there into one that all its repositories share.
    """
    if not name or name in (".", "..") or any(sign in name for sign in "/\\:\0"):
        raise model_error(
            Text("The folder names a file outside itself: {name}.", "该文件夹引用了外部文件：{name}。").with_(
                name=name
            ),
            code="outside_folder",
        )
    path = folder / name
    if not path.is_file():
        return None
    real, home = path.resolve(), folder.resolve()
    repository = home.parent.parent
    blobs = [repository / "blobs"] if home.parent.name == "snapshots" else []
    if blobs and repository.name.startswith("models--"):
        blobs.append(repository.parent / "blobs")
    if any(real.is_relative_to(place) for place in (home, *blobs)):
        return path
    raise model_error(
        Text("{name} is a link that leads out of its folder.", "{name} 是指向文件夹之外的链接。").with_(name=name),
        Text("Put the real file into the folder.", "请把真实文件放入该文件夹。"),
        code="outside_folder",
    )
