"""Traffic of network interfaces: /proc/net/dev.

Format: https://docs.kernel.org/networking/statistics.html, "procfs". `receive_nohandler` is in sysfs only.
"""

import re
from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column, Value, device_block, families
from exporters.node.host import Host, read, read_number

_NAMES = (
    *(f"receive_{name}" for name in ("bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast")),
    *(f"transmit_{name}" for name in ("bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed")),
    "receive_nohandler",
)
_COLUMNS = [Column(f"node_network_{name}_total", "counter", f"Network device statistic {name}.") for name in _NAMES]


class NetDev:
    name = "netdev"

    def __init__(self, host: Host) -> None:
        self._path = host.net("dev")
        self._sysfs = host.sys("class/net")
        self._ignored = re.compile(host.ignored_interfaces)

    def collect(self) -> Iterable[Family]:
        found = parse(read(self._path))
        names = [name for name in found if not self._ignored.search(name)]
        return families(_COLUMNS, [(device_block(name), self._row(name, found[name])) for name in names])

    def _row(self, name: str, counts: list[int]) -> list[Value]:
        return [*counts, read_number(f"{self._sysfs}/{name}/statistics/rx_nohandler")]


def parse(raw: bytes) -> dict[str, list[int]]:
    """The 16 counts of each interface. A name may hold a colon: the last one parts it from the counts."""
    found: dict[str, list[int]] = {}
    for line in raw.splitlines()[2:]:
        name, _, counts = line.rpartition(b":")
        found[name.strip().decode("utf-8", "replace")] = [int(count) for count in counts.split()[:16]]
    return found
