"""The host that is measured, as it is seen from this process, and how its files are read."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from towline.errors import TowlineError

T = TypeVar("T")

# Defaults of node_exporter 1.9 (collector/diskstats_linux.go, collector/filesystem_linux.go).
IGNORED_DISKS = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$"
IGNORED_MOUNTS = r"^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"
IGNORED_FILESYSTEMS = (
    r"^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|erofs|fusectl|hugetlbfs|iso9660|mqueue|nsfs"
    r"|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$"
)
# The host's ends of Docker's containers: a hundred containers would add 4000 series of what container_network_* tells.
IGNORED_INTERFACES = r"^veth[0-9a-f]{7}$"


class HostUnreadable(TowlineError):
    """A file that every Linux host has can't be read: its /proc, /sys or / is not mounted where we look."""


@dataclass(frozen=True, slots=True)
class Host:
    """Where this process sees the host, and what of it is left out.

    procfs, sysfs, rootfs: the host's /proc, /sys and /, for example /host/proc where they are mounted into a container.
    textfiles: folders (globs allowed) of `*.prom` files. nodename: the host's name, where this process has another.
    ignored_*: regular expressions. statfs_timeout: seconds that all mounts together may take in a scrape.
    """

    procfs: str = "/proc"
    sysfs: str = "/sys"
    rootfs: str = "/"
    textfiles: tuple[str, ...] = ()
    nodename: str | None = None
    version: str = ""
    ignored_disks: str = IGNORED_DISKS
    ignored_mounts: str = IGNORED_MOUNTS
    ignored_filesystems: str = IGNORED_FILESYSTEMS
    ignored_interfaces: str = IGNORED_INTERFACES
    statfs_timeout: float = 2.0

    def proc(self, path: str) -> str:
        return f"{self.procfs}/{path}"

    def sys(self, path: str) -> str:
        return f"{self.sysfs}/{path}"

    def root(self, path: str) -> str:
        return f"{self.rootfs.rstrip('/')}{path}"

    def net(self, path: str) -> str:
        """A file of /proc/net in the host's network namespace, which is that of process 1, not ours.

        Where process 1 is hidden (mount option hidepid) it is ours.
        """
        of_host = self.proc(f"1/net/{path}")
        return of_host if os.access(self.proc("1/net/dev"), os.R_OK) else self.proc(f"net/{path}")


def read(path: str) -> bytes:
    """The whole of a file that every host has.

    Raises HostUnreadable.
    """
    try:
        return _whole(path)
    except OSError as error:
        raise HostUnreadable(f"can't read {path} ({error.strerror}); is the host's folder mounted there?") from error


def read_if_there(path: str) -> bytes | None:
    """The whole of a file that only some kernels have; None where this one has not.

    Raises HostUnreadable if it is there and can't be read.
    """
    try:
        return _whole(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HostUnreadable(f"can't read {path} ({error.strerror})") from error


def read_value(path: str) -> str | None:
    """One value of sysfs without its newline; None if it can't be had now.

    Drivers answer reads with all kinds of errors (EINVAL for the speed of a link that is down, EAGAIN, EIO), and none
    of them is more than "no value".
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return os.read(descriptor, 4096).strip(b"\n\0 ").decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_number(path: str, base: int = 10) -> int | None:
    """One whole number of sysfs; None if it can't be had now. base as of `int`: 0 also reads 0x1f."""
    value = read_value(path)
    try:
        return None if value is None else int(value, base)
    except ValueError:
        return None


def folders(path: str) -> list[str]:
    """Names in a folder of sysfs, sorted; empty where the kernel has none such."""
    try:
        return sorted(os.listdir(path))  # noqa: PTH208  # names are wanted, of hundreds of files
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise HostUnreadable(f"can't list {path} ({error.strerror})") from error


def _whole(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)
    finally:
        os.close(descriptor)


class Seldom(Generic[T]):
    """Something that hardly ever changes: read again only when the last reading is older than `seconds`."""

    def __init__(
        self, read: Callable[[], T], seconds: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._known: tuple[float, T] | None = None

    def __call__(self) -> T:
        now = self._clock()
        if self._known is None or now - self._known[0] >= self._seconds:
            self._known = (now, self._read())
        return self._known[1]
