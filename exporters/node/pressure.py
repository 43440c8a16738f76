"""Time lost to waiting for CPU, memory, disks, interrupts: /proc/pressure.

Format: https://docs.kernel.org/accounting/psi.html; totals in microseconds.
"""

import re
from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column
from exporters.node.host import Host, HostUnreadable, read_if_there

_COLUMNS = {
    ("cpu", "some"): Column(
        "node_pressure_cpu_waiting_seconds_total",
        "counter",
        "Total time in seconds that processes have waited for CPU time",
    ),
    ("io", "some"): Column(
        "node_pressure_io_waiting_seconds_total",
        "counter",
        "Total time in seconds that processes have waited due to IO congestion",
    ),
    ("io", "full"): Column(
        "node_pressure_io_stalled_seconds_total",
        "counter",
        "Total time in seconds no process could make progress due to IO congestion",
    ),
    ("memory", "some"): Column(
        "node_pressure_memory_waiting_seconds_total",
        "counter",
        "Total time in seconds that processes have waited for memory",
    ),
    ("memory", "full"): Column(
        "node_pressure_memory_stalled_seconds_total",
        "counter",
        "Total time in seconds no process could make progress due to memory congestion",
    ),
    ("irq", "full"): Column(
        "node_pressure_irq_stalled_seconds_total",
        "counter",
        "Total time in seconds no process could make progress due to IRQ congestion",
    ),
}
_TOTAL = re.compile(rb"^(some|full) .*\btotal=(\d+)$", re.MULTILINE)


class Pressure:
    name = "pressure"

    def __init__(self, host: Host) -> None:
        self._paths = {resource: host.proc(f"pressure/{resource}") for resource, _ in _COLUMNS}

    def collect(self) -> Iterable[Family]:
        totals = {resource: parse(_read(path)) for resource, path in self._paths.items()}
        for (resource, share), column in _COLUMNS.items():
            if share in totals[resource]:
                yield column.single(totals[resource][share] / 1e6)


def _read(path: str) -> bytes:
    """Empty where the kernel was built without it, or started with psi=0 (then reading fails)."""
    try:
        return read_if_there(path) or b""
    except HostUnreadable as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        return b""


def parse(raw: bytes) -> dict[str, int]:
    """Microseconds by "some" (a task waited) and "full" (all tasks waited)."""
    return {share.decode(): int(total) for share, total in _TOTAL.findall(raw)}
