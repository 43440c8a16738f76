"""Time of each CPU, context switches, forks, interrupts: all of /proc/stat, read once.

Format: https://docs.kernel.org/filesystems/proc.html, "Miscellaneous kernel statistics in /proc/stat".
"""

import os
from collections.abc import Iterable, Iterator

from exporters.exposition import Family
from exporters.node.columns import Column, block_of
from exporters.node.host import Host, read

Ticks = list[int]

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_GUEST = {8: "user", 9: "nice"}
_IDLE = MODES.index("idle")
_SECONDS = Column("node_cpu_seconds_total", "counter", "Seconds the CPUs spent in each mode.")
_GUEST_SECONDS = Column(
    "node_cpu_guest_seconds_total", "counter", "Seconds the CPUs spent in guests (VMs) for each mode."
)
_TOTALS = {
    b"intr": Column("node_intr_total", "counter", "Total number of interrupts serviced."),
    b"ctxt": Column("node_context_switches_total", "counter", "Total number of context switches."),
    b"processes": Column("node_forks_total", "counter", "Total number of forks."),
    b"btime": Column("node_boot_time_seconds", "gauge", "Node boot time, in unixtime."),
    b"procs_running": Column("node_procs_running", "gauge", "Number of processes in runnable state."),
    b"procs_blocked": Column("node_procs_blocked", "gauge", "Number of processes blocked waiting for I/O to complete."),
}


class Stat:
    name = "stat"

    def __init__(self, host: Host, ticks_per_second: int | None = None) -> None:
        self._path = host.proc("stat")
        self._hertz = ticks_per_second or os.sysconf("SC_CLK_TCK")
        self._forward = OnlyForward(3 * self._hertz)

    def collect(self) -> Iterable[Family]:
        cpus, totals = parse(read(self._path))
        yield from self._seconds(self._forward(cpus))
        for field, column in _TOTALS.items():
            if field in totals:
                yield column.single(totals[field])

    def _seconds(self, cpus: dict[str, Ticks]) -> Iterator[Family]:
        hertz = self._hertz
        yield _SECONDS.family(
            (block_of(("cpu", cpu), ("mode", mode)), ticks[at] / hertz)
            for cpu, ticks in cpus.items()
            for at, mode in enumerate(MODES)
        )
        yield _GUEST_SECONDS.family(
            (block_of(("cpu", cpu), ("mode", mode)), ticks[at] / hertz)
            for cpu, ticks in cpus.items()
            for at, mode in _GUEST.items()
        )


class OnlyForward:
    """Ticks of CPUs that never go back: the kernel's idle and iowait sometimes do (proc(5)).

    reset: how many ticks back idle must go to count as a CPU that was unplugged and begins anew.
    """

    def __init__(self, reset: int) -> None:
        self._reset = reset
        self._last: dict[str, Ticks] = {}

    def __call__(self, cpus: dict[str, Ticks]) -> dict[str, Ticks]:
        self._last = {cpu: self._later(self._last.get(cpu), ticks) for cpu, ticks in cpus.items()}
        return self._last

    def _later(self, before: Ticks | None, now: Ticks) -> Ticks:
        if before is None or before[_IDLE] - now[_IDLE] >= self._reset:
            return now
        return list(map(max, before, now))


def parse(raw: bytes) -> tuple[dict[str, Ticks], dict[bytes, int]]:
    """Ticks of each CPU in ten modes (the last two are time in guests), and the counts by name."""
    cpus: dict[str, Ticks] = {}
    totals: dict[bytes, int] = {}
    for line in raw.splitlines():
        name, _, rest = line.partition(b" ")
        if name in _TOTALS:
            totals[name] = int(rest.split(b" ", 1)[0])
        elif name[:3] == b"cpu" and name != b"cpu":
            ticks = [int(field) for field in rest.split()[:10]]
            cpus[name[3:].decode()] = ticks + [0] * (10 - len(ticks))
    return cpus, totals
