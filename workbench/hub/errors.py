"""What goes wrong with the Hub, as sentences: the one place that knows the client's exceptions.

Codes: hub_unreachable, hub_proxy, hub_offline, hub_gated, hub_token, hub_missing, hub_rate, hub_server, hub_file; further
ones where they are raised (hub_source, hub_id, hub_unusable, ...). Nothing that a server or the client wrote is repeated:
it may hold a token.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.config.errors import WorkbenchError
from workbench.config.problems import short
from workbench.config.text import Text

if TYPE_CHECKING:
    from workbench.hub.sources import Source

HUGGING_FACE = "https://huggingface.co"
TOKENS = f"{HUGGING_FACE}/settings/tokens"
_SOURCES = Text(
    "Check the connection, or choose another source of models: a mirror, ModelScope, or a proxy.",
    "请检查网络，或换一个模型来源：镜像、ModelScope，或设置代理。",
)
NO_HUB = Text("its answer is not that of a Hub of models", "它的回应不像模型站点")
TOO_LATE = Text("it doesn't answer in time", "未在规定时间内回应")
BROKEN_OFF = Text("the connection breaks off", "连接中断")
_LATER = Text("Try again later.", "请稍后再试。")


def hub_error(message: Text, hint: Text | None = None, *, code: str) -> WorkbenchError:
    """An error about the Hub."""
    return WorkbenchError(message, hint, code=code)


def offline() -> WorkbenchError:
    """Nobody is to be asked."""
    return hub_error(
        Text("offline mode is on, so nothing is asked of any server", "已开启离线模式，不会访问任何服务器"),
        Text(
            "Switch it off in the sources of models; where HF_HUB_OFFLINE is set, start without it.",
            "请在模型来源中关闭离线模式；如果设置了 HF_HUB_OFFLINE，请取消后重新启动。",
        ),
        code="hub_offline",
    )


def refused_token(source: Source) -> WorkbenchError:
    """A token that would be read by everybody on the way."""
    return hub_error(
        Text(
            "{name} has an address without encryption, and a token is not sent there",
            "{name} 的地址未加密，不会向它发送访问令牌",
        ).with_(name=source.name),
        Text("Use its https:// address, or no token.", "请使用 https:// 地址，或不使用令牌。"),
        code="hub_token",
    )


def too_large(name: str) -> WorkbenchError:
    """An answer beyond all measure."""
    return hub_error(
        Text("{name} is far larger than such a file is", "{name} 远超这类文件应有的大小").with_(name=short(name)),
        Text("Choose another model.", "请换一个模型。"),
        code="hub_file",
    )


def wrong_content(name: str, source: Source) -> WorkbenchError:
    """A file that is not the one that is listed."""
    return hub_error(
        Text(
            "what {source} sends for {file} is not what it lists: size or hash differ",
            "{source} 发来的 {file} 与清单不符：大小或哈希不同",
        ).with_(source=source.name, file=short(name)),
        Text(
            "Something on the way changes it. Try again later, or choose another source of models.",
            "传输途中内容被改动。请稍后再试，或换一个模型来源。",
        ),
        code="hub_file",
    )


def gated(repo_id: str, has_token: bool) -> WorkbenchError:
    """A model whose licence somebody has to accept first."""
    page = f"{HUGGING_FACE}/{repo_id}"
    if has_token:
        return hub_error(
            Text(
                "{model} is given only to accounts that were let in, and yours is not among them (yet)",
                "{model} 只对获得批准的账号开放，你的账号尚未获得批准",
            ).with_(model=repo_id),
            Text(
                "Ask for access at {page} with the account of your token; some owners take a day or more.",
                "请用该令牌所属账号在 {page} 申请访问；有些作者需要一天或更久才会批准。",
            ).with_(page=page),
            code="hub_gated",
        )
    return hub_error(
        Text("{model} is given only to those who accepted its terms", "{model} 需要先接受使用条款才能下载").with_(
            model=repo_id
        ),
        Text(
            "Sign in at {page} and accept them, then make a token at {tokens} and enter it here.",
            "请登录 {page} 接受条款，然后在 {tokens} 创建访问令牌并填到这里。",
        ).with_(page=page, tokens=TOKENS),
        code="hub_gated",
    )


def missing(repo_id: str, source: Source, has_token: bool) -> WorkbenchError:
    """No such model, which a server doesn't tell from a private one."""
    hint = Text("Look whether the name is written as on the model's page.", "请核对名称是否与模型页面一致。")
    if not has_token:
        hint = Text(
            "Look whether the name is written as on the model's page; a private one needs your token.",
            "请核对名称是否与模型页面一致；私有模型需要你的访问令牌。",
        )
    return hub_error(
        Text("{source} has no model {model}, or it is private", "{source} 上没有模型 {model}，或它是私有的").with_(
            source=source.name, model=repo_id
        ),
        hint,
        code="hub_missing",
    )


def unreachable(source: Source, why: Text) -> WorkbenchError:
    """A server that doesn't answer, or not as one should."""
    said = Text("{source} can't be reached: {why}", "无法访问 {source}：{why}").with_(source=source.name, why=why)
    return hub_error(said, _SOURCES, code="hub_unreachable")


