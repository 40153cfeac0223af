"""The login of a page that others may reach: what stands before it, and how often a password can be tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.asgi import HOST, Answer, ask, replies
from tests.ui_double import FakeEngine
from workbench.bootstrap import environment

environment()

from tests.browser.conftest import free_port  # noqa: E402
from workbench.ui import page as pages  # noqa: E402
from workbench.ui.guard import Guard, Rules, host_name  # noqa: E402
from workbench.ui.login import ADDRESSES, FREE_TRIES, LONGEST_FOR_ALL, LONGEST_WAIT, Login, Tries  # noqa: E402

PASSWORD = "correct horse"


class Door:
    """A guard with a login, and a clock that stands still until it is moved."""

    def __init__(self, app: Any = None, **rules: Any) -> None:
        self.now = 1000.0
        self.login = Login("ann", PASSWORD)
        self.login.tries = Tries(lambda: self.now)
        self.rules = Rules(login=self.login, **rules)
        self.guard = Guard(app or replies(), self.rules)

    def log_in(
        self, password: str = PASSWORD, name: str = "ann", client: str = "192.168.1.9", lang: str = "en"
    ) -> Answer:
        body = urlencode({"username": name, "password": password}).encode()
        headers = [HOST, (b"accept-language", lang.encode())]
        return ask(self.guard, "/login", method="POST", headers=headers, pieces=[body], client=client)

    def ask(self, path: str, cookie: str = "", method: str = "GET", pieces: tuple[bytes, ...] = ()) -> Answer:
        return ask(self.guard, path, method=method, headers=[HOST, (b"cookie", cookie.encode())], pieces=pieces)


@pytest.fixture
def door() -> Door:
    return Door()


def session(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def test_who_has_logged_in_gets_everything_and_nobody_else_anything(door: Door) -> None:
    paths = ("/config", "/live", "/theme.css", "/gradio_api/upload", "/gradio_api/queue/join", "/nothing")
    for cookie in ("", "workbench-login=", "workbench-login=guessed", "access-token-x=y"):
        assert [door.ask(path, cookie).status for path in paths] == [401] * len(paths)
        asked = door.ask("/", cookie)
        assert asked.status == 401 and b'type="password"' in asked.body and b"answered" not in asked.body
    welcome = door.log_in()
    assert welcome.status == 200 and {"HttpOnly", "SameSite=Lax"} <= set(welcome.headers["set-cookie"].split("; "))
    for other in ("", 'prefs={"a":1}; ', "f=a b; ", "=x; "):  # cookies of other programs on this computer
        assert [door.ask(path, other + session(welcome)).status for path in ("/", *paths)] == [200] * (1 + len(paths))


def test_logging_out_ends_the_session(door: Door) -> None:
    known = session(door.log_in())
    left = door.ask("/logout", known)
    assert left.status == 303 and "Max-Age=0" in left.headers["set-cookie"]
    assert door.ask("/config", known).status == 401


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/upload/", "/gradio_api/queue/join", "/anything"])
def test_nothing_is_read_of_what_a_stranger_sends(door: Door, path: str) -> None:
    before = door.rules.quota.left()
    for length in (b"5", b"999999999", b"-1", b"many", b"9" * 5000):
        headers = [HOST, (b"content-length", length)]
        refused = ask(door.guard, path, method="POST", headers=headers, pieces=[b"x" * 1000])
        assert refused.status == 401 and refused.read == 0
    assert door.rules.quota.left() == before


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_after_five_failures_the_next_try_waits_longer_each_time(door: Door, lang: str) -> None:
    assert [door.log_in("wrong").status for _ in range(FREE_TRIES)] == [400] * FREE_TRIES
    waits = []
    for _ in range(8):
        early = door.log_in(lang=lang)  # the right password, too early: nobody learns that it was right
        assert early.status == 429 and "set-cookie" not in early.headers
        waits.append(int(early.headers["retry-after"]))
        said = early.body.decode()
        assert f"{waits[-1]} s" in said if lang == "en" else f"{waits[-1]} 秒" in said
        assert bool(re.search("[\u4e00-\u9fff]", said)) is (lang == "zh")
        door.now += waits[-1]
        assert door.log_in("wrong").status == 400
    assert waits == sorted(waits) and waits[0] <= 2 and waits[-1] == LONGEST_WAIT


def test_tries_that_come_too_early_prolong_nothing_and_a_success_resets(door: Door) -> None:
    for _ in range(FREE_TRIES):
        door.log_in("wrong")
    for _ in range(50):
        assert door.log_in().status == 429
    door.now += 1
    assert door.log_in().status == 200
    assert [door.log_in("wrong").status for _ in range(FREE_TRIES)] == [400] * FREE_TRIES


def test_many_addresses_do_not_make_many_tries_and_hold_nobody_up_for_long(door: Door) -> None:
    answers = [door.log_in("wrong", client=f"10.0.0.{number}").status for number in range(50)]
    assert answers == [400] * FREE_TRIES + [429] * (50 - FREE_TRIES)
    for number in range(20):
        door.now += LONGEST_FOR_ALL
        assert door.log_in("wrong", client=f"10.0.1.{number}").status == 400
    waiting = door.log_in(client="192.168.1.7")  # who never failed
    assert waiting.status == 429 and int(waiting.headers["retry-after"]) <= LONGEST_FOR_ALL
    door.now += LONGEST_FOR_ALL
    assert door.log_in(client="192.168.1.7").status == 200


def test_failures_are_forgotten_and_take_little_memory() -> None:
    now = 0.0
    tries = Tries(lambda: now)
    for number in range(3 * ADDRESSES):
        tries.failed(f"address {number}")
    assert len(tries._by_address) == ADDRESSES
    for _ in range(5000):
        tries.failed("address")
    assert tries.wait("address") == LONGEST_WAIT
    now += 3600
    assert tries.wait("address") == 0
    tries.failed("address")
    assert tries.wait("address") == 0


@pytest.mark.parametrize(
    "body", [b"", b"username=ann", b"\xff\xfe=1", b"a=1&" * 500, b"x" * 5000, b"username=ann&password=", b"{}"]
)
def test_what_is_no_name_and_password_lets_nobody_in(door: Door, body: bytes) -> None:
    answer = ask(door.guard, "/login", method="POST", pieces=[body])
    assert answer.status == 400 and "set-cookie" not in answer.headers


def test_a_login_that_never_ends_is_cut_off(door: Door) -> None:
    assert ask(door.guard, "/login", method="POST", pieces=[b"x" * 1000] * 5000).read < 10


# -- addresses that are none --------------------------------------------------------------------------------------------

MALFORMED = [b"[::1", b"::1]", b"a:b:c", b"127.0.0.1:x", b"127.0.0.1:99999", b"127.0.0.1:-1", b"[::1]x", b"[]", b"[127.0.0.1]",
             b"\xff\xfe", b"a b", b"a/b", b"user@127.0.0.1", b"http://127.0.0.1", b":7860", b"[::1]:", b"%"]  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED, ids=repr)
def test_a_malformed_host_or_origin_is_refused_with_a_sentence(name: bytes) -> None:
    guard = Guard(replies(), Rules())
    for header in ((b"origin", name), (b"origin", b"http://" + name), (b"x-forwarded-host", name), (b"host", name)):
        refused = ask(guard, headers=[header] if header[0] == b"host" else [HOST, header])
        assert refused.status in (400, 403) and b"<p lang=zh>" in refused.body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 403),
        ([(b"host", b"")], 403),
        ([HOST, HOST], 400),
        ([HOST, (b"Host", b"evil.example")], 400),
        ([HOST, (b"origin", b"http://127.0.0.1:7860"), (b"origin", b"http://evil.example")], 400),
        ([HOST, (b"origin", b"")], 403),
        ([HOST, (b"origin", b"//127.0.0.1:7860")], 403),
        ([HOST, (b"origin", b"file://127.0.0.1:7860")], 403),
        ([HOST, (b"origin", b"HTTP://127.0.0.1:7860")], 200),
        ([(b"host", b"LOCALHOST"), (b"origin", b"https://localhost")], 200),
        ([(b"host", b"[::1]:7860"), (b"origin", b"http://[::1]:7860")], 200),
    ],
)
def test_one_host_and_its_own_origin_are_let_in(headers: list[tuple[bytes, bytes]], status: int) -> None:
    assert ask(Guard(replies(), Rules()), headers=headers).status == status


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40), st.lists(st.binary(max_size=40), max_size=2), st.booleans())
def test_no_bytes_in_a_header_end_in_an_error(host: bytes, more: list[bytes], wide: bool) -> None:
    guard = Guard(replies(), Rules(host="0.0.0.0" if wide else "127.0.0.1", login=Login("ann", PASSWORD)))
    names = [b"origin", b"x-forwarded-host", b"cookie", b"content-length", b"accept-language", b"sec-fetch-site"]
    for first in (host, b"127.0.0.1"):
        for name in names:
            headers = [(b"host", first), *((name, value) for value in more)]
            assert ask(guard, headers=headers).status in (400, 401, 403)
            assert ask(guard, "/login", method="POST", headers=headers, pieces=[host]).status in (400, 403, 429)


@given(st.text(max_size=30))
def test_a_hosts_name_is_one_or_none(header: str) -> None:
    name = host_name(header)
    assert name is None or (name == name.lower() and not set(name) & set("/@ []"))


# -- the real page ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pages.Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_LOGIN", f"ann:{PASSWORD}")
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        made = pages.start(FakeEngine(tmp_path_factory.mktemp("home")), port=free_port())
        yield made
        made.close()


def test_the_real_page_with_a_login_takes_uploads_after_it_only(served: pages.Served) -> None:
    with httpx.Client(base_url=served.url, trust_env=False, timeout=20) as client:
        files = {"files": ("a.jsonl", b"{}")}
        for _ in range(3):
            assert client.post("/gradio_api/upload", files=files).status_code == 401
        assert client.get("/").status_code == 401 and "workbench" not in client.cookies
        assert client.post("/login", data={"username": "ann", "password": "wrong"}).status_code == 400
        assert client.post("/login", data={"username": "ann", "password": PASSWORD}).status_code == 200
        assert client.get("/").status_code == 200
        assert client.post("/gradio_api/upload", files=files).status_code == 200
        assert client.get("/logout", follow_redirects=False).status_code == 303
        assert client.get("/config").status_code == 401


def test_the_real_page_answers_no_malformed_address_with_an_error(served: pages.Served) -> None:
    for name in MALFORMED:
        for header in ("host", "origin", "x-forwarded-host"):
            status = httpx.get(served.url, headers={header: name}, trust_env=False, timeout=20).status_code
            assert status in (400, 403), (header, name)
