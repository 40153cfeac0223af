"""The guard in front of the page: who may ask, what every answer carries, and what the environment can't switch on."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.asgi import replies
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment
from workbench.config.errors import WorkbenchError

environment()

from workbench.ui import page as pages  # noqa: E402
from workbench.ui.guard import TOKEN_COOKIE, Guard, Rules, is_loopback  # noqa: E402

OPEN_EVERYTHING = {
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_SHARE": "1",
    "GRADIO_ALLOWED_PATHS": "/",
    "GRADIO_RUN_HISTORY": "True",
    "GRADIO_MCP_SERVER": "True",
    "GRADIO_ROOT_PATH": "/elsewhere",
    "GRADIO_NUM_WORKERS": "2",
    "GRADIO_DEBUG": "1",
}
UPLOAD = "/gradio_api/upload"


def first_free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pages.Served]:
    """A page on this machine, started with an environment that would open everything."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in OPEN_EVERYTHING.items():
            patch.setenv(name, value)
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        made = pages.start(FakeEngine(tmp_path_factory.mktemp("home")), port=first_free())
        yield made
        made.close()


@pytest.fixture(scope="module")
def client(served: pages.Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, trust_env=False, timeout=20) as made:
        yield made


def stored() -> list[str]:
    return [str(path) for path in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example", "origin": "https://evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=lambda headers: " ".join(f"{name}={value}" for name, value in headers.items()),
)
def test_requests_of_foreign_pages_are_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    before = stored()
    assert client.get("/", headers=headers).status_code == 403
    assert client.get("/config", headers=headers).status_code == 403
    join = {"data": [], "fn_index": 0, "session_hash": "x"}
    assert client.post("/gradio_api/queue/join", json=join, headers=headers).status_code == 403
    files = {"files": ("a.jsonl", b"{}")}
    refused = client.post(UPLOAD, files=files, headers=headers)
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers
    asked = {**headers, "access-control-request-method": "POST"}
    assert client.request("OPTIONS", UPLOAD, headers=asked).status_code == 403
    assert stored() == before


def test_the_own_page_may_upload_and_ask(served: pages.Served, client: httpx.Client) -> None:
    origin = {"origin": served.url.rstrip("/"), "sec-fetch-site": "same-origin"}
    assert client.get("/", headers={"sec-fetch-site": "none"}).status_code == 200
    assert client.post(UPLOAD, files={"files": ("a.jsonl", b"{}")}, headers=origin).status_code == 200


def test_a_link_elsewhere_may_open_the_page_and_nothing_else(client: httpx.Client) -> None:
    opened = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    framed = {**opened, "sec-fetch-dest": "iframe"}
    assert client.get("/", headers=opened).status_code == 200
    assert client.get("/", headers=framed).status_code == 403
    assert client.get("/config", headers=opened).status_code == 403


def test_every_answer_carries_the_policy(client: httpx.Client) -> None:
    for path, headers in (("/", {}), ("/config", {}), ("/nothing", {}), ("/", {"host": "evil.example"})):
        answer = client.get(path, headers=headers)
        policy = answer.headers["content-security-policy"]
        assert "img-src 'self' data: blob:" in policy and "connect-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy and "object-src 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/monitoring/summary", "/gradio_api/mcp/sse", "/gradio_api/run/train"]
)
def test_what_gradio_publishes_by_itself_is_off(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json={"data": []}) if "/run/" in path else client.get(path)
    assert answer.status_code in (403, 404, 405), answer.text[:80]


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "//etc/passwd", "/proc/self/environ", "app.py",
     "requirements.txt", "workbench/ui/page.py", "http://127.0.0.1:1/x", "C:/windows/win.ini", "\\\\host\\share\\x"],
)  # fmt: skip
def test_no_file_of_this_machine_is_served(client: httpx.Client, path: str) -> None:
    for route in ("/gradio_api/file=", "/file="):
        answer = client.get(route + path, follow_redirects=False)
        assert answer.status_code in (400, 403, 404), (route, answer.text[:80])
        assert "location" not in answer.headers