def translated(error: Exception, source: Source, repo_id: str, has_token: bool) -> WorkbenchError | None:
    """What an exception of the client means; None for one that is a bug of ours."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if source.kind == "modelscope":
        from workbench.hub import modelscope

        known = modelscope.meaning(error, source, repo_id)
        if known is not None:
            return known
    cause = error.__cause__
    if isinstance(error, LocalEntryNotFoundError) and isinstance(cause, Exception):
        return translated(cause, source, repo_id, has_token)
    if isinstance(error, HfHubHTTPError):
        return _refused(error, source, repo_id, has_token)
    if isinstance(error, OfflineModeIsEnabled):
        return offline()
    if isinstance(error, httpx2.ProxyError):
        return failing_proxy(source)
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return unreachable(source, TOO_LATE)
    if isinstance(error, httpx2.TooManyRedirects | httpx2.DecodingError | httpx2.UnsupportedProtocol):
        return unreachable(source, NO_HUB)
    if isinstance(error, httpx2.TransportError):
        return _not_connected(error, source)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | httpx2.InvalidURL | ValueError):
        return unreachable(source, NO_HUB)
    return _not_connected(error, source) if isinstance(error, ConnectionError) else None


def _refused(error: Any, source: Source, repo_id: str, has_token: bool) -> WorkbenchError:
    """A refusal of the server. A gated model's error is one for a missing model, too: that comes first."""
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return gated(repo_id, has_token)
    if isinstance(error, RevisionNotFoundError):
        return hub_error(
            Text("{model} has no such version", "{model} 没有这个版本").with_(model=repo_id),
            Text("Leave the version empty for the newest one.", "版本留空即使用最新版本。"),
            code="hub_missing",
        )
    if isinstance(error, RemoteEntryNotFoundError):
        name = str(error.response.url.path).rpartition("/")[2]
        return hub_error(
            Text("{model} lists a file that is not there: {file}", "{model} 列出的文件不存在：{file}").with_(
                model=repo_id, file=short(name)
            ),
            Text("Try again later, or choose another model.", "请稍后再试，或换一个模型。"),
            code="hub_file",
        )
    if isinstance(error, RepositoryNotFoundError | DisabledRepoError):
        return missing(repo_id, source, has_token) if repo_id else unreachable(source, NO_HUB)
    if status == 407:
        return failing_proxy(source)
    if status in (401, 403):
        return _token(status, source, repo_id)
    if status == 429:
        return rate_limit(source, retry_after(error))
    if status >= 500 or status == 408:
        return trouble(source, status)
    return unreachable(source, Text("it refuses with {status}", "它以 {status} 拒绝").with_(status=status))


def _token(status: int, source: Source, repo_id: str) -> WorkbenchError:
    if status == 401:
        return hub_error(
            Text("{source} doesn't know this access token", "{source} 不认识这个访问令牌").with_(source=source.name),
            Text(
                "It may have been withdrawn or cut off in copying. Make a new one at {tokens}.",
                "它可能已失效，或复制时不完整。请在 {tokens} 创建新的令牌。",
            ).with_(tokens=TOKENS),
            code="hub_token",
        )
    return hub_error(
        Text("this access token may not do that ({model})", "这个访问令牌没有相应权限（{model}）").with_(
            model=repo_id or source.name
        ),
        Text(
            "Give it the right to read (or, for uploads, to write) at {tokens}.",
            "请在 {tokens} 为它加上读取权限（上传则需写入权限）。",
        ).with_(tokens=TOKENS),
        code="hub_token",
    )


def trouble(source: Source, status: int) -> WorkbenchError:
    """A server that fails."""
    return hub_error(
        Text("{source} has trouble of its own ({status})", "{source} 服务器出错（{status}）").with_(
            source=source.name, status=status
        ),
        _LATER,
        code="hub_server",
    )


def rate_limit(source: Source, seconds: int | None) -> WorkbenchError:
    """Too many requests from here."""
    hint = Text("Wait a few minutes; with an access token more is allowed.", "请等几分钟；使用访问令牌可提高上限。")
    if seconds is not None:
        hint = Text(
            "Try again in {seconds} s; with an access token more is allowed.",
            "请在 {seconds} 秒后重试；使用访问令牌可提高上限。",
        ).with_(seconds=seconds)
    return hub_error(
        Text("{source} was asked too often from here", "对 {source} 的请求过于频繁").with_(source=source.name),
        hint,
        code="hub_rate",
    )


def retry_after(error: Any) -> int | None:
    """How many seconds a server wants to be left alone, where it says so."""
    given = error.response.headers.get("Retry-After", "")
    return min(int(given), 86_400) if given.isascii() and given.isdigit() and len(given) < 9 else None


def failing_proxy(source: Source) -> WorkbenchError:
    """What all requests go through doesn't let them."""
    return hub_error(
        Text("the proxy on the way to {source} fails", "通往 {source} 的代理出错").with_(source=source.name),
        Text(
            "Check its address in the sources of models, or HTTPS_PROXY in the environment; it may want a password.",
            "请检查模型来源中的代理地址，或环境变量 HTTPS_PROXY；代理也可能需要密码。",
        ),
        code="hub_proxy",
    )


def _not_connected(error: Exception, source: Source) -> WorkbenchError:
    """A connection that could not be made or that broke; a proxy that isn't there looks the same as a server that isn't."""
    said = str(error).lower()
    if source.proxy_used and _is_connecting(error) and "certificate" not in said:
        return failing_proxy(source)
    if "certificate" in said or "ssl" in said:
        return unreachable(
            source,
            Text("its certificate is not accepted; a proxy may stand between", "证书不被接受，可能中间有代理"),
        )
    if "name or service" in said or "getaddrinfo" in said or "name resolution" in said or "looks up" in said:
        return unreachable(source, Text("its name is not known to the network", "网络无法解析它的域名"))
    if "refused" in said:
        return unreachable(source, Text("the connection is refused", "连接被拒绝"))
    return unreachable(source, BROKEN_OFF)


def _is_connecting(error: Exception) -> bool:
    import httpx2

    return isinstance(error, httpx2.ConnectError | httpx2.ProxyError)
