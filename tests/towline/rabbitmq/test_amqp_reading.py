"""pika's limit has a private name: this tells when a new version no longer knows it."""

import socket
from types import SimpleNamespace
from typing import Any, cast

from pika.adapters.select_connection import SelectConnection
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport

from towline.queues.amqp_reading import read_much


def test_a_message_is_read_in_few_pieces() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        ours.sendall(bytes(80_000))
        pieces: list[int] = []
        protocol: Any = SimpleNamespace(data_received=lambda data: pieces.append(len(data)))
        watching: Any = SimpleNamespace(set_reader=lambda *_: None)
        transport = _AsyncPlaintextTransport(theirs, protocol, watching)
        read_much(cast(SelectConnection, SimpleNamespace(_transport=transport)))
        while sum(pieces) < 80_000:
            transport._MAX_CONSUME_BYTES = 1
            transport._consume()
        assert len(pieces) < 80_000 / 4096 / 2


def test_a_pika_that_has_no_such_limit_is_left_alone() -> None:
    read_much(cast(SelectConnection, SimpleNamespace(_transport=None)))
    read_much(cast(SelectConnection, SimpleNamespace()))
