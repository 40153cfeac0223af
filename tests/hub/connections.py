"""A listener, its connections, and how an answer goes out: at once, slowly, in part or not at all."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.faults import Fault
from tests.hub.messages import Answer, Request

if TYPE_CHECKING:
    from tests.hub.server import Hub, Seen

_PIECE = 256 * 1024
_ENDS_HARD = struct.pack("ii", 1, 0)


class Listener:
    """One address."""

    def __init__(self, hub: Hub, storage: bool) -> None:
        self.hub, self.storage = hub, storage
        self.closing = threading.Event()
        self._port = 0
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        if self._server is not None:
            return
        self.closing.clear()
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="hub", daemon=True).start()

    def down(self) -> None:
        if self._server is None:
            return
        self._server.shutdown()
        self._server.socket.close()  # first, so that who comes again is refused and not reset
        self.closing.set()
        self._server.break_off()
        self._server.server_close()  # waits for the connections' threads
        self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], listener: Listener) -> None:
        self.listener = listener
        self._open: set[socket.socket] = set()
        self.hard: set[socket.socket] = set()  # connections that end without the usual farewell
        self._lock = threading.Lock()
        super().__init__(address, _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        if request in self.hard:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def break_off(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away, and connections are broken off; anything else is a fault of this server."""
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._do
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _do(self) -> None:
        hub = self.server.listener.hub
        target = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(target.query, keep_blank_values=True)
        request = Request(self.command, unquote(target.path), query, headers)
        seen = self._note(request)
        fault = hub.faults.of(request) or Fault()
        if fault.silent:
            self._wait(fault)
            self._end(fault)
            return
        request.body = self._read(fault, seen)
        if fault.take is not None:
            self._end(fault)
            return
        answer = fault.answer() or hub.answer(request)
        seen.status, seen.file = answer.status, answer.file
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._send(answer, fault, seen)
            return
        self.close_connection = True

    def _note(self, request: Request) -> Seen:
        from tests.hub.server import Seen

        header = request.headers.get("authorization")
        token = header.removeprefix("Bearer ") if header else None
        span = request.headers.get("range")
        seen = Seen(request.method, request.path, request.query, token, span, self.server.listener.storage)
        self.server.listener.hub.seen.append(seen)
        return seen

    def _read(self, fault: Fault, seen: Seen) -> bytes:
        """The body of a request, which some clients send in chunks."""
        body = bytearray()
        most = fault.take

        def more(size: int) -> bool:
            while size > 0 and (most is None or len(body) < most):
                piece = self.rfile.read1(min(size, _PIECE if most is None else most - len(body)))
                if not piece:
                    raise ConnectionResetError("the client went away")
                body.extend(piece)
                seen.taken += len(piece)
                size -= len(piece)
            return most is None or len(body) < most

        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                if not more(size):
                    break
                self.rfile.readline()
            else:
                self.rfile.readline()
        else:
            more(int(self.headers.get("Content-Length") or 0))
        return bytes(body)

    def _send(self, answer: Answer, fault: Fault, seen: Seen) -> None:
        self.send_response_only(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("X-Request-Id", f"Root=1-{len(self.server.listener.hub.seen):08x}")
        body = b"" if self.command == "HEAD" else answer.body
        quick = fault.slow is None and fault.cut is None and fault.hold is None and len(body) <= _PIECE
        if quick:  # one packet where that is all
            seen.sent, seen.ended = len(body), True  # before, so that who has the answer can read it here
            self._headers_buffer.append(b"\r\n" + body)
            self.flush_headers()
            return
        self.end_headers()
        stops = {fault.cut, fault.hold if not fault.released.is_set() else None} - {None}
        size = _PIECE if fault.slow is None else max(1, int(fault.slow / 20))
        while True:
            if fault.hold == seen.sent and not fault.released.is_set():
                fault.reached.set()
                self._wait(fault)
            if fault.cut == seen.sent:
                self._end(fault)
                return
            if seen.sent >= len(body):
                break
            ends = [stop for stop in stops if stop is not None and stop > seen.sent]
            piece = body[seen.sent : min([seen.sent + size, *ends])]
            if fault.slow is not None and self.server.listener.closing.wait(len(piece) / fault.slow):
                raise ConnectionResetError("the Hub goes down")
            seen.sent += len(piece)
            seen.ended = seen.sent == len(body)
            self.wfile.write(piece)

    def _wait(self, fault: Fault) -> None:
        """Until the fault is released or the Hub goes down."""
        while not fault.released.wait(0.02):
            if self.server.listener.closing.is_set():
                raise ConnectionResetError("the Hub goes down")

    def _end(self, fault: Fault) -> None:
        """No more on this connection."""
        self.close_connection = True
        if fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ENDS_HARD)
            self.server.hard.add(self.connection)
        fault.reached.set()
