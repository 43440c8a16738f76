"""A container's cgroup, version 1: a folder in each controller's hierarchy.

Files: Documentation/admin-guide/cgroup-v1/{cpuacct,memory,pids,blkio-controller}.rst and scheduler/sched-bwc.rst of the
kernel. Values as cAdvisor takes them.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from exporters.containers.files import File, Holder
from exporters.containers.readings import Fields, Reading, less, limit
from exporters.containers.table import Value, scaled

TICKS = len(str(os.sysconf("SC_CLK_TCK"))) - 1
"""Decimal places of cpuacct.stat, which counts in USER_HZ (100)."""

_CPU = Fields(b"user", b"system")
_THROTTLING = Fields(b"nr_periods", b"nr_throttled", b"throttled_time")
_MEMORY = Fields(b"total_inactive_file", b"total_rss", b"total_cache", b"total_mapped_file", b"total_swap",
                 b"pgfault", b"pgmajfault")  # fmt: skip
_OOM = Fields(b"oom_kill")
_NO_THROTTLING = (None, None, None)


class GroupV1:
    """Reader of the group at `path` below each of `roots`."""

    def __init__(self, roots: Mapping[str, Path], path: str, holder: Holder) -> None:
        folders = {name: f"{root}/{path}".rstrip("/") for name, root in roots.items()}
        self._files: list[File] = []

        def file(controller: str, *names: str) -> File | None:
            """The first of `names` that is there."""
            paths = [f"{folders[controller]}/{name}" for name in names] if controller in folders else []
            found = next((File(path, holder) for path in paths if Path(path).exists()), None)
            self._files += [found] if found else []
            return found

        self._usage = file("cpuacct", "cpuacct.usage")
        self._stat = file("cpuacct", "cpuacct.stat")
        self._memory = file("memory", "memory.usage_in_bytes")
        self._memory_most = file("memory", "memory.max_usage_in_bytes")
        self._memory_stat = file("memory", "memory.stat")
        self._oom = file("memory", "memory.oom_control")
        self._bytes = file("blkio", "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes")
        self._operations = file("blkio", "blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced")
        self._threads = file("pids", "pids.current")
        self._processes = file("pids" if "pids" in folders else "cpuacct", "cgroup.procs")
        self.spec = self._limits(folders)
        self._throttling = file("cpu", "cpu.stat") if self.spec[1] is not None else None
        self._failures = file("memory", "memory.failcnt") if self.spec[3] not in (None, b"0") else None

    def read(self) -> Reading:
        user, system = _CPU(_read(self._stat))
        inactive, rss, cache, mapped, swap, faults, major = _MEMORY(_read(self._memory_stat))
        used = _read(self._memory).rstrip()
        pids = _read(self._processes).split()
        (oom,) = _OOM(_read(self._oom))
        values: list[Value] = [
            scaled(_read(self._usage).rstrip(), 9) if self._usage else None,
            user and scaled(user, TICKS), system and scaled(system, TICKS), *self._throttled(),
            used or None, less(used, inactive) if used else None, rss, cache, mapped, swap,
            _read(self._memory_most).rstrip() or None, _read(self._failures).rstrip() or b"0", faults, major,
            _read(self._threads).rstrip() or None, b"%d" % len(pids) if self._processes else None,
        ]  # fmt: skip
        return Reading(values, self._io(), int(oom or 0), pids)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _throttled(self) -> Sequence[Value]:
        if self._throttling is None:
            return _NO_THROTTLING
        periods, throttled, time = _THROTTLING(self._throttling.read())
        return periods, throttled, time and scaled(time, 9)

    def _io(self) -> list[tuple[bytes, Sequence[Value]]]:
        sizes, counts = _devices(_read(self._bytes)), _devices(_read(self._operations))
        return [(device, (*sizes.get(device, _NONE), *counts.get(device, _NONE))) for device in {**sizes, **counts}]

    def _limits(self, folders: Mapping[str, str]) -> list[Value]:
        cpu, memory = folders.get("cpu"), folders.get("memory")
        quota = _once(cpu, "cpu.cfs_quota_us")
        limited = quota is not None and quota.isdigit()
        return [
            _once(cpu, "cpu.shares"),
            quota if limited else None,
            _once(cpu, "cpu.cfs_period_us"),
            *(
                found and limit(found)
                for found in (
                    _once(memory, "memory.limit_in_bytes"),
                    _once(memory, "memory.memsw.limit_in_bytes"),
                    _once(memory, "memory.soft_limit_in_bytes"),
                    _once(folders.get("pids"), "pids.max"),
                )
            ),
        ]


_NONE = (b"0", b"0")


def _read(file: File | None) -> bytes:
    return file.read() if file else b""


def _once(folder: str | None, name: str) -> Value:
    with suppress(OSError):
        return Path(folder, name).read_bytes().strip() if folder else None
    return None


def _devices(data: bytes) -> dict[bytes, tuple[bytes, bytes]]:
    """Read and Write by device, from lines `8:0 Read 4096`; a group without any has only `Total 0`."""
    if len(data) < 12:
        return {}
    found: dict[bytes, list[bytes]] = {}
    for line in data.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in (b"Read", b"Write"):
            found.setdefault(words[0], [b"0", b"0"])[words[1] == b"Write"] = words[2]
    return {device: (read, written) for device, (read, written) in found.items()}
