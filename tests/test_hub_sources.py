"""Where models come from: what is chosen and kept, what the environment says, and whether a server can be reached."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub, rate_limit
from workbench.config.errors import WorkbenchError
from workbench.hub import Source, make_source, reachable, read_source, save_source
from workbench.hub.client import adopt
from workbench.hub.sources import HUGGING_FACE, MODELSCOPE, default_source


def test_a_choice_is_kept(tmp_path: Path) -> None:
    for given in (
        make_source("mirror", " https://hf-mirror.com/ "),
        make_source("huggingface", offline=True, proxy="socks5://127.0.0.1:7890"),
        make_source("modelscope"),
    ):
        save_source(tmp_path, given)
        assert read_source(tmp_path) == (given, None)
    assert make_source("mirror", "https://hf-mirror.com/").endpoint == "https://hf-mirror.com"
    assert make_source("modelscope", "https://elsewhere.example").endpoint == MODELSCOPE


def test_without_a_choice_the_environment_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.com/")
    monkeypatch.setenv("HF_HUB_OFFLINE", "on")
    assert read_source(tmp_path) == (Source("mirror", "https://hf-mirror.com", offline=True), None)
    assert default_source({}) == Source("huggingface", HUGGING_FACE)
    assert default_source({"HF_ENDPOINT": "not an address", "HF_HUB_OFFLINE": "0"}) == Source()
    save_source(tmp_path, make_source())
    assert read_source(tmp_path)[0] == Source()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"kind": "elsewhere"}',
        '{"kind": "mirror"}',
        '{"kind": "mirror", "endpoint": 5}',
        '{"kind": "huggingface", "proxy": "http://me:planted@host:1"}',
        '{"kind": "huggingface", "offline": "yes"}',
    ],
)
def test_a_damaged_choice_is_named_and_the_environment_counts(tmp_path: Path, content: str) -> None:
    (tmp_path / "hub.json").write_text(content)
    source, problem = read_source(tmp_path)
    assert source == default_source()
    assert problem is not None and problem.code == "damaged" and "hub.json" in str(problem.message)
    assert "planted" not in problem.to("en") + problem.to("zh")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "hf-mirror.com",
        "ftp://host",
        "https://",
        "https://host:99999",
        "https://a b",
        "https://host/?a=1",
        "https://host#a",
        "https://[::1",
        "https://host\\@other",
        "https://" + "a" * 400,
        "javascript:alert(1)",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        make_source("mirror", address)
    assert (caught.value.code, caught.value.field) == ("hub_source", "endpoint")


def test_a_password_in_an_address_is_not_kept(tmp_path: Path) -> None:
    for options in ({"kind": "mirror", "endpoint": "https://me:planted@host"}, {"proxy": "http://me:planted@host:1"}):
        with pytest.raises(WorkbenchError) as caught:
            make_source(**options)
        assert caught.value.code == "hub_source" and "planted" not in caught.value.to("en")
    with pytest.raises(WorkbenchError):
        save_source(tmp_path, Source("mirror", "https://me:planted@host"))
    assert not list(tmp_path.iterdir())


def mirror(hub: Hub, **options: Any) -> Source:
    return Source("mirror", hub.url, **options)


def test_who_answers_is_reachable(hub: Hub) -> None:
    hub.add("ann/tiny", {})
    found = reachable(mirror(hub))
    assert found.ok and found.seconds is not None and hub.url.removeprefix("http://") in str(found.text)


@pytest.mark.parametrize(
    "fault, code",
    [
        ({"status": 503}, "hub_server"),
        ({"status": 404}, "hub_unreachable"),
        ({"status": 407}, "hub_proxy"),
        ({"silent": True}, "hub_unreachable"),
        ({"cut": 0}, "hub_unreachable"),
        ({"reset": True, "cut": 0}, "hub_unreachable"),
        (rate_limit(30), "hub_rate"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_who_does_not_answer_well_is_not(hub: Hub, fault: dict[str, Any], code: str) -> None:
    hub.add("ann/tiny", {})
    hub.fault("/api/models", **fault)
    found = reachable(mirror(hub), seconds=0.5 if fault.get("silent") else 5)
    assert not found.ok and found.code == code and found.text.to("zh") and found.seconds is None


def test_who_sends_a_byte_now_and_then_does_not_hold_us(hub: Hub) -> None:
    hub.add("ann/tiny", {})
    hub.fault("/api/models", slow=5)
    start = time.monotonic()
    assert reachable(mirror(hub), seconds=0.5).code == "hub_unreachable"
    assert time.monotonic() - start < 10  # the answer has some hundreds of bytes


def test_nobody_is_there(hub: Hub) -> None:
    hub.down()
    found = reachable(mirror(hub))
    assert found.code == "hub_unreachable" and "refused" in str(found.text)
    assert "name" in str(reachable(Source("mirror", "https://nowhere.example")).text)


def test_who_is_no_hub_is_not_reachable(hub: Hub) -> None:
    page = b"<html>Sign in to the hotel's network</html>"
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)
        connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    found = reachable(Source("mirror", f"http://127.0.0.1:{listener.getsockname()[1]}"))
    thread.join(10)
    listener.close()
    assert found.code == "hub_unreachable" and "not that of a Hub" in str(found.text)


def test_a_proxy_that_fails_is_named_and_this_computer_needs_none(hub: Hub) -> None:
    hub.add("ann/tiny", {})
    nowhere = "http://127.0.0.1:9"
    assert reachable(Source("mirror", "https://hub.example", proxy=nowhere)).code == "hub_proxy"
    assert reachable(Source("mirror", "http://hub.example", proxy=nowhere)).code == "hub_proxy"
    assert reachable(mirror(hub, proxy=nowhere)).ok
    assert reachable(Source("mirror", "http://hub.example", proxy=hub.url)).ok  # a proxy: it is asked for that host


def test_the_chosen_proxy_comes_before_the_environments(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("ann/tiny", {})
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert reachable(Source("mirror", "http://hub.example", proxy=hub.url)).ok


def test_the_environments_proxy_is_used_and_named_when_it_fails(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("ann/tiny", {})
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    there, other = Source("mirror", "http://hub.example"), Source("mirror", "https://hub.example")
    monkeypatch.setenv("http_proxy", hub.url)
    monkeypatch.setenv("https_proxy", "http://me:planted@127.0.0.1:9")
    assert reachable(there).ok and there.proxy_used == hub.url
    found = reachable(other)
    assert found.code == "hub_proxy" and other.proxy_used == "http://127.0.0.1:9" and "planted" not in str(found)
    monkeypatch.setenv("no_proxy", "hub.example")
    assert other.proxy_used == mirror(hub).proxy_used == "" and reachable(other).code == "hub_unreachable"


def test_the_hubs_own_functions_go_through_the_proxy_too(hub: Hub) -> None:
    from huggingface_hub import HfApi, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    hub.add("ann/tiny", {})
    try:
        adopt(Source("mirror", "http://hub.example", proxy=hub.url))
        assert HfApi(endpoint="http://hub.example", token=False).model_info("ann/tiny").id == "ann/tiny"
        with pytest.raises(WorkbenchError):
            adopt(Source(offline=True))
    finally:
        set_client_factory(default_client_factory)


def test_offline_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    assert reachable(mirror(hub, offline=True)).code == "hub_offline"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert reachable(mirror(hub)).code == "hub_offline"
    assert not hub.seen


def test_modelscope_without_its_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    found = reachable(make_source("modelscope"))
    assert found.code == "missing_package" and "modelscope-hub" in str(found.text)


def test_what_is_kept_is_readable_and_small(tmp_path: Path) -> None:
    save_source(tmp_path, make_source("mirror", "https://hf-mirror.com"))
    kept = json.loads((tmp_path / "hub.json").read_text())
    assert kept == {"kind": "mirror", "endpoint": "https://hf-mirror.com", "offline": False, "proxy": ""}
