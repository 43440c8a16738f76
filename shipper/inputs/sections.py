"""Lines into sections: numbered, identified, cut where they are too long, written as documents.

A line's identity is `<stamp>-<sender>` with what a repeat has as well (a re-sent forward chunk, say) or, where no
repeat could be known, with a number that is given once; so nothing that was sent twice on purpose is taken for one.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count

from shipper.inputs.line import Line, Sender
from shipper.inputs.senders import Senders, Source
from shipper.rules.rows import Rows
from towline import metrics
from towline.batch import Section
from towline.times import format_time

_SECOND = 1_000_000_000


class Writer:
    """Not thread-safe."""

    def __init__(self, senders: Senders, max_line: int) -> None:
        self._senders = senders
        self._max_line = max_line
        self._life = b"n" + secrets.token_hex(5).encode() + b"x"
        """Of this process: what it numbers, no other does."""
        self._number = count()

    def sections(self, lines: Sequence[Line]) -> list[Section]:
        """One for each sender, its lines in their order."""
        by_sender: dict[Sender, list[Line]] = {}
        for line in lines:
            by_sender.setdefault(line.sender, []).append(line)
        return [self._section(self._senders.of(sender), own) for sender, own in by_sender.items()]

    def _section(self, source: Source, lines: list[Line]) -> Section:
        if any(len(line.text) * 4 > self._max_line for line in lines):
            lines = self._cut(source, lines)
        stamps = [stamp(line.at) for line in lines]
        first = source.sequence + 1
        source.sequence += len(lines)
        rows = Rows(
            ids=[b"%b-%b%b" % (at, source.mark, self._identity(line)) for at, line in zip(stamps, lines, strict=True)],
            stamps=stamps,
            streams=[line.stream for line in lines],
            sequences=list(range(first, first + len(lines))),
            texts=[line.text for line in lines],
            flags=[line.flags for line in lines],
            fields=[line.fields for line in lines],
        )
        return Section(source.origin, rows.documents(), len(rows), min(stamps).decode(), max(stamps).decode())

    def _identity(self, line: Line) -> bytes:
        return b"r" + line.identity if line.identity else self._life + b"%d" % next(self._number)

    def _cut(self, source: Source, lines: list[Line]) -> list[Line]:
        """Lines that are too long in pieces, the fields with the first of them."""
        parts = []
        for line in lines:
            texts = pieces(line.text, self._max_line)
            parts.append(replace(line, text=texts[0], flags=_split(line) if len(texts) > 1 else line.flags))
            for number, text in enumerate(texts[1:], 1):
                own = line.identity + b"p%d" % number if line.identity else b""
                parts.append(replace(line, text=text, fields=None, flags=_split(line), identity=own))
            if len(texts) > 1:
                metrics.LINES_SPLIT.labels(source.origin.service).inc(len(texts))
        return parts


def pieces(text: str, limit: int) -> list[str]:
    """The text in pieces of at most `limit` bytes of UTF-8; characters stay whole."""
    plain = text.encode("utf-8", "replace")
    if len(plain) <= limit:
        return [text]
    found, start = [], 0
    while start < len(plain):
        end = min(start + max(limit, 4), len(plain))
        while end < len(plain) and plain[end] & 0xC0 == 0x80:
            end -= 1
        found.append(plain[start:end].decode())
        start = end
    return found


def stamp(at: int) -> bytes:
    """Nanoseconds since 1970 as documents have them: 30 bytes."""
    seconds, rest = divmod(at, _SECOND)
    return b"%b%09dZ" % (_second(seconds), rest)


@lru_cache(maxsize=256)
def _second(seconds: int) -> bytes:
    return format_time(seconds * _SECOND)[:20].encode()


def _split(line: Line) -> tuple[str, ...]:
    return line.flags if "split" in line.flags else (*line.flags, "split")
