"""ModelScope as a source, with a double of its client: what is asked of it, and what is made of its answers."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.hub import real
from workbench.config.errors import StopRequested, WorkbenchError
from workbench.hub import (
    Token,
    Transfer,
    download,
    make_source,
    plan,
    reachable,
    read_provenance,
    search,
    transfer,
    unfinished,
)
from workbench.models.catalog import ModelCatalog

SOURCE = make_source("modelscope")


def error_class(name: str, *bases: type[Exception]) -> type[Exception]:
    return type(name, bases or (Exception,), {"__module__": "modelscope_hub.errors"})


APIError = error_class("APIError")
ERRORS = {
    name: error_class(name, APIError)
    for name in ("NotExistError", "AuthenticationError", "PermissionDeniedError", "RateLimitError", "ServerError")
}
NETWORK = error_class("NetworkError", ConnectionError)


class Response:
    """What the client's `download_stream` gives."""

    def __init__(self, data: bytes, start: int, api: Double) -> None:
        self.status_code = 206 if start else 200
        self.headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self._data, self._api = data[start:], api
        self._ended = threading.Event()
        self.raw = SimpleNamespace(shutdown=self._ended.set)

    def iter_content(self, size: int) -> Iterator[bytes]:
        for first in range(0, len(self._data), size):
            if self._api.cuts and first >= self._api.cuts[0]:
                self._api.cuts.pop(0)
                raise NETWORK("cut")
            if self._api.holds is not None and first >= 100_000:
                self._api.holds.set()
                self._ended.wait(60)
                raise NETWORK("ended")
            yield self._data[first : first + size]

    def close(self) -> None:
        self._ended.set()


class Double:
    """ModelScope's client, as far as it is used, with its own names; what it holds is of one repository."""

    files: dict[str, bytes] = {}
    served: dict[str, bytes] = {}
    asked: list[tuple[str, Any]] = []
    cuts: list[int] = []
    holds: threading.Event | None = None
    fails: Exception | None = None

    def __init__(self, endpoint: str | None = None, token: str | None = None) -> None:
        assert endpoint == "https://modelscope.cn" and token is None
        self.legacy = self

    def _says(self, what: str, about: Any) -> None:
        self.asked.append((what, about))
        if self.fails is not None:
            raise self.fails

    def list_repo_files(self, repo_id: str, repo_type: str, *, revision: str, recursive: bool) -> list[Any]:
        self._says("list", (repo_id, repo_type, revision, recursive))
        files = [
            SimpleNamespace(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest(), is_dir=False)
            for name, data in self.files.items()
        ]
        return [*files, SimpleNamespace(path="onnx", size=0, sha256=None, is_dir=True)]

    def get_repo(self, repo_id: str, repo_type: str) -> Any:
        self._says("info", repo_id)
        return SimpleNamespace(license="Apache License 2.0", gated=None, login_required=None)

    def list_repos(self, repo_type: str, *, search: str | None = None, page_size: int = 10) -> Any:
        self._says("search", (search, page_size))
        one: dict[str, Any] = {
            "file_size": 5,
            "downloads": 7,
            "license": "mit",
            "gated": False,
            "tasks": ["text-generation"],
        }
        names = ["ann/tiny", "../x"]
        return SimpleNamespace(items=[SimpleNamespace(repo_id=name, id=1, **one) for name in names])

    def download_stream(self, repo_id: str, repo_type: str, path: str, revision: str, headers: Any = None) -> Response:
        span = (headers or {}).get("Range")
        self._says("file", (path, revision, span))
        data = self.served.get(path, self.files[path])
        start = int(span[6:-1]) if span else 0
        if start >= len(data) > 0 and span:
            refused = APIError("416")
            refused.status_code = 416  # type: ignore[attr-defined]
            raise refused
        return Response(data, start, self)


@pytest.fixture
def scope(monkeypatch: pytest.MonkeyPatch) -> type[Double]:
    class Here(Double):
        files = {name: data for name, data in real().items() if isinstance(data, bytes)}
        served: dict[str, bytes] = {}
        asked: list[tuple[str, Any]] = []
        cuts: list[int] = []

    Here.files["config.json"] = str(real()["config.json"]).encode()
    module = ModuleType("modelscope_hub")
    module.HubApi = Here  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "modelscope_hub", module)
    monkeypatch.setattr(transfer, "WAITS", (0.01,) * 3)
    return Here


