"""Memory: every field of /proc/meminfo.

Format: https://docs.kernel.org/filesystems/proc.html, "meminfo". Fields in kB get the suffix `_bytes`.
"""

from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column
from exporters.node.host import Host, read


class MemoryInfo:
    name = "meminfo"

    def __init__(self, host: Host) -> None:
        self._path = host.proc("meminfo")
        self._columns: dict[str, Column] = {}

    def collect(self) -> Iterable[Family]:
        return [self._column(field).single(value) for field, value in parse(read(self._path)).items()]

    def _column(self, field: str) -> Column:
        if field not in self._columns:
            self._columns[field] = Column(f"node_memory_{field}", "gauge", f"Memory information field {field}.")
        return self._columns[field]


def parse(raw: bytes) -> dict[str, int]:
    """Values by the metric's name after `node_memory_`: bytes, or pages for HugePages_*."""
    found: dict[str, int] = {}
    for line in raw.splitlines():
        name, _, rest = line.partition(b":")
        value, *unit = rest.split()
        field = name.replace(b"(", b"_").replace(b")", b"").decode()
        found[f"{field}_bytes" if unit else field] = int(value) * 1024 if unit else int(value)
    return found
