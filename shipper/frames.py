"""The engine's answer to `/containers/{id}/logs?timestamps=1`, cut into entries. Bytes in, columns out, no I/O.

Without a TTY every entry is a frame, `stream 0 0 0 length` and then `STAMP SP text[\\n]`; with a TTY there are no
frames, only `STAMP SP text[\\r\\n]`. The first byte tells which (a stream number, or a digit).
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from struct import Struct

import orjson

from shipper.entries import STDERR, STDOUT, Entries

STAMP_SIZE = 30
MAX_FRAME = 16 << 20
"""An entry holds 16 KiB at most, some more with U+FFFD for bad bytes; a longer frame is a torn stream."""
PART_SIZE = 16 << 10
"""The engine cuts longer lines into parts of at least this size (as it counts before U+FFFD replaces bad bytes)."""

_HEADER = Struct(">II")
_STREAMS = {0x01000000: STDOUT, 0x02000000: STDERR}
_ENGINE_ERROR = 0x03000000
_ENGINE_SAYS = b"Error grabbing logs: "
_STAMP = re.compile(rb"(\d{4,}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")
_INNER_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")


class FrameError(Exception):
    """The stream of entries is torn: what follows can't be read on this connection."""


class EngineError(FrameError):
    """The engine itself could not read on in the log, and said so inside the stream."""


class Demultiplexer:
    """One answer's bytes to entries. `tty` None: told by the first byte.

    `entries` holds all that could be read before an error, so that nothing is lost to it.
    """

    def __init__(self, tty: bool | None = None) -> None:
        self._raw = tty
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """Bytes that are no whole entry yet."""
        return self._rest

    @property
    def torn(self) -> bool:
        """Were this the end, it would be in the middle of an entry. (With a TTY that can't always be told.)"""
        return bool(self._rest) and not (self._raw and _INNER_STAMP.match(self._rest))

    def feed(self, data: bytes) -> Entries | None:
        """The whole entries in what was fed so far and not given yet, or None. Raises FrameError where none can be
        read at all; after entries, the error comes with the next call (which may be `feed(b"")`)."""
        if self._rest:
            data = self._rest + data
        if not data:
            return None
        if data[0] in b"\x01\x02\x03":
            self._raw = False  # what the engine sends outranks what was said about the container
        elif data[:1].isdigit() or data.startswith(_ENGINE_SAYS):
            self._raw = True
        return self._feed_raw(data) if self._raw else self._feed_frames(data)

    def finish(self) -> Entries | None:
        """The end of the answer: without frames the unfinished rest is one last entry without a line end. A rest of
        a frame is torn: it stays in `rest` and is read again another time."""
        rest = self._rest
        if not self._raw or not _INNER_STAMP.match(rest):
            return None
        self._rest = b""
        pieces = _pieces(rest)
        return _entries(
            [piece[:STAMP_SIZE] for piece in pieces], [piece[STAMP_SIZE + 1 :] for piece in pieces], STDOUT,
            frozenset(range(len(pieces))), len(rest))  # fmt: skip

    def _feed_frames(self, data: bytes) -> Entries | None:
        stamps, texts, kinds, parts = [], [], [], []
        position, size, unpack = 0, len(data), _HEADER.unpack_from
        problem: FrameError | None = None
        while position + 8 <= size:
            kind, length = unpack(data, position)
            stop = position + 8 + length
            if stop > size or kind not in _STREAMS or length > MAX_FRAME:
                problem = _impossible(kind, length, data[position + 8 : stop], whole=stop <= size)
                break
            if data[position + 37 : position + 39] == b"Z " and data[stop - 1] == 10 and length > 31:
                stamps.append(data[position + 8 : position + 38])
                texts.append(data[position + 39 : stop - 1])
            else:
                try:
                    stamp, text, ended = _unusual(data[position + 8 : stop])
                except FrameError as error:
                    problem = error
                    break
                if not ended:
                    parts.append(len(stamps))
                stamps.append(stamp)
                texts.append(text)
            kinds.append(kind)
            position = stop
        if problem and not stamps:
            raise problem
        self._rest = data[position:]
        return _entries(stamps, texts, _streams(kinds), frozenset(parts), position) if stamps else None

    def _feed_raw(self, data: bytes) -> Entries | None:
        if data.startswith(_ENGINE_SAYS):
            raise EngineError(_printable(data))
        head, newline, self._rest = data.rpartition(b"\n")
        if not newline:
            return None
        lines = head.split(b"\n")
        parts: set[int] = set()
        if data.count(b"Z ") > len(lines):
            lines, parts = _cut(lines)
        stamps = [line[:STAMP_SIZE] for line in lines]
        texts = [line[31:-1] if line[-1:] == b"\r" else line[31:] for line in lines]
        for i, line in enumerate(lines):
            if line[29:31] == b"Z ":
                continue
            try:
                stamps[i], texts[i], _ = _unusual(line.removesuffix(b"\r"))
            except FrameError:
                if i == 0:
                    raise
                self._rest = b"\n".join([*lines[i:], self._rest])
                return _entries(stamps[:i], texts[:i], STDOUT, frozenset(p for p in parts if p < i), len(data))
        return _entries(stamps, texts, STDOUT, frozenset(parts), len(head) + 1)


