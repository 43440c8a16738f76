"""A fluent forward receiver, by the protocol's specification: no Fluentd can be installed here.

It knows nothing of Towline.

It speaks what Fluentd's and Fluent Bit's inputs speak: PackedForward with and without gzip, acks, HELO/PING/PONG with a
shared key and a user, TLS. https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
"""

import gzip
import hashlib
import io
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgpack

Record = dict[str, Any]


class Receiver:
    """Keeps what it is sent. `acknowledges` says for each message whether it is answered; `deaf` ones are kept as well,
    as by a receiver whose answer is lost."""

    def __init__(
        self,
        shared_key: str = "",
        users: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.shared_key, self.users, self.tls = shared_key, users or {}, tls
        self.messages: list[tuple[str, dict[str, Any], int]] = []
        """Tag, options and number of entries of each message, in their order."""
        self.records: list[Record] = []
        self.times: list[tuple[int, int]] = []
        self.acknowledges: Callable[[int], bool] = lambda number: True
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        """End all connections that there are."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            with self._lock:
                self._open.add(connection)
            self._converse(connection)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _converse(self, connection: socket.socket) -> None:
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=64 << 20)
        nonce, auth = os.urandom(16), os.urandom(16) if self.users else b""
        known = not self.shared_key
        if not known:
            connection.sendall(msgpack.packb(["HELO", {"nonce": nonce, "auth": auth, "keepalive": True}]))
        while data := connection.recv(256 << 10):
            unpacker.feed(data)
            for said in unpacker:
                if not known:
                    known = self._greeted(connection, said, nonce, auth)
                    if not known:
                        return
                else:
                    self._take(connection, said)

    def _greeted(self, connection: socket.socket, ping: Any, nonce: bytes, auth: bytes) -> bool:
        _, name, salt, theirs, user, password = ping
        salt = salt.encode()  # text, as in Fluent Bit, which hangs up on anything else
        reason = ""
        if theirs != digest(salt, name.encode(), nonce, self.shared_key.encode()):
            reason = "shared_key mismatch"
        elif self.users and password != digest(auth, user.encode(), self.users.get(user, "").encode()):
            reason = "username/password mismatch"
        ours = digest(salt, b"receiver", nonce, self.shared_key.encode())
        connection.sendall(msgpack.packb(["PONG", not reason, reason, "receiver", "" if reason else ours]))
        return not reason

    def _take(self, connection: socket.socket, said: Any) -> None:
        tag, packed, option = said
        body = gzip.decompress(packed) if option.get("compressed") == "gzip" else packed
        entries = list(msgpack.Unpacker(io.BytesIO(body), raw=False, strict_map_key=False))
        with self._lock:
            number = len(self.messages)
            self.messages.append((tag, option, len(entries)))
            for time, record in entries:
                self.records.append(record)
                self.times.append(struct.unpack(">II", time.data))
        if self.acknowledges(number):
            connection.sendall(msgpack.packb({"ack": option["chunk"]}))


def digest(*parts: bytes) -> str:
    return hashlib.sha512(b"".join(parts)).hexdigest()
