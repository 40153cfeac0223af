"""Which server models come from: Hugging Face, a mirror of it, or ModelScope; through which proxy, or none at all.

The choice is kept in the home's `hub.json`; what is not chosen there stands in the environment, by the names that the Hub's
own client has (HF_ENDPOINT, HF_HUB_OFFLINE, HTTPS_PROXY). No secret is kept: an address with a password is refused.
"""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NotRequired, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from workbench.config.disk import disk_errors, write_json
from workbench.config.errors import WorkbenchError
from workbench.config.problems import short
from workbench.config.reading import Damaged, read_record
from workbench.config.text import Text

__all__ = ["Reachable", "Source", "default_source", "make_source", "reachable", "read_source", "save_source"]

Kind = Literal["huggingface", "mirror", "modelscope"]
HUGGING_FACE = "https://huggingface.co"
MODELSCOPE = "https://modelscope.cn"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_FILE = "hub.json"
_LONGEST = 300  # characters of an address


@dataclass(frozen=True)
class Source:
    """Where models come from.

    Attributes:
        kind: a mirror speaks as Hugging Face does, at an address of its own.
        endpoint: its address, without a slash at the end.
        offline: nothing is asked of anybody.
        proxy: what all requests go through, but for those to this computer; "" is as the environment says.
    """

    kind: Kind = "huggingface"
    endpoint: str = HUGGING_FACE
    offline: bool = False
    proxy: str = ""

    @property
    def name(self) -> str:
        """What it is called in sentences."""
        names = {"huggingface": "Hugging Face", "modelscope": "ModelScope"}
        return names.get(self.kind) or urlsplit(self.endpoint).netloc

    @property
    def proxy_used(self) -> str:
        """The proxy that requests go through, the environment's included, without its password; "" for none."""
        parts = urlsplit(self.endpoint)
        host = parts.hostname or ""
        if host in LOOPBACK:
            return ""
        found = self.proxy
        if not found and not urllib.request.proxy_bypass(host):
            named = urllib.request.getproxies()
            found = named.get(parts.scheme) or named.get("all") or ""
        scheme, _, rest = found.rpartition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest.rpartition("@")[2]

    def page(self, repo_id: str) -> str:
        """The address of a model's page. A mirror has none of its own for terms to be accepted on: that is Hugging Face's."""
        return f"{MODELSCOPE}/models/{repo_id}" if self.kind == "modelscope" else f"{HUGGING_FACE}/{repo_id}"

    @property
    def is_private(self) -> bool:
        """Whether what is sent there is read by nobody on the way, so that a token may go along."""
        address = urlsplit(self.endpoint)
        return address.scheme == "https" or address.hostname in LOOPBACK


@dataclass(frozen=True)
class Reachable:
    """What asking a server found.

    Attributes:
        text: one sentence for people.
        seconds: until it answered; None where it didn't.
        code: of the error, "" where it answered.
    """

    ok: bool
    text: Text
    seconds: float | None = None
    code: str = ""


class _Kept(TypedDict):
    kind: Kind
    endpoint: NotRequired[str]
    offline: NotRequired[bool]
    proxy: NotRequired[str]


_KEPT = TypeAdapter(_Kept)


def make_source(kind: str = "huggingface", endpoint: str = "", offline: bool = False, proxy: str = "") -> Source:
    """A source from what a person gave.

    Args:
        endpoint: of a mirror; the other kinds have their own.

    Raises:
        WorkbenchError: (`hub_source`) an address that is none, or one with a password.
    """
    if kind not in get_args(Kind):
        raise _wrong(Text("there is no source {kind}", "没有来源 {kind}").with_(kind=short(kind)), "kind")
    own = {"huggingface": HUGGING_FACE, "modelscope": MODELSCOPE}.get(kind)
    address = own or _address(endpoint, ("http", "https"), "endpoint")
    proxy = _address(proxy, ("http", "https", "socks5", "socks5h"), "proxy") if proxy.strip() else ""
    return Source(kind, address, offline, proxy)  # type: ignore[arg-type]


