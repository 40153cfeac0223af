"""Pushing an adapter or a model to the Hub: planned and shown first, private unless asked otherwise, in one commit.

The bytes go in a process of its own (`pushing.py`), which is killed when Stop is pressed or this process ends: the client's
upload through Xet hears no Stop. What was uploaded before isn't sent again: the Hub keeps each large file by its hash, the
commit that names them comes last, and a push that is done again asks for what is missing.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.config.problems import short
from workbench.config.text import Text
from workbench.hub.client import ANSWER_SECONDS, answered, ask, within
from workbench.hub.downloads import Transfer
from workbench.hub.errors import TOKENS, hub_error, offline, refused_token
from workbench.hub.listing import check_id
from workbench.hub.needed import FILE_NAME
from workbench.hub.sources import Source
from workbench.hub.tokens import Account, Token, who
from workbench.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from workbench.models.files import TOKENIZER_FILES, WEIGHTS, WEIGHTS_INDEX, contained, read_json_object
from workbench.models.generation_settings import FILE as GENERATION

__all__ = ["PushFile", "PushPlan", "plan_push", "push"]

CARD = "README.md"
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors", re.ASCII)
_PICTURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}\.(?:png|svg)", re.ASCII)
_KNOWN = (ADAPTER_WEIGHTS, ADAPTER_CONFIG, WEIGHTS, WEIGHTS_INDEX, "config.json", *TOKENIZER_FILES, GENERATION, CARD)
_LARGEST_TEXT = 10 * 1024**2  # bytes of what is handed over and not read from the folder


@dataclass(frozen=True)
class PushFile:
    """A file to be pushed.

    Attributes:
        content: what is sent, where that isn't what lies in the folder.
    """

    name: str
    bytes: int
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class PushPlan:
    """What a push will do, for a person to see before anything is sent.

    Attributes:
        files: all that will be sent, and nothing else will.
        private: whether the repository will be private when it is made now.
        exists: whether it is there already; then files of the same name are replaced, and it stays as visible as it is.
        is_private: what it is now; None where it doesn't exist.
        account: whose token it is.
        address: of its page.
    """

    repo_id: str
    folder: Path
    files: tuple[PushFile, ...]
    bytes: int
    private: bool
    exists: bool
    is_private: bool | None
    account: str
    address: str

    @property
    def visible(self) -> bool:
        """Whether everybody will see it."""
        return not (self.is_private if self.is_private is not None else self.private)

    @property
    def notice(self) -> Text:
        """What will come of it, in a sentence or two."""
        if not self.exists:
            known = _NEW_PRIVATE if self.private else _NEW_PUBLIC
        elif self.is_private:
            known = _OLD_PRIVATE if self.private else _STAYS_PRIVATE
        else:
            known = _STAYS_PUBLIC if self.private else _OLD_PUBLIC
        return known.with_(repo=self.repo_id, account=self.account)


_NEW_PRIVATE = Text(
    "{repo} will be made by {account}; only its owner sees it.", "将由 {account} 创建 {repo}，只有所有者可见。"
)
_NEW_PUBLIC = Text("{repo} will be made by {account}; everybody sees it.", "将由 {account} 创建 {repo}，所有人可见。")
_OLD_PRIVATE = Text(
    "{repo} exists and is private; files of the same name are replaced.", "{repo} 已存在且为私有，同名文件会被替换。"
)
_OLD_PUBLIC = Text(
    "{repo} exists and everybody sees it; files of the same name are replaced.",
    "{repo} 已存在且所有人可见，同名文件会被替换。",
)
_STAYS_PRIVATE = Text(
    "{repo} exists, is private and stays so; change that on its page. Files of the same name are replaced.",
    "{repo} 已存在且为私有，并保持私有，可在其页面更改。同名文件会被替换。",
)
_STAYS_PUBLIC = Text(
    "{repo} exists and is public: everybody will see what is pushed. Choose another name, or make it private on its page."
    " Files of the same name are replaced.",
    "{repo} 已存在且是公开的：推送的内容所有人可见。请换一个名称，或在其页面改为私有。同名文件会被替换。",
)


def plan_push(
    folder: Path,
    repo_id: str,
    token: Token | None,
    source: Source,
    private: bool = True,
    *,
    texts: Mapping[str, str | bytes] | None = None,
) -> PushPlan:
    """What pushing a folder would send, to whom, and who would see it; nothing is sent. Within ten seconds.

    Args:
        folder: with an adapter or a model. Only files that belong to one are taken: weights in safetensors, settings,
            tokenizer, template, card and pictures. A path of this computer in adapter_config.json becomes a name.
        repo_id: `owner/name`; a name alone is the account's own.
        texts: what is sent under these names whatever the folder holds: the card and its pictures.

    Raises:
        WorkbenchError: (`push_empty`) nothing to push; (`hub_id`, `hub_token`, `hub_write`, `hub_source`); those of
            `errors.py`.
    """
    given = check_id(repo_id, source)
    if source.kind == "modelscope":
        raise hub_error(
            Text(
                "models are pushed to Hugging Face alone, not to {name}", "只能推送到 Hugging Face，不支持 {name}"
            ).with_(name=source.name),
            Text("Choose another source of models.", "请换一个模型来源。"),
            code="hub_source",
        )
    _allowed(source, token)
    assert token is not None
    files = _files(Path(folder), texts or {})
    seconds = ANSWER_SECONDS if "/" in given else ANSWER_SECONDS / 2  # whose name it is has to be known first
    account, found = _who_and_what(source, token, given, seconds)
    wanted = given if "/" in given else f"{account.name}/{given}"
    if "/" not in given:
        found = _about(source, token, wanted, seconds)
    if not account.may_write or wanted.split("/")[0] not in (account.name, *account.orgs):
        raise _not_yours(wanted, account, source)
    return PushPlan(
        repo_id=wanted,
        folder=Path(folder),
        files=files,
        bytes=sum(file.bytes for file in files),
        private=private,
        exists=found is not None,
        is_private=None if found is None else bool(found.get("private")),
        account=account.name,
        address=f"{source.endpoint}/{wanted}",
    )


def push(
    plan: PushPlan,
    source: Source,
    token: Token | None,
    progress: Callable[[Transfer], None] | None = None,
    stop: threading.Event | None = None,
) -> str:
    """Send what was planned, in one commit; the address of the repository.

    Args:
        progress: is told on this thread, some five times a second at most. Bytes that the Hub has already count as sent.
        stop: when it is set, the push ends within a second; the repository shows nothing of it then.

    Raises:
        WorkbenchError: (`push_changed`) a file is not there any more, or has another size; (`hub_exists`) a repository of
            that name was made meanwhile; (`hub_token`, `hub_write`, ...) those of `errors.py`.
        StopRequested: `stop` was set.
    """
    from workbench.hub.pushing import send

    _allowed(source, token)
    assert token is not None
    for file in plan.files:
        path = contained(plan.folder, file.name) if file.content is None else None
        if file.content is None and (path is None or path.stat().st_size != file.bytes):
            raise changed(file.name)
    if stop is not None and stop.is_set():
        raise StopRequested
    send(plan, source, token, progress, stop)
    return plan.address


def changed(name: str) -> WorkbenchError:
    """A file that isn't what was shown."""
    return hub_error(
        Text("{file} is gone or was changed since this was shown", "{file} 在显示之后被删除或改动").with_(
            file=short(name)
        ),
        Text("Look at what will be pushed once more.", "请重新查看将要推送的内容。"),
        code="push_changed",
    )


