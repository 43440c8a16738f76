"""What the C library does with freed memory.

glibc gives large blocks back to the kernel and takes them anew, each page of them with a fault: a seventh of what a
line costs the indexer (benchmarks/indexer.py). The shipper, whose blocks are small, gains nothing.

It also keeps a heap for each thread, and none uses what another has freed: where any of a server's threads answers,
each heap grows to the size of the largest answer (benchmarks/exporter.py: 88 MB instead of 58 with 500 containers).
"""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Names of glibc's malloc.h."""
KEPT = 32 << 20
LARGEST = 8 << 20


def reuse() -> None:
    """Keep up to KEPT bytes of freed memory, and take blocks of up to LARGEST bytes from it. Once, at the start.

    Does nothing where the C library has no such settings (musl).
    """
    _set(_TRIM_THRESHOLD, KEPT)
    _set(_MMAP_THRESHOLD, LARGEST)


def share() -> None:
    """One heap for all threads: they hardly ever want memory at the same time, since most of it is asked for under the
    interpreter's lock. Once, before there are threads. Does nothing where the C library has no such setting (musl).
    """
    _set(_ARENA_MAX, 1)


def _set(name: int, value: int) -> None:
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(name, value)