def test_the_environment_can_neither_open_nor_share_the_page(served: pages.Served) -> None:
    blocks = served.page
    assert blocks.server_name == "127.0.0.1" and served.url.startswith("http://127.0.0.1:")
    assert not blocks.share and not blocks.share_url
    assert not blocks.mcp_server and not blocks.run_history and not blocks.enable_monitoring
    assert blocks.allowed_paths == [] and blocks.root_path == ""
    config = httpx.get(served.url + "config", trust_env=False).json()
    assert not config.get("root", "").endswith("/elsewhere")
    assert config["footer_links"] == []
    ours = [one.laddr for one in psutil.Process().net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert {address.ip for address in ours if address.port == served.port} == {"127.0.0.1"}


def test_the_page_begins_with_the_language_script(client: httpx.Client) -> None:
    text = client.get("/").text
    assert re.search(r"<head>\s*<script>\(function \(settings\)", text)
    assert "http-equiv" not in text or "refresh" not in text


def statuses(rules: Rules, *requests: dict[str, Any]) -> list[int]:
    """What the guard answers to requests to upload 600 bytes, one after the other."""

    async def send_all() -> list[int]:
        transport = httpx.ASGITransport(Guard(replies(), rules))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return [(await client.post(UPLOAD, content=b"x" * 600, **more)).status_code for more in requests]

    return asyncio.run(send_all())


def test_uploads_end_at_the_days_quota() -> None:
    assert statuses(Rules(upload_day_bytes=1000), {}, {}) == [200, 413]


def test_who_has_no_token_uses_up_nobodys_quota() -> None:
    let_in = {"cookies": {TOKEN_COOKIE: "secret"}}
    rules = Rules(token="secret", upload_day_bytes=1000)
    assert statuses(rules, {}, {}, let_in, let_in) == [401, 401, 200, 413]


def test_the_next_port_is_taken_when_one_is_busy() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        taken = busy.getsockname()[1]
        assert pages.free_port("127.0.0.1", taken) > taken


def test_no_free_port_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PORTS_TRIED", 1)
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(WorkbenchError, match="--port|taken"):
            pages.free_port("127.0.0.1", busy.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.0.0.9", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("example.org", False)],
)  # fmt: skip
def test_only_loopback_addresses_count_as_this_machine_alone(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


def test_a_page_open_to_the_network_asks_for_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_LOGIN", raising=False)
    monkeypatch.delenv("SPACE_ID", raising=False)
    served = pages.start(FakeEngine(tmp_path), host="0.0.0.0", port=first_free())
    try:
        token = served.url.partition("?token=")[2]
        assert len(token) >= 24
        with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", trust_env=False, timeout=20) as client:
            for path in ("/", "/config", "/gradio_api/info", "/live", "/?token=wrong", "/?token=", "/theme.css"):
                assert client.get(path).status_code == 401, path
            assert client.post(UPLOAD, files={"files": ("a", b"x")}).status_code == 401
            assert client.get("/", cookies={"workbench-token": "wrong"}).status_code == 401
            let_in = client.get(f"/?token={token}", follow_redirects=False)
            assert let_in.status_code == 303 and "HttpOnly" in let_in.headers["set-cookie"]
            assert client.get("/").status_code == 200  # the cookie
            assert token not in client.get("/config").text
            assert client.get("/", headers={"host": "evil.example"}).status_code == 403
    finally:
        served.close()


def test_a_login_replaces_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_LOGIN", "ann:correct horse")
    served = pages.start(FakeEngine(tmp_path), host="0.0.0.0", port=first_free())
    try:
        assert "token" not in served.url
        with httpx.Client(base_url=f"http://127.0.0.1:{served.port}", trust_env=False, timeout=20) as client:
            assert client.get("/config").status_code == 401
            wrong = client.post("/login", data={"username": "ann", "password": "wrong"})
            assert wrong.status_code == 400
            assert client.post("/login", data={"username": "ann", "password": "correct horse"}).status_code == 200
            assert client.get("/config").status_code == 200
            # Cookies of other programs on this computer, which some readers of cookies stumble over.
            kept = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
            for other in ('prefs={"a":1}; ', "f=a b; ", "=x; "):
                headers = {"cookie": other + kept}
                assert (
                    httpx.get(f"http://127.0.0.1:{served.port}/live", headers=headers, trust_env=False).status_code
                    == 200
                )
    finally:
        served.close()


def test_a_malformed_login_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("ann", "ann:short", ":long enough here"):
        monkeypatch.setenv("WORKBENCH_LOGIN", value)
        with pytest.raises(WorkbenchError, match="password"):
            pages.start(FakeEngine(tmp_path), port=first_free())


def test_a_space_is_shown_in_its_frame_and_under_its_own_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "ann-workbench.hf.space")
    rules = Rules(host="0.0.0.0", space=True)
    assert rules.knows_host("ann-workbench.hf.space") and not rules.knows_host("evil.example")
    assert "frame-ancestors https://huggingface.co" in rules.headers()["content-security-policy"]
    assert "x-frame-options" not in rules.headers()


def test_hosts_of_a_proxy_can_be_named() -> None:
    rules = Rules(host="0.0.0.0", token="x", more_hosts=("tune.example.org",))
    assert rules.knows_host("tune.example.org") and rules.knows_host("192.168.1.5:7860")
    assert not rules.knows_host("evil.example")
    assert not Rules(host="127.0.0.1").knows_host("192.168.1.5:7860")