def _entries(stamps: list[bytes], texts: list[bytes], streams: bytes | list[bytes], parts: frozenset[int], size: int
             ) -> Entries:  # fmt: skip
    return Entries(stamps, escape(texts), streams, parts, size=size)


def escape(texts: Sequence[bytes]) -> list[bytes]:
    """Each text as the inside of a JSON string; bytes that are no UTF-8 become U+FFFD."""
    dumps = orjson.dumps
    return [dumps(text.decode("utf-8", "replace"))[1:-1] for text in texts]


def _streams(kinds: list[int]) -> bytes | list[bytes]:
    if kinds and kinds.count(kinds[0]) == len(kinds):
        return _STREAMS[kinds[0]]
    return [_STREAMS[kind] for kind in kinds]


def _impossible(kind: int, length: int, text: bytes, *, whole: bool) -> FrameError | None:
    """None where the frame is fine but for its end, which has not come yet."""
    if kind == _ENGINE_ERROR and length <= MAX_FRAME:
        return EngineError(_printable(text)) if whole else None
    if kind not in _STREAMS or length > MAX_FRAME:
        return FrameError(f"impossible frame header {kind:08x} {length:08x}")
    return None


def _unusual(payload: bytes) -> tuple[bytes, bytes, bool]:
    """Stamp, text and whether the line ends, of a frame that is a part or has a stamp of another form."""
    stamp, _, text = payload.partition(b" ")
    ended = text.endswith(b"\n")
    if payload.startswith(_ENGINE_SAYS):
        raise EngineError(_printable(payload))
    return normal_stamp(stamp), text[:-1] if ended else text, ended


def normal_stamp(stamp: bytes) -> bytes:
    """RFC 3339 of any precision and offset as 30 bytes: UTC, nine digits, Z; 1970 for a time outside of the calendar.
    Raises FrameError where it is no timestamp at all."""
    found = _STAMP.fullmatch(stamp)
    if not found:
        raise FrameError(f"not a timestamp: {_printable(stamp)}")
    date, time, fraction, zone = (group.decode() if group else "" for group in found.groups())
    try:
        utc = datetime.fromisoformat(f"{date}T{time}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        utc = datetime.fromtimestamp(0, UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{fraction:0<9}Z".rjust(STAMP_SIZE, "0").encode()


def _cut(lines: list[bytes]) -> tuple[list[bytes], set[int]]:
    """Lines of a TTY cut where entries without a line end run into the next; and which ones those are."""
    whole: list[bytes] = []
    parts: set[int] = set()
    for line in lines:
        pieces = _pieces(line)
        parts.update(range(len(whole), len(whole) + len(pieces) - 1))
        whole += pieces
    return whole, parts


def _pieces(line: bytes) -> list[bytes]:
    """An entry begins inside a line where a stamp stands that is not before the line's own: a program that prints the
    time does so before the engine stamps its line. The same stamp (parts of one line) stands 16 KiB on at least."""
    pieces, start = [], 0
    stamp = line[:STAMP_SIZE]
    for found in _INNER_STAMP.finditer(line, STAMP_SIZE + 1):
        inner, at = found[0][:STAMP_SIZE], found.start()
        if inner > stamp or (inner == stamp and at - start > PART_SIZE):
            pieces.append(line[start:at])
            start, stamp = at, inner
    return [*pieces, line[start:]]


def _printable(data: bytes) -> str:
    return ascii(data[:120].decode("utf-8", "replace"))
