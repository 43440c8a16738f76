"""Neighbours on the network: /proc/net/arp."""

from collections import Counter
from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column, device_block
from exporters.node.host import Host, read

_ENTRIES = Column("node_arp_entries", "gauge", "ARP entries by device")


class Arp:
    name = "arp"

    def __init__(self, host: Host) -> None:
        self._path = host.net("arp")

    def collect(self) -> Iterable[Family]:
        return [_ENTRIES.family((device_block(name), count) for name, count in parse(read(self._path)).items())]


def parse(raw: bytes) -> Counter[str]:
    """Entries by device."""
    return Counter(line.split()[-1].decode("utf-8", "replace") for line in raw.splitlines()[1:])
