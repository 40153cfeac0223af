"""Proxies that the environment names: the workbench starts with every kind of them, and says what it leaves out."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.browser.conftest import App
from workbench import bootstrap, proxies

USABLE = ["http://127.0.0.1:1", "https://proxy.example:443/", "socks5://127.0.0.1:1080", "socks5h://ann:secret@[::1]:1080",
          "SOCKS5://127.0.0.1:1", "127.0.0.1:8080", "proxy", "http://ann:@proxy.example"]  # fmt: skip
UNUSABLE = ["socks://127.0.0.1:1", "socks4://127.0.0.1:1", "socks4a://x:1", "http//x", "http:/x", "http:x", "ftp://x", "socks5://", ":::",
            "http://a:b:c", "http://[::1", "http://ann:sec@ret@x:1", "http://x:99999", "http://x:y", "http://1.2.3.4.5:1", " http://x:1",
            "http://x:1/path", "direct://", "http://\x00:1", "http://代理:1", "xn--", "/"]  # fmt: skip
NAMES = ("http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "Http_Proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a computer without any."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_clients_can_read_stays_and_everything_else_is_named(name: str) -> None:
    for value in USABLE:
        environment = {name: value}
        assert proxies.leave_out_unusable(environment) == [] and environment == {name: value}
    for value in UNUSABLE:
        environment = {name: value, "OTHER": value}
        (text,) = proxies.leave_out_unusable(environment)
        assert environment == {"OTHER": value}
        for lang in ("en", "zh"):
            said = text.to(lang)
            assert (
                name in said
                and "socks5://" in said
                and bool(re.search("[\u4e00-\u9fff]", said.replace(value, ""))) is (lang == "zh")
            )
            assert "sec@" not in said


def test_one_sentence_for_a_value_that_several_variables_have() -> None:
    environment = {"ALL_PROXY": "socks://x:1", "all_proxy": "socks://x:1", "HTTP_PROXY": "http://x:1"}
    (text,) = proxies.leave_out_unusable(environment)
    assert "ALL_PROXY, all_proxy" in text.to("en") and environment == {"HTTP_PROXY": "http://x:1"}


PIECES = [
    *"ab1.-_:/@[]%*#?\\ ,=",
    "http://",
    "socks5://",
    "https://",
    "socks5h://",
    "::1",
    "127.0.0.1",
    ":80",
    ":99999",
    "xn--a",
    "--",
]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=7).map("".join), st.sampled_from(["http_proxy", "ALL_PROXY", "NO_PROXY"])
)
def test_what_is_left_makes_clients(value: str, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        patch.setenv(name, value)
        proxies.of_this_process()
        for library in (httpx, httpx2):
            library.Client(verify=False).close()


def test_the_hubs_client_goes_through_a_socks_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from huggingface_hub.utils import get_session\n"
        "try: get_session().get('https://hub.example/x', timeout=20)\n"
        "except OSError as error: print(error)\nexcept Exception as error: print(type(error).__name__)"
    )
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        asking = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        proxy.settimeout(60)
        line, _ = proxy.accept()
        with line:
            assert line.recv(1) == b"\x05"  # SOCKS of version 5
        assert "ImportError" not in asking.communicate(timeout=60)[0]


def test_exceptions_that_can_be_read_stay() -> None:
    environment = {"no_proxy": "intern.example, .lan,*.org,10.0.0.0/8,::1,[::1,a:b:c,127.0.0.1"}
    proxies.spare(environment, ("127.0.0.1", "localhost", "192.168.1.5"))
    wanted = "intern.example,.lan,*.org,10.0.0.0/8,::1,127.0.0.1,localhost,192.168.1.5"
    assert environment == {"no_proxy": wanted, "NO_PROXY": wanted}


def test_pip_gets_no_proxy_that_it_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1")
    assert "ALL_PROXY" not in bootstrap.pip_variables() and "ALL_PROXY" in os.environ
    assert "HTTPS_PROXY" in str(proxies.without_socks(dict(os.environ)))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert bootstrap.pip_variables()["https_proxy"] and proxies.without_socks(dict(os.environ)) is None


@pytest.mark.parametrize(
    ("variables", "left_out"),
    [
        ({"ALL_PROXY": "socks5://127.0.0.1:9", "HTTPS_PROXY": "socks5h://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}, ()),
        ({"ALL_PROXY": "socks://127.0.0.1:9", "HTTPS_PROXY": "http//x", "http_proxy": "socks4://[::1", "NO_PROXY": "[::1,a:b"},
         ("ALL_PROXY", "HTTPS_PROXY", "http_proxy")),
    ],
    ids=["usable", "unusable"],
)  # fmt: skip
def test_the_page_opens_whatever_proxy_is_set(
    variables: dict[str, str], left_out: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    running = App(tmp_path / "home").start()
    try:
        assert httpx.get(running.url, trust_env=False, timeout=60).status_code == 200
    finally:
        running.close()
    *before, _ = running.said
    assert len(before) == len(left_out), before
    assert all(any(name in line for line in before) for name in left_out)


def test_the_command_line_says_it_beside_its_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    command = [sys.executable, "-m", "workbench", "presets", "--json", "--lang", "zh", "--home", str(tmp_path)]
    done = subprocess.run(command, cwd=bootstrap.ROOT, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0 and done.stdout.startswith("{")
    assert len(done.stderr.splitlines()) == 1 and "未使用 ALL_PROXY 中的代理" in done.stderr
