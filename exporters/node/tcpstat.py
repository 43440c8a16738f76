"""TCP connections by state: /proc/net/tcp and tcp6. Not read unless asked for: it costs a line for each connection."""

import re
from collections import Counter
from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column, block_of
from exporters.node.host import Host, read, read_if_there

_STATES = Column("node_tcp_connection_states", "gauge", "Number of connection states.")
# By number: include/net/tcp_states.h of the kernel. 12 is a connection that was asked for and not yet made.
_NAMES = [
    "unknown",
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "syn_recv",
]
# sl local_address rem_address st tx_queue:rx_queue …
_LINE = re.compile(rb"^ *\d+: \S+ \S+ ([0-9A-F]{2}) ([0-9A-F]{8}):([0-9A-F]{8}) ", re.MULTILINE)


class TcpStates:
    name = "tcpstat"

    def __init__(self, host: Host) -> None:
        self._path = host.net("tcp")
        self._path6 = host.net("tcp6")

    def collect(self) -> Iterable[Family]:
        found = parse(read(self._path) + (read_if_there(self._path6) or b""))
        return [_STATES.family((block_of(("state", name)), count) for name, count in found.items())]


def parse(raw: bytes) -> Counter[str]:
    """Connections by state, and the bytes that wait in them.

    A listening socket has no bytes: its queue is of connections. node_exporter adds its limit to the bytes to be sent.
    """
    found = Counter({"rx_queued_bytes": 0, "tx_queued_bytes": 0})
    for state, sent, received in _LINE.findall(raw):
        name = _NAMES[int(state, 16)]
        found[name] += 1
        if name != "listen":
            found["tx_queued_bytes"] += int(sent, 16)
            found["rx_queued_bytes"] += int(received, 16)
    return found
