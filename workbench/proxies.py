"""The proxies that the environment names: what no library here can use is left out, and this machine needs none.

The clients read these variables when they are made, and one that they can't read ends the program. Standard library only,
since pip comes before the packages; Python 3.8 can read it.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import MutableMapping

from workbench.config.text import Text

LOCAL = ("127.0.0.1", "localhost", "::1")
_NAMES = ("http_proxy", "https_proxy", "all_proxy")  # in small or capital letters
_HOST = r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
_PROXY = re.compile(r"(?:(?:https?|socks5h?)://)?(?:[^@/?#\s\\\[\]]*@)?" + _HOST + "/?", re.ASCII | re.IGNORECASE)
_EXCEPTION = re.compile(r"(?:[*]?[.])?" + _HOST + "(?:/[0-9]{1,3})?", re.ASCII)

_NO_PROXY_LIKE_THIS = Text(
    "Going on without the proxy {value} of {names}: use an address like http://host:port or socks5://host:port.",
    "未使用 {names} 中的代理 {value}：地址应形如 http://主机:端口 或 socks5://主机:端口。",
)
_NO_SOCKS = Text(
    "pip cannot use a SOCKS proxy and tries without it. If that fails, set HTTPS_PROXY to the http:// address of your proxy.",
    "pip 无法使用 SOCKS 代理，将不经代理安装。如果失败，请把 HTTPS_PROXY 设为代理的 http:// 地址。",
)


def of_this_process() -> list[Text]:
    """Make them usable for this process and those that it starts; what to say about what was left out."""
    said = leave_out_unusable(os.environ)
    spare(os.environ)
    return said


def leave_out_unusable(environment: MutableMapping[str, str]) -> list[Text]:
    """Take out the proxies that the clients can't read; what to say about each of them."""
    unusable: dict[str, list[str]] = {}
    for name in _proxies(environment):
        if not _is_readable(_PROXY, environment[name]):
            unusable.setdefault(environment.pop(name), []).append(name)
    # What stands before the @ may be a password.
    return [
        _NO_PROXY_LIKE_THIS.with_(names=", ".join(names), value=value.rpartition("@")[2])
        for value, names in unusable.items()
    ]


def spare(environment: MutableMapping[str, str], hosts: tuple[str, ...] = LOCAL) -> None:
    """No proxy for these hosts; exceptions from the proxy that the clients can't read are left out."""
    given = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    kept = [host.strip() for host in given.split(",") if host.strip()]
    if "*" not in kept:
        kept = [host for host in kept if _is_address(host) or _is_readable(_EXCEPTION, host)]
        kept += [host for host in hosts if host not in kept]
    environment["NO_PROXY"] = environment["no_proxy"] = ",".join(kept)


def without_socks(environment: MutableMapping[str, str]) -> Text | None:
    """Take out the proxies that pip can't use; what to say where no other one is left."""
    taken = [name for name in _proxies(environment) if environment[name].lower().startswith("socks")]
    for name in taken:
        del environment[name]
    return _NO_SOCKS if taken and not _proxies(environment) else None


def _proxies(environment: MutableMapping[str, str]) -> list[str]:
    return [name for name, value in environment.items() if name.lower() in _NAMES and value]


def _is_readable(pattern: re.Pattern[str], value: str) -> bool:
    parts = pattern.fullmatch(value)
    if parts is None or int(parts["port"] or 0) > 65535:
        return False
    host = parts["host"]
    if host.startswith("[") or re.fullmatch(r"[0-9.]+", host):
        return _is_address(host.strip("[]"))
    return ".." not in host and "xn--" not in host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return "%" not in name
