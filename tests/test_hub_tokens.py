"""The access token: where it comes from, whose it is, and that it shows itself nowhere."""

from __future__ import annotations

import copy
import logging
import os
import traceback
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub, rate_limit, real
from workbench.config.errors import WorkbenchError
from workbench.hub import Source, Token, Tokens, download, plan, save_source, search, transfer, who

PLANTED = "hf_" + "PlantedPlantedPlantedPlantedPlante"
OTHER = "hf_" + "OtherOtherOtherOtherOtherOtherOthe"


def mirror(hub: Hub) -> Source:
    return Source("mirror", hub.url)


def test_the_one_that_was_given_comes_first_then_the_environment_then_the_store(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens()
    assert tokens.current() is None and tokens.place() is None
    tokens.keep(OTHER)
    tokens.forget()
    assert tokens.current() == Token(OTHER) and tokens.place() == "store"
    monkeypatch.setenv("HF_TOKEN", f" {PLANTED}\n")
    assert tokens.current() == Token(PLANTED) and tokens.place() == "environment"
    tokens.use("hf_given12345")
    assert tokens.current() == Token("hf_given12345") and tokens.place() == "memory"
    tokens.forget()
    monkeypatch.delenv("HF_TOKEN")
    tokens.forget(from_store=True)
    assert tokens.current() is None and not (tmp_path / "hf" / "token").exists()


def test_it_is_kept_in_the_hubs_own_store_and_for_its_owner_alone(hub: Hub, tmp_path: Path) -> None:
    import huggingface_hub

    tokens = Tokens()
    tokens.keep(PLANTED)
    assert huggingface_hub.get_token() == PLANTED
    held = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert held == [tmp_path / "hf" / "token"]
    if os.name == "posix":
        assert held[0].stat().st_mode & 0o077 == 0
    tokens.use(OTHER)
    assert huggingface_hub.get_token() == PLANTED


def test_a_store_that_can_not_be_read_is_as_none(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "hf" / "token").mkdir(parents=True)
    assert Tokens().current() is None
    (tmp_path / "hf" / "token").rmdir()
    (tmp_path / "hf" / "token").write_bytes(b"\xff\xfe\x00")
    assert Tokens().current() is None


@pytest.mark.parametrize(
    "text", ["", "  ", "hf_", "hf_abc def123", "hf_abcdefgh\nX-Other: 1", "hf_密码密码密码", "h" * 600]
)
def test_what_can_be_no_token_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        Token(text)
    assert caught.value.code == "hub_token"
    assert len(text.strip()) < 4 or text not in caught.value.to("en") + caught.value.to("zh")


def test_it_shows_itself_to_nobody() -> None:
    token, tokens = Token(PLANTED), Tokens()
    tokens.use(PLANTED)
    shown = [repr(token), str(token), f"{token}", f"{[token]}", repr(tokens), str(vars(tokens))]
    assert not [text for text in shown if PLANTED in text]
    with pytest.raises(TypeError):
        copy.deepcopy(token)
    assert token.reveal() == PLANTED and token == Token(PLANTED) != Token(OTHER)


def test_whose_it_is(hub: Hub) -> None:
    ann, ben = hub.account("ann", orgs=("lab",)), hub.account("ben", role="read")
    account = who(Token(ann.token), mirror(hub))
    assert (account.name, account.role, account.orgs, account.may_write) == ("ann", "write", ("lab",), True)
    assert not who(Token(ben.token), mirror(hub)).may_write


@pytest.mark.parametrize(
    "fault, code",
    [
        (None, "hub_token"),
        ({"status": 403}, "hub_token"),
        ({"status": 500}, "hub_server"),
        (rate_limit(9), "hub_rate"),
        ({"silent": True}, "hub_unreachable"),
    ],
    ids=str,
)
def test_a_token_of_nobody_or_no_answer(
    hub: Hub, caplog: pytest.LogCaptureFixture, fault: dict[str, Any] | None, code: str
) -> None:
    caplog.set_level(logging.INFO)
    if fault:
        hub.fault("/api/whoami-v2", **{"message": f"your token {PLANTED}", **fault})
    with pytest.raises(WorkbenchError) as caught:
        who(Token(PLANTED), mirror(hub), seconds=0.5 if fault and "silent" in fault else 10)
    assert caught.value.code == code
    said = caught.value.to("en") + caught.value.to("zh") + "".join(traceback.format_exception(caught.value))
    assert PLANTED not in said + caplog.text


def test_it_is_not_sent_where_others_can_read_it() -> None:
    with pytest.raises(WorkbenchError) as caught:
        who(Token(PLANTED), Source("mirror", "http://hub.example"))
    assert caught.value.code == "hub_token" and PLANTED not in caught.value.to("en")


def test_a_server_that_repeats_it_as_a_name(hub: Hub) -> None:
    ann = hub.account("ann", token=PLANTED)
    ann.name = f"ann {PLANTED}"
    assert PLANTED not in repr(who(Token(PLANTED), mirror(hub)))


def test_a_planted_one_is_in_no_file_log_or_error(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the environment and in memory, and repeated by a server in its refusals, its listing and its files' names."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(transfer, "WAITS", (0.01,) * 2)
    monkeypatch.setenv("HF_TOKEN", PLANTED)
    hub.account("ann", token=PLANTED)
    home, source, tokens = tmp_path / "home", mirror(hub), Tokens()
    tokens.use(PLANTED)
    save_source(home, source)
    repo = hub.add("ann/tiny", real(), license=PLANTED, gated="auto")
    notes: list[str] = []

    def act() -> None:
        found = plan(source, repo.id, token=tokens.current())
        notes.append(repr(found))
        download(found, source, home / "models" / "tiny", tokens.current(), lambda each: notes.append(repr(each)))

    refusals: list[dict[str, Any]] = [{"status": status} for status in (401, 403, 404, 429, 500)] + [{"cut": 0}]
    for where in ("/api/models/*", "*/config.json", "/stored/*"):
        for refusal in refusals:
            fault = hub.fault(where, **{"message": f"Bearer {PLANTED}", **refusal})
            with pytest.raises(WorkbenchError) as caught:
                act()
            hub.faults.lift(fault)
            notes += [caught.value.to("en"), caught.value.to("zh"), *traceback.format_exception(caught.value)]
    act()
    notes += [repr(search(source, "tiny", token=tokens.current())), repr(tokens), repr(source), caplog.text]
    notes += [path.read_text(errors="replace") for path in home.rglob("*") if path.is_file()]
    assert (home / "models" / "tiny" / "download.json").is_file() and len(notes) > 60
    assert not [note for note in notes if PLANTED in note]
