"""One file of the spool: whole records, one after the other.

A record is a head of 28 bytes, a tally (lines by service, JSON) and the payload (`Batch.encode`). The head has its own
checksum, so the totals of a file are known from its heads, and a record is found again after damage before it.
This layout of the head is that of all versions to come.
"""

import logging
import mmap
import os
import struct
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from towline.errors import TowlineError

log = logging.getLogger(__name__)

VERSION = 1
MAGIC = b"\x93towline"
_HEAD = struct.Struct(">8sIIIII")  # magic, version, bytes of tally, bytes of payload, CRC of payload, CRC of head
_UNSIGNED = _HEAD.size - 4

Bytes = bytes | mmap.mmap
Packed = bytes


@dataclass(frozen=True, slots=True)
class Record:
    """Where one record is in its file; `lines` by service."""

    start: int
    payload: int
    end: int
    crc: int
    lines: dict[str, int]


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record; `lines` by service as far as they can be told, `torn` where a write was cut short."""

    start: int
    end: int
    lines: dict[str, int]
    torn: bool


class NewerSegment(TowlineError):
    """The spool file was written by a newer Towline."""


def pack(lines: dict[str, int], payload: bytes) -> Packed:
    """One record."""
    tally = orjson.dumps(lines)
    head = _HEAD.pack(MAGIC, VERSION, len(tally), len(payload), zlib.crc32(payload), 0)[:_UNSIGNED]
    return b"".join([head, zlib.crc32(head + tally).to_bytes(4, "big"), tally, payload])


def walk(data: Bytes, start: int, *, verify: bool) -> Iterator[Record | Damage]:
    """Everything in `data` from `start` on, in order and without holes. Payloads are checked where `verify` is set."""
    at, size = start, len(data)
    while at < size:
        record = _record_at(data, at)
        if record and record.end <= size and (not verify or _is_whole(data, record)):
            yield record
            at = record.end
        else:
            end = _next_record(data, at + 1)
            yield Damage(at, end, record.lines if record else {}, end == size and _is_torn(data, at, record))
            at = end


def _record_at(data: Bytes, at: int) -> Record | None:
    if len(data) - at < _HEAD.size:
        return None
    magic, version, tally_size, payload_size, crc, head_crc = _HEAD.unpack_from(data, at)
    payload = at + _HEAD.size + tally_size
    if magic != MAGIC or payload > len(data):
        return None
    tally = data[at + _HEAD.size : payload]
    if zlib.crc32(data[at : at + _UNSIGNED] + tally) != head_crc:
        return None
    if version > VERSION:
        raise NewerSegment(f"version {version}")
    return Record(at, payload, payload + payload_size, crc, orjson.loads(tally))


def _is_whole(data: Bytes, record: Record) -> bool:
    return zlib.crc32(data[record.payload : record.end]) == record.crc


def _next_record(data: Bytes, start: int) -> int:
    """Where the next record starts whose head is intact; the end of the data where there is none."""
    at = data.find(MAGIC, start)
    while at >= 0 and not _record_at(data, at):
        at = data.find(MAGIC, at + 1)
    return at if at >= 0 else len(data)


def _is_torn(data: Bytes, at: int, record: Record | None) -> bool:
    """What a crash leaves: a record without its end, or space that was never written."""
    if record:
        return record.end > len(data)
    rest = data[at:]
    if not rest.strip(b"\0"):
        return True
    if not rest.startswith(MAGIC[: len(rest)]):
        return False
    return len(rest) < _HEAD.size or len(rest) < _HEAD.size + _HEAD.unpack_from(rest)[2]


class Segment:
    """One file and what is left in it. `lines` counts by service what is not forgotten; not safe for threads.

    What is known per record is held only between `load` and the end, so that a long spool costs no memory.
    """

    def __init__(self, number: int, path: Path) -> None:
        self.number = number
        self.path = path
        self.size = 0
        self.low = 0
        self.lines: Counter[str] = Counter()
        self._records: OrderedDict[int, Record] | None = None
        self._ahead: deque[Record] = deque()
        self._file: int | None = None
        self._synced = 0
        self._suspect = False
        self._touched = False

    @property
    def loaded(self) -> bool:
        return self._records is not None

    @property
    def finished(self) -> bool:
        """Every record has been forgotten."""
        return self._records is not None and not self._records

    def measure(self, low: int) -> None:
        """Learn size and lines of an existing file from its heads, from the byte `low` on."""
        self.size = self._synced = self.path.stat().st_size
        self.low = low if low <= self.size else 0
        if not self.size:
            return
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            data.madvise(mmap.MADV_RANDOM)
            for item in walk(data, self.low, verify=False):
                if isinstance(item, Record):
                    self.lines.update(item.lines)

    def load(self) -> list[Damage]:
        """Read and check the file, so that its records can be handed out; answers what is damaged in it."""
        data = self.path.read_bytes()
        self.size = len(data)
        items = list(walk(data, min(self.low, self.size), verify=True))
        self._records = OrderedDict((item.start, item) for item in items if isinstance(item, Record))
        self._ahead = deque(self._records.values())
        self.lines = Counter()
        for record in self._records.values():
            self.lines.update(record.lines)
        return [item for item in items if isinstance(item, Damage)]

    def unload(self) -> None:
        """Forget what is known per record, unless some were handed out already."""
        if not self._touched:
            self._records = None
            self._ahead.clear()

    def next(self) -> Record | None:
        """The oldest record that is neither handed out nor forgotten; it is handed out now."""
        self._touched = True
        while self._ahead:
            record = self._ahead.popleft()
            if self._records and record.start in self._records:
                return record
        return None

    def put_back(self, start: int) -> None:
        """Hand this record out again, before those not handed out yet."""
        if self._records and start in self._records:
            self._ahead.appendleft(self._records[start])

    def forget(self, start: int) -> Record | None:
        record = self._records.pop(start, None) if self._records else None
        if record:
            self.lines -= Counter(record.lines)
            self.low = next(iter(self._records)) if self._records else self.size
        return record

    def rewind(self) -> None:
        self._ahead = deque(self._records.values() if self._records else ())

    def payload(self, record: Record) -> bytes:
        with self.path.open("rb") as file:
            file.seek(record.payload)
            return file.read(record.end - record.payload)

    def create(self) -> None:
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._records = OrderedDict()

    def append(self, record: Packed, lines: dict[str, int]) -> None:
        """Write one packed record; raises OSError, and then nothing of it is left."""
        assert self._file is not None
        try:
            _write(self._file, record, self.size)
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        start, self.size = self.size, self.size + len(record)
        self.lines.update(lines)
        if self._records is not None:
            item = _record_at(record, 0)
            assert item
            self._records[start] = Record(start, start + item.payload, self.size, item.crc, lines)
            self._ahead.append(self._records[start])

    def sync(self) -> None:
        """Make all records durable; raises OSError where that fails, which is then told until it has worked."""
        if self._file is None or (self._synced == self.size and not self._suspect):
            return
        try:
            if self._suspect or not os.fstat(self._file).st_nlink:
                self._rewrite()
            os.fsync(self._file)
            if not self._synced:
                sync_directory(self.path.parent)
        except OSError:
            self._suspect = True
            raise
        self._suspect = False
        self._synced = self.size

    def _rewrite(self) -> None:
        """After a failed fsync the kernel may call lost pages clean: only a fresh copy can be made durable."""
        assert self._file is not None
        draft = self.path.with_suffix(".tmp")
        copy = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(copy, os.pread(self._file, self.size, 0), 0)
            os.fsync(copy)
            draft.replace(self.path)
        except OSError:
            os.close(copy)
            raise
        os.close(self._file)
        self._file, self._synced = copy, 0

    def cut(self, size: int) -> None:
        """Drop a torn tail."""
        os.truncate(self.path, size)
        self.size = size

    def close(self) -> None:
        """Stop appending."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


def _write(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def sync_directory(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
