"""One request for one container's log, over HTTP/1.0 (no chunks) on a socket that never waits.

The engine's own libraries are of no use here: docker-py loses the stream of each line and the nanoseconds, and would
need a thread for each container.
"""

import contextlib
import errno
import os
import socket
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import orjson

from towline.errors import UsageError

READ = 64 << 10
FULL = 32 << 10
"""A read of at least this many bytes says that more was waiting: a unix socket holds about 52 KB of small frames."""
_HEAD_LIMIT = 64 << 10
_LATER = (errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY, errno.ENOTCONN, errno.EINTR)


class ConnectionBroken(Exception):
    """The engine could not be reached, or the connection broke."""


class Answered(Exception):
    """The engine answered with an error: `status` and its own `text`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Endpoint:
    """Where the engine listens: a unix socket's path, or a TCP host and port."""

    url: str
    path: str = ""
    host: str = ""
    port: int = 0

    def open(self) -> socket.socket:
        """A socket that is connecting; raises OSError."""
        if self.path:
            return _connecting(socket.AF_UNIX, self.path)
        family, _, _, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
        return _connecting(family, address)


def endpoint(url: str) -> Endpoint:
    """Where `url` points (unix:///path, tcp://host:port, http://host:port); raises UsageError."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "unix" and (parts.netloc + parts.path).strip("/"):
            return Endpoint(url, path=parts.netloc + parts.path)
        if parts.scheme in ("tcp", "http") and parts.hostname:
            return Endpoint(url, host=parts.hostname, port=parts.port or 2375)
    except ValueError as error:
        raise UsageError(f"engine URL {url!r}: {error}") from error
    raise UsageError(f"engine URL {url!r}: write unix:///path/of.sock or tcp://host:port")


def _connecting(family: int, address: object) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setblocking(False)
    code = connection.connect_ex(address)  # type: ignore[arg-type]
    if code not in (0, errno.EINPROGRESS):
        connection.close()
        raise OSError(code, os.strerror(code))
    return connection


def request(container_id: str, **query: str | int) -> bytes:
    """The request for a log; stdout, stderr and timestamps are always wanted."""
    wanted = {"stdout": 1, "stderr": 1, "timestamps": 1, **query}
    text = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in wanted.items())
    path = f"/containers/{quote(container_id, safe='')}/logs?{text}"
    return f"GET {path} HTTP/1.0\r\nHost: docker\r\nUser-Agent: towline\r\n\r\n".encode()


class LogConnection:
    """Connects and asks at once, as far as that goes without waiting; `read` goes on with it.

    The constructor raises ConnectionBroken where the engine can't be reached.
    """

    def __init__(self, engine: Endpoint, asked: bytes) -> None:
        self._engine = engine
        self._asked = asked
        self._head: bytes | None = b""
        """What came of the answer's head; None behind it."""
        self._fetched: list[bytes | None] = []
        """What `fetch` found (None: nothing now), at most once."""
        try:
            self._socket = engine.open()
        except OSError as error:
            raise self._broken(error) from error
        with contextlib.suppress(ConnectionBroken):  # read() will say so
            self._send()

    @property
    def answered(self) -> bool:
        """The engine has said 200: the log is open, and stays so even where the container is removed."""
        return self._head is None

    def fileno(self) -> int:
        return self._socket.fileno()

    def fetch(self) -> None:
        """Take what the socket holds now, for the next `read`."""
        if not self._asked and not self._fetched:
            with contextlib.suppress(ConnectionBroken):  # read() will say so
                self._fetched.append(self._receive())

    def read(self, limit: int) -> bytes | None:
        """The next bytes of the log, about `limit` at most; None: nothing now; b"": the end.

        Raises ConnectionBroken, and Answered where the engine refuses.
        """
        if self._asked and not self._send():
            return None
        chunks: list[bytes] = []
        size = 0
        while size < limit:
            chunk = self._receive()
            if chunk:
                chunk = self._body(chunk)
                chunks.append(chunk)
                size += len(chunk)
            elif chunk is None or chunks:
                break  # the end, too, comes again with the next call
            else:
                return self._end()
            if len(chunk) < FULL:
                break  # going on would bring what was written meanwhile, a few lines for each call
        return b"".join(chunks) or None

    def close(self) -> None:
        self._socket.close()

    def _send(self) -> bool:
        try:
            sent = self._socket.send(self._asked)
        except OSError as error:
            if error.errno in _LATER:
                return False
            raise self._broken(error) from error
        self._asked = self._asked[sent:]
        return not self._asked

    def _receive(self) -> bytes | None:
        if self._fetched:
            return self._fetched.pop()
        try:
            return self._socket.recv(READ)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise self._broken(error) from error

    def _body(self, chunk: bytes) -> bytes:
        """What of `chunk` belongs to the log."""
        if self._head is None:
            return chunk
        self._head += chunk
        head, end, body = self._head.partition(b"\r\n\r\n")
        if end and _status(head) == 200:
            if b"transfer-encoding: chunked" in head.lower():
                raise ConnectionBroken(f"{self._engine.url} answers HTTP/1.0 with chunks: the proxy there is no use")
            self._head = None
            return body
        if len(self._head) > _HEAD_LIMIT:
            raise ConnectionBroken(f"{self._engine.url} does not answer like a Docker engine")
        return b""

    def _end(self) -> bytes:
        if self._head is None:
            return b""
        head, end, body = self._head.partition(b"\r\n\r\n")
        if not end:
            raise ConnectionBroken(f"{self._engine.url} closed the connection without an answer")
        raise Answered(_status(head), _message(body))

    def _broken(self, error: OSError) -> ConnectionBroken:
        return ConnectionBroken(f"engine at {self._engine.url}: {error.strerror or error}")


def _status(head: bytes) -> int:
    words = head.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def _message(body: bytes) -> str:
    """The engine's `{"message": ...}`, or what else it wrote, on one line."""
    try:
        text = str(orjson.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        text = body[:200].decode("utf-8", "replace")
    return " ".join(text.split())
