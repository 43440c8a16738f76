"""Ports for servers that are told theirs before they listen."""

import random
import socket

RANGE = range(21_000, 32_000)
"""Below the ports that Linux gives to whoever asks for any: between the look and the server's own bind nobody else of
this machine is given it."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    while True:
        port = random.SystemRandom().choice(RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
