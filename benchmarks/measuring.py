"""What processes use: CPU seconds (user and system, of all their threads), and memory, from /proc."""

import socket
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path

_OF_PROCESS = 2
"""CPUCLOCK_SCHED of Linux's <posix-timers.h>: the clock that clock_getcpuclockid(3) tells of a process."""


def cpu(pid: int) -> float:
    """CPU seconds of a process so far, user and system; 0 for one that is gone.

    By its own clock, which counts nanoseconds: /proc/PID/stat counts hundredths of a second, and one of those more or
    less is a tenth of what an idle program may take in ten seconds.
    """
    try:
        return time.clock_gettime(~pid << 3 | _OF_PROCESS)
    except OSError:
        return 0.0


def cpu_of(pids: Iterable[int]) -> float:
    return sum(map(cpu, pids))


def memory(pid: int, what: str = "VmRSS") -> float:
    """MB that a process holds now (VmRSS), or held at most (VmHWM)."""
    return int(Path(f"/proc/{pid}/status").read_text().split(f"{what}:")[1].split()[0]) / 1024


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def engine_processes(url: str) -> list[int]:
    """The engine that listens on a unix socket, and its containerd; shims are the containers' own."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(url.removeprefix("unix://"))
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    engine = int(struct.unpack("3i", credentials)[0])
    if name_of(engine) != "dockerd":  # systemd made the socket
        engine = int(Path("/var/run/docker.pid").read_text())
    every = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    helpers = [pid for pid in every if name_of(pid) == "containerd"]
    own = [pid for pid in helpers if parent_of(pid) == engine]
    return [engine, *(own or [pid for pid in helpers if parent_of(pid) == 1])]


class Spent:
    """CPU seconds and wall time that pass from here on."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = list(pids)
        self._cpu = cpu_of(self._pids)
        self._start = time.perf_counter()

    @property
    def cpu(self) -> float:
        return cpu_of(self._pids) - self._cpu

    @property
    def wall(self) -> float:
        return time.perf_counter() - self._start


def wait_for(condition: Callable[[], object], seconds: float, what: str, every: float = 0.1) -> None:
    """Until `condition`; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(every)


def settle(pids: Iterable[int], quiet: float = 0.05, seconds: float = 60) -> None:
    """Until these processes use less than `quiet` of a core: what is left of earlier work is not the next one's."""
    watched = list(pids)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        spent = Spent(watched)
        time.sleep(1)
        if spent.cpu / spent.wall < quiet:
            return


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered) + 0.5) - 1))]
