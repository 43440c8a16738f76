"""Run as process 1 of its own mount namespace: mounts a FUSE filesystem that nobody serves, and scrapes.

statfs(2) on it waits in the kernel for an answer that never comes; closing the device ends the wait with an error.
"""

import ctypes
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from exporters.node import Host
from exporters.node.filesystem import FileSystem
from exporters.node.statfs import StatFs


def mount_dead(point: str) -> int:
    """The descriptor that keeps it alive."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"dead", point.encode(), b"fuse.dead", 0, options) != 0:
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    return device


def errors(collector: FileSystem, point: str) -> str:
    (family,) = (found for found in collector.collect() if found.name == "node_filesystem_device_error")
    lines = family.body.decode().splitlines()
    dead = next(line for line in lines if f'mountpoint="{point}"' in line).rpartition(" ")[2]
    other = next(line for line in lines if 'mountpoint="/"' in line).rpartition(" ")[2]
    return f"{dead} other {other}"


def unanswered() -> int:
    return sum(thread.name == "statfs" for thread in threading.enumerate()) - 1  # one of them is free


def main() -> None:
    point = tempfile.mkdtemp(prefix="towline-dead-")
    device = mount_dead(point)
    collector = FileSystem(Host(ignored_mounts="^/(dev|proc|sys)($|/)"), StatFs(timeout=5.0, patience=0.05))
    print("dead", errors(collector, point))
    print("dead", errors(collector, point))
    deadline = time.monotonic() + 60  # a thread that had a slow answer on a busy machine ends a moment later
    while unanswered() > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    print("unanswered calls", unanswered())
    os.close(device)
    while unanswered():
        time.sleep(0.01)
    print("dead again", errors(collector, point))  # the call returned, with an error: not connected
    ctypes.CDLL(None).umount(point.encode())
    Path(point).rmdir()
    sys.stdout.flush()
    os._exit(0)


main()
