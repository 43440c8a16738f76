"""The handshake of the fluent forward protocol: both sides prove that they know the shared key. No I/O here.

server: ["HELO", {nonce, auth, keepalive}]
client: ["PING", hostname, salt, sha512(salt + hostname + nonce + key), user, sha512(auth + user + password)]
server: ["PONG", result, reason, hostname, sha512(salt + hostname + nonce + key)]
"""

import hashlib
import hmac
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgpack

from shipper.inputs.forward_message import as_bytes
from shipper.inputs.line import BadInput


@dataclass(frozen=True)
class Keys:
    """What a sender has to know: a key, a user's password (user "": none), or both."""

    shared_key: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.shared_key or self.user)


class Handshake:
    """One connection's. `hostname`: what the client says it is called, once it has proven itself."""

    def __init__(self, keys: Keys, random: Callable[[int], bytes] = os.urandom) -> None:
        self._keys = keys
        self._nonce = random(16)
        self._auth = random(16) if keys.user else b""
        self._own = socket.gethostname()
        self.hostname = ""

    def helo(self) -> bytes:
        return _packed(["HELO", {"nonce": self._nonce, "auth": self._auth, "keepalive": True}])

    def pong(self, ping: Any) -> tuple[bytes, str]:
        """The answer to a PING, and why it is no ("" where it is a yes). Raises BadInput where it is no PING."""
        if not isinstance(ping, list) or len(ping) != 6 or ping[0] not in ("PING", b"PING"):
            raise BadInput("it sends no PING: set the shared key, or user and password, on its side")
        host, salt, digest, user, password = map(as_bytes, ping[1:])
        reason = self._refused(host, salt, digest, user, password)
        if reason:
            return _packed(["PONG", False, reason, "", ""]), reason
        self.hostname = host.decode("utf-8", "replace")
        own = self._digest(salt, self._own.encode(), self._nonce, self._keys.shared_key.encode())
        return _packed(["PONG", True, "", self._own, own.decode()]), ""

    def _refused(self, host: bytes, salt: bytes, digest: bytes, user: bytes, password: bytes) -> str:
        wanted = self._digest(salt, host, self._nonce, self._keys.shared_key.encode())
        if not hmac.compare_digest(digest.lower(), wanted):
            return "shared_key mismatch"
        wanted = self._digest(self._auth, self._keys.user.encode(), self._keys.password.encode())
        known = hmac.compare_digest(user, self._keys.user.encode())
        if self._keys.user and not (hmac.compare_digest(password.lower(), wanted) and known):
            return "username/password mismatch"
        return ""

    @staticmethod
    def _digest(*parts: bytes) -> bytes:
        return hashlib.sha512(b"".join(parts)).hexdigest().encode()


def _packed(message: Any) -> bytes:
    return bytes(msgpack.packb(message, use_bin_type=True))
