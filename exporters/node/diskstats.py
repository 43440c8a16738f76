"""Disks: /proc/diskstats, and what udev knows of them.

Format: https://docs.kernel.org/admin-guide/iostats.html. Sectors are of 512 bytes whatever the device, times in ms.
"""

import re
from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column, device_block, families
from exporters.node.host import Host, read
from exporters.node.udev import Udev

_TOTAL = "The total number of"
_COLUMNS = [
    Column("node_disk_reads_completed_total", "counter", f"{_TOTAL} reads completed successfully."),
    Column("node_disk_reads_merged_total", "counter", f"{_TOTAL} reads merged."),
    Column("node_disk_read_bytes_total", "counter", f"{_TOTAL} bytes read successfully."),
    Column("node_disk_read_time_seconds_total", "counter", f"{_TOTAL} seconds spent by all reads."),
    Column("node_disk_writes_completed_total", "counter", f"{_TOTAL} writes completed successfully."),
    Column("node_disk_writes_merged_total", "counter", "The number of writes merged."),
    Column("node_disk_written_bytes_total", "counter", f"{_TOTAL} bytes written successfully."),
    Column("node_disk_write_time_seconds_total", "counter", f"This is {_TOTAL.lower()} seconds spent by all writes."),
    Column("node_disk_io_now", "gauge", "The number of I/Os currently in progress."),
    Column("node_disk_io_time_seconds_total", "counter", "Total seconds spent doing I/Os."),
    Column("node_disk_io_time_weighted_seconds_total", "counter", "The weighted # of seconds spent doing I/Os."),
    Column("node_disk_discards_completed_total", "counter", f"{_TOTAL} discards completed successfully."),
    Column("node_disk_discards_merged_total", "counter", f"{_TOTAL} discards merged."),
    Column("node_disk_discarded_sectors_total", "counter", f"{_TOTAL} sectors discarded successfully."),
    Column(
        "node_disk_discard_time_seconds_total", "counter", f"This is {_TOTAL.lower()} seconds spent by all discards."
    ),
    Column("node_disk_flush_requests_total", "counter", f"{_TOTAL} flush requests completed successfully"),
    Column(
        "node_disk_flush_requests_time_seconds_total",
        "counter",
        f"This is {_TOTAL.lower()} seconds spent by all flush requests.",
    ),
]
_SECTORS = (2, 6)
_MILLISECONDS = (3, 7, 9, 10, 14, 16)


class DiskStats:
    name = "diskstats"

    def __init__(self, host: Host) -> None:
        self._path = host.proc("diskstats")
        self._ignored = re.compile(host.ignored_disks)
        self._udev = Udev(host)

    def collect(self) -> Iterable[Family]:
        disks = {name: row for name, row in parse(read(self._path)).items() if not self._ignored.search(name)}
        yield from families(_COLUMNS, [(device_block(name), row[2]) for name, row in disks.items()])
        yield from self._udev.families({name: (major, minor) for name, (major, minor, _) in disks.items()})


def parse(raw: bytes) -> dict[str, tuple[str, str, list[int | float]]]:
    """(major, minor, a value for each column) by device. Older kernels have no discards (4.18) or flushes (5.5)."""
    disks: dict[str, tuple[str, str, list[int | float]]] = {}
    for line in raw.splitlines():
        major, minor, name, *fields = line.split()
        values: list[int | float] = [int(field) for field in fields[: len(_COLUMNS)]]
        for at in _SECTORS:
            values[at] *= 512
        for at in _MILLISECONDS:
            if at < len(values):
                values[at] /= 1000
        disks[name.decode()] = (major.decode(), minor.decode(), values)
    return disks
