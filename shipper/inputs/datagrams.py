"""UDP: whoever sends can't be made to wait, so what there is no room for is dropped and counted."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any

from shipper.inputs.intake import Intake
from shipper.inputs.settings import Address, shown
from towline.errors import TowlineError

log = logging.getLogger(__name__)

BUFFER = 4 << 20
"""Bytes that the kernel is asked to keep for us while we are busy; it gives at most net.core.rmem_max."""

Take = Callable[[bytes, object], None]


class Datagrams(asyncio.DatagramProtocol):
    """Gives each datagram and its sender's address to `take`."""

    def __init__(self, name: str, intake: Intake, take: Take) -> None:
        self._name = name
        self._intake = intake
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._intake.full:
            self._intake.drop(self._name, "input_full")
            return
        try:
            self._take(data, addr)
        except Exception as error:
            self._intake.drop(self._name, "malformed")
            log.error("a datagram to %s can't be taken", self._name, exc_info=error)

    def error_received(self, exc: Exception) -> None:
        log.debug("%s over UDP: %s", self._name, exc)


def listen(name: str, address: Address) -> socket.socket:
    """A UDP socket that is bound; raises TowlineError where the address can't be had."""
    own = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.suppress(OSError):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    try:
        own.bind(address)
    except OSError as error:
        own.close()
        raise TowlineError(f"can't listen on UDP {shown(address)}: {error.strerror or error}; choose another with "
                           f"--listen-{name}") from error  # fmt: skip
    own.setblocking(False)
    return own
