"""What an earlier process left at the end of a file of documents: perhaps a torn line, and lines that come again."""

import logging
import os
import re
from pathlib import Path

log = logging.getLogger(__name__)

TAIL = 32 << 20
"""Bytes at the end of the file in which repeated lines are looked for."""
BLOCK = 64 << 10
IDENTITY = re.compile(rb'"event":\{"sequence":\d+,"id":"([^"\\]+)"')
_OURS = b'{"@timestamp":"'


def mend(descriptor: int, path: Path) -> None:
    """Cut off a document of ours that a kill or a full disk has torn; end the torn line of somebody else's.

    `descriptor` is open for reading and appending.
    """
    size = os.fstat(descriptor).st_size
    start = _last_line(descriptor, size)
    if start == size:
        return
    if _OURS.startswith(os.pread(descriptor, len(_OURS), start)[: size - start]):
        log.warning("%s ended in the middle of a line; cut off, it comes again", path)
        os.ftruncate(descriptor, start)
    else:
        os.write(descriptor, b"\n")


def _last_line(descriptor: int, size: int) -> int:
    """Where the line begins that no newline ends; `size` where all are ended."""
    end = size
    while end > 0:
        block = os.pread(descriptor, min(BLOCK, end), max(0, end - BLOCK))
        at = block.rfind(b"\n")
        if at >= 0:
            return max(0, end - BLOCK) + at + 1
        end -= len(block)
        if not block:
            return size
    return 0


def identities(path: Path, tail: int = TAIL) -> set[bytes]:
    """The `event.id` of each document in the last `tail` bytes."""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - tail))
        return {found[1] for line in file if (found := IDENTITY.search(line))}
