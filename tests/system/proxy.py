"""An HTTP proxy in front of Elasticsearch that does what a real server won't do on demand: refuse, cut, lie.

It passes everything on as it is, except `_bulk` requests while a `rule` is set.
"""

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = {"content-type": "application/json", "x-elastic-product": "Elasticsearch"}
Answer = tuple[int, dict[str, str], bytes]
Forward = Callable[[bytes], Answer]
Rule = Callable[[bytes, Forward], Answer | None]
"""Gets the body of a bulk request and what sends one on; gives the answer, or None to cut the connection."""


def refuse(status: int, kind: str) -> Rule:
    body = {"error": {"type": kind, "reason": f"the test says {status}"}, "status": status}
    return lambda _, __: (status, JSON, json.dumps(body).encode())


def busy_in_parts(body: bytes, forward: Forward) -> Answer:
    """Every second line is taken, the others are told 429: rejected by a full write queue, as real servers do."""
    pairs = _pairs(body)
    status, head, answer = forward(b"".join(pairs[::2]))
    if status != 200:
        return status, head, answer
    told = json.loads(answer)
    done = iter(told.get("items") or [{"create": {"status": 201}} for _ in pairs[::2]])
    busy = {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "the test says 429"}}
    items = [next(done) if at % 2 == 0 else {"create": busy} for at in range(len(pairs))]
    return 200, {**JSON, **head}, json.dumps({"errors": True, "items": items}).encode()


def cut_after(body: bytes, forward: Forward) -> None:
    """Carried out, but nobody hears of it."""
    forward(body)


def silent_after(body: bytes, forward: Forward) -> None:
    """Carried out; the answer would come after whoever asked has given up."""
    forward(body)
    time.sleep(12)


def cut_before(body: bytes, forward: Forward) -> None:
    """Never carried out; looks the same."""


def cut_half(body: bytes, forward: Forward) -> None:
    """The first half is carried out."""
    pairs = _pairs(body)
    forward(b"".join(pairs[: len(pairs) // 2]) or body)


def at_most(size: int) -> Rule:
    """413 for larger bodies."""
    refused = refuse(413, "content_too_long")

    def rule(body: bytes, forward: Forward) -> Answer | None:
        return refused(body, forward) if len(body) > size else forward(body)

    return rule


def lie(body: bytes, forward: Forward) -> Answer:
    """Says that all is stored, and stores nothing: what the indexer then acks is lost."""
    return 200, JSON, b'{"errors":false}'


def _pairs(body: bytes) -> list[bytes]:
    rows = body.splitlines(keepends=True)
    return [first + second for first, second in zip(rows[::2], rows[1::2], strict=True)]


class Proxy:
    """Listens on 127.0.0.1:`port`. `rule` may be set and unset at any time; `ruled` counts the requests it got."""

    def __init__(self, target: int) -> None:
        self.rule: Rule | None = None
        self.ruled = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, target))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @contextlib.contextmanager
    def ruling(self, rule: Rule) -> Iterator[None]:
        self.rule = rule
        try:
            yield
        finally:
            self.rule = None

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(proxy: Proxy, target: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle()

        def _pass(self) -> None:
            body = self._body()
            try:
                answer = self._answer(body)
            except (OSError, HTTPException):  # the server is away: so are we
                answer = None
            if answer is None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            with contextlib.suppress(OSError):
                self._reply(*answer)

        def _answer(self, body: bytes) -> Answer | None:
            rule = proxy.rule if "/_bulk" in self.path else None
            if rule is None or body.startswith(b'{"delete"'):
                return self._forward(body)
            proxy.ruled += 1
            encoded = self.headers.get("content-encoding") == "gzip"
            plain = gzip.decompress(body) if encoded else body
            return rule(plain, lambda changed: self._forward(gzip.compress(changed, 1) if encoded else changed))

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body
            return self.rfile.read(int(self.headers.get("content-length") or 0))

        def _forward(self, body: bytes) -> Answer:
            connection = HTTPConnection("127.0.0.1", target, timeout=60)
            left_out = ("host", "connection", "content-length", "transfer-encoding")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
            try:
                connection.request(self.command, self.path, body or None, headers)
                response = connection.getresponse()
                return response.status, dict(response.getheaders()), response.read()
            finally:
                connection.close()

        def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None: ...

    for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
        setattr(Handler, f"do_{method}", Handler._pass)
    return Handler
