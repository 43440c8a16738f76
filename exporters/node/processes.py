"""How many processes and threads there are, and what they do: /proc/<pid>/stat of each.

Not read unless asked for: a thousand processes cost some ten milliseconds of CPU at each scrape.
"""

import os
from collections import Counter
from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column, block_of
from exporters.node.host import Host, folders, read

_THREADS = Column("node_processes_threads", "gauge", "Allocated threads in system")
_MAX_THREADS = Column("node_processes_max_threads", "gauge", "Limit of threads in the system")
_STATE = Column("node_processes_state", "gauge", "Number of processes in each state.")
_PIDS = Column("node_processes_pids", "gauge", "Number of PIDs")
_MAX_PROCESSES = Column("node_processes_max_processes", "gauge", "Number of max PIDs limit")
_NUM_THREADS = 17  # of the fields after the name, proc(5)


class Processes:
    name = "processes"

    def __init__(self, host: Host) -> None:
        self._host = host

    def collect(self) -> Iterable[Family]:
        found = [parse(raw) for raw in self._stats()]
        states = Counter(state for state, _ in found)
        return [
            _THREADS.single(sum(threads for _, threads in found)),
            _MAX_THREADS.single(int(read(self._host.proc("sys/kernel/threads-max")))),
            _STATE.family((block_of(("state", state)), count) for state, count in states.items()),
            _PIDS.single(len(found)),
            _MAX_PROCESSES.single(int(read(self._host.proc("sys/kernel/pid_max")))),
        ]

    def _stats(self) -> Iterable[bytes]:
        for name in folders(self._host.procfs):
            if name.isdigit() and (raw := _of_process(self._host.proc(f"{name}/stat"))):
                yield raw


def _of_process(path: str) -> bytes | None:
    """None for a process that ended meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def parse(raw: bytes) -> tuple[str, int]:
    """State and number of threads. The name may hold anything: fields begin behind its last parenthesis."""
    fields = raw.rpartition(b") ")[2].split()
    return fields[0].decode(), int(fields[_NUM_THREADS])
