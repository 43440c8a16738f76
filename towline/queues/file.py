"""`file:///path`: lines leave Towline into a file, one JSON document a line (documents.py), appended.

A batch is confirmed after `fdatasync`: it survives a power cut. One write and one fdatasync serve all that waits, at
most five times a second while little does.

The file may be moved at any time (logrotate with `create` or `nocreate`): before each write its name is looked up, and
where it leads elsewhere or nowhere the file is made anew. What was on its way at that instant goes to the old file, so
let logrotate wait with `delaycompress`. `copytruncate` works, and loses what is written while it copies, as always.

What the disk refuses is cut off again, so no half document stays, and is written again once there is room. After a kill
the last lines may come again: those that the end of the file holds already (by `event.id`, in its last 32 MiB) are
left out and counted as duplicates, so that each is there once; a line torn by the kill is cut off. Only what a rotation
has moved away between the kill and the next start is written twice.
"""

import contextlib
import fcntl
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from towline import metrics
from towline.batch import Batch, Section
from towline.errors import QueueUnavailable, UsageError
from towline.queues.documents import named
from towline.queues.file_end import IDENTITY, identities, mend
from towline.queues.outgoing import Outgoing

REST = 0.2
"""Seconds between two writes while little waits: each costs an fdatasync."""
REPEATS = 300.0
"""Seconds after the start in which a line may be a repeat of what an earlier process wrote."""
MODE = 0o640


def parse(url: str) -> Path:
    """The path of a file URL; raises UsageError where it is none, or no file can be there."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc or parts.query or parts.fragment or not path.name or not path.is_absolute():
        raise UsageError(f"queue URL {url!r}: write file:///absolute/path (and ? # % in it as %3F %23 %25)")
    try:
        problem = _problem(path)
    except OSError as error:
        problem = f"{(error.strerror or str(error)).lower()}; change its rights, or name another"
    if problem:
        raise UsageError(f"queue URL {url!r}: {problem}")
    return path


def _problem(path: Path) -> str:
    """Why no file of ours can be there, "" where one can."""
    if not path.parent.is_dir():
        return f"{path.parent} is no folder; make it, or name another"
    if path.exists() and not path.is_file():
        return f"{path} is no regular file; name one, or stdout://"
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return f"{path} can't be written; change its rights, or name another"
    return ""


class FileSink:
    """Owns the file while it is open: a second process on the same file is refused (`flock`)."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._descriptor = -1
        self._known: set[bytes] | None = None
        """Identities that an earlier process wrote; None before the file was opened for the first time."""
        self._forget_at = 0.0

    def put(self, batches: Sequence[Batch]) -> None:
        try:
            self._ready()
            repeated: Counter[str] = Counter()
            self._append(b"".join(self._fresh(section, repeated) for batch in batches for section in batch.sections))
        except OSError as error:
            raise QueueUnavailable(f"{self._path}: {_reason(error)}") from error
        for service, lines in repeated.items():
            metrics.of(metrics.LINES_DUPLICATE, service).inc(lines)

    def abort(self) -> None:
        """A write is over soon, or nothing helps."""

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _ready(self) -> None:
        """Have the file open that has our name now."""
        if self._descriptor >= 0 and not self._moved():
            return
        self.close()
        self._descriptor = _opened(self._path)
        mend(self._descriptor, self._path)
        if self._known is None:
            os.fdatasync(self._descriptor)  # what is found there counts as safe
            self._known = identities(self._path)
            self._forget_at = self._clock() + REPEATS

    def _moved(self) -> bool:
        ours = os.fstat(self._descriptor)
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)

    def _append(self, body: bytes) -> None:
        if not body:
            return
        start = os.fstat(self._descriptor).st_size
        try:
            rest = memoryview(body)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
        except OSError:
            self._take_back(start)
            raise

    def _take_back(self, start: int) -> None:
        """Leave no half document behind; where that fails as well it is mended when the file is opened again."""
        with contextlib.suppress(OSError):
            if os.fstat(self._descriptor).st_size > start:
                os.ftruncate(self._descriptor, start)
                return
        self.close()

    def _fresh(self, section: Section, repeated: Counter[str]) -> bytes:
        """The section's documents without those that an earlier process wrote, which are counted by service."""
        docs = named(section)
        if self._known and self._clock() > self._forget_at:
            self._known = set()
        if self._known and not self._known.isdisjoint(IDENTITY.findall(docs)):
            lines = docs.splitlines(keepends=True)
            kept = [line for line in lines if not self._is_known(line)]
            repeated[section.origin.service] += len(lines) - len(kept)
            docs = b"".join(kept)
        return section.origin.expand(docs)

    def _is_known(self, line: bytes) -> bool:
        found = IDENTITY.search(line)
        return bool(found and self._known and found[1] in self._known)


def _opened(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, MODE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is no regular file any more; remove what is in its place")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sync_folder(path.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _sync_folder(folder: Path) -> None:
    """So that a file just made is found after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    if isinstance(error, BlockingIOError):
        return "another process writes there; give each its own file"
    return (error.strerror or str(error)).lower()


def outlet(url: str, max_bytes: int) -> Outgoing:
    """Raises UsageError for a URL that can't be used."""
    return Outgoing(FileSink(parse(url)), max_bytes, rest=REST)
