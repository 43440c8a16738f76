"""Protocol statistics: some fields of /proc/net/{netstat,snmp,snmp6}.

Format: https://docs.kernel.org/networking/snmp_counter.html.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from exporters.exposition import Family
from exporters.node.columns import Column
from exporters.node.host import Host, read, read_if_there

# The fields that node_exporter 1.9 reads by default, and Tcp_MaxConn, which its dashboards show.
_WANTED = re.compile(
    r"^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)"
    r"|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)"
    r"|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab|MaxConn)"
    r"|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$"
)

_LINE6 = re.compile(rb"^(\w+?6)(\w+)\s+(\d+)$", re.MULTILINE)

Wanted = list[tuple[int, Column]]


class NetStat:
    """Of some four hundred fields, a tenth is shown: which ones, is found out once for each line of names."""

    name = "netstat"

    def __init__(self, host: Host) -> None:
        self._paths = [host.net(name) for name in ("netstat", "snmp")]
        self._path6 = host.net("snmp6")
        self._wanted: dict[bytes, Wanted] = {}

    def collect(self) -> Iterable[Family]:
        for path in self._paths:
            for names, values in parse(read(path)):
                if names not in self._wanted:
                    self._wanted[names] = wanted(names)
                yield from (column.single(int(values[at])) for at, column in self._wanted[names])
        for protocol, field, value in parse6(read_if_there(self._path6) or b""):
            yield _column(protocol, field).single(value)


def wanted(names: bytes) -> Wanted:
    """(position, metric) of the fields to show, from a line `Tcp: <names>`."""
    protocol, *fields = names.decode().split()
    shown = [(at, field) for at, field in enumerate(fields, 1) if _WANTED.match(f"{protocol[:-1]}_{field}")]
    return [(at, _column(protocol[:-1], field)) for at, field in shown]


@lru_cache(maxsize=1024)
def _column(protocol: str, field: str) -> Column:
    return Column(f"node_netstat_{protocol}_{field}", "untyped", f"Statistic {protocol}{field}.")


def parse(raw: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """(names, values) of pairs of lines: `Tcp: <names>`, `Tcp: <values>`. The protocol is the first of the values."""
    lines = raw.splitlines()
    for names, line in zip(lines[::2], lines[1::2], strict=True):
        values = line.split()
        if names.count(b" ") + 1 != len(values):
            raise ValueError(f"names and values don't match: {names[:80]!r}")
        yield names, values


def parse6(raw: bytes) -> Iterator[tuple[str, str, int]]:
    """(protocol, field, value) of lines like `Ip6InReceives 12`, those that are shown."""
    for protocol, field, value in _LINE6.findall(raw):
        if name := _shown6(protocol, field):
            yield *name, int(value)


@lru_cache(maxsize=1024)
def _shown6(protocol: bytes, field: bytes) -> tuple[str, str] | None:
    name = (protocol.decode(), field.decode())
    return name if _WANTED.match("_".join(name)) else None
