"""In which state a container's processes are: the state field of /proc/<pid>/stat, proc_pid_stat(5).

cAdvisor counts threads there, and only where it was started with its load reader: else it shows zeros.
"""

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


def _state(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        data = os.read(fd, 512)
    except OSError:
        return b""  # it has ended meanwhile
    finally:
        os.close(fd)
    place = data.rfind(b") ")
    return data[place + 2 : place + 3] if place > 0 else b""
