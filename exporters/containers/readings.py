"""What one look at a container's cgroup yields, the same for both versions."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from exporters.containers.table import Column, Value

TOTAL = ',cpu="total"'
CONTAINER_SCOPE = ',scope="container",failure_type='

COLUMNS = (
    Column("container_cpu_usage_seconds_total", "counter", "CPU time used.", TOTAL),
    Column("container_cpu_user_seconds_total", "counter", "CPU time used in user mode."),
    Column("container_cpu_system_seconds_total", "counter", "CPU time used in the kernel."),
    Column("container_cpu_cfs_periods_total", "counter", "Enforcement periods of the CPU quota that have passed."),
    Column("container_cpu_cfs_throttled_periods_total", "counter", "Periods in which the CPU quota was used up."),
    Column("container_cpu_cfs_throttled_seconds_total", "counter", "Time for which the CPU quota held it back."),
    Column("container_memory_usage_bytes", "gauge", "Memory in use, with the page cache."),
    Column("container_memory_working_set_bytes", "gauge", "Memory in use, without page cache that can go at once."),
    Column("container_memory_rss", "gauge", "Anonymous memory and swap cache, bytes."),
    Column("container_memory_cache", "gauge", "Page cache, bytes."),
    Column("container_memory_mapped_file", "gauge", "Files mapped into memory, bytes."),
    Column("container_memory_swap", "gauge", "Swap in use, bytes."),
    Column("container_memory_max_usage_bytes", "gauge", "Most memory that was in use at one time."),
    Column("container_memory_failcnt", "untyped", "Times that memory use hit the limit."),
    Column("container_memory_failures_total", "counter", "Page faults.", CONTAINER_SCOPE + '"pgfault"'),
    Column("container_memory_failures_total", "counter", "Page faults.", CONTAINER_SCOPE + '"pgmajfault"'),
    Column("container_threads", "gauge", "Threads in the container."),
    Column("container_processes", "gauge", "Processes in the container."),
)
SPEC = (
    Column("container_spec_cpu_shares", "gauge", "CPU shares: its weight against other containers."),
    Column("container_spec_cpu_quota", "gauge", "CPU time that it may use in one period, microseconds."),
    Column("container_spec_cpu_period", "gauge", "Length of that period, microseconds."),
    Column("container_spec_memory_limit_bytes", "gauge", "Memory limit; 0: none."),
    Column(
        "container_spec_memory_swap_limit_bytes", "gauge", "Limit of memory and swap (version 2: of swap); 0: none."
    ),
    Column("container_spec_memory_reservation_limit_bytes", "gauge", "Memory reservation; 0: none."),
    Column("container_threads_max", "gauge", "Most threads that the container may have; 0: no limit."),
)
IO = (
    Column("container_fs_reads_bytes_total", "counter", "Bytes read from a device."),
    Column("container_fs_writes_bytes_total", "counter", "Bytes written to a device."),
    Column("container_fs_reads_total", "counter", "Reads from a device."),
    Column("container_fs_writes_total", "counter", "Writes to a device."),
)
UNLIMITED = 1 << 62
"""The kernel's ways of saying no limit are above that."""


class Reading(NamedTuple):
    """`values`: of COLUMNS. `io`: for each device (`major:minor`) the values of IO. `pids`: as in cgroup.procs, of the
    reader's own pid namespace."""

    values: Sequence[Value]
    io: Sequence[tuple[bytes, Sequence[Value]]]
    oom_kills: int
    pids: Sequence[bytes]


class Reader(Protocol):
    """Reads one cgroup again and again."""

    @property
    def spec(self) -> Sequence[Value]:
        """Of SPEC; read once, since limits change only by an `update` of the container."""

    def read(self) -> Reading:
        """Raises files.Gone where the group has ended, OSError where it can't be read."""

    def close(self) -> None: ...


class Fields:
    """Values by name in a file of `name value` lines, found by positions that are learned once.

    The kernel writes such a file in the same order every time; a changed number of fields is learned anew.
    """

    def __init__(self, *names: bytes) -> None:
        self._names = names
        self._length = -1
        self._places: list[int] = []

    def __call__(self, data: bytes) -> list[Value]:
        """The values of the names; None for one that the file has not."""
        words = data.split()
        if len(words) != self._length:
            places = {words[index]: index + 1 for index in range(0, len(words) - 1, 2)}
            self._places = [places.get(name, -1) for name in self._names]
            self._length = len(words)
        return [words[place] if place >= 0 else None for place in self._places]


def limit(text: bytes) -> bytes:
    """A limit as cAdvisor shows it: 0 for none (max, -1, or more than 2^62)."""
    digits = text.strip()
    return digits if digits.isdigit() and int(digits) <= UNLIMITED else b"0"


def less(usage: bytes, reclaimable: Value) -> bytes:
    """usage - reclaimable, not below 0."""
    return b"%d" % max(0, int(usage) - int(reclaimable or 0))
