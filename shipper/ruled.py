"""The lines of one container whose labels ask for something: kept as columns, joined, taken through the steps, written.

An event of several lines has the identity of its first one, and every line is numbered as if nothing were joined; so
what other lines are called does not depend on the labels. A checkpoint never stands within an event: a log that is read
again from there makes the same events.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from shipper.rules.chain import Chain, Values, chain_of
from shipper.rules.joining import Joining, joining
from shipper.rules.rows import Rows
from shipper.rules.table import STEPS
from towline.identity import clean
from towline.times import nanoseconds

GRACE = 1.0
"""Seconds beyond an event's wait for the engine to write a line that it has stamped already."""


@dataclass
class Event:
    """What is joined so far."""

    identity: bytes
    stamp: bytes
    sequence: int
    flag: str
    texts: list[str] = field(default_factory=list)
    newest: bytes = b""
    size: int = 0


def ruled_of(values: Values, service: str, most: int) -> "Ruled | None":
    """What these values ask for (shipper.rules.table); None where they ask for nothing that touches lines."""
    chain, joined = chain_of(values, STEPS, service), joining(values)
    return Ruled(chain, joined, most) if chain or joined else None


class Ruled:
    """`most`: bytes that one event may have, and that may be read while a checkpoint can't move."""

    def __init__(self, chain: Chain | None, joining: Joining | None, most: int) -> None:
        self.chain = chain
        self.joining = joining
        self._most = most
        self._events: dict[bytes, Event] = {}
        self._rows = _empty()
        self._since = 0
        """Characters since no event was open."""

    @property
    def holds(self) -> bool:
        """Whether an event waits for more lines."""
        return bool(self._events)

    @property
    def waits(self) -> float:
        """Seconds of quiet after which an open event is complete; 0 where none is open."""
        return self.joining.wait + GRACE if self.joining and self._events else 0.0

    def columns(self, ids: list[bytes], stamps: list[bytes], stream: bytes, first: int, texts: Sequence[bytes]) -> None:
        """Whole lines of one stream, numbered from `first` on, where nothing is joined."""
        rows, count = self._rows, len(ids)
        rows.ids += ids
        rows.stamps += stamps
        rows.streams += [stream] * count
        rows.sequences += range(first, first + count)
        rows.texts += plain(texts)
        rows.flags += [()] * count

    def begins(self, stream: bytes, stamp: bytes, text: bytes, flag: bytes) -> bool:
        """Whether this line begins an event; the stream's event before is complete then."""
        if self._since > self._most:
            self.complete()
        event = self._events.get(stream)
        if event is None or (not flag and self._goes_on(event, stamp, _text(text), len(text))):
            return event is None
        self._finish(stream)
        return True

    def line(self, identity: bytes, stamp: bytes, stream: bytes, sequence: int, text: bytes, flag: bytes) -> None:
        """One line, numbered; to be told after `begins` where lines are joined."""
        event = self._events.get(stream)
        if event is None:
            event = self._events[stream] = Event(identity, stamp, sequence, flag.decode())
        event.texts.append(_text(text))
        event.newest = stamp
        event.size += len(text)
        self._since = self._since + len(text) if self.joining else 0
        if not self.joining or flag:
            self._finish(stream)

    def complete(self) -> None:
        """Every event is as long as it will be."""
        for stream in list(self._events):
            self._finish(stream)

    def take(self) -> tuple[bytes, list[bytes], int]:
        """What is complete, through the steps: documents, their times, and how many lines were dropped."""
        rows, self._rows = self._rows, _empty()
        if not len(rows):
            return b"", [], 0
        rows.times, rows.fields = [None] * len(rows), [None] * len(rows)
        if self.chain:
            self.chain.apply(rows)
        times = [time or stamp for time, stamp in zip(rows.times, rows.stamps, strict=True)]
        return rows.documents(), times, rows.dropped.total()

    def _goes_on(self, event: Event, stamp: bytes, text: str, size: int) -> bool:
        assert self.joining
        if event.size + size > self._most or not self.joining.continues(event.texts, text):
            return False
        return apart(event.newest, stamp) <= self.joining.wait * 1e9

    def _finish(self, stream: bytes) -> None:
        event, rows = self._events.pop(stream), self._rows
        rows.ids.append(event.identity)
        rows.stamps.append(event.stamp)
        rows.streams.append(stream)
        rows.sequences.append(event.sequence)
        rows.texts.append("\n".join(event.texts))
        rows.flags.append((event.flag,) if event.flag else ())
        if not self._events:
            self._since = 0


def apart(before: bytes, stamp: bytes) -> int:
    """Nanoseconds between two stamps; 0 where one is none."""
    try:
        return nanoseconds(stamp.decode()) - nanoseconds(before.decode())
    except ValueError:
        return 0


def plain(texts: Sequence[bytes]) -> list[str]:
    """The texts, which are the inside of JSON strings."""
    try:
        found: list[str] = orjson.loads(b'["' + b'","'.join(texts) + b'"]')
        return found
    except orjson.JSONDecodeError:
        return [_text(text) for text in texts]


def _text(text: bytes) -> str:
    try:
        return str(orjson.loads(b'"' + text + b'"'))
    except orjson.JSONDecodeError:  # half a character
        return clean(json.loads(b'"' + text + b'"', strict=False))


def _empty() -> Rows:
    return Rows([], [], [], [], [], [])
