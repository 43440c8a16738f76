"""What the C library does with freed memory: keep some of it, since batches come and go all the time.

glibc gives large blocks back to the kernel and takes them anew, each page of them with a fault: a seventh of what a
line costs the indexer (benchmarks/indexer.py). The shipper, whose blocks are small, gains nothing.
"""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""
KEPT = 32 << 20
LARGEST = 8 << 20


def reuse() -> None:
    """Keep up to KEPT bytes of freed memory, and take blocks of up to LARGEST bytes from it. Once, at the start.

    Does nothing where the C library has no such settings (musl).
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_TRIM_THRESHOLD, KEPT)
        libc.mallopt(_MMAP_THRESHOLD, LARGEST)
