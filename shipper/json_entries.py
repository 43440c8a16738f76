"""Blocks of a json-file log into entries: bytes in, columns out, no I/O.

An entry is `{"log":"…\\n","stream":"stdout","time":"…"}` and a newline, as Docker's json-file driver writes it
(moby, daemon/logger/jsonfilelog/jsonlog): the text is escaped JSON already and is passed on as it is. The common case,
whole lines and undamaged entries, is cut by a few C calls over the whole block after counts have shown that nothing in
it can mislead them; anything else goes entry by entry.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import overload

import orjson

from shipper.entries import STDOUT, Entries, Place, Position
from towline.batch import occurrences

_JOINT = b'"}\n{"log":"'
_TIME = b'","time":"'
_STREAM = b'","stream":"'
_OUT_LINE = b'\\n","stream":"stdout","time":"'
_ERR_LINE = b'\\n","stream":"stderr","time":"'
_TEXT = rb'([^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)'
_ENTRY = re.compile(
    rb'\{"log":"' + _TEXT + rb'","stream":"(stdout|stderr)",'
    rb'(?:"attrs":\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\},)?"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)"\}'
)  # fmt: skip
_OTHER_ESCAPE = re.compile(rb'\\[^"n]')
_STRUCTURAL_QUOTES = 12
_STAMP_LENGTH = 30
_FEW = 600
"""Bytes of a block that is likely to be a single entry: containers that speak now and then are read so."""
_Columns = tuple[Sequence[bytes], Sequence[bytes], bytes | Sequence[bytes]]
"""Stamps, texts, and the stream or streams."""
_SIGNS = ((4, b"-"), (10, b"T"), (13, b":"), (19, b"."), (29, b"Z"))


def parse(block: bytes, before: Position | None, end: Place, *, tty: bool = False, gap: str = "") -> Entries:
    """The entries of `block`, which ends with a newline, at `end` of its file.

    `before` is the position right before the block. Damaged entries are kept as they were found; runs of NUL bytes, as
    a crash of the machine leaves them, are left out.
    """
    columns = _one_line(block) if len(block) < _FEW else _whole_lines(block)
    if columns is not None:
        stamps, texts, streams = columns
        if tty:
            texts = [strip_return(text) for text in texts]
        ends = _Ends(block, end.offset)
        return Entries(stamps, texts, streams, gap=gap, size=len(block), before=before, place=end, ends=ends)
    return _one_by_one(block, before, end, tty, gap)


def _one_line(block: bytes) -> _Columns | None:
    """Like `_whole_lines`, of a block that is a single entry; one pattern takes half as long there."""
    entry = _ENTRY.fullmatch(block, 0, len(block) - 1)
    if entry is None:
        return _whole_lines(block)
    text, stream, stamp = entry.groups()
    if not text.endswith(b"\\n") or text.endswith(b"\\\\n"):
        return None
    return [nine_digits(stamp)], [text[:-2]], stream


class _Ends(Sequence[int]):
    """The offset behind each line of a block that ends at `end`; looked for when somebody asks, which is seldom."""

    def __init__(self, block: bytes, end: int) -> None:
        self._block = block
        self._end = end

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        return self._offsets[index]

    def __len__(self) -> int:
        return len(self._offsets)

    @cached_property
    def _offsets(self) -> list[int]:
        start = self._end - len(self._block)
        return [start + found.end() for found in re.finditer(b"\n", self._block)]


def _whole_lines(block: bytes) -> _Columns | None:
    """Columns of a block in which every entry is a whole line and undamaged, else None."""
    count = occurrences(block, b"\n")
    if (
        b"\x00" in block
        or b"\x1e" in block
        or not _quotes_are_right(block, count)
        or not block.startswith(b'{"log":"')
        or not block.endswith(b'"}\n')
    ):
        return None
    return _one_stream(block, count) or _two_streams(block[8:-3].split(_JOINT), count)


def _quotes_are_right(block: bytes, count: int) -> bool:
    """Whether there are as many quotes as `count` undamaged entries have, and no text ends in a backslash and an n.

    Where every backslash stands before a quote or is a line end's, as in most logs, two counts of single bytes show it;
    counting two bytes in a row takes three times as long.
    """
    escaped = block.count(b'"') - _STRUCTURAL_QUOTES * count
    if escaped == block.count(b"\\") - count and not (escaped and _OTHER_ESCAPE.search(block)):
        return True
    return escaped == block.count(b'\\"') and b"\\\\n" + _STREAM not in block


def _one_stream(block: bytes, count: int) -> tuple[Sequence[bytes], Sequence[bytes], bytes] | None:
    """Text and stamp by turns, once what ends a text looks like what ends an entry."""
    head = block[: block.index(b"\n")]
    tail = _OUT_LINE if _OUT_LINE in head else _ERR_LINE
    cells = block[8:-3].replace(tail, _JOINT).split(_JOINT)
    if len(cells) != 2 * count:
        return None
    whole = _nine_digits(cells[1::2])
    if whole is None or not _are_stamps(b"".join(whole), count):
        return None
    return whole, cells[::2], tail[14:20]


def _are_stamps(joined: bytes, count: int) -> bool:
    """Whether text and stamp have not changed places anywhere."""
    return all(joined[at::_STAMP_LENGTH] == sign * count for at, sign in _SIGNS)


def _two_streams(rows: list[bytes], count: int) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[bytes]] | None:
    if len(rows) != count:
        return None
    heads, times, stamps = zip(*[row.rpartition(_TIME) for row in rows], strict=True)
    streams = [head[-6:] for head in heads]
    if (
        times.count(_TIME) != len(rows)
        or {head[-20:-6] for head in heads} != {b"\\n" + _STREAM}
        or not {b"stdout", b"stderr"}.issuperset(streams)
    ):
        return None
    whole = _nine_digits(stamps)
    return (whole, [head[:-20] for head in heads], streams) if whole is not None else None


def _nine_digits(stamps: Sequence[bytes]) -> Sequence[bytes] | None:
    """The stamps with nine digits (json-file trims zeros at the end), or None where one is no stamp."""
    if {*map(len, stamps)} == {_STAMP_LENGTH}:
        return stamps
    whole = [stamp if len(stamp) == _STAMP_LENGTH else nine_digits(stamp) for stamp in stamps]
    return whole if {*map(len, whole)} == {_STAMP_LENGTH} else None


def nine_digits(stamp: bytes) -> bytes:
    """RFC 3339 UTC with the fraction filled up to nine digits; anything else comes back as it was."""
    if not 20 <= len(stamp) < _STAMP_LENGTH or not stamp.endswith(b"Z") or (len(stamp) > 20 and stamp[19:20] != b"."):
        return stamp
    return (stamp[:19] + b"." + stamp[20:-1]).ljust(29, b"0") + b"Z"


def strip_return(text: bytes) -> bytes:
    """The text without the carriage return that a terminal puts before each line end."""
    if text.endswith(b"\\r") and not _escaped(text, len(text) - 2):
        return text[:-2]
    return text


def _escaped(text: bytes, at: int) -> bool:
    """Whether the backslash at `at` is itself escaped: an odd number of backslashes stands before it."""
    return (at - len(text[:at].rstrip(b"\\"))) % 2 == 1


def _one_by_one(block: bytes, before: Position | None, end: Place, tty: bool, gap: str) -> Entries:
    stamps: list[bytes] = []
    texts: list[bytes] = []
    streams: list[bytes] = []
    ends: list[int] = []
    parts: set[int] = set()
    damaged: set[int] = set()
    offset = end.offset - len(block)
    for row in block.split(b"\n")[:-1]:
        offset += len(row) + 1
        for text, stream, stamp, broken in _entry(row):
            whole, text = _line_end(text) if not broken else (True, text)
            if broken:
                damaged.add(len(texts))
                stream = streams[-1] if streams else stream
                stamp = stamps[-1] if stamps else (before.stamp if before else stamp)
            elif not whole:
                parts.add(len(texts))
            stamps.append(stamp)
            texts.append(strip_return(text) if tty and whole else text)
            streams.append(stream)
            ends.append(offset)
    return Entries(
        stamps, texts, streams, frozenset(parts), frozenset(damaged), gap, len(block), before, place=end, ends=ends
    )


def _entry(row: bytes) -> list[tuple[bytes, bytes, bytes, bool]]:
    """(text, stream, stamp, damaged) of one row: one entry; or what is left of a torn one, and the entry after it."""
    row = row.strip(b"\x00")
    match = _ENTRY.fullmatch(row)
    if match:
        return [(match[1], match[2], nine_digits(match[3]), False)]
    start = row.rfind(b'{"log":"')
    match = _ENTRY.fullmatch(row, start) if start > 0 else None
    if match:
        return [*_damaged(row[:start]), (match[1], match[2], nine_digits(match[3]), False)]
    return _damaged(row)


def _damaged(row: bytes) -> list[tuple[bytes, bytes, bytes, bool]]:
    row = row.strip(b"\x00")
    if not row:
        return []
    text = orjson.dumps(row.decode("utf-8", "replace"))[1:-1]
    return [(text, STDOUT, b"1970-01-01T00:00:00.000000000Z", True)]


def _line_end(text: bytes) -> tuple[bool, bytes]:
    """(whether the text ends its line, the text without the line end)."""
    if text.endswith(b"\\n") and not _escaped(text, len(text) - 2):
        return True, text[:-2]
    return False, text
