"""Time that tasks ran and waited, by CPU: /proc/schedstat, where the kernel keeps it.

Format: https://docs.kernel.org/scheduler/sched-stats.html; the last three fields, times in nanoseconds.
"""

from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column, cpu_block, families
from exporters.node.host import Host, read_if_there

_COLUMNS = [
    Column("node_schedstat_running_seconds_total", "counter", "Number of seconds CPU spent running a process."),
    Column(
        "node_schedstat_waiting_seconds_total",
        "counter",
        "Number of seconds spent by processing waiting for this CPU.",
    ),
    Column("node_schedstat_timeslices_total", "counter", "Number of timeslices executed by CPU."),
]


class SchedStat:
    name = "schedstat"

    def __init__(self, host: Host) -> None:
        self._path = host.proc("schedstat")

    def collect(self) -> Iterable[Family]:
        found = parse(read_if_there(self._path) or b"")
        return families(_COLUMNS, [(cpu_block(cpu), values) for cpu, values in found.items()])


def parse(raw: bytes) -> dict[str, tuple[float, float, int]]:
    """(seconds running, seconds waiting, timeslices) by CPU."""
    found = {}
    for line in raw.splitlines():
        if line.startswith(b"cpu"):
            name, *fields = line.split()
            running, waiting, slices = fields[6:9]
            found[name[3:].decode()] = (int(running) / 1e9, int(waiting) / 1e9, int(slices))
    return found
