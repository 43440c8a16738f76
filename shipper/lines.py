"""Entries of one container's log into lines: joined, numbered, identified, and written as the documents of a section.

Identity, the heart of "every line once": `<stamp>-<container><stream><ordinal>`, where ordinal counts the stream's
lines of the same stamp (left out for the first). It depends on nothing but the log, so a line that is read again, by
either source, after any crash, has the same identity. Only where a stream's clock went back (a stamp at or below an
earlier one) stamps may repeat: there the sequence takes the ordinal's place.

`event.sequence` counts the container's lines, starting at the microsecond of the first stamp: should the checkpoints be
lost and the log be read again from a later start, it still grows (unless lines came faster than one a microsecond).
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import lt
from typing import Any

import orjson

from shipper.entries import STDERR, STDOUT, Entries, Position
from shipper.ruled import Ruled

_LETTER = {STDOUT: b"o", STDERR: b"e"}
_DIGITS = [b"%03d" % number for number in range(1000)]


@dataclass(slots=True)
class StreamState:
    """`high` is the largest stamp of the stream's lines, `ordinal` the last given to that stamp, -1 once the clock
    went back behind it. `pieces` counts those already made of a line that is longer than the limit."""

    high: bytes = b""
    ordinal: int = -1
    pieces: int = 0


@dataclass(slots=True)
class State:
    """All that numbering and identity need to go on: part of the checkpoint."""

    sequence: int = 0
    streams: dict[bytes, StreamState] = field(default_factory=lambda: {STDOUT: StreamState(), STDERR: StreamState()})

    def copy(self) -> "State":
        # Not `replace`, here and in resume.py: it takes three times as long, and this is done for every look at a log.
        out, err = self.streams[STDOUT], self.streams[STDERR]
        return State(
            self.sequence,
            {
                STDOUT: StreamState(out.high, out.ordinal, out.pieces),
                STDERR: StreamState(err.high, err.ordinal, err.pieces),
            },
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            **{name.decode(): [s.high.decode(), s.ordinal, s.pieces] for name, s in self.streams.items()},
        }

    @staticmethod
    def from_json(row: dict[str, Any]) -> "State":
        """What `to_json` wrote; raises KeyError, TypeError or ValueError where it did not."""
        streams = {}
        for name in (STDOUT, STDERR):
            high, ordinal, pieces = row[name.decode()]
            streams[name] = StreamState(str(high).encode(), int(ordinal), int(pieces))
        return State(int(row["sequence"]), streams)


@dataclass
class _Pending:
    """A line whose end has not come yet."""

    stamp: bytes
    texts: list[bytes]
    size: int


@dataclass(slots=True)
class Lines:
    """Documents made of one feed: bulk pairs (towline.batch), how many, smallest and largest `@timestamp`; how many
    lines labels have dropped. Without documents `first` and `last` are ""."""

    docs: bytes
    count: int
    first: str
    last: str
    split: int = 0
    damaged: int = 0
    dropped: int = 0


class LineMaker:
    """Feed it a log's entries in order. `ruled`: what labels ask for, None where that is nothing. Not thread-safe."""

    def __init__(
        self, container_id: str, max_line: int, state: State | None = None, ruled: Ruled | None = None
    ) -> None:
        self.ruled = ruled
        self.state = state or State()
        self.safe: tuple[Position | None, State] = (None, self.state.copy())
        """The newest position with no line pending and no event open, and the state there: what a checkpoint holds."""
        self._max_line = max_line
        self._mark = urlsafe_b64encode(hashlib.sha256(container_id.encode()).digest())[:8]
        self._pending: dict[bytes, _Pending] = {}
        self._end: Position | None = None
        self._out: list[bytes] = []
        self._stamps: list[bytes] = []
        """Of these lines, the smallest and the largest at least."""
        self._count = self._split = self._dropped = 0
        self._clean: tuple[int, State] | None = None
        """The newest entry of this feed before which no event was open, and the state before it."""

    def feed(self, entries: Entries) -> Lines | None:
        """The lines that these entries complete; None where they complete none."""
        if entries.gap:
            self._gap(entries)
        if self._plain(entries):
            if len(entries) == 1:
                self._emit(entries.stream(0), entries.stamps[0], entries.texts[0])
            else:
                self._columns(entries)
            self.safe = (entries.position(len(entries)), self.state.copy())
        else:
            self._each(entries)
        return self._take(len(entries.damaged))

    def flush(self) -> Lines | None:
        """The log has ended: lines that still wait for their end are complete as they are."""
        if not self._pending and not self._holds:
            return None
        self._release()
        self.safe = (self._end, self.state.copy())
        return self._take(0)

    def expire(self) -> Lines | None:
        """Nothing was written for longer than an open event waits: it is complete."""
        return None if self._pending else self.flush()

    @property
    def waits(self) -> float:
        """Seconds of quiet after which `expire` is due; 0 where no event is open."""
        return self.ruled.waits if self.ruled else 0.0

    @property
    def _holds(self) -> bool:
        return self.ruled is not None and self.ruled.holds

    def _release(self) -> None:
        """What waits for more is complete as it is."""
        for stream in list(self._pending):
            self._complete(stream)
        if self.ruled:
            self.ruled.complete()

    def _plain(self, entries: Entries) -> bool:
        """Whether stamps alone identify the lines: one stream, whole lines, each stamp above the one before."""
        if entries.parts or entries.damaged or self._pending or not isinstance(entries.streams, bytes):
            return False
        if self.ruled and self.ruled.joining:
            return False
        stream, stamps = self.state.streams[entries.streams], entries.stamps
        return (
            not stream.pieces
            and stamps[0] > stream.high
            and all(map(lt, stamps, stamps[1:]))
            and max(map(len, entries.texts)) <= self._max_line
        )

    def _columns(self, entries: Entries) -> None:
        assert isinstance(entries.streams, bytes)
        count = len(entries)
        stamps = list(entries.stamps)
        first = self._start(stamps[0]) + 1
        self.state.sequence = first + count - 1
        stream = self.state.streams[entries.streams]
        stream.high, stream.ordinal = stamps[-1], 0
        if self.ruled:
            end = b"-" + self._mark + _LETTER[entries.streams]
            self.ruled.columns([stamp + end for stamp in stamps], stamps, entries.streams, first, entries.texts)
            return
        middle = b"-" + self._mark + _LETTER[entries.streams] + b'"}}\n{"@timestamp":"'
        row = [b'{"create":{"_id":"', b"", middle, b"", b'","message":"', b""]
        out = [*row, b'","stream":"' + entries.streams + b'","event":{"sequence":', b"", b"}\x1e}\n"] * count
        out[1::9] = stamps
        out[3::9] = stamps
        out[5::9] = entries.texts
        out[7::9] = _numbers(first, count)
        self._out.append(b"".join(out))
        self._stamps += stamps[0], stamps[-1]  # in their order, as `_plain` has seen
        self._count += count

    def _each(self, entries: Entries) -> None:
        self._clean = None
        for index, (stamp, text) in enumerate(zip(entries.stamps, entries.texts, strict=True)):
            stream = entries.stream(index)
            waiting = self._pending.get(stream)
            if waiting and waiting.stamp != stamp:  # parts share their first part's stamp, so this is another line
                self._complete(stream)
            if index in entries.damaged:
                self._emit(stream, stamp, text, b"damaged", index)
            elif self._long(entries, index, stream):
                self._extend(entries, index, stream)
            else:
                self._emit(stream, stamp, text, at=index)
        self._end = entries.position(len(entries))
        if not self._pending and not self._holds:
            self.safe = (self._end, self.state.copy())
        elif self._clean:
            self.safe = (entries.position(self._clean[0]), self._clean[1])

    def _long(self, entries: Entries, index: int, stream: bytes) -> bool:
        return (
            index in entries.parts
            or stream in self._pending
            or self.state.streams[stream].pieces > 0
            or len(entries.texts[index]) > self._max_line
        )

    def _extend(self, entries: Entries, index: int, stream: bytes) -> None:
        """Add to the stream's line; what would grow beyond the limit is cut before this part, or within it."""
        pieces = _cut(entries.texts[index], self._max_line)
        waiting = self._pending.get(stream)
        if waiting and waiting.size + pieces[0][1] > self._max_line:
            self._emit_piece(stream)
        if not self._pending and not self._holds:
            self.safe = (entries.position(index), self.state.copy())
            self._clean = None
        for number, (piece, size) in enumerate(pieces):
            if number:
                self._emit_piece(stream)
            waiting = self._pending.setdefault(stream, _Pending(entries.stamps[index], [], 0))
            waiting.texts.append(piece)
            waiting.size += size
        if index not in entries.parts:
            self._complete(stream)

    def _emit_piece(self, stream: bytes) -> None:
        waiting = self._pending.pop(stream)
        self._emit(stream, waiting.stamp, b"".join(waiting.texts), b"split")
        self.state.streams[stream].pieces += 1
        self._split += 1

    def _complete(self, stream: bytes) -> None:
        waiting = self._pending.pop(stream)
        state = self.state.streams[stream]
        self._split += bool(state.pieces)
        self._emit(stream, waiting.stamp, b"".join(waiting.texts), b"split" if state.pieces else b"")
        state.pieces = 0

    def _emit(self, stream: bytes, stamp: bytes, text: bytes, flag: bytes = b"", at: int | None = None) -> None:
        """`at`: the line is this entry, and no part of it came before."""
        if self.ruled:
            self._hand_on(self.ruled, stream, stamp, text, flag, at)
            return
        self.state.sequence = self._start(stamp) + 1
        tail = b"}\x1e}\n" if not flag else b'},"log":{"flags":["' + flag + b'"]}\x1e}\n'
        self._out.append(
            b'{"create":{"_id":"%b-%b%b"}}\n{"@timestamp":"%b","message":"%b","stream":"%b","event":{"sequence":%d%b'
            % (stamp, self._mark, self._ordinal(stream, stamp), stamp, text, stream, self.state.sequence, tail)
        )
        self._stamps.append(stamp)
        self._count += 1

    def _hand_on(self, ruled: Ruled, stream: bytes, stamp: bytes, text: bytes, flag: bytes, at: int | None) -> None:
        if (
            ruled.joining
            and ruled.begins(stream, stamp, text, flag)
            and not (self._pending or ruled.holds or at is None)
        ):
            self._clean = (at, self.state.copy())
        self.state.sequence = self._start(stamp) + 1
        identity = b"%b-%b%b" % (stamp, self._mark, self._ordinal(stream, stamp))
        ruled.line(identity, stamp, stream, self.state.sequence, text, flag)

    def _ordinal(self, stream: bytes, stamp: bytes) -> bytes:
        state = self.state.streams[stream]
        letter = _LETTER[stream]
        if stamp > state.high:
            state.high, state.ordinal = stamp, 0
            return letter
        if stamp == state.high and state.ordinal >= 0:
            state.ordinal += 1
            return letter + b"%d" % state.ordinal
        state.ordinal = -1
        return letter + b"s%d" % self.state.sequence

    def _gap(self, entries: Entries) -> None:
        """A record in the place of lines that are gone: who searches sees it, who audits counts it."""
        self._release()
        self._through()
        stamp = entries.stamps[0]
        after = entries.before.stamp if entries.before else b""
        self.state.sequence = self._start(stamp) + 1
        text = b"gap: log %b before it was read; lines after %b and before %b may be missing" % (
            entries.gap.encode(), after or b"its start", stamp)  # fmt: skip
        self._out.append(
            b'{"create":{"_id":"%b-%bg"}}\n{"@timestamp":"%b","message":"%b","stream":"%b","event":{"sequence":%d,'
            b'"kind":"pipeline_error","action":"gap","reason":"%b"},"towline":{"gap":{"after":"%b","before":"%b"}}\x1e}\n'
            % (
                stamp,
                self._mark,
                stamp,
                text,
                entries.stream(0),
                self.state.sequence,
                entries.gap.encode(),
                after,
                stamp,
            )
        )
        self._stamps.append(stamp)
        self._count += 1

    def _start(self, stamp: bytes) -> int:
        return self.state.sequence or _microseconds(stamp)

    def _through(self) -> None:
        """Take what is complete through what labels ask for."""
        if self.ruled:
            docs, times, dropped = self.ruled.take()
            self._out.append(docs)
            self._stamps += times
            self._count += len(times)
            self._dropped += dropped

    def _take(self, damaged: int) -> Lines | None:
        self._through()
        if not self._count and not self._dropped:
            return None
        first, last = (min(self._stamps), max(self._stamps)) if self._stamps else (b"", b"")
        lines = Lines(b"".join(self._out), self._count, first.decode(), last.decode(), self._split, damaged,
                      self._dropped)  # fmt: skip
        self._out, self._stamps = [], []
        self._count = self._split = self._dropped = 0
        return lines


