"""Live pieces without a browser: what is new reaches who asks, once, and nobody who may not look."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ui_double import PIRATE, FakeEngine
from workbench.bootstrap import environment
from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.config.text import Text

environment()

import gradio as gr  # noqa: E402

from workbench.ui import live as lives  # noqa: E402
from workbench.ui import page as pages  # noqa: E402
from workbench.ui.live import ASKED, LONGEST, Live  # noqa: E402
from workbench.ui.runlive import RunPieces  # noqa: E402
from workbench.ui.tabs import run as runtab  # noqa: E402


@pytest.fixture
def always_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """No piece is kept for the next who asks."""
    monkeypatch.setattr(lives, "FRESH", -1.0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pages.Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = pages.start(FakeEngine(tmp_path_factory.mktemp("home")), port=port)
    yield made
    made.close()


def ask(served: pages.Served, asked: Any, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(
        f"http://127.0.0.1:{served.port}/live", params={"ask": json.dumps(asked)}, headers=given, trust_env=False
    )


def test_a_piece_is_sent_when_it_became_different_and_only_then(always_made: None) -> None:
    said = ["one"]
    live = Live(lambda: "state")
    live.piece("word", lambda key, lang: f"{said[0]} of {key} in {lang}")
    (first,) = live.answer([["word", "a", ""]], "en")["pieces"]
    assert first[1] == "one of a in en"
    assert live.answer([["word", "a", first[0]]], "en")["pieces"] == [None]
    said[0] = "two"
    (second,) = live.answer([["word", "a", first[0]]], "en")["pieces"]
    assert second[1] == "two of a in en" and second[0] != first[0]
    assert live.answer([["word", "a", second[0]]], "zh")["pieces"][0][1] == "two of a in zh"


def test_pages_that_ask_at_the_same_time_share_what_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "FRESH", 60.0)
    made: list[str] = []
    live = Live(lambda: made.append("state"))
    live.piece("word", lambda key, lang: made.append(key) or key)
    for _ in range(10):
        assert live.answer([["word", "a", ""], ["word", "b", ""]], "en")["pieces"][1][1] == "b"
    assert sorted(made) == ["a", "b", "state"]


def test_the_stamp_is_another_one_when_the_state_of_the_runs_changed(always_made: None, tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path, seconds=1000)
    page = pages.build(engine)
    live = page.shell.live
    empty = live.answer([], "en")
    assert live.answer([], "en") == empty
    run = engine.submit(RunConfig())
    waits = live.answer([], "en")["stamp"]
    assert waits != empty["stamp"] and live.answer([], "en")["stamp"] == waits  # steps alone change nothing
    engine.finish(run)
    done = live.answer([], "en")["stamp"]
    engine.delete(run)
    assert len({waits, done, live.answer([], "en")["stamp"]}) == 3


def test_one_piece_that_fails_does_not_take_the_others_with_it(
    always_made: None, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(key: str, lang: str) -> str:
        raise WorkbenchError(Text("there is no such run", "没有这个运行"))

    def broken(key: str, lang: str) -> str:
        raise KeyError("step")

    live = Live(lambda: "")
    live.piece("gone", gone)
    live.piece("broken", broken)
    live.piece("word", lambda key, lang: key)
    asked = [[name, "x", ""] for name in ("gone", "broken", "unknown", "word")]
    for _ in range(3):
        pieces = live.answer(asked, "en")["pieces"]
        assert pieces[:3] == [None, None, None] and pieces[3][1] == "x"
    assert caplog.text.count("the live piece broken") == 1


def test_a_name_that_looks_like_markup_is_text_at_first_and_afterwards() -> None:
    live = Live(lambda: "")
    live.piece("word", lambda key, lang: "<b>")
    assert "&lt;b&gt;" in live.slot("word", '"><i>', "en") and "<i>" not in live.slot("word", '"><i>', "en")
    assert live.answer([["word", "", ""]], "en")["pieces"][0][1] == "&lt;b&gt;"


def test_the_memory_of_pieces_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "KEPT", 5)
    live = Live(lambda: "")
    live.piece("word", lambda key, lang: key)
    for number in range(50):
        live.answer([["word", str(number), ""]], "en")
    assert len(live._made) == 5


def test_what_is_shown_of_a_run_follows_its_events_and_is_escaped(always_made: None, tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path, seconds=1000)
    live = Live(lambda: "")
    RunPieces(engine, live)
    changes = {"output.name": "salt & pepper", "evaluation.questions": [PIRATE[0][0]]}
    run = engine.submit(RunConfig().changed(changes))
    names = [f"run-{name}" for name in ("status", "tiles", "chart", "note", "answers", "log")]
    before = dict(zip(names, live.answer([[name, run, ""] for name in names], "en")["pieces"], strict=True))
    assert "salt &amp; pepper" in before["run-status"][1]
    assert before["run-chart"][1]["run"] == run
    engine.finish(run)
    asked = [[name, run, before[name][0]] for name in names]
    after = dict(zip(names, live.answer(asked, "zh")["pieces"], strict=True))
    assert "已完成" in after["run-status"][1] and "训练完成" in after["run-note"][1]
    assert PIRATE[0][1] in after["run-answers"][1]
    assert len(after["run-chart"][1]["series"][0]["x"]) > len(before["run-chart"][1]["series"][0]["x"])
    engine.delete(run)
    assert live.answer([["run-status", run, ""]], "en")["pieces"] == [None]


def test_a_run_waits_for_the_one_that_trains_and_never_for_itself(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path, seconds=1000)
    pieces = RunPieces(engine, Live(lambda: ""))
    first = engine.submit(RunConfig().changed({"output.name": "the first"}))
    second = engine.submit(RunConfig().changed({"output.name": "the second"}))
    assert "the first" in pieces.note(second, "en")
    status, taken = engine.status(), replace(engine.run(second), status="queued")
    engine.status = lambda: replace(status, running=taken)  # taken from the queue, but the device is not free yet
    engine.finish(first)
    assert "is training now" not in pieces.note(second, "en")


def test_a_run_that_was_deleted_on_another_page_leaves_the_run_tab_whole(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path)
    shell = pages.build(engine).shell
    run, listed = engine.submit(RunConfig()), engine.runs
    records, page = engine.runs(), runtab.RunPage(open=True)
    engine.finish(run)
    engine.delete(run)
    engine.runs = lambda: records  # as they were a moment ago
    assert runtab.refresh(shell, page, "", "en") == gr.skip() and not page.sent
    engine.runs = listed
    assert runtab.refresh(shell, page, "", "en")[0].visible is True  # there is no run


def test_the_page_answers_in_the_reader_s_language(served: pages.Served) -> None:
    english = ask(served, [["chips", "", ""]], cookie="lang=en")
    assert english.status_code == 200 and "Nothing is running" in english.json()["pieces"][0][1]
    assert "没有运行中的任务" in ask(served, [["chips", "", ""]], cookie="lang=zh").json()["pieces"][0][1]
    assert english.headers["cache-control"] == "no-store"
    assert "connect-src 'self'" in english.headers["content-security-policy"]


@pytest.mark.parametrize(
    "asked",
    [
        "chips",
        {"chips": ""},
        ["chips"],
        [["chips", ""]],
        [["chips", "", 1]],
        [["chips", "", ""]] * (ASKED + 1),
        [["chips", "x" * (LONGEST + 1), ""]],
        [[["chips"], "", ""]],
    ],
)
def test_a_question_of_another_shape_is_refused(served: pages.Served, asked: Any) -> None:
    assert ask(served, asked).status_code == 400


def test_a_path_is_no_run(served: pages.Served) -> None:
    for key in ("../..", "/etc/passwd", "..", "x" * LONGEST):
        answer = ask(served, [["run-log", key, ""], ["run-status", key, ""], ["guide-progress", key, ""]])
        assert answer.status_code == 200 and answer.json()["pieces"] == [None, None, None]


def test_who_may_not_see_the_page_gets_no_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_LOGIN", "ann:correct horse")
    served = pages.start(FakeEngine(tmp_path), port=7960)
    try:
        with httpx.Client(base_url=served.url, trust_env=False, timeout=20) as client:
            assert client.get("/live", params={"ask": "[]"}).status_code == 401
            assert client.get("/live", cookies={"access-token-x": "y"}).status_code == 401
            assert client.post("/login", data={"username": "ann", "password": "correct horse"}).status_code == 200
            assert client.get("/live", params={"ask": "[]"}).status_code == 200
    finally:
        served.close()


def test_other_sites_and_methods_get_no_piece(served: pages.Served) -> None:
    assert ask(served, [], host="evil.example").status_code == 403
    assert ask(served, [], origin="http://evil.example").status_code == 403
    assert ask(served, [], sec_fetch_site="cross-site").status_code == 403
    assert httpx.put(f"http://127.0.0.1:{served.port}/live", trust_env=False).status_code == 405


def test_a_button_of_a_piece_does_what_it_says_and_nothing_for_other_sites(served: pages.Served) -> None:
    done: list[str] = []

    def refuse(key: str) -> None:
        raise WorkbenchError(Text(f"not {key}", f"{key} 不行"), Text("Wait.", "请等。"))

    served.page.shell.live.deed("do", done.append)
    served.page.shell.live.deed("refuse", refuse)

    def press(body: Any, **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        place = f"http://127.0.0.1:{served.port}/live"
        return httpx.post(place, content=body, headers=sent, trust_env=False)

    for foreign in ({"origin": "http://evil.example"}, {"host": "evil.example"}, {"sec_fetch_site": "cross-site"}):
        assert press('["do", "a"]', **foreign).status_code == 403
    wrong = (
        "",
        "{",
        "[]",
        '["do"]',
        '["do", 1]',
        '["nothing", "a"]',
        '["do", "a", "b"]',
        '"do"',
        "[" * 9000,
        "x" * 9000,
    )
    assert {press(body).status_code for body in (*wrong, f'["do", "{"a" * 400}"]')} == {400}
    assert done == []
    assert press('["do", "a"]').json() == {"said": "", "refused": False} and done == ["a"]
    assert press('["refuse", "b"]', accept_language="zh-CN").json()["said"].startswith("B 不行")
