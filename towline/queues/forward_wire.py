"""A connection to a fluent forward receiver: the handshake with a shared key, messages out, acknowledgements back."""

import hashlib
import os
import socket
import ssl
import time
from contextlib import suppress
from hmac import compare_digest
from typing import Any

import msgpack

from towline.config import QUEUE_SHARED_KEY
from towline.errors import QueueUnavailable, TowlineError
from towline.queues.address import tls_context
from towline.queues.forward_url import Receiver

CONNECT_WITHIN = 5.0
ACK_WITHIN = 60.0
"""Seconds without an answer after which a message is sent again, perhaps elsewhere; a receiver that is full takes its
time. (Fluentd's own sender waits for 190.)"""
ANSWER_BYTES = 1 << 20
"""More than that is no answer: it would only fill our memory."""


class Connection:
    """Open and let in. All errors are QueueUnavailable, with the fix; after one the connection is of no more use."""

    def __init__(self, receiver: Receiver, address: tuple[str, int]) -> None:
        self._receiver = receiver
        self._answers = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=ANSWER_BYTES)
        self._socket: socket.socket | None = None
        try:
            self._socket = _connected(receiver, address)
            if receiver.shared_key:
                self._greet(receiver.shared_key)
        except (OSError, TowlineError) as error:
            self.close()
            raise QueueUnavailable(explain(error, receiver)) from error

    @property
    def stale(self) -> bool:
        """Whether the receiver has hung up. What it says without being asked is kept for whoever reads next."""
        try:
            self._open.settimeout(0)
            data = self._open.recv(64 << 10)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        self._feed(data)
        return not data

    def demand(self, within: float = 0.5) -> str:
        """What a receiver asks for that has just been connected to, "" where it asks for nothing."""
        try:
            self._ack(time.monotonic() + within)
        except QueueUnavailable as error:
            return str(error)
        except TimeoutError:
            return ""
        except OSError as error:
            return explain(error, self._receiver)
        return ""

    def exchange(self, messages: dict[bytes, bytes]) -> None:
        """Send them all; each leaves `messages` once its chunk is acknowledged."""
        try:
            self._timeout(ACK_WITHIN)
            for message in messages.values():
                self._open.sendall(message)
            deadline = time.monotonic() + ACK_WITHIN
            while messages:
                if messages.pop(self._ack(deadline), None):
                    deadline = time.monotonic() + ACK_WITHIN
        except OSError as error:
            raise QueueUnavailable(explain(error, self._receiver)) from error

    def abort(self) -> None:
        """End what waits, from any thread."""
        with suppress(OSError):
            if self._socket is not None:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS's own would pull it from under a reader

    def close(self) -> None:
        closing, self._socket = self._socket, None
        if closing is not None:
            closing.close()

    @property
    def _open(self) -> socket.socket:
        if self._socket is None:
            raise OSError("the connection is closed")
        return self._socket

    def _timeout(self, seconds: float) -> None:
        self._open.settimeout(max(seconds, 0.001))

    def _ack(self, deadline: float) -> bytes:
        answer = self._answer(deadline)
        if isinstance(answer, dict) and isinstance(answer.get(b"ack"), bytes):
            acknowledged: bytes = answer[b"ack"]
            return acknowledged
        if _is(answer, b"HELO"):
            raise QueueUnavailable(f"it asks for a shared key: set {QUEUE_SHARED_KEY.variable}, or its _FILE")
        raise QueueUnavailable(f"it answers {str(answer)[:100]}, which is no acknowledgement: correct the port")

    def _answer(self, deadline: float) -> Any:
        """The next thing that the receiver says."""
        while True:
            try:
                return self._answers.unpack()
            except msgpack.OutOfData:
                pass
            except ValueError as error:
                raise QueueUnavailable(
                    "what answers there does not speak the forward protocol: correct the port"
                ) from error
            self._timeout(deadline - time.monotonic())
            data = self._open.recv(64 << 10)
            if not data:
                raise ConnectionResetError(0, "it has closed the connection")
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        try:
            self._answers.feed(data)
        except msgpack.BufferFull as error:
            raise QueueUnavailable("its answer has no end: correct the port") from error

    def _greet(self, key: str) -> None:
        """HELO, PING, PONG: each side proves that it knows the key. It is never sent itself."""
        deadline = time.monotonic() + CONNECT_WITHIN
        try:
            greeting = self._answer(deadline)
        except TimeoutError as error:
            raise QueueUnavailable(
                f"it asks for no shared key: give it one, or unset {QUEUE_SHARED_KEY.variable}"
            ) from error
        if not _is(greeting, b"HELO") or not isinstance(greeting[1], dict):
            raise QueueUnavailable("what answers there does not speak the forward protocol: correct the port")
        nonce, auth = _bytes(greeting[1].get(b"nonce")), _bytes(greeting[1].get(b"auth"))
        salt, name = os.urandom(16).hex().encode(), socket.gethostname().encode()  # text: Fluent Bit takes no `bin`
        user = self._receiver.user if auth else ""
        password = _digest(auth, user.encode(), self._receiver.password.encode()) if auth else ""
        ours = _digest(salt, name, nonce, key.encode())
        self._open.sendall(msgpack.packb(["PING", name.decode(), salt.decode(), ours, user, password]))
        try:
            answer = self._answer(deadline)
        except ConnectionResetError as error:
            raise QueueUnavailable("it hangs up on our greeting: correct the shared key, user or password") from error
        self._admitted(answer, salt, nonce, key)

    def _admitted(self, answer: Any, salt: bytes, nonce: bytes, key: str) -> None:
        if not _is(answer, b"PONG") or len(answer) < 5:
            raise QueueUnavailable("what answers there does not speak the forward protocol: correct the port")
        if not answer[1]:
            reason = _bytes(answer[2]).decode("utf-8", "replace")[:200]
            raise QueueUnavailable(f"it refuses us ({reason}): correct the shared key, user or password")
        if not compare_digest(_bytes(answer[4]), _digest(salt, _bytes(answer[3]), nonce, key.encode()).encode()):
            raise QueueUnavailable("it does not know the shared key itself: is this the right receiver?")


def explain(error: Exception, receiver: Receiver) -> str:
    """Why there is no connection, or none any more, with what to do about it."""
    if isinstance(error, TowlineError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}; correct the host name, the certificate or ca="
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {error.reason or error}; check forwards://, the port, cert= and key="
    if isinstance(error, socket.gaierror):
        return f"the host name is not known ({error.strerror}): correct the queue URL"
    if isinstance(error, TimeoutError):
        return "no answer in time: is it overloaded? It must acknowledge (Fluentd and Fluent Bit do)"
    if isinstance(error, ConnectionResetError | BrokenPipeError) and not receiver.shared_key:
        return "it has closed the connection: does it want TLS (forwards://) or a shared key?"
    return f"{getattr(error, 'strerror', None) or error}: is the receiver up, and its port right?"


def _connected(receiver: Receiver, address: tuple[str, int]) -> socket.socket:
    plain = socket.create_connection(address, CONNECT_WITHIN)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if receiver.tls:
            return tls_context(receiver.files).wrap_socket(plain, server_hostname=address[0])
    except BaseException:
        plain.close()
        raise
    return plain


def _is(answer: Any, name: bytes) -> bool:
    return isinstance(answer, list) and len(answer) > 1 and answer[0] == name


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


def _digest(*parts: bytes) -> str:
    return hashlib.sha512(b"".join(parts)).hexdigest()
