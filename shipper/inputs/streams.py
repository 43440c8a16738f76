"""TCP connections of one listener, each served by a task of its own."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

from shipper.inputs.complaints import Complaints
from shipper.inputs.line import BadInput
from towline import metrics

log = logging.getLogger(__name__)

MOST = 1_000
"""Connections of one listener."""
HANDSHAKE = 10.0
"""Seconds that a client has to prove itself in."""
READ = 64 << 10


class Budget:
    """Bytes that all connections together may hold of messages whose end has not come."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._held = 0

    def change(self, by: int) -> None:
        """Raises BadInput where it is exceeded."""
        self._held += by
        if by > 0 and self._held > self.most:
            raise BadInput(
                f"more than {self.most} bytes of unfinished messages; raise --memory, or send smaller chunks"
            )


class Connection:
    """`peer`: its address as text; `source_ip` as a line's field, "" for this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.peer, self.source_ip = peer_of(writer.get_extra_info("peername"))

    async def read(self) -> bytes:
        return await self.reader.read(READ)


Serve = Callable[[Connection], Awaitable[None]]
"""Runs until the other side ends, or is cancelled: then it hands on what it has, and ends once all of that is safe. A
second cancel ends it at once. Raises BadInput where the stream can't go on."""


class Streams:
    """Belongs to the loop."""

    def __init__(self, name: str, serve: Serve, complaints: Complaints) -> None:
        self._name = name
        self._serve = serve
        self._complaints = complaints
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._server = await asyncio.start_server(
            self._accept, sock=listening, ssl=tls, ssl_handshake_timeout=HANDSHAKE if tls else None,
            ssl_shutdown_timeout=2.0 if tls else None,
        )  # fmt: skip

    def stop_reading(self) -> None:
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """End what is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        connection = Connection(reader, writer)
        if len(self._tasks) >= MOST:
            self._complaints.say("connections", connection.peer, f"{MOST} connections are open, which is the most")
            writer.transport.abort()
            return
        self._tasks.add(task)
        metrics.INPUT_CONNECTIONS.labels(self._name).inc()
        try:
            _keep_alive(writer)
            await self._served(connection)
        finally:
            self._tasks.discard(task)
            metrics.INPUT_CONNECTIONS.labels(self._name).dec()

    async def _served(self, connection: Connection) -> None:
        try:
            await self._serve(connection)
        except BadInput as error:
            self._complaints.say("malformed", connection.peer, f"{error}; connection closed")
        except TimeoutError:
            self._complaints.say("handshake", connection.peer, "no handshake in time; connection closed")
        except OSError as error:
            log.debug("%s connection lost: peer=%s error=%s", self._name, connection.peer, error)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            log.error("%s from %s failed, connection closed", self._name, connection.peer, exc_info=error)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            connection.writer.close()
            await asyncio.wait_for(connection.writer.wait_closed(), 2)


def peer_of(name: object) -> tuple[str, str]:
    """Host and port as text, and the host alone where it is another machine's or container's."""
    if not isinstance(name, tuple):
        return "a socket", ""
    host, port = str(name[0]).partition("%")[0].removeprefix("::ffff:"), name[1]
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with contextlib.suppress(ValueError):
        return shown, "" if ipaddress.ip_address(host).is_loopback else host
    return shown, ""


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """A peer that is gone without a word is noticed, within some two hours."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