def _allowed(source: Source, token: Token | None) -> None:
    if source.offline:
        raise offline()
    if token is None:
        raise hub_error(
            Text("pushing needs an access token with the right to write", "推送需要有写入权限的访问令牌"),
            Text(
                "Make one at {tokens}, and enter it on the Model tab or set HF_TOKEN.",
                "请在 {tokens} 创建，填入“模型”页或设置 HF_TOKEN。",
            ).with_(tokens=TOKENS),
            code="hub_token",
        )
    if not source.is_private:
        raise refused_token(source)


def _who_and_what(source: Source, token: Token, repo_id: str, seconds: float) -> tuple[Account, dict[str, Any] | None]:
    """Whose token it is, and what the Hub says of a repository (None: there is none), asked at the same time."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_about, source, token, repo_id, seconds) if "/" in repo_id else None
        account = who(token, source, seconds)
        return account, asked.result() if asked else None


def _about(source: Source, token: Token, repo_id: str, seconds: float) -> dict[str, Any] | None:
    with answered(source, repo_id, token):
        try:
            found = within(seconds, lambda: ask(source, f"/api/models/{repo_id}", token, seconds))
        except Exception as error:
            if _is_missing(error):
                return None
            raise
        if not isinstance(found, dict):
            raise ValueError("no repository")
        return found


def _is_missing(error: Exception) -> bool:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)


def _not_yours(repo_id: str, account: Account, source: Source) -> WorkbenchError:
    if not account.may_write:
        return hub_error(
            Text("the token of {account} may only read", "{account} 的令牌只有读取权限").with_(account=account.name),
            Text("Make one with the right to write at {tokens}.", "请在 {tokens} 创建有写入权限的令牌。").with_(
                tokens=TOKENS
            ),
            code="hub_write",
        )
    return hub_error(
        Text("{account} may not write to {repo} on {source}", "{account} 无权写入 {source} 上的 {repo}").with_(
            account=account.name, repo=repo_id, source=source.name
        ),
        Text("Choose a name under your own: {account}/{name}.", "请使用你自己的名下：{account}/{name}。").with_(
            account=account.name, name=repo_id.rpartition("/")[2]
        ),
        code="hub_write",
    )


def _files(folder: Path, texts: Mapping[str, str | bytes]) -> tuple[PushFile, ...]:
    """The files of a folder that belong to an adapter or a model, and what is given instead of some of them."""
    given = {name: text.encode() if isinstance(text, str) else text for name, text in texts.items()}
    for name, content in given.items():
        if not (name in (CARD, ADAPTER_CONFIG) or _PICTURE.fullmatch(name)) or len(content) > _LARGEST_TEXT:
            raise ValueError(f"{name!r} is no card and no picture")
    found = {name: PushFile(name, len(content), content) for name, content in given.items()}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = path.name
        known = name in _KNOWN or _SHARD.fullmatch(name) or _PICTURE.fullmatch(name)
        if name in found or not known or not FILE_NAME.fullmatch(name) or not contained(folder, name):
            continue
        content = _without_paths(path) if name == ADAPTER_CONFIG else None
        found[name] = PushFile(name, path.stat().st_size if content is None else len(content), content)
    if not any(name.endswith(".safetensors") for name in found):
        raise hub_error(
            Text("{folder} holds no adapter and no model", "{folder} 中没有适配器，也没有模型").with_(
                folder=folder.name
            ),
            Text("Choose a run that has a result.", "请选择一个有结果的运行。"),
            code="push_empty",
        )
    return tuple(sorted(found.values(), key=lambda file: file.name))


def _without_paths(path: Path) -> bytes | None:
    """An adapter's settings with the base model's name instead of its folder; None where they name none."""
    settings = read_json_object(path)
    base = settings.get("base_model_name_or_path")
    if not isinstance(base, str):
        return None
    parts = (PureWindowsPath if "\\" in base or base[1:2] == ":" else PurePosixPath)(base)
    if not parts.is_absolute() and len(parts.parts) <= 2 and not base.startswith((".", "~")):
        return None
    snapshot = next((part for part in parts.parts if part.startswith("models--")), None)
    settings["base_model_name_or_path"] = (
        snapshot.removeprefix("models--").replace("--", "/") if snapshot else parts.name
    )
    return (json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
