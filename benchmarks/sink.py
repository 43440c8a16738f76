"""A store that takes everything at once: answers bulk requests as Elasticsearch does, hands others on to one.

With it one sees what the indexer can do, where Elasticsearch on the same cores would be the bound.
"""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_INDEX = ".ds-sink-000001"
_ITEM = f'{{"create":{{"_index":"{_INDEX}","status":201}}}}'


class Sink:
    """Listens on a free port of loopback until `close`. `lines` counts what it was given."""

    def __init__(self, behind: str) -> None:
        self.lines = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, behind.removeprefix("http://")))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, lines: int) -> None:
        with self._lock:
            self.lines += lines

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(sink: Sink, behind: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            if "_bulk" not in self.path:
                return self._hand_on()
            left, newlines = int(self.headers["content-length"]), 0
            while left:
                chunk = self.rfile.read(min(left, 1 << 20))
                left -= len(chunk)
                newlines += chunk.count(b"\n")
            sink.take(newlines // 2)
            body = '{"errors":false,"items":[' + ",".join([_ITEM] * (newlines // 2)) + "]}"
            return self._answer(200, "application/json", body.encode())

        def _hand_on(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            content = self.rfile.read(length) if length else None
            connection = http.client.HTTPConnection(behind, timeout=60)
            kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            connection.request(self.command, self.path, content, kept)
            answer = connection.getresponse()
            told = answer.read()
            self._answer(answer.status, answer.headers.get("content-type", ""), told)
            connection.close()

        def do_GET(self) -> None:
            if "/_settings/" not in self.path:
                return self._hand_on()
            only = f'{{"{_INDEX}":{{"settings":{{"index":{{"creation_date":"0"}}}}}}}}'
            return self._answer(200, "application/json", only.encode())

        do_PUT = do_HEAD = do_DELETE = _hand_on

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing: it would cost."""

    return Handler