def _numbers(first: int, count: int) -> list[bytes]:
    """`count` numbers from `first` on, in digits; those of one thousand share what stands before the last three."""
    if first < 1000 or count < 10:
        return [b"%d" % number for number in range(first, first + count)]
    found: list[bytes] = []
    for thousand in range(first // 1000, (first + count - 1) // 1000 + 1):
        start, stop = max(0, first - 1000 * thousand), min(1000, first + count - 1000 * thousand)
        head = b"%d" % thousand
        found += [head + digits for digits in _DIGITS[start:stop]]
    return found


def _microseconds(stamp: bytes) -> int:
    """Since 1970; 1 for a stamp that is none or from before."""
    try:
        moment = datetime.fromisoformat(stamp[:26].decode()).replace(tzinfo=UTC)
    except ValueError:
        return 1
    return max(1, int(moment.timestamp() * 1_000_000))


def _cut(text: bytes, limit: int) -> Sequence[tuple[bytes, int]]:
    """The escaped text in pieces of at most `limit` bytes of UTF-8 each, with those sizes; characters stay whole."""
    plain = orjson.loads(b'"' + text + b'"').encode()
    if len(plain) <= limit:
        return [(text, len(plain))]
    pieces = []
    start = 0
    while start < len(plain):
        end = min(start + limit, len(plain))
        while end < len(plain) and plain[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append((orjson.dumps(plain[start:end].decode())[1:-1], end - start))
        start = end
    return pieces
