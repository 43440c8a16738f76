"""Protocol statistics: some fields of /proc/net/{netstat,snmp,snmp6}.

Format: https://docs.kernel.org/networking/snmp_counter.html.
"""

import re
from collections.abc import Iterable, Iterator

from exporters.exposition import Family, family
from exporters.node.host import Host, read, read_if_there

# The fields that node_exporter 1.9 reads by default, and Tcp_MaxConn, which its dashboards show.
_WANTED = re.compile(
    r"^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)"
    r"|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)"
    r"|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab|MaxConn)"
    r"|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$"
)

Fields = Iterator[tuple[str, str, int]]


class NetStat:
    name = "netstat"

    def __init__(self, host: Host) -> None:
        self._paths = [host.net(name) for name in ("netstat", "snmp")]
        self._path6 = host.net("snmp6")
        self._names: dict[tuple[str, str], str | None] = {}

    def collect(self) -> Iterable[Family]:
        for path in self._paths:
            yield from self._families(parse(read(path)))
        yield from self._families(parse6(read_if_there(self._path6) or b""))

    def _families(self, fields: Fields) -> Iterator[Family]:
        for protocol, field, value in fields:
            name = self._name(protocol, field)
            if name:
                yield family(name, "untyped", f"Statistic {protocol}{field}.", [("", value)])

    def _name(self, protocol: str, field: str) -> str | None:
        """The metric's name, None for a field that is not shown; each is looked at once only."""
        key = (protocol, field)
        if key not in self._names:
            wanted = _WANTED.match(f"{protocol}_{field}")
            self._names[key] = f"node_netstat_{protocol}_{field}" if wanted else None
        return self._names[key]


def parse(raw: bytes) -> Fields:
    """(protocol, field, value) of pairs of lines: `Tcp: <names>`, `Tcp: <values>`."""
    lines = raw.decode().splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        protocol, *fields = names.split()
        for field, value in zip(fields, values.split()[1:], strict=True):
            yield protocol[:-1], field, int(value)


def parse6(raw: bytes) -> Fields:
    """(protocol, field, value) of lines `Ip6InReceives <value>`."""
    for line in raw.decode().splitlines():
        name, value = line.split()
        protocol, six, field = name.partition("6")
        if six:
            yield f"{protocol}6", field, int(value)