def default_source(environment: Mapping[str, str] | None = None) -> Source:
    """The source that the environment names; addresses that are none there are passed over."""
    environment = os.environ if environment is None else environment
    offline = any(_is_on(environment.get(name, "")) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    try:
        address = _address(environment.get("HF_ENDPOINT", "") or HUGGING_FACE, ("http", "https"), "endpoint")
    except WorkbenchError:
        address = HUGGING_FACE
    return Source("huggingface" if address == HUGGING_FACE else "mirror", address, offline)


def read_source(home: Path) -> tuple[Source, WorkbenchError | None]:
    """The source that is chosen in a home, else the environment's; and what is wrong with the file, where it is damaged."""
    path = Path(home) / _FILE
    if not os.path.lexists(path):
        return default_source(), None
    try:
        kept = read_record(path, _KEPT)
        source = make_source(kept["kind"], kept.get("endpoint", ""), kept.get("offline", False), kept.get("proxy", ""))
        return source, None
    except Damaged as error:
        return default_source(), error
    except WorkbenchError as error:
        again = Text("Choose the source of models again.", "请重新选择模型来源。")
        return default_source(), Damaged(_FILE, error.message, again)


def save_source(home: Path, source: Source) -> None:
    """Keep a choice; it is made anew from its parts, so that nothing is kept that `make_source` refuses."""
    checked = make_source(source.kind, source.endpoint, source.offline, source.proxy)
    path = Path(home) / _FILE
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(checked))


def reachable(source: Source, seconds: float = 5.0) -> Reachable:
    """Ask a source for something small and say what came of it, within `seconds`."""
    from workbench.hub.client import answered, ask, within

    start = time.monotonic()
    try:
        with answered(source):
            if source.kind == "modelscope":
                from workbench.hub import modelscope

                within(seconds, lambda: modelscope.greet(source, seconds))
            else:
                found = within(seconds, lambda: ask(source, "/api/models", seconds=seconds, limit=1))
                if not isinstance(found, list):
                    raise ValueError("no list of models")
    except WorkbenchError as error:
        return Reachable(False, error.message, code=error.code)
    took = time.monotonic() - start
    said = Text("{name} answers ({seconds} s).", "{name} 可以访问（{seconds} 秒）。")
    return Reachable(True, said.with_(name=source.name, seconds=f"{took:.1f}"), took)


def _is_on(value: str) -> bool:
    return value.upper() in ("1", "ON", "YES", "TRUE")  # as the Hub's client reads it


def _address(given: str, schemes: tuple[str, ...], field: str) -> str:
    """An address without its last slash; refused where it is none or holds what should be kept nowhere."""
    address = given.strip().rstrip("/")
    parts = _split(address)
    bad = any(not sign.isprintable() or sign.isspace() or sign == "\\" for sign in address)
    if parts is None or bad or len(address) > _LONGEST or parts.scheme not in schemes or not parts.hostname:
        raise _wrong(
            Text("{given} is no address", "{given} 不是有效的地址").with_(given=short(given.rpartition("@")[2])),
            field,
            Text("Write it like {like}.", "写法如 {like}。").with_(
                like="https://hf-mirror.com" if field == "endpoint" else "http://127.0.0.1:7890"
            ),
        )
    if parts.username or parts.password:
        raise _wrong(
            Text(
                "the address holds a password, which would be kept in a file",
                "地址中含有密码，而它会被保存到文件中",
            ),
            field,
            Text(
                "Set it in the environment instead (HTTPS_PROXY), and leave this empty.",
                "请改为在环境变量（HTTPS_PROXY）中设置，此处留空。",
            ),
        )
    if parts.query or parts.fragment:
        raise _wrong(Text("an address has no ? and no #", "地址中不能有 ? 和 #"), field)
    return address


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        return parts if parts.port != 0 else None
    except ValueError:  # a port that is no number, brackets that don't close
        return None


def _wrong(message: Text, field: str, hint: Text | None = None) -> WorkbenchError:
    return WorkbenchError(message, hint, field, code="hub_source")
