"""Lines into sections: numbered, identified, cut where they are too long, written as documents.

A line's identity is `<stamp>-<sender>` with what a repeat has as well (a re-sent forward chunk, say) or, where no
repeat could be known, with a number that is given once; so nothing that was sent twice on purpose is taken for one.
"""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count

from shipper.inputs.docker_lines import as_docker_means
from shipper.inputs.line import Line, Sender
from shipper.inputs.senders import Senders, Source
from shipper.rules.rows import Rows
from towline import metrics
from towline.batch import Section
from towline.times import format_time

log = logging.getLogger(__name__)

MOST_HELD = 4 << 20
"""Bytes of events that wait for more lines, of all senders together."""
_SECOND = 1_000_000_000


class Writer:
    """Not thread-safe."""

    def __init__(self, senders: Senders, max_line: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._senders = senders
        self._max_line = max_line
        self._clock = clock
        self._life = b"n" + secrets.token_hex(5).encode() + b"x"
        """Of this process: what it numbers, no other does."""
        self._number = count()
        self._open: set[Source] = set()
        """Those of whose lines an event waits for more."""

    def sections(self, lines: Sequence[Line]) -> list[Section]:
        """One for each sender, its lines in their order; none where all of them are left out or wait."""
        by_sender: dict[Sender, list[Line]] = {}
        for line in lines:
            by_sender.setdefault(line.sender, []).append(line)
        made = [self._section(self._senders.of(sender), own) for sender, own in by_sender.items()]
        if self._open and sum(source.ruling.holds for source in self._open) > MOST_HELD:
            made += self._completed([*self._open])
        return [section for section in made if section]

    @property
    def holds(self) -> bool:
        """Whether an event waits for more lines."""
        return bool(self._open)

    def expired(self, everything: bool = False) -> list[Section]:
        """Events to which nothing was added for long enough; all of them, where nothing more will come."""
        now = self._clock()
        over = [each for each in self._open if everything or now - each.ruling.fed > each.ruling.waits]
        return [section for section in self._completed(over) if section]

    def _completed(self, sources: Sequence[Source]) -> list[Section | None]:
        for source in sources:
            source.ruling.complete()
            self._open.discard(source)
        return [_section(source, source.ruling.take()) for source in sources]

    def _section(self, source: Source, lines: list[Line]) -> Section | None:
        if not source.wanted:
            count_dropped(source.origin.service, "excluded", len(lines))
            return _section(source, source.ruling.take()) if source.ruling.asks else None
        if source.container:
            lines = as_docker_means(source, lines)
        if any(len(line.text) * 4 > self._max_line for line in lines):
            lines = self._cut(source, lines)
        rows = self._rows(source, lines)
        ruling = source.ruling
        if not ruling.asks:
            return _section(source, [rows])
        ruling.fed = self._clock()
        ruling.add(rows, [line.group for line in lines])
        (self._open.add if ruling.holds else self._open.discard)(source)
        return _section(source, ruling.take())

    def _rows(self, source: Source, lines: Sequence[Line]) -> Rows:
        stamps = [stamp(line.at) for line in lines]
        first = source.sequence + 1
        source.sequence += len(lines)
        return Rows(
            ids=[b"%b-%b%b" % (at, source.mark, self._identity(line)) for at, line in zip(stamps, lines, strict=True)],
            stamps=stamps,
            streams=[line.stream for line in lines],
            sequences=list(range(first, first + len(lines))),
            texts=[line.text for line in lines],
            flags=[line.flags for line in lines],
            fields=[line.fields for line in lines],
        )

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


def _section(source: Source, parts: Sequence[Rows]) -> Section | None:
    """What labels have left of a sender's lines."""
    service = source.origin.service
    if dropped := sum(rows.dropped.total() for rows in parts):
        metrics.of(metrics.LINES_READ, service).inc(dropped)
    times = [time or stamp for rows in parts for time, stamp in zip(rows.times, rows.stamps, strict=True)]
    metrics.of(metrics.LINES_LISTENED, service).inc(dropped + len(times))
    if not times:
        return None
    docs = b"".join(map(_documents, parts))
    return Section(source.origin, docs, len(times), min(times).decode(), max(times).decode())


def _documents(rows: Rows) -> bytes:
    try:
        return rows.documents()
    except (TypeError, ValueError, RecursionError) as error:  # a value that no JSON holds, and that nobody foresaw
        log.error("fields of %d lines can't be written, their text is kept: error=%s", len(rows), type(error).__name__)
        rows.fields = [None] * len(rows)
        for index in range(len(rows)):
            rows.flag(index, "unprocessed")
        return rows.documents()


def count_dropped(service: str, reason: str, lines: int) -> None:
    """Lines that are read, and left out for this reason."""
    metrics.of(metrics.LINES_READ, service).inc(lines)
    metrics.of(metrics.LINES_LISTENED, service).inc(lines)
    metrics.LINES_DROPPED.labels(service, reason).inc(lines)


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
