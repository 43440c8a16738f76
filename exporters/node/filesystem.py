"""Space and files of mounted filesystems: /proc/1/mounts and statfs(2).

Process 1's mounts are the host's. Where they can't be read (hidepid), this process's own stand in for them.
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exporters.exposition import Family
from exporters.node.columns import Column, block_of, families
from exporters.node.host import Host, HostUnreadable, read
from exporters.node.statfs import Answer, StatFs

log = logging.getLogger(__name__)

_COLUMNS = [
    Column("node_filesystem_size_bytes", "gauge", "Filesystem size in bytes."),
    Column("node_filesystem_free_bytes", "gauge", "Filesystem free space in bytes."),
    Column("node_filesystem_avail_bytes", "gauge", "Filesystem space available to non-root users in bytes."),
    Column("node_filesystem_files", "gauge", "Filesystem total file nodes."),
    Column("node_filesystem_files_free", "gauge", "Filesystem total free file nodes."),
]
_READONLY = Column("node_filesystem_readonly", "gauge", "Filesystem read-only status.")
_ERROR = Column(
    "node_filesystem_device_error",
    "gauge",
    "Whether an error occurred while getting statistics for the given device.",
)
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/<pid>/mounts, names decoded."""

    device: str
    point: str
    type: str
    readonly: bool


class FileSystem:
    name = "filesystem"

    def __init__(self, host: Host, statfs: StatFs | None = None) -> None:
        self._host = host
        self._statfs = statfs or StatFs(host.statfs_timeout)
        self._points = re.compile(host.ignored_mounts)
        self._types = re.compile(host.ignored_filesystems)
        self._told: set[str] = set()

    def collect(self) -> Iterable[Family]:
        mounts = {_block(mount): mount for mount in self._mounts()}
        paths = {block: self._host.root(mount.point) or "/" for block, mount in mounts.items()}
        answers = self._statfs(set(paths.values()))
        self._tell({path: answers.get(path) for path in paths.values()})
        found = [(block, answers.get(path)) for block, path in paths.items()]
        yield _READONLY.family((block, int(mount.readonly)) for block, mount in mounts.items())
        yield _ERROR.family((block, int(not isinstance(answer, os.statvfs_result))) for block, answer in found)
        yield from families(
            _COLUMNS, [(block, _sizes(size)) for block, size in found if isinstance(size, os.statvfs_result)]
        )

    def _mounts(self) -> Iterator[Mount]:
        for mount in parse(self._read(), self._host.rootfs):
            if not self._points.search(mount.point) and not self._types.search(mount.type):
                yield mount

    def _read(self) -> bytes:
        try:
            return read(self._host.proc("1/mounts"))
        except HostUnreadable:
            return read(self._host.proc("self/mounts"))

    def _tell(self, answers: dict[str, Answer | None]) -> None:
        """Logs each failing filesystem once, until it is back."""
        failing = {path: answer for path, answer in answers.items() if not isinstance(answer, os.statvfs_result)}
        for path in failing.keys() - self._told:
            log.warning("no sizes of the filesystem at %s: %s", path, failing[path] or "no answer in time")
        for path in self._told - failing.keys():
            log.info("the filesystem at %s answers again, or is gone", path)
        self._told = set(failing)


def parse(raw: bytes, rootfs: str = "/") -> Iterator[Mount]:
    """The mounts of /proc/<pid>/mounts (format: fstab(5)). rootfs: a prefix that mount points are told without."""
    prefix = rootfs.rstrip("/")
    for line in raw.decode("utf-8", "surrogateescape").splitlines():
        device, point, type, options = (_decoded(field) for field in line.split(" ")[:4])
        if prefix and (point == prefix or point.startswith(prefix + "/")):
            point = point.removeprefix(prefix) or "/"
        yield Mount(device, point, type, "ro" in options.split(","))


def _decoded(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)


def _block(mount: Mount) -> str:
    return block_of(("device", mount.device), ("fstype", mount.type), ("mountpoint", mount.point))


def _sizes(size: os.statvfs_result) -> list[int]:
    unit = size.f_frsize
    return [size.f_blocks * unit, size.f_bfree * unit, size.f_bavail * unit, size.f_files, size.f_ffree]
