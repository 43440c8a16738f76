"""Sockets in use: /proc/net/sockstat and sockstat6."""

import os
from collections.abc import Iterable, Iterator

from exporters.exposition import Family, family
from exporters.node.host import Host, read, read_if_there


class SockStat:
    name = "sockstat"

    def __init__(self, host: Host, page_size: int | None = None) -> None:
        self._path = host.net("sockstat")
        self._path6 = host.net("sockstat6")
        self._page_size = page_size or os.sysconf("SC_PAGE_SIZE")

    def collect(self) -> Iterable[Family]:
        for raw in (read(self._path), read_if_there(self._path6) or b""):
            for protocol, state, value in parse(raw):
                yield _family(protocol, state, value)
                if state == "mem":  # TCP and UDP count pages
                    yield _family(protocol, "mem_bytes", value * self._page_size)


def _family(protocol: str, state: str, value: int) -> Family:
    help = f"Number of {protocol} sockets in state {state}."
    if protocol == "sockets":
        help = "Number of IPv4 sockets in use."
    return family(f"node_sockstat_{protocol}_{state}", "gauge", help, [("", value)])


def parse(raw: bytes) -> Iterator[tuple[str, str, int]]:
    """(protocol, state, value) of lines like `TCP: inuse 4 orphan 0`."""
    for line in raw.decode().splitlines():
        protocol, _, rest = line.partition(":")
        fields = rest.split()
        for state, value in zip(fields[::2], fields[1::2], strict=True):
            yield protocol, state, int(value)
