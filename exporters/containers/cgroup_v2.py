"""A container's cgroup, version 2: one folder.

Files: Documentation/admin-guide/cgroup-v2.rst of the kernel. Shares: as cAdvisor has them, the inverse of what runc
made a weight of before 1.3.2; since then 1024 shares are a weight of 100, which is shown as 2597
(https://github.com/google/cadvisor/issues/3737). Reservation: memory.low, which runc sets; cAdvisor reads memory.min.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from exporters.containers.files import File, Holder
from exporters.containers.readings import Fields, Reading, less, limit
from exporters.containers.table import Value, scaled

_CPU = Fields(b"usage_usec", b"user_usec", b"system_usec", b"nr_periods", b"nr_throttled", b"throttled_usec")
_MEMORY = Fields(b"inactive_file", b"anon", b"file", b"file_mapped", b"pgfault", b"pgmajfault")
_EVENTS = Fields(b"max", b"oom_kill")


class GroupV2:
    """Reader of the group at `path` below the only one of `roots`."""

    def __init__(self, roots: Mapping[str, Path], path: str, holder: Holder) -> None:
        folder = f"{roots['']}/{path}".rstrip("/")
        self._files: list[File] = []

        def file(name: str) -> File | None:
            """None where the kernel has no such file, or the controller is off."""
            found = File(f"{folder}/{name}", holder) if Path(folder, name).exists() else None
            self._files += [found] if found else []
            return found

        self._cpu = file("cpu.stat")
        self._memory = file("memory.current")
        self._memory_most = file("memory.peak")  # Linux 5.19
        self._memory_stat = file("memory.stat")
        self._swap = file("memory.swap.current")
        self._events = file("memory.events")
        self._io_stat = file("io.stat")
        self._threads = file("pids.current")
        self._processes = file("cgroup.procs")
        self.spec = _limits(folder)
        self._limited = self.spec[1] is not None

    def read(self) -> Reading:
        usage, user, system, *throttling = _CPU(_read(self._cpu))
        inactive, rss, cache, mapped, faults, major = _MEMORY(_read(self._memory_stat))
        failures, oom = _EVENTS(_read(self._events))
        used = _read(self._memory).rstrip()
        pids = self._pids()
        values: list[Value] = [
            usage and scaled(usage, 6), user and scaled(user, 6), system and scaled(system, 6),
            *self._throttled(throttling),
            used or None, less(used, inactive) if used else None, rss, cache, mapped,
            _read(self._swap).rstrip() or None, _read(self._memory_most).rstrip() or None, failures, faults, major,
            _read(self._threads).rstrip() or None, b"%d" % len(pids) if pids is not None else None,
        ]  # fmt: skip
        return Reading(values, _devices(_read(self._io_stat)), int(oom or 0), pids or ())

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _throttled(self, found: Sequence[Value]) -> Sequence[Value]:
        if not self._limited:
            return (None, None, None)
        periods, throttled, time = found
        return periods, throttled, time and scaled(time, 6)

    def _pids(self) -> list[bytes] | None:
        """None where there are none to be had: a threaded group refuses."""
        if self._processes is None:
            return None
        try:
            return self._processes.read().split()
        except OSError:
            return None


def _read(file: File | None) -> bytes:
    return file.read() if file else b""


def _once(folder: str, name: str) -> Value:
    with suppress(OSError):
        return Path(folder, name).read_bytes().strip()
    return None


def _limits(folder: str) -> list[Value]:
    quota, period = [*(_once(folder, "cpu.max") or b"").split(), b"", b""][:2]
    weight = _once(folder, "cpu.weight")
    limits = (_once(folder, f"{name}") for name in ("memory.max", "memory.swap.max", "memory.low", "pids.max"))
    return [
        b"%d" % (2 + (int(weight) - 1) * 262142 // 9999) if weight else None,
        quota if quota.isdigit() else None,
        period or None,
        *(found and limit(found) for found in limits),
    ]


def _devices(data: bytes) -> list[tuple[bytes, Sequence[Value]]]:
    """From lines `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`; a device without any may have no fields."""
    found: list[tuple[bytes, Sequence[Value]]] = []
    for line in data.splitlines():
        device, *words = line.split()
        fields = dict(word.split(b"=", 1) for word in words if b"=" in word)
        if fields:
            found.append((device, [fields.get(name, b"0") for name in (b"rbytes", b"wbytes", b"rios", b"wios")]))
    return found
