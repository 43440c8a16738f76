"""The json-file log read in place: the cheap source, since the engine takes no part in it.

The source holds every file from its position to the current one open, so a rotation that comes while it lags removes
nothing that it still has to read. What was removed before it could be opened is reported as a gap.
"""

import logging
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

from shipper.entries import Entries, Place, Position
from shipper.json_entries import parse
from shipper.resume import Overlap, Runs
from shipper.sources import logfile
from shipper.sources.logfile import LogFile
from shipper.wake import Wake

log = logging.getLogger(__name__)

_LARGEST_ENTRY = 1 << 20
"""An entry holds 16 KiB of text, six bytes at most for each of its bytes; no entry end in this many is damage."""


class JsonFileSource:
    """See shipper.sources.Source. `path` need not exist yet, nor any more: `held` is its first file, opened before."""

    kind = "file"
    problem = ""
    rotates_at: int | None = None
    look_every = 0.2
    """Seconds between looks at the log's name while there is still something to read in the open files."""

    def __init__(
        self, path: Path, position: Position | None, *, running: bool, tty: bool = False, held: LogFile | None = None
    ) -> None:
        self.tty: bool | None = tty
        self._path = path
        self._runs = Runs(position)
        self._running = running
        self._files: deque[LogFile] = deque()
        self._offset = 0
        self._gap = ""
        self._overlap: Overlap | None = None
        self._looked = 0.0
        self._ahead = 0
        """Bytes of the one open file that are certainly still to be read; 0 where that is not known."""
        self._drained = False
        self.refused = ""
        self.eager = False
        self._open(held)

    def read(self, limit: int) -> Entries | None:
        """See Source.read."""
        if not self._files and not self._open():
            self._drained = True
            return None
        data = b"" if self._nothing_new() else self._next_block(limit)
        self.eager = 2 * len(data) > limit or bool(data and self._overlap)
        if not data:
            self._drained = True
            return None
        entries = self._parse(data)
        if self._overlap is not None and len(entries):
            return self._after_overlap(self._overlap, entries)
        return self._runs.follow(entries) if len(entries) else None

    def stopped(self) -> None:
        self._running = False
        self._drained = False

    def started(self) -> None:
        self._running = True

    def rest(self, wake: Wake[Any], key: Any) -> bool:
        """See Source.rest. First the watch, then the look: what is written in between is seen by one of them."""
        return len(self._files) == 1 and wake.file(self._files[0].fd, key) and self._nothing_new()

    def stirred(self) -> None: ...

    def fetch(self) -> None: ...

    @property
    def finished(self) -> bool:
        return not self._running and self._drained

    def rewind(self) -> bool:
        """See Source.rewind: what only an open file still holds is not let go of."""
        files = logfile.open_all(self._path)
        held = [file for file in self._files if _find(files, Place(file.inode, file.head, 0)) is None]
        logfile.close([file for file in self._files if file not in held])
        if files and held and held[-1] is self._files[-1]:
            files[0].missing_before = "rotated"
        self._files = deque([*held, *files])
        self._offset, self._gap, self._overlap, self._drained = 0, "", None, False
        self._runs = Runs()
        return True

    def close(self) -> None:
        logfile.close(list(self._files))
        self._files.clear()

    def _open(self, held: LogFile | None = None) -> bool:
        """Open the log's files from the position on; False where there are none yet."""
        try:
            files = _with(held, logfile.open_all(self._path))
        except PermissionError as error:
            self.refused = f"{self._path}: {error.strerror}"
            return False
        position = self._runs.position
        place = position.place if position else None
        start = _find(files, place) if place else 0
        if position and (place is None or start is None):
            self._overlap = Overlap(position)
        if place and start is not None:
            self._offset = place.offset
        for file in files[: start or 0]:
            file.close()
        self._files.extend(files[start or 0 :])
        return bool(files)

    def _nothing_new(self) -> bool:
        """Whether one look at the log's name settles it: it is the file that was read to its end. The usual path."""
        self._ahead = 0
        if len(self._files) > 1:
            return False
        try:
            status = os.stat(self._path)  # noqa: PTH116
        except OSError:
            return False
        if status.st_ino != self._files[0].inode:
            return False
        self._looked = time.monotonic()  # not rotated: the name need not be looked at once more for what is read now
        self._ahead = max(0, status.st_size - self._offset)
        return status.st_size == self._offset

    def _next_block(self, limit: int) -> bytes:
        """Whole entries from the oldest open file on; moves on to the next file where one ends; b"" at the very end."""
        self._look_for_rotation()
        limit = min(limit, self._ahead or limit)  # so that a line does not get the room of thousands
        while True:
            file = self._files[0]
            data = file.read(limit, self._offset)
            if self._cut_in_place(file, data):
                self._start_over(file)
                continue
            end = data.rfind(b"\n") + 1
            if end or len(data) >= _LARGEST_ENTRY:
                return data[:end] or data
            if len(data) == limit:
                limit = _LARGEST_ENTRY
            elif len(self._files) > 1:
                if data:  # torn when the engine died; nothing will be added to a rotated file
                    return data
                self._next_file()
            elif not self._look_for_rotation(now=True):
                return b""

    def _cut_in_place(self, file: LogFile, data: bytes) -> bool:
        if file.compressed:
            return False
        return file.head_now() != file.head if data else file.size() < self._offset

    def _next_file(self) -> None:
        self._files.popleft().close()
        self._offset = 0
        self._gap = self._files[0].missing_before

    def _look_for_rotation(self, now: bool = False) -> bool:
        """Open the files that appeared after the newest open one; True where there are any."""
        clock = time.monotonic()
        if not now and clock - self._looked < self.look_every:
            return False
        self._looked = clock
        try:
            if os.stat(self._path).st_ino == self._files[-1].inode:  # noqa: PTH116
                return False
        except OSError:
            return False
        return self._extend()

    def _extend(self) -> bool:
        files = logfile.open_all(self._path)
        newest = self._files[-1]
        known = _find(files, Place(newest.inode, newest.head, 0))
        if known is None and files:
            files[0].missing_before = "rotated"
        fresh = files if known is None else files[known + 1 :]
        logfile.close([file for file in files if file not in fresh])
        self._files.extend(fresh)
        return bool(fresh)

    def _start_over(self, file: LogFile) -> None:
        """The file was cut in place: what it holds now was written after the cut, what was not read yet is gone."""
        log.warning("log was cut short in place, reading it from its start: file=%s", self._path)
        self._gap = "truncated"
        self._offset = 0
        file.forget_head()

    def _parse(self, data: bytes) -> Entries:
        file = self._files[0]
        self._offset += len(data)
        gap, self._gap = self._gap, ""
        block = data if data.endswith(b"\n") else data + b"\n"
        return parse(block, None, Place(file.inode, file.head, self._offset), tty=bool(self.tty), gap=gap)

    def _after_overlap(self, overlap: Overlap, entries: Entries) -> Entries | None:
        """What of `entries` comes after the position that has no place in these files."""
        rest = overlap.feed(entries)
        if overlap.found or overlap.gone:
            self._overlap = None
        return self._runs.follow(rest) if rest else None


def _with(held: LogFile | None, files: list[LogFile]) -> list[LogFile]:
    """The log's files, oldest first, where the first of all may be gone from its folder."""
    if held is None:
        return files
    if any(file.inode == held.inode for file in files):
        held.close()
        return files
    if files:
        files[0].missing_before = "rotated"
    return [held, *files]


def _find(files: list[LogFile], place: Place) -> int | None:
    """Index of the file that `place` speaks of: the same inode and first entry, else (compressed) the first entry."""
    for index, file in enumerate(files):
        if file.inode == place.inode and file.head == place.head:
            return index
    for index, file in enumerate(files):
        if file.compressed and file.head == place.head != 0:
            return index
    return None
