"""The files of one json-file log: `X-json.log`, then `.1`, `.2` or `.2.gz`, … with growing age.

How Docker rotates (moby, daemon/logger/loggerutils/logfile.go): each file is renamed to the next number, the last one
is removed; with `compress`, `.1` is then copied to `.1.gz` and removed. With `max-file=1`, and when an operator empties
a log by hand, the file is cut in place. A file is recognised by its inode and by the checksum of its first entry, which
survives compression and tells a reused inode apart.
"""

import contextlib
import gzip
import os
import re
import zlib
from pathlib import Path

HEAD_BYTES = 512
TRIES = 20
"""A log that is rotated is still for milliseconds at least in between."""


class LogFile:
    """One open file of a log. Holding it keeps its bytes readable, whatever Docker does to its name."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where it can't be opened."""
        self._file: gzip.GzipFile | None = None
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.inode = os.fstat(self.fd).st_ino
        if path.suffix == ".gz":
            self._raw = os.fdopen(os.dup(self.fd), "rb")
            self._file = gzip.GzipFile(fileobj=self._raw)
        self._head = 0
        self.missing_before = ""
        """Why entries between the file that was read before and this one are gone."""

    @property
    def compressed(self) -> bool:
        return self._file is not None

    @property
    def head(self) -> int:
        """Checksum of the first entry (of its first 512 bytes); 0 while there is none."""
        self._head = self._head or self.head_now()
        return self._head

    def head_now(self) -> int:
        first = self.read(HEAD_BYTES, 0)
        entry, newline, _ = first.partition(b"\n")
        return zlib.crc32(entry) or 1 if newline or len(first) == HEAD_BYTES else 0

    def forget_head(self) -> None:
        """The file begins with another entry from now on."""
        self._head = 0

    def size(self) -> int:
        """Bytes on disk; for a compressed file that is not its length."""
        return os.fstat(self.fd).st_size

    def read(self, count: int, offset: int) -> bytes:
        """Up to `count` bytes from `offset`, b"" at the end. A damaged compressed file ends where the damage begins."""
        if self._file is None:
            return os.pread(self.fd, count, offset)
        with contextlib.suppress(EOFError, zlib.error, gzip.BadGzipFile):
            self._file.seek(offset)
            return self._file.read(count)
        return b""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._raw.close()
        os.close(self.fd)


def names(path: Path) -> list[Path]:
    """The log's files that exist, oldest first, the current one last. While `.1` is being compressed, `.1` counts."""
    numbered = re.compile(re.escape(path.name) + r"\.(\d{1,4})(\.gz)?")
    found: dict[int, Path] = {}
    with contextlib.suppress(OSError):
        for name in sorted((entry.name for entry in path.parent.iterdir()), reverse=True):
            match = numbered.fullmatch(name)
            if match:  # "x.1.gz" sorts behind "x.1", so the plain file wins
                found[int(match[1])] = path.parent / name
    older = [found[number] for number in sorted(found, reverse=True)]
    return [*older, path] if path.exists() else older


def open_all(path: Path) -> list[LogFile]:
    """Every file of the log, open, oldest first; none where the log is gone, or never still.

    A rotation while this looks would leave one out. It shows in names that came or went, or that stand for another file
    afterwards: then this looks again. Raises OSError where a file can't be opened.
    """
    for _ in range(TRIES):
        files: list[LogFile] = []
        try:
            found = names(path)
            for name in found:
                files.append(LogFile(name))
            if found[-1:] == [path] and found == names(path) and _inodes(found) == [file.inode for file in files]:
                return files
        except FileNotFoundError:
            pass
        close(files)
    return []


def _inodes(paths: list[Path]) -> list[int]:
    return [path.stat().st_ino for path in paths]


def close(files: list[LogFile]) -> None:
    for file in files:
        file.close()
