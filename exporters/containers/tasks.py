"""In which state a container's processes are: the state field of /proc/<pid>/stat, proc_pid_stat(5).

cAdvisor counts threads there, and only where it was started with its load reader: else it shows zeros.
"""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

STATES = ("sleeping", "running", "stopped", "uninterruptible")
MOST = 64
"""Processes of one container that are looked at; one with more shows no states."""

_PLACES = {b"S": 0, b"I": 0, b"R": 1, b"T": 2, b"t": 2, b"D": 3}


def states(procfs: Path, pids: Sequence[bytes]) -> list[bytes]:
    """How many processes are in each of STATES; [] where that can't be told."""
    if len(pids) > MOST:
        return []
    counts = [0, 0, 0, 0]
    seen = False
    for pid in pids:
        state = _state(f"{procfs}/{pid.decode()}/stat")
        seen = seen or bool(state)
        if state in _PLACES:
            counts[_PLACES[state]] += 1
    return [b"%d" % count for count in counts] if seen else []


def below(procfs: Path, pid: int) -> list[bytes]:
    """This process and those that descend from it, as the host numbers them; MOST + 1 of them at most, [] where it is
    gone. What `docker exec` runs descends from none of the container's. Needs CONFIG_PROC_CHILDREN, which all have."""
    found: list[bytes] = []
    waiting = [b"%d" % pid] if pid and Path(procfs, str(pid)).exists() else []
    while waiting and len(found) <= MOST:
        found.append(waiting.pop())
        waiting += _children(f"{procfs}/{found[-1].decode()}/task")
    return found


def _children(folder: str) -> list[bytes]:
    try:
        with os.scandir(folder) as threads:
            paths = [thread.path for thread in itertools.islice(threads, MOST)]
    except OSError:
        return []
    return [child for path in paths for child in _text(f"{path}/children").split()]


def _state(path: str) -> bytes:
    data = _text(path)
    place = data.rfind(b") ")
    return data[place + 2 : place + 3] if place > 0 else b""


def _text(path: str) -> bytes:
    """The start of a file; b"" where its process has ended meanwhile."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
    finally:
        os.close(fd)
