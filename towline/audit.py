"""Does the store hold what the engine's logs hold? Read again from the engine, compared line by line by identity.

A line's identity depends on nothing but the log (shipper.lines), so an audit needs no notes of the shipper's: it makes
the identities anew and looks each up. What the store lacks is missing; what it holds twice is double, be it under the
same identity (in two backing indices) or under one that the log does not give (somebody has copied it).
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from shipper.container import Container
from shipper.lines import LineMaker, Lines
from shipper.ruled import ruled_of
from shipper.rules.table import Reading
from shipper.sources import Source
from towline.stores import Store

_IDENTITY = re.compile(rb'^\{"create":\{"_id":"([^"]+)"', re.MULTILINE)
_BY_SEQUENCE = re.compile(r"([oe]s)\d+$")
_LISTENED = re.compile(r".{39}[nr]")
"""Identities of lines that came by a listener (shipper.inputs.sections)."""
_STAMP = 30
_PAUSE = 0.02
SILENCE = 20.0
"""Seconds after which a log that gives nothing, and does not end, is taken as unreadable."""


@dataclass(frozen=True)
class Range:
    """Adjacent lines of a log that share a fate."""

    first: str
    last: str
    count: int


@dataclass
class Finding:
    """One container's lines in the time range, in the engine's log and in the store."""

    container: Container
    logged: int = 0
    stored: int = 0
    missing: list[Range] = field(default_factory=list)
    ahead: int = 0
    """Lines that the shipper has not been confirmed yet: behind its checkpoint's highest stamp."""
    double: int = 0
    listened: int = 0
    """Lines in the store that came by a listener: no log tells what they should be."""
    unreadable: str = ""

    @property
    def lost(self) -> int:
        return sum(part.count for part in self.missing)

    @property
    def only_listened(self) -> bool:
        """Its log driver sends its lines to a listener, and its log was not read."""
        return bool(self.listened) and not self.stored

    @property
    def clean(self) -> bool:
        return not (self.missing or self.double or self.unreadable)


def compare(
    container: Container,
    source: Source,
    store: Store,
    since: str,
    until: str,
    max_line: int,
    high: str,
    reading: Reading,
) -> Finding:
    """What the container's log holds with since <= stamp < until, against the store. Closes the source.

    `high`: the highest stamp that the shipper's checkpoint covers; what is newer and not stored is on its way, not
    missing. `reading`: what is said about its lines, which are joined and dropped as the shipper does it.
    """
    finding = Finding(container)
    stored, elsewhere, finding.listened = _held(store, container.id, since, until)
    finding.stored = sum(count for identity, count in stored.items() if not identity.endswith("g"))
    if finding.only_listened:
        source.close()
        return finding
    logged, first = [], ""
    try:
        for identity in _identities(source, container, max_line, reading):
            first = first or identity[:_STAMP]
            if since <= identity[:_STAMP] < until and not identity.endswith("g"):
                logged.append(_plain(identity))
    except OSError as error:
        finding.unreadable = str(error)
    finally:
        source.close()
    finding.logged = len(logged)
    finding.double = _twice(stored) + _copies(stored, elsewhere, set(logged), first)
    finding.missing = list(_ranges([identity for identity in logged if identity[:_STAMP] <= high], stored))
    finding.ahead = sum(identity[:_STAMP] > high and identity not in stored for identity in logged)
    return finding


def _held(store: Store, container: str, since: str, until: str) -> tuple[Counter[str], dict[str, str], int]:
    """How often the store has each identity; the stamps of those that do not begin with theirs; and, left out of both,
    how many came by a listener."""
    held: Counter[str] = Counter()
    listened = 0
    elsewhere: dict[str, str] = {}
    for identity, stamp in store.identities(container, since, until):
        if _LISTENED.match(identity):
            listened += 1
            continue
        plain = _plain(identity)
        held[plain] += 1
        if not plain.startswith(stamp):
            elsewhere[plain] = stamp
    return held, elsewhere, listened


def _twice(stored: Counter[str]) -> int:
    return sum(count - 1 for identity, count in stored.items() if count > 1 and not _repeatable(identity))


def _copies(stored: Counter[str], elsewhere: dict[str, str], logged: set[str], first: str) -> int:
    """Stored lines of a moment that the log tells of, under an identity that it does not give.

    Of moments that the log does not tell of nothing can be said: it may have been rotated away. So at its beginning,
    where of several lines of one stamp (`first`) only some may be left.
    """
    stamps = {identity[:_STAMP] for identity in logged} - {first}
    return sum(
        elsewhere.get(identity, identity[:_STAMP]) in stamps
        for identity in stored.keys() - logged
        if not identity.endswith("g") and not _repeatable(identity)
    )


def _identities(source: Source, container: Container, max_line: int, reading: Reading) -> Iterator[str]:
    """Of every line in the log, in its order; raises OSError where the log can't be read."""
    source.tty = container.tty
    source.stopped()  # what is there now is all that is asked for
    ruled = ruled_of(reading.values, container.origin.service, max_line)
    maker = LineMaker(container.id, max_line, ruled=ruled)
    heard = time.monotonic()
    while not source.finished:
        entries = source.read(1 << 20)
        if source.refused:
            raise OSError(source.refused)
        if entries is not None:
            heard = time.monotonic()
            yield from _of(maker.feed(entries))
        elif not source.finished and not source.eager:
            if time.monotonic() - heard > SILENCE:
                raise OSError(source.problem or f"no answer within {SILENCE:.0f} s")
            time.sleep(_PAUSE)
    yield from _of(maker.flush())


def _of(lines: Lines | None) -> Iterator[str]:
    return (match.decode() for match in _IDENTITY.findall(lines.docs)) if lines else iter(())


def _plain(identity: str) -> str:
    """Without the sequence that stands for the ordinal where the clock went back: it counts from where the reading of
    the log began, which may have been elsewhere."""
    return _BY_SEQUENCE.sub(r"\1", identity)


def _repeatable(identity: str) -> bool:
    return identity.endswith(("os", "es"))


def _ranges(logged: Iterable[str], stored: Counter[str]) -> Iterator[Range]:
    left = stored.copy()

    def missing(identity: str) -> bool:
        left[identity] -= 1
        return left[identity] < 0

    for lost, group in groupby(((missing(identity), identity) for identity in logged), key=lambda pair: pair[0]):
        if lost:
            stamps = [identity[:_STAMP] for _, identity in group]
            yield Range(stamps[0], stamps[-1], len(stamps))
