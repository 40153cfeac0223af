"""The access token: from this process's memory, the environment or the Hub's own store, and kept nowhere else.

A token travels as a `Token`, which shows itself to nobody who doesn't ask for it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.config.disk import disk_errors, write_atomically
from workbench.config.errors import WorkbenchError
from workbench.config.text import Text

if TYPE_CHECKING:
    from workbench.hub.sources import Source

__all__ = ["Account", "Token", "Tokens", "who"]

Place = Literal["memory", "environment", "store"]
ADDRESS = "https://huggingface.co/settings/tokens"
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{8,512}", re.ASCII)
_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


class Token:
    """An access token that stands in no repr, no format and no pickle.

    Raises:
        WorkbenchError: (`hub_token`) it can't be one; the error doesn't show it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        text = text.strip()
        if not _TOKEN.fullmatch(text):
            raise WorkbenchError(
                Text("this is no access token", "这不是访问令牌"),
                Text("Copy it from {address}; it begins with hf_.", "请从 {address} 复制，令牌以 hf_ 开头。").with_(
                    address=ADDRESS
                ),
                code="hub_token",
            )
        self._text = text

    def reveal(self) -> str:
        """The token itself, for the request that needs it."""
        return self._text

    def hidden_in(self, text: str) -> str:
        """`text` without this token."""
        return text.replace(self._text, "hf_***")

    def __repr__(self) -> str:
        return "Token(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a token is not written anywhere")


@dataclass(frozen=True)
class Account:
    """Whose token it is.

    Attributes:
        role: "read", "write" or "fineGrained", as the token was made; "" where the server doesn't say.
        orgs: further names under which this account may have repositories.
    """

    name: str
    role: str = ""
    orgs: tuple[str, ...] = ()

    @property
    def may_write(self) -> bool:
        """False where it is known that it may not; what a fine-grained token may is seen only by trying."""
        return self.role != "read"


class Tokens:
    """The token of one process: the one it was given, else the environment's, else the one in the Hub's own store."""

    def __init__(self) -> None:
        self._given: Token | None = None

    def __repr__(self) -> str:
        return f"Tokens({self.place()})"

    def use(self, text: str) -> Token:
        """Take a token for as long as this process lives."""
        self._given = Token(text)
        return self._given

    def keep(self, text: str) -> Token:
        """Take a token and write it into the Hub's own store, where other programs of this person look for it, too."""
        from huggingface_hub import constants

        token = Token(text)
        path = Path(constants.HF_TOKEN_PATH)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, token.reveal())  # by way of a file that only its owner can read
        self._given = token
        return token

    def forget(self, from_store: bool = False) -> None:
        """Let go of the token that was given, and on request of the one in the Hub's store."""
        self._given = None
        if from_store:
            from huggingface_hub import constants

            path = Path(constants.HF_TOKEN_PATH)
            with disk_errors(path):
                path.unlink(missing_ok=True)

    def current(self) -> Token | None:
        """The token that counts, or None."""
        if self._given is not None:
            return self._given
        if _implicit_is_off():
            return None
        return _environments() or _stored()

    def place(self) -> Place | None:
        """Where the token that counts comes from."""
        if self._given is not None:
            return "memory"
        if _implicit_is_off():
            return None
        return "environment" if _environments() else "store" if _stored() else None


def who(token: Token, source: Source, seconds: float = 10.0) -> Account:
    """Whose token it is.

    Raises:
        WorkbenchError: (`hub_token`) nobody's; or the server doesn't tell.
    """
    from workbench.hub.client import answered, ask, within

    with answered(source, token=token):
        found = within(seconds, lambda: ask(source, "/api/whoami-v2", token, seconds))
        if not isinstance(found, dict) or not isinstance(found.get("name"), str):
            raise ValueError("nobody's name")
        access = _inner(found, "auth", "accessToken")
        orgs = found.get("orgs")
        names = [org.get("name") for org in orgs if isinstance(org, dict)] if isinstance(orgs, list) else []
        role = access.get("role")
        kept = tuple(token.hidden_in(name)[:100] for name in names if isinstance(name, str))
        return Account(token.hidden_in(found["name"])[:100], role if isinstance(role, str) else "", kept)


def _inner(value: dict[str, object], *keys: str) -> dict[str, object]:
    for key in keys:
        inner = value.get(key)
        value = inner if isinstance(inner, dict) else {}
    return value


def _implicit_is_off() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_DISABLE_IMPLICIT_TOKEN)


def _environments() -> Token | None:
    return next((found for name in _VARIABLES if (found := _token(os.environ.get(name, "")))), None)


def _stored() -> Token | None:
    """The one in the Hub's store. `get_token` also renews one that has run out, so it may take a moment."""
    from huggingface_hub import get_token

    try:
        return _token(get_token() or "")
    except Exception:  # a store that can't be read, a renewal that fails: as without one
        return None


def _token(text: str) -> Token | None:
    try:
        return Token(text)
    except WorkbenchError:
        return None