def test_a_model_comes_file_by_file(scope: type[Double], tmp_path: Path) -> None:
    found = plan(SOURCE, "https://modelscope.cn/models/ann/tiny/summary", token=Token("hf_not_for_others"))
    assert (found.repo_id, found.sha, found.licence, found.gated) == ("ann/tiny", "master", "Apache License 2.0", False)
    assert "training.json" not in {file.name for file in found.files} and scope.asked[0][1][3] is False
    scope.cuts.append(150_000)
    told: list[Transfer] = []
    folder = download(found, SOURCE, tmp_path / "models" / "tiny", progress=told.append)
    for file in found.files:
        assert (folder / file.name).read_bytes() == scope.files[file.name]
    assert [info.id for info in ModelCatalog(tmp_path).list()] == ["starter", "tiny"] and told[-1].done == found.bytes
    record = read_provenance(folder)
    assert record is not None and (record.kind, record.sha) == ("modelscope", "master")
    assert [about[2] for what, about in scope.asked if what == "file" and about[2]] != []


def test_stop_is_heard_and_another_try_goes_on(scope: type[Double], tmp_path: Path) -> None:
    found = plan(SOURCE, "ann/tiny")
    scope.holds = threading.Event()
    stop = threading.Event()
    threading.Thread(target=lambda: (scope.holds.wait(20), stop.set())).start()  # type: ignore[union-attr]
    with pytest.raises(StopRequested):
        download(found, SOURCE, tmp_path / "models" / "tiny", stop=stop)
    scope.holds = None
    assert len(unfinished(tmp_path / "models")) == 1
    scope.asked.clear()
    download(found, SOURCE, tmp_path / "models" / "tiny")
    spans = {about[0]: about[2] for what, about in scope.asked if what == "file"}
    assert "config.json" not in spans and any(spans.values())


def test_a_branch_that_moved_is_noticed(scope: type[Double], tmp_path: Path) -> None:
    found = plan(SOURCE, "ann/tiny", revision="v1")
    scope.served["tokenizer.json"] = b"{}"
    with pytest.raises(WorkbenchError) as caught:
        download(found, SOURCE, tmp_path / "models" / "tiny")
    assert caught.value.code == "hub_file" and "ModelScope" in caught.value.to("en")
    scope.served["config.json"] = b"{}"
    with pytest.raises(WorkbenchError) as caught:
        plan(SOURCE, "ann/tiny")
    assert caught.value.code == "hub_file"


def test_search(scope: type[Double]) -> None:
    (found,) = search(SOURCE, "tiny")
    assert (found.repo_id, found.bytes, found.downloads, found.pipeline) == ("ann/tiny", 5, 7, "text-generation")
    assert reachable(SOURCE).ok and scope.asked == [("search", ("tiny", 20)), ("search", (None, 1))]


@pytest.mark.parametrize(
    "error, code",
    [
        (ERRORS["NotExistError"]("x"), "hub_missing"),
        (ERRORS["AuthenticationError"]("x"), "hub_gated"),
        (ERRORS["PermissionDeniedError"]("x"), "hub_gated"),
        (ERRORS["RateLimitError"]("x"), "hub_rate"),
        (ERRORS["ServerError"]("x"), "hub_server"),
        (error_class("RequestTimeoutError", NETWORK)("x"), "hub_unreachable"),
        (NETWORK("x"), "hub_unreachable"),
        (error_class("ProxyError", ConnectionError)("x"), "hub_proxy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_its_errors_are_sentences(scope: type[Double], error: Exception, code: str) -> None:
    scope.fails = error
    with pytest.raises(WorkbenchError) as caught:
        plan(SOURCE, "ann/tiny")
    assert caught.value.code == code and caught.value.hint is not None


def test_without_its_client_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    for ask in (lambda: plan(SOURCE, "ann/tiny"), lambda: search(SOURCE, "tiny")):
        with pytest.raises(WorkbenchError) as caught:
            ask()
        assert caught.value.code == "missing_package" and "modelscope-hub" in caught.value.to("zh")
    with pytest.raises(WorkbenchError) as caught:
        plan(make_source("modelscope", offline=True), "ann/tiny")
    assert caught.value.code == "hub_offline"
