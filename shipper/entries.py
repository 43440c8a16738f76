"""What sources yield: entries of one container's log as columns, and the place in a log that each entry ends at.

An entry is what the engine wrote as one record: a whole line, or a part of a line longer than 16 KiB. Columns, not
objects: a block of thousands of entries is cut by a few C calls, and nothing here exists per entry but list slots.

Nothing of this is changed once its source has handed it out. It is not `frozen` all the same: that makes making one
take three times as long, and where containers say a line now and then, some are made for each line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STDOUT, STDERR = b"stdout", b"stderr"


@dataclass(slots=True, unsafe_hash=True)
class Place:
    """A byte in a json-file log: `offset` in the (uncompressed) file that starts with the entry `head`.

    `inode` finds the file fast, `head` (a checksum of the file's first entry) proves it, also after compression.
    """

    inode: int
    head: int
    offset: int


@dataclass(slots=True, unsafe_hash=True)
class Position:
    """Right after one entry of a log: the `nth` (from 1) of the stream's adjacent entries that share `stamp`.

    That holds for any source, so that one source can go on where another stopped; `place` is the short cut for files.
    `high` is the largest stamp seen so far in the log (either stream): clocks jump back, so it may exceed `stamp`.
    An entry whose stamp is above `high` was certainly not read before.
    """

    stream: bytes
    stamp: bytes
    nth: int
    high: bytes
    place: Place | None = None


@dataclass(slots=True)
class Entries:
    """Adjacent entries of one log, in its order, directly after those that the source yielded before (but see `gap`).

    stamps: b"2026-11-23T00:25:00.123456789Z", always 30 bytes.
    texts: the message as the inside of a JSON string (escaped, UTF-8), without its line end.
    streams: one stream for all entries, or one each.
    parts: indexes of entries that have no line end, whose line goes on in the stream's next entry of the same stamp.
    damaged: indexes of entries that were torn or unreadable; their text is what was found.
    gap: why entries are missing right before these ("" if none are): rotated, truncated, refused.
    size: bytes read for these.
    before: the position right before the first entry (None at the very start of a log).
    runs: per stream, the stamp of its last entry before these and how many adjacent ones share it.
    place: where the last entry ends, for sources that have places.
    ends: the offset right after each entry, for sources that have places.
    end: the position right after the last entry, where it is known.
    """

    stamps: Sequence[bytes]
    texts: Sequence[bytes]
    streams: bytes | Sequence[bytes]
    parts: frozenset[int] = frozenset()
    damaged: frozenset[int] = frozenset()
    gap: str = ""
    size: int = 0
    before: Position | None = None
    runs: Mapping[bytes, tuple[bytes, int]] = field(default_factory=dict)
    place: Place | None = None
    ends: Sequence[int] = field(default=())
    end: Position | None = None

    def __len__(self) -> int:
        return len(self.stamps)

    def stream(self, index: int) -> bytes:
        return self.streams if isinstance(self.streams, bytes) else self.streams[index]

    def position(self, count: int) -> Position | None:
        """Right after the first `count` entries; `before` for 0."""
        if count == 0:
            return self.before
        if count == len(self.stamps) and self.end is not None:
            return self.end
        stream, stamp = self.stream(count - 1), self.stamps[count - 1]
        return Position(stream, stamp, self._nth(count - 1), self._high(count), self._place(count))

    def _nth(self, index: int) -> int:
        stream, stamp = self.stream(index), self.stamps[index]
        nth = 0
        for i in range(index, -1, -1):
            if self.stream(i) != stream:
                continue
            if self.stamps[i] != stamp:
                return nth
            nth += 1
        known, count = self.runs.get(stream, (b"", 0))
        return nth + count if known == stamp else nth

    def _high(self, count: int) -> bytes:
        stamps = self.stamps if count == len(self.stamps) else self.stamps[:count]
        return max(max(stamps), self.before.high if self.before else b"")

    def _place(self, count: int) -> Place | None:
        if self.place is None or count == len(self.stamps):
            return self.place
        return Place(self.place.inode, self.place.head, self.ends[count - 1])


def from_json(row: dict[str, Any]) -> Position:
    """The position that `to_json` wrote; raises KeyError, TypeError or ValueError where it did not."""
    place = row.get("place")
    return Position(
        str(row["stream"]).encode(), str(row["stamp"]).encode(), int(row["nth"]), str(row["high"]).encode(),
        Place(*map(int, place)) if place else None)  # fmt: skip


def to_json(position: Position) -> dict[str, Any]:
    """The position as a JSON-able object."""
    place = position.place
    return {
        "stream": position.stream.decode(), "stamp": position.stamp.decode(), "nth": position.nth,
        "high": position.high.decode(), "place": place and [place.inode, place.head, place.offset]}  # fmt: skip
