"""What labels do to the lines of one sender: as for lines of a container's log (shipper/ruled.py), on the same columns.

Lines that nobody acknowledges are joined as they come. Of those that are acknowledged together only lines of the same
message are: whoever sends it again, because the ack was lost, gets the same events, and no ack waits for a line that
only comes after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shipper.ruled import GRACE, apart
from shipper.rules import parse, redact
from shipper.rules.chain import Chain, Make, Values, chain_of
from shipper.rules.joining import Joining, joining
from shipper.rules.rows import Fields, Rows
from shipper.rules.table import STEPS

HIDING: tuple[Make, ...] = (redact.make_text, redact.make_fields)
RECORDS: tuple[Make, ...] = tuple(parse.make_lenient if make is parse.make else make for make in STEPS)
"""For records, of which much was fields before: their text need not have any form."""


@dataclass(frozen=True)
class Said:
    """What is said of a sender's lines. makes: the steps that are applied of it. also: values of which only what hides
    is applied as well, by service: those of everybody whose lines these may be."""

    values: Values
    service: str
    makes: tuple[Make, ...]
    joins: bool = True
    also: tuple[tuple[str, Values], ...] = ()


@dataclass
class _Event:
    """What is joined so far. group: of the message that it is acknowledged with, 0 for none."""

    row: tuple[bytes, bytes, int, Fields | None]
    """Of its first line: identity, stamp, number, fields."""
    group: int
    texts: list[str]
    newest: bytes
    size: int


class Ruling:
    """`most`: bytes that an event may have. Not thread-safe."""

    def __init__(self, most: int) -> None:
        self.fed = 0.0
        """When a line last came (monotonic clock)."""
        self.said: Said | None = None
        self._chain: Chain | None = None
        self._joining: Joining | None = None
        self._most = most
        self._events: dict[bytes, _Event] = {}
        self._done = _empty()
        self._ready: list[Rows] = []

    def say(self, said: Said) -> None:
        """What is asked for from now on; what came before is complete, by the old rules."""
        self.complete()
        self._through()
        self.said = said
        self._joining = joining(said.values) if said.joins else None
        chains = [chain_of(values, HIDING, service) for service, values in said.also]
        own = chain_of(said.values, said.makes, said.service)
        steps = [step for chain in (*chains, own) if chain for step in chain.steps]
        self._chain = Chain(steps, said.service) if steps else None

    @property
    def asks(self) -> bool:
        """Whether anything is asked for, or waits."""
        return bool(self._chain or self._joining or self._ready)

    @property
    def holds(self) -> int:
        """Bytes of events that wait for more lines; with each, so that none is free."""
        return sum(event.size + 200 for event in self._events.values())

    @property
    def waits(self) -> float:
        """Seconds of quiet after which what is held is complete."""
        return self._joining.wait + GRACE if self._joining else 0.0

    def add(self, rows: Rows, groups: Sequence[int]) -> None:
        """Lines, numbered, with the group that each is acknowledged in."""
        if self._joining is None:
            self._ready.append(self._applied(rows))
            return
        for index in range(len(rows)):
            self._join(rows, index, groups[index])
        for stream, event in [*self._events.items()]:
            if event.group:
                self._finish(stream)
        self._through()

    def complete(self) -> None:
        """Every event is as long as it will be."""
        for stream in [*self._events]:
            self._finish(stream)
        self._through()

    def take(self) -> list[Rows]:
        """What is complete and through the steps."""
        ready, self._ready = self._ready, []
        return ready

    def _applied(self, rows: Rows) -> Rows:
        if self._chain:
            self._chain.apply(rows)
        return rows

    def _through(self) -> None:
        if len(self._done):
            done, self._done = self._done, _empty()
            self._ready.append(self._applied(done))

    def _join(self, rows: Rows, index: int, group: int) -> None:
        stream, text, stamp = rows.streams[index], rows.texts[index], rows.stamps[index]
        event = self._events.get(stream)
        if event and not rows.flags[index] and self._goes_on(event, rows, index, group):
            event.texts.append(text)
            event.newest, event.size = stamp, event.size + len(text)
            return
        if event:
            self._finish(stream)
        row = rows.ids[index], stamp, rows.sequences[index], rows.fields[index]
        self._events[stream] = _Event(row, group, [text], stamp, len(text))
        if rows.flags[index]:
            self._finish(stream, rows.flags[index])

    def _goes_on(self, event: _Event, rows: Rows, index: int, group: int) -> bool:
        """Lines that say different things in their fields stay apart, or some of it would be lost."""
        assert self._joining
        text = rows.texts[index]
        if event.group != group or event.row[3] != rows.fields[index] or event.size + len(text) > self._most:
            return False
        near = apart(event.newest, rows.stamps[index]) <= self._joining.wait * 1e9
        return near and self._joining.continues(event.texts, text)

    def _finish(self, stream: bytes, flags: tuple[str, ...] = ()) -> None:
        event, rows = self._events.pop(stream), self._done
        identity, stamp, sequence, fields = event.row
        rows.ids.append(identity)
        rows.stamps.append(stamp)
        rows.streams.append(stream)
        rows.sequences.append(sequence)
        rows.texts.append("\n".join(event.texts))
        rows.flags.append(flags)
        rows.times.append(None)
        rows.fields.append(fields)


def _empty() -> Rows:
    return Rows([], [], [], [], [], [])
