"""Where batches wait on disk while the queue is away: a bounded first-in first-out of encoded batches.

When fsync is called: `append` only writes; `sync` makes all that was appended durable (the file, and the folder once
per file), and the caller moves its positions only after `sync` answered True. A file that is full is synced before
the next one is begun. Forgetting is never synced: after a power cut some batches are sent again, and the store
recognises their lines.

In the folder: `0000000000000001.spool` …, `cursor` (how far the oldest file is forgotten), `lock`, and, where
something was damaged, `NAME.corrupt-<utc>` with the damaged bytes.
"""

import contextlib
import fcntl
import logging
import os
import zlib
from collections import Counter
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from shipper.aside import aside_path, set_aside
from shipper.segment import Damage, NewerSegment, Packed, Record, Segment, pack
from towline.batch import Batch, decode
from towline.errors import BatchError, TowlineError, UsageError

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 << 20


class Token(NamedTuple):
    """Which batch was handed out."""

    segment: int
    start: int


class Spool:
    """Safe to call from any thread. `max_bytes` bounds the files' bytes on disk; 0 only drains what is there.

    Raises UsageError where another process uses the folder or it can't be one, TowlineError where its files are of a
    newer Towline. Any other trouble (full, read-only, no permission) is said once, `append` answers False meanwhile.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.directory = directory
        self.damaged = 0
        """Stretches that could not be read, torn tails included."""
        self._max_bytes = max_bytes
        self._lost: Counter[str] = Counter()
        self._segments: dict[int, Segment] = {}
        self._active: Segment | None = None
        self._number = 0
        self._lock = RLock()
        self._owner: int | None = None
        self._cursor: int | None = None
        self._failing = False
        self._ready()

    @property
    def bytes(self) -> int:
        """Bytes of the spool's files on disk."""
        with self._lock:
            return sum(segment.size for segment in self._segments.values())

    def lines(self) -> dict[str, int]:
        """Lines by service that are spooled and not forgotten."""
        with self._lock:
            total: Counter[str] = Counter()
            for segment in self._segments.values():
                total.update(segment.lines)
            return dict(total)

    def lost(self) -> dict[str, int]:
        """Lines by service, as far as known, that damage on disk has made unreadable since this spool was opened."""
        with self._lock:
            return dict(self._lost)

    def append(self, batch: Batch) -> bool:
        """Write the batch; False where the bound does not allow it or the disk does not take it (ask again later)."""
        if self.bytes >= self._max_bytes:
            return False
        lines: Counter[str] = Counter()
        for section in batch.sections:
            lines[section.origin.service] += section.count
        record = pack(lines, batch.encode())
        with self._lock:
            return self.bytes + len(record) <= self._max_bytes and self._ready() and self._write(record, lines)

    @property
    def crowded(self) -> bool:
        """More than half of what it may hold is in use."""
        return self.bytes > self._max_bytes // 2

    def sync(self) -> bool:
        """Make everything appended durable; False where that failed (said once; ask again later)."""
        with self._lock:
            try:
                if self._active:
                    self._active.sync()
            except OSError as error:
                self._failed("synced", error)
                return False
            return True

    def head(self) -> tuple[Token, Batch] | None:
        """The oldest batch that is neither handed out nor forgotten, with the token to forget it by."""
        with self._lock:
            if not self._ready():
                return None
            for segment in list(self._segments.values()):
                if found := self._next_batch(segment):
                    return found
            return None

    def forget(self, token: Token) -> None:
        """The batch is safe elsewhere. Any order will do; a second time does nothing."""
        with self._lock:
            segment = self._segments.get(token.segment)
            if segment and segment.forget(token.start):
                self._drop_if_finished(segment)
                self._write_cursor()

    def put_back(self, token: Token) -> None:
        """The queue did not take this batch, the last one handed out: it is the head again."""
        with self._lock:
            if segment := self._segments.get(token.segment):
                segment.put_back(token.start)

    def rewind(self) -> None:
        """Hand out again, oldest first, everything that was handed out and not forgotten."""
        with self._lock:
            for segment in self._segments.values():
                segment.rewind()

    def close(self) -> None:
        """Sync, and let another process use the folder. Calling it twice is fine."""
        with self._lock:
            self.sync()
            for segment in self._segments.values():
                segment.close()
            for file in (self._cursor, self._owner):
                if file is not None:
                    os.close(file)
            self._segments, self._active, self._cursor, self._owner, self._max_bytes = {}, None, None, None, 0

    # Opening

    def _ready(self) -> bool:
        if self._cursor is not None:
            return True
        try:
            self._claim()
            self._find_segments()
        except (NotADirectoryError, FileExistsError) as error:
            raise UsageError(f"spool folder {self.directory} is not a folder: give --state another one") from error
        except OSError as error:
            self._failed("opened", error)
            return False
        return True

    def _claim(self) -> None:
        if self._owner is not None:
            return
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(owner)
            if not isinstance(error, BlockingIOError):
                raise
            raise UsageError(f"spool folder {self.directory} is in use by another Towline process: stop that one, or "
                             "give this one its own folder with --state") from error  # fmt: skip
        self._owner = owner

    def _find_segments(self) -> None:
        cursor = os.open(self.directory / "cursor", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for draft in self.directory.glob("*.tmp"):
                draft.unlink()
            number, low = _parse_cursor(os.pread(cursor, 64, 0))
            paths = {int(path.stem): path for path in self.directory.glob("*.spool") if path.stem.isdecimal()}
            self._segments = {}
            for each in sorted(paths):
                self._adopt(Segment(each, paths[each]), low if each == number else 0)
            self._number = max([number, *paths])
        except BaseException:
            os.close(cursor)
            raise
        self._cursor = cursor
        if self._segments:
            self._load(self._segments[max(self._segments)])

    def _adopt(self, segment: Segment, low: int) -> None:
        try:
            segment.measure(low)
        except NewerSegment as error:
            raise TowlineError(f"spool file {segment.path} was written by a newer Towline ({error}): run that one, or "
                               "move the file away and lose its lines") from error  # fmt: skip
        except IsADirectoryError:
            segment.size = 0
        if segment.size and (segment.lines or low):
            self._segments[segment.number] = segment
        else:
            self._set_aside_whole(segment, "holds no batch" if segment.size else "is empty")

    # Writing

    def _write(self, record: Packed, lines: dict[str, int]) -> bool:
        try:
            segment = self._room_for(len(record))
            segment.append(record, lines)
        except OSError as error:
            self._failed("written", error)
            return False
        if self._failing:
            log.info("spool %s works again", self.directory)
        self._failing = False
        return True

    def _room_for(self, size: int) -> Segment:
        limit = min(SEGMENT_BYTES, self._max_bytes // 8)
        if self._active and self._active.size and self._active.size + size > limit:
            self._active.sync()
            self._active.close()
            self._active.unload()
            self._active = None
        if self._active is None:
            number = self._number + 1
            segment = Segment(number, self.directory / f"{number:016}.spool")
            segment.create()
            self._number, self._active, self._segments[number] = number, segment, segment
        return self._active

    def _drop_if_finished(self, segment: Segment) -> None:
        if not segment.finished:
            return
        if segment is self._active:
            self._active = None
        del self._segments[segment.number]
        try:
            segment.remove()
        except OSError as error:
            self._failed("cleared", error)

    def _write_cursor(self) -> None:
        if self._cursor is None or not self._segments:
            return
        oldest = self._segments[min(self._segments)]
        with contextlib.suppress(OSError):
            os.pwrite(self._cursor, _pack_cursor(oldest.number, oldest.low), 0)

    # Reading

    def _next_batch(self, segment: Segment) -> tuple[Token, Batch] | None:
        if not segment.loaded and not self._load(segment):
            return None
        while record := segment.next():
            try:
                return Token(segment.number, record.start), decode(segment.payload(record))
            except (BatchError, OSError) as error:
                self._give_up(segment, record, error)
        return None

    def _load(self, segment: Segment) -> bool:
        before = Counter(segment.lines)
        try:
            damages = segment.load()
        except FileNotFoundError:
            log.error("spool file %s is gone: %d lines lost", segment.path, before.total())
            self._lost.update(before)
            self.damaged += 1
            del self._segments[segment.number]
            return False
        except OSError as error:
            self._failed("read", error)
            return False
        for damage in damages:
            self._report(segment, damage)
        self._drop_if_finished(segment)
        return True

    def _give_up(self, segment: Segment, record: Record, error: Exception) -> None:
        log.error("spool file %s: %s", segment.path, error)
        segment.forget(record.start)
        self._report(segment, Damage(record.start, record.end, record.lines, False))
        self._drop_if_finished(segment)

    def _report(self, segment: Segment, damage: Damage) -> None:
        self.damaged += 1
        size = damage.end - damage.start
        if damage.torn:
            log.warning("spool file %s ends in a torn record, its last %d bytes are cut off: the write was not "
                        "finished, its lines are read again", segment.path, size)  # fmt: skip
            with contextlib.suppress(OSError):
                segment.cut(damage.start)
            return
        self._lost.update(damage.lines)
        kept = self._keep_damage(segment, damage)
        log.error("spool file %s: %d damaged bytes at %d, %s; lines lost: %s. What is before and after is kept",
                  segment.path, size, damage.start, kept, damage.lines or "not known")  # fmt: skip

    def _keep_damage(self, segment: Segment, damage: Damage) -> str:
        try:
            with segment.path.open("rb") as file:
                file.seek(damage.start)
                content = file.read(damage.end - damage.start)
            target = aside_path(segment.path)
            target.write_bytes(content)
        except OSError as error:
            return f"which can't be copied aside ({error.strerror})"
        return f"copied to {target.name}"

    def _set_aside_whole(self, segment: Segment, reason: str) -> None:
        self.damaged += 1
        try:
            log.error("spool file %s %s: moved to %s", segment.path, reason, set_aside(segment.path).name)
        except OSError as error:
            log.error("spool file %s %s and can't be moved aside: %s", segment.path, reason, error.strerror)

    def _failed(self, what: str, error: OSError) -> None:
        if not self._failing:
            log.error("spool %s can't be %s: %s; free space or give write permission. Reading waits meanwhile, "
                      "nothing is lost", self.directory, what, error.strerror)  # fmt: skip
        self._failing = True


def _pack_cursor(number: int, low: int) -> bytes:
    text = b"%016d %016d" % (number, low)
    return text + b" %08x\n" % zlib.crc32(text)


def _parse_cursor(content: bytes) -> tuple[int, int]:
    """Segment number and offset; (0, 0) where the cursor is damaged, which costs a repeat."""
    try:
        number, low, _ = content.split(b" ")
        parsed = int(number), int(low)
    except ValueError:
        return 0, 0
    return parsed if content == _pack_cursor(*parsed) else (0, 0)
