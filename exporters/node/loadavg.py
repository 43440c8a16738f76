"""Load averages: /proc/loadavg."""

from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column, families
from exporters.node.host import Host, read

_COLUMNS = [Column(f"node_load{minutes}", "gauge", f"{minutes}m load average.") for minutes in (1, 5, 15)]


class LoadAverage:
    name = "loadavg"

    def __init__(self, host: Host) -> None:
        self._path = host.proc("loadavg")

    def collect(self) -> Iterable[Family]:
        return families(_COLUMNS, [("", parse(read(self._path)))])


def parse(raw: bytes) -> list[float]:
    """The averages over 1, 5 and 15 minutes."""
    return [float(field) for field in raw.split()[:3]]
