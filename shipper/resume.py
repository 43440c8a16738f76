"""Going on where reading stopped: of entries that begin somewhere before a known position, those right after it.

Stamps are wall clock: they repeat, and jump back. So the position is found by what it is, the nth of adjacent entries
of its stream with its stamp, and never by comparing times, but for one thing: an entry with a stamp above the highest
ever seen was not read before, so where it comes first the anchor is gone.
"""

from dataclasses import replace
from operator import lt

from shipper.entries import Entries, Position


class Overlap:
    """Drops entries up to and including the one that `position` stands behind. Source-neutral, no I/O.

    `found`: the anchor was seen (everything that is fed from now on is passed on).
    `gone`: an entry proved that the anchor is not there any more; what is passed on begins with that entry, whose
        Entries have gap="rotated".
    `uncertain`: the anchor may have been seen, among entries of equal stamps that began, perhaps, before the first one
        that was fed; only where the entries are not `whole` (from the log's beginning). Nothing is passed on then.
    `skipped`: entries dropped so far.
    `last`: right behind the last entry dropped, as a position to go on from where the anchor is not found at all.
    """

    def __init__(self, position: Position, *, whole: bool = True) -> None:
        self._anchor = position
        self._bounded = whole
        """The anchor's run of equal stamps begins within what was fed."""
        self.uncertain = False
        self._runs: dict[bytes, tuple[bytes, int]] = {}
        self.found = False
        self.gone = False
        self.skipped = 0
        self.last: Position | None = None

    def feed(self, entries: Entries) -> Entries | None:
        """What of the next entries comes after the position; None where nothing does."""
        if self.found or self.gone:
            return entries
        anchor = self._anchor
        for index, stamp in enumerate(entries.stamps):
            if stamp > anchor.high:
                self.gone = True
                self.skipped += index
                return cut(entries, index, anchor, gap="rotated")
            stream = entries.stream(index)
            nth = self._count(stream, stamp)
            if stamp != anchor.stamp or stream != anchor.stream:
                self._bounded = self._bounded or stream == anchor.stream or stamp < anchor.stamp
            elif not self._bounded:
                self.uncertain = True
            elif nth == anchor.nth and not self.uncertain:
                self.found = True
                self.skipped += index + 1
                return cut(entries, index + 1, anchor) if index + 1 < len(entries) else None
        self.skipped += len(entries)
        self._remember(entries)
        return None

    def finish(self) -> bool:
        """The log has ended: whether its end is at, or after, the position. False: the anchor is nowhere in what was
        fed, and nothing there is certainly new (the log was emptied, or began anew with a clock that had jumped back).
        """
        return self.found or self.gone

    def _count(self, stream: bytes, stamp: bytes) -> int:
        last, nth = self._runs.get(stream, (b"", 0))
        nth = nth + 1 if last == stamp else 1
        self._runs[stream] = (stamp, nth)
        return nth

    def _remember(self, entries: Entries) -> None:
        stream = entries.stream(len(entries) - 1)
        stamp, nth = self._runs[stream]
        self.last = Position(stream, stamp, nth, self._anchor.high, entries.place)


class Runs:
    """Where a log stands, kept up while its entries pass by: the position behind the last one, exact also where the
    entries of one stream that share a stamp are spread over several Entries, with the other stream's in between."""

    def __init__(self, position: Position | None = None) -> None:
        self.position = position
        self._runs = {position.stream: (position.stamp, position.nth)} if position else {}
        self._open: set[bytes] = set()
        """Streams whose last entry is a part: the next one has the same stamp."""

    def follow(self, entries: Entries) -> Entries:
        """The same entries, told what came before them; the position moves behind them."""
        entries.before, entries.runs = self.position, self._runs.copy()
        streams = entries.streams
        if isinstance(streams, bytes) and len(entries.stamps) == 1:
            self._extend_by_one(entries.stamps[0], streams, bool(entries.parts))
        else:
            for stream in (streams,) if isinstance(streams, bytes) else set(streams):
                self._extend(entries, stream)
        self.position = entries.end = self._after(entries) or self.position
        return entries

    def grows(self, entries: Entries) -> int:
        """How many of these entries, from the first on, have a stamp after their stream's previous one (or the same,
        behind a part)."""
        stamps, streams, parts = entries.stamps, entries.streams, entries.parts
        if isinstance(streams, bytes) and not parts and streams not in self._open:
            known = self._runs.get(streams, (b"", 0))[0]
            if known < stamps[0] and all(map(lt, stamps, stamps[1:])):
                return len(stamps)
        last = {stream: (stamp, stream in self._open) for stream, (stamp, _) in self._runs.items()}
        for index, stamp in enumerate(stamps):
            stream = entries.stream(index)
            before, part = last.get(stream, (b"", False))
            if stamp < before or (stamp == before and not part):
                return index
            last[stream] = (stamp, index in parts)
        return len(stamps)

    def _after(self, entries: Entries) -> Position | None:
        """Right behind the last of these."""
        if not len(entries):
            return None
        stream, stamp = entries.stream(len(entries) - 1), entries.stamps[-1]
        high = max(max(entries.stamps), self.position.high if self.position else b"")
        return Position(stream, stamp, self._runs[stream][1], high, entries.place)

    def _extend_by_one(self, stamp: bytes, stream: bytes, part: bool) -> None:
        known, count = self._runs.get(stream, (b"", 0))
        self._runs[stream] = stamp, count + 1 if known == stamp else 1
        (self._open.add if part else self._open.discard)(stream)

    def _extend(self, entries: Entries, stream: bytes) -> None:
        stamp, nth = b"", 0
        for index in range(len(entries) - 1, -1, -1):
            if entries.stream(index) != stream:
                continue
            if not nth:
                (self._open.add if index in entries.parts else self._open.discard)(stream)
            if nth and entries.stamps[index] != stamp:
                break
            stamp, nth = entries.stamps[index], nth + 1
        else:
            known, count = self._runs.get(stream, (b"", 0))
            nth += count if known == stamp else 0
        self._runs[stream] = (stamp, nth)


def cut(entries: Entries, start: int, before: Position | None, gap: str = "") -> Entries:
    """The entries from index `start` on, which follow on `before`."""
    streams = entries.streams
    return replace(
        entries,
        stamps=entries.stamps[start:],
        texts=entries.texts[start:],
        streams=streams if isinstance(streams, bytes) else streams[start:],
        parts=frozenset(part - start for part in entries.parts if part >= start),
        damaged=frozenset(entry - start for entry in entries.damaged if entry >= start),
        gap=gap or (entries.gap if start == 0 else ""),
        size=entries.size * (len(entries) - start) // max(1, len(entries)),
        before=before,
        ends=entries.ends[start:],
        end=None,
    )


def head(entries: Entries, count: int) -> Entries:
    """The first `count` entries; only for sources without places."""
    streams = entries.streams
    return replace(
        entries,
        stamps=entries.stamps[:count],
        texts=entries.texts[:count],
        streams=streams if isinstance(streams, bytes) else streams[:count],
        parts=frozenset(part for part in entries.parts if part < count),
        damaged=frozenset(entry for entry in entries.damaged if entry < count),
        size=entries.size * count // max(1, len(entries)),
        ends=entries.ends[:count],
        end=None,
    )
