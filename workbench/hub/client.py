"""The Hub's own client, as the workbench uses it: with our proxy, with limits of time, and with errors for people."""

from __future__ import annotations

import contextlib
import functools
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from workbench.config.errors import StopRequested, WorkbenchError
from workbench.hub.errors import offline, refused_token, too_large, translated
from workbench.hub.sources import LOOPBACK, Source
from workbench.hub.tokens import Token

if TYPE_CHECKING:
    import httpx2

ANSWER_SECONDS = 10.0  # within which every question of a person is answered, or said why not
ANSWER_BYTES = 32 * 1024**2  # of a listing or a config.json; the longest seen have some megabytes
_Result = TypeVar("_Result")


def session(source: Source) -> httpx2.Client:
    """Connections as the Hub's client makes them, through the source's proxy.

    Raises:
        WorkbenchError: (`hub_offline`) nobody is to be asked.
    """
    if source.offline:
        raise offline()
    environment = tuple(sorted(urllib.request.getproxies().items()))  # read when connections are made, and never again
    return _connections(source.proxy, environment)


def adopt(source: Source) -> None:
    """Let huggingface_hub's own functions (`HfApi`, uploads) go through the source's proxy from now on.

    It has one client for the whole process; what is on its way through the one before is broken off. The address of the
    source is given to each of them: `HfApi(endpoint=source.endpoint)`.

    Raises:
        WorkbenchError: (`hub_offline`) nobody is to be asked.
    """
    from huggingface_hub import set_client_factory

    if source.offline:
        raise offline()
    set_client_factory(functools.partial(_connect, source.proxy))


@functools.lru_cache(maxsize=8)
def _connections(proxy: str, environment: tuple[tuple[str, str], ...]) -> httpx2.Client:
    """Kept for the process, since each takes a while to make; not the client's own, which any of its users may close."""
    return _connect(proxy)


def _connect(proxy: str) -> httpx2.Client:
    import httpx2
    from huggingface_hub.utils import _http

    mounts: dict[str, Any] = {}
    if proxy:  # for the same patterns as the environment's proxies have, in whose place it comes
        mounts = {pattern: httpx2.HTTPTransport(proxy=proxy) for pattern in ("http://", "https://")}
        mounts |= {f"all://{f'[{host}]' if ':' in host else host}": None for host in LOOPBACK}
    hooks = {"request": [_http.hf_request_event_hook]}  # refuses in the client's offline mode, as its own client's
    # Its own client waits without end where it isn't told otherwise.
    return httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=ANSWER_SECONDS, mounts=mounts)


def headers(source: Source, token: Token | None) -> dict[str, str]:
    """What goes along with a request; a token only where nobody reads it on the way.

    Raises:
        WorkbenchError: (`hub_token`) it would go in the clear.
    """
    from huggingface_hub.utils import build_hf_headers

    if token is not None and not source.is_private:
        raise refused_token(source)
    return build_hf_headers(token=token.reveal() if token else False, library_name="workbench")


def ask(source: Source, path: str, token: Token | None = None, seconds: float = ANSWER_SECONDS, **query: Any) -> Any:
    """The JSON at a path of the source. Raises the client's errors: see `answered`."""
    import json

    return json.loads(fetch(source, path, token, seconds, **query))


def fetch(
    source: Source, path: str, token: Token | None = None, seconds: float = ANSWER_SECONDS, **query: Any
) -> bytes:
    """The bytes of something small at a path of the source."""
    from huggingface_hub.utils import hf_raise_for_status

    url = f"{source.endpoint}{path}"
    said = {**headers(source, token), "Accept-Encoding": "identity"}
    data = bytearray()
    with session(source).stream("GET", url, params=query or None, headers=said, timeout=seconds) as response:
        hf_raise_for_status(response)
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > ANSWER_BYTES:
                raise too_large(urlsplit(path).path.rpartition("/")[2])
    return bytes(data)


def within(seconds: float, work: Callable[[], _Result], stop: threading.Event | None = None) -> _Result:
    """What `work` gives, or an error after `seconds`, whatever it waits for.

    The client's limits are for each read, not for all of them: who sends a byte every few seconds holds it for ever. What
    takes too long goes on in its thread until such a limit ends it, and nobody hears of it.

    Raises:
        TimeoutError: it took longer.
        StopRequested: `stop` was set meanwhile.
    """
    result: Future[_Result] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="hub", daemon=True).start()
    if stop is None:
        return result.result(seconds)
    for _ in range(max(int(seconds / 0.1), 1)):
        with contextlib.suppress(TimeoutError):
            return result.result(0.1)
        if result.done():  # a TimeoutError of its own
            break
        if stop.is_set():
            raise StopRequested
    return result.result(0)


@contextlib.contextmanager
def answered(source: Source, repo_id: str = "", token: Token | None = None) -> Iterator[None]:
    """Turn what the client raises into a sentence. Nothing of its own text is kept, since that may hold anything."""
    try:
        yield
    except (WorkbenchError, StopRequested):
        raise
    except Exception as error:
        known = translated(error, source, repo_id, token is not None)
        if known is None:
            raise
        raise known from None
