"""inotify(7) as far as a log reader needs it: three calls that Python's own library lacks.

inotify_simple was looked at: it looks for the C library by starting other programs, and asks the kernel three times
for each read.
"""

import ctypes
import os
import struct
from dataclasses import dataclass
from pathlib import Path

MODIFY, ATTRIB, CREATE, MOVE_SELF = 0x2, 0x4, 0x100, 0x800
OVERFLOW, IGNORED, ONLYDIR, ONESHOT = 0x4000, 0x8000, 0x1000000, 0x80000000
"""Of <sys/inotify.h>."""

_LOCAL = {
    0xEF53: "ext", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x2FC12FC1: "zfs", 0xF2F52010: "f2fs", 0x1021994: "tmpfs",
    0x794C7630: "overlay",
}  # fmt: skip
"""File systems of which all writes are made by this kernel, as statfs(2) numbers them."""
_STATFS_BYTES = 512
_HEAD = struct.Struct("iIII")
_READ = 64 << 10


@dataclass(frozen=True, slots=True)
class Event:
    """`watch` is -1 where the kernel had no room for more events (OVERFLOW): anything may have happened."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One inotify descriptor, which never waits. Not more than one thread may read its events.

    The constructor and `watch` raise OSError where the system's limits (fs.inotify.*) or its kind don't allow it.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
        self.fd = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))

    def watch(self, path: str | Path, mask: int) -> int:
        """Watch `path` from now on; its number, the same as before where it is watched already."""
        return self._checked(self._libc.inotify_add_watch(self.fd, os.fsencode(path), mask))

    def tells(self, fd: int) -> bool:
        """Whether every write to this open file is told: not where another machine writes, as on NFS or FUSE."""
        found = ctypes.create_string_buffer(_STATFS_BYTES)
        return self._libc.fstatfs(fd, found) == 0 and ctypes.c_uint.from_buffer(found).value in _LOCAL

    def forget(self, watch: int) -> None:
        """No longer watch that; one that is over by itself does no harm."""
        self._libc.inotify_rm_watch(self.fd, watch)

    def events(self) -> list[Event]:
        """Everything that has happened until now."""
        found: list[Event] = []
        while data := self._read():
            at = 0
            while at < len(data):
                watch, mask, _, size = _HEAD.unpack_from(data, at)
                at += _HEAD.size + size
                found.append(Event(watch, mask, os.fsdecode(data[at - size : at].rstrip(b"\0"))))
        return found

    def close(self) -> None:
        os.close(self.fd)

    def _read(self) -> bytes:
        try:
            return os.read(self.fd, _READ)
        except BlockingIOError:
            return b""

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result
