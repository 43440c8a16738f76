"""Small counts that the kernel keeps under /proc/sys: file handles, entropy, hung tasks."""

from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column
from exporters.node.host import Host, read, read_if_there

_ALLOCATED = Column("node_filefd_allocated", "gauge", "File descriptor statistics: allocated.")
_MAXIMUM = Column("node_filefd_maximum", "gauge", "File descriptor statistics: maximum.")
_ENTROPY = Column("node_entropy_available_bits", "gauge", "Bits of available entropy.")
_POOL = Column("node_entropy_pool_size_bits", "gauge", "Bits of entropy pool.")
_HUNG_HELP = "Total number of tasks that have been detected as hung since the system booted."
_HUNG = Column("node_kernel_hung_tasks_total", "counter", _HUNG_HELP)
# The dashboard "Node Exporter Full" asks for it without the suffix.
_HUNG_SHORT = Column("node_kernel_hung_tasks", "untyped", _HUNG_HELP)


class FileHandles:
    name = "filefd"

    def __init__(self, host: Host) -> None:
        self._path = host.proc("sys/fs/file-nr")

    def collect(self) -> Iterable[Family]:
        allocated, _, maximum = read(self._path).split()
        return [_ALLOCATED.single(int(allocated)), _MAXIMUM.single(int(maximum))]


class Entropy:
    name = "entropy"

    def __init__(self, host: Host) -> None:
        self._available = host.proc("sys/kernel/random/entropy_avail")
        self._pool = host.proc("sys/kernel/random/poolsize")

    def collect(self) -> Iterable[Family]:
        return [_ENTROPY.single(int(read(self._available))), _POOL.single(int(read(self._pool)))]


class HungTasks:
    """Kernels since 6.15."""

    name = "kernel_hung"

    def __init__(self, host: Host) -> None:
        self._path = host.proc("sys/kernel/hung_task_detect_count")

    def collect(self) -> Iterable[Family]:
        raw = read_if_there(self._path)
        return [] if raw is None else [_HUNG.single(int(raw)), _HUNG_SHORT.single(int(raw))]
