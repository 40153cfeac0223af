"""ModelScope, through its own client, which is installed only by who wants it.

Its branches have no commits that the client would tell, so a plan names the branch, and the SHA-256 of each file says what is
meant: where the branch has moved since, a file is refused. The token of Hugging Face is none of ModelScope's and is not sent
there; the client knows its own (MODELSCOPE_API_TOKEN, `ms-hub login`). It has no setting for a proxy: the environment's counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.hub import errors

if TYPE_CHECKING:
    from workbench.hub.listing import DownloadPlan
    from workbench.hub.search import Found
    from workbench.hub.sources import Source
    from workbench.hub.transfer import Answer, Wanted

PACKAGE = "modelscope-hub==0.5.1"  # the version that this was written for
BRANCH = "master"
_CHUNK = 64 * 1024


def client(source: Source) -> Any:
    """ModelScope's client for a source.

    Raises:
        WorkbenchError: (`missing_package`) it is not installed.
    """
    if source.offline:
        raise errors.offline()
    try:
        import modelscope_hub
    except ImportError:
        raise missing_client() from None
    return modelscope_hub.HubApi(endpoint=source.endpoint)


def missing_client() -> WorkbenchError:
    """The client is not installed; the hint says how it will be."""
    return errors.hub_error(
        Text("models from ModelScope need the package {package}", "从 ModelScope 下载需要 {package}").with_(
            package=PACKAGE.partition("=")[0]
        ),
        Text(
            "Install it with: pip install {package}. Or choose a mirror of Hugging Face.",
            "请运行 pip install {package}，或改用 Hugging Face 镜像。",
        ).with_(package=PACKAGE),
        code="missing_package",
    )


def greet(source: Source, seconds: float) -> None:
    """Ask ModelScope for something small. Raises its client's errors."""
    client(source).list_repos("model", page_size=1)


def plan(source: Source, repo_id: str, revision: str | None) -> DownloadPlan:
    """As `listing.plan`. Raises the client's errors, too."""
    from workbench.hub.listing import CONFIG, DownloadPlan, checked_config
    from workbench.hub.needed import needed_files

    api = client(source)
    branch = revision or BRANCH
    listed = [
        file for file in api.list_repo_files(repo_id, "model", revision=branch, recursive=False) if not file.is_dir
    ]
    needed = needed_files(repo_id, [file.path for file in listed])
    by_name = {file.path: file for file in listed}
    files = tuple(_planned(by_name[name]) for name in needed)
    info = api.get_repo(repo_id, "model")
    data = _small(api, repo_id, branch, CONFIG)
    hasher = files[0].hasher()
    hasher.update(data)
    if len(data) != files[0].bytes or hasher.hexdigest() != files[0].expected:
        raise errors.wrong_content(CONFIG, source)
    licence = info.license if isinstance(info.license, str) and info.license.isprintable() else ""
    return DownloadPlan(
        repo_id=repo_id,
        sha=branch,
        files=files,
        bytes=sum(file.bytes for file in files),
        gated=bool(info.gated or info.login_required),
        licence=licence[:80],
        parameters=None,
        config=checked_config(data),
    )


def search(source: Source, words: str, limit: int) -> tuple[Found, ...]:
    """As `search.search`. Raises the client's errors, too."""
    from workbench.hub.listing import check_id
    from workbench.hub.search import Found

    found = []
    for info in client(source).list_repos("model", search=words, page_size=limit).items[:limit]:
        with contextlib.suppress(WorkbenchError):
            size, downloads = info.file_size, info.downloads
            found.append(
                Found(
                    repo_id=check_id(str(info.repo_id or info.id)),
                    parameters=None,
                    bytes=size if type(size) is int and 0 < size < 2**53 else None,
                    licence=str(info.license or "")[:80],
                    downloads=downloads if type(downloads) is int and downloads >= 0 else 0,
                    gated=bool(info.gated),
                    pipeline=next((str(task)[:60] for task in info.tasks), ""),
                )
            )
    return tuple(found)


@contextlib.contextmanager
def asked(wanted: Wanted, start: int) -> Iterator[Answer]:
    """What ModelScope sends for a file, from a byte on. Raises the client's errors."""
    api = client(wanted.source)
    said = {"Accept-Encoding": "identity"}
    where = (wanted.repo_id, "model", wanted.file.name, wanted.sha)
    try:
        span = {"Range": f"bytes={start}-"} if start else {}
        response = api.legacy.download_stream(*where, headers={**said, **span})
    except Exception as error:
        if getattr(error, "status_code", None) != 416:
            raise
        response = api.legacy.download_stream(*where, headers=said)  # the file there is shorter than what is here
    with contextlib.closing(response):
        yield _Answer(response)


class _Answer:
    """An answer of the client's, as `transfer.Answer` has it."""

    def __init__(self, response: Any) -> None:
        from workbench.hub.transfer import first_byte

        self._response = response
        self.start = first_byte(response.headers.get("Content-Range", "") if response.status_code == 206 else "")

    def chunks(self) -> Iterator[bytes]:
        yield from self._response.iter_content(_CHUNK)

    def cut(self) -> None:
        """End the connection under who reads from it."""
        self._response.raw.shutdown()


def meaning(error: Exception, source: Source, repo_id: str) -> WorkbenchError | None:
    """What an exception of ModelScope's client means; None for any other."""
    kinds = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in _CLIENTS}
    if not kinds:
        return None
    if "ProxyError" in kinds or "ProxyError" in repr(error.__cause__):
        return errors.failing_proxy(source)
    if kinds & {"NotExistError", "InvalidParameter"}:
        return errors.missing(repo_id, source, True) if repo_id else errors.unreachable(source, errors.NO_HUB)
    if kinds & {"AuthenticationError", "PermissionDeniedError"}:
        return _closed(source, repo_id)
    if "RateLimitError" in kinds:
        return errors.rate_limit(source, None)
    if "ServerError" in kinds:
        return errors.trouble(source, getattr(error, "status_code", None) or 500)
    if kinds & {"RequestTimeoutError", "Timeout"}:
        return errors.unreachable(source, errors.TOO_LATE)
    return errors.unreachable(source, errors.BROKEN_OFF)


_CLIENTS = ("modelscope_hub", "requests", "urllib3")


def _closed(source: Source, repo_id: str) -> WorkbenchError:
    """A model that ModelScope gives only to those whom its client has signed in."""
    return errors.hub_error(
        Text(
            "ModelScope gives {model} only to accounts that may have it", "ModelScope 只对有权限的账号开放 {model}"
        ).with_(model=repo_id or source.name),
        Text(
            "Look at the model's page there, then sign in with: ms-hub login.",
            "请先查看该模型的页面，再运行 ms-hub login 登录。",
        ),
        code="hub_gated",
    )


def _planned(file: Any) -> Any:
    from workbench.hub.listing import PlannedFile

    digest = file.sha256
    if type(file.size) is not int or file.size < 0 or not isinstance(digest, str):
        raise ValueError("a file without size or hash")
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ValueError("no hash")
    return PlannedFile(file.path, file.size, digest)


def _small(api: Any, repo_id: str, branch: str, name: str) -> bytes:
    from workbench.hub.client import ANSWER_BYTES

    data = bytearray()
    with contextlib.closing(api.legacy.download_stream(repo_id, "model", name, branch)) as response:
        for chunk in response.iter_content(_CHUNK):
            data += chunk
            if len(data) > ANSWER_BYTES:
                raise errors.too_large(name)
    return bytes(data)
