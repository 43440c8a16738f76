"""Bytes that wait in UDP sockets: /proc/net/udp and udp6."""

import re
from collections.abc import Iterable, Iterator

from exporters.exposition import Family
from exporters.node.columns import Column, block_of
from exporters.node.host import Host, read_if_there

_QUEUES = Column("node_udp_queues", "gauge", "Number of allocated memory in the kernel for UDP datagrams in bytes.")
# sl local_address rem_address st tx_queue:rx_queue …
_LINE = re.compile(rb"^ *\d+: \S+ \S+ \S+ ([0-9A-F]{8}):([0-9A-F]{8}) ", re.MULTILINE)


class UdpQueues:
    name = "udp_queues"

    def __init__(self, host: Host) -> None:
        self._paths = {"v4": host.net("udp"), "v6": host.net("udp6")}

    def collect(self) -> Iterable[Family]:
        return [_QUEUES.family(self._samples())]

    def _samples(self) -> Iterator[tuple[str, int]]:
        for ip, path in self._paths.items():
            raw = read_if_there(path)
            if raw is not None:
                sent, received = parse(raw)
                yield block_of(("ip", ip), ("queue", "tx")), sent
                yield block_of(("ip", ip), ("queue", "rx")), received


def parse(raw: bytes) -> tuple[int, int]:
    """Bytes to be sent, and bytes received and not yet read, of all sockets."""
    queues = _LINE.findall(raw)
    return sum(int(sent, 16) for sent, _ in queues), sum(int(received, 16) for _, received in queues)
