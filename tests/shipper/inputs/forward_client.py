"""A sender of forward messages, byte by byte, for what no client library would send."""

import hashlib
import os
import socket
import ssl
from types import TracebackType
from typing import Any

import msgpack

PATIENCE = 60.0


class Client:
    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(address, timeout=PATIENCE)
        self.socket = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
        self._unpacker = msgpack.Unpacker()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *message: Any) -> None:
        self.socket.sendall(msgpack.packb(list(message)))

    def receive(self, within: float = PATIENCE) -> Any:
        """The next object; None where the server has closed the connection, TimeoutError where nothing came."""
        self.socket.settimeout(within)
        while True:
            for item in self._unpacker:
                return item
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._unpacker.feed(data)

    def shake(self, key: str, user: str = "", password: str = "", host: str = "client") -> Any:
        """The server's PONG, or None."""
        word, option = self.receive()
        assert word == "HELO"
        salt, nonce, auth = os.urandom(16), option["nonce"], option["auth"] or b""
        digest = hashlib.sha512(salt + host.encode() + nonce + key.encode()).hexdigest()
        proof = hashlib.sha512(auth + user.encode() + password.encode()).hexdigest() if user else ""
        self.send("PING", host, salt, digest, user, proof)
        pong = self.receive()
        if pong and pong[1]:
            wanted = hashlib.sha512(salt + pong[3].encode() + nonce + key.encode()).hexdigest()
            assert pong[4] == wanted, "the server does not know the key"
        return pong


def packed(*entries: Any) -> bytes:
    return b"".join(msgpack.packb(entry) for entry in entries)


def event_time(seconds: int, nanoseconds: int) -> msgpack.ExtType:
    return msgpack.ExtType(0, seconds.to_bytes(4, "big") + nanoseconds.to_bytes(4, "big"))
