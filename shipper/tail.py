"""One container's log on its way: where it is read, how its lines are made, what of it is not confirmed yet."""

import logging
import time
from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Any

from shipper import entries as positions
from shipper.entries import Position
from shipper.lines import LineMaker, Lines, State
from shipper.ruled import Ruled
from shipper.rules.chain import Values
from shipper.sources import Source
from towline import metrics
from towline.batch import Origin, Section

log = logging.getLogger(__name__)

Row = dict[str, Any]
"""One container's checkpoint: {"position": …, "state": …}."""


@dataclass(slots=True)
class Mark:
    """Where the log may be resumed once everything up to here is safe."""

    position: Position | None
    state: State
    size: int
    done: bool = False


class Tail:
    """Used by the shipper's thread alone. `origin` None: not known yet, so nothing is read."""

    def __init__(self, container_id: str, source: Source, row: Row | None, max_line: int) -> None:
        self.id = container_id
        self.source = source
        self.origin: Origin | None = None
        self.urgent = True
        """Whether its lines may vanish where they are (API, rotation, removal): then they go to the spool early."""
        self.removed = False
        self.behind = False
        """Whether what was read last had been written long before."""
        self.values: Values = {}
        """What its container's labels say, as far as they were understood."""
        self.in_flight = 0
        self.due = 0.0
        self.interval = 0.0
        self.spoke = -inf
        """When it last had something."""
        self.overslept = False
        """It is looked at because it has rested for long, not because something was told."""
        self.missed = 0
        """Such looks in a row that found something."""
        self._maker = LineMaker(container_id, max_line, resume(row)[1] if row else None)
        self._marks: deque[Mark] = deque()
        self._fed = 0.0
        self._asked: list[Ruled | None] = []
        """What labels ask for since the last read, if they changed."""

    def read(self, limit: int) -> tuple[Section | None, Mark] | None:
        """About `limit` bytes of the log as a section, and the mark that becomes the checkpoint once it is safe. No
        section where labels have all of these lines dropped."""
        if self._asked and (rest := self._change()):
            return rest
        entries = self.source.read(limit)
        if entries is None:
            return self._wrap(self._maker.flush() if self.source.finished else self._expired())
        if entries.gap:
            metrics.GAPS.labels(self._service, entries.gap).inc()
            log.warning("lines were gone before they could be read: container=%s reason=%s", self.id[:12], entries.gap)
        lines = self._maker.feed(entries)
        if self._maker.waits:
            self._fed = time.monotonic()
        return self._wrap(lines)

    def settle(self) -> Row | None:
        """The checkpoint after the marks that are done in one row from the oldest on; None where it didn't move."""
        row = None
        while self._marks and self._marks[0].done:
            mark = self._marks.popleft()
            self.in_flight -= mark.size
            if mark.position is not None:
                row = {"position": positions.to_json(mark.position), "state": mark.state.to_json()}
        return row

    @property
    def over(self) -> bool:
        """Nothing more will come, and everything is safe."""
        return not self._marks and (self.source.finished or bool(self.source.refused))

    @property
    def _service(self) -> str:
        return self.origin.service if self.origin else ""

    @property
    def waits(self) -> bool:
        """Whether an event waits for its next line; it is looked at until then, though nothing may be told."""
        return self._maker.waits > 0

    def rule(self, values: Values, ruled: Ruled | None) -> None:
        """What the container's labels ask for, from the next read on."""
        self.values = values
        self._asked = [ruled]

    def _change(self) -> tuple[Section | None, Mark] | None:
        """What waited for more is complete, by the old rules; they hold until a line that has begun has its end."""
        rest = self._wrap(self._maker.expire()) if self._maker.waits else None
        if not self._maker.waits:
            self._maker.ruled = self._asked.pop()
        return rest

    def _expired(self) -> Lines | None:
        waits = self._maker.waits
        return self._maker.expire() if waits and time.monotonic() - self._fed > waits else None

    def _wrap(self, lines: Lines | None) -> tuple[Section | None, Mark] | None:
        if lines is None or self.origin is None:
            return None
        if lines.dropped:
            metrics.of(metrics.LINES_READ, self._service).inc(lines.dropped)
        if lines.split:
            metrics.LINES_SPLIT.labels(self._service).inc(lines.split)
        if lines.damaged:
            metrics.LINES_DAMAGED.labels(self._service).inc(lines.damaged)
        mark = Mark(*self._maker.safe, size=len(lines.docs))
        self._marks.append(mark)
        self.in_flight += mark.size
        section = Section(self.origin, lines.docs, lines.count, lines.first, lines.last) if lines.count else None
        return section, mark


def resume(row: Row) -> tuple[Position, State]:
    """What a checkpoint row holds; raises KeyError, TypeError or ValueError where it is none."""
    return positions.from_json(row["position"]), State.from_json(row["state"])


def usable(rows: dict[str, Row]) -> dict[str, Row]:
    """The rows that can be resumed from; the others' logs are read from the start, and the store knows their lines."""
    good = {}
    for container_id, row in rows.items():
        try:
            resume(row)
            good[container_id] = row
        except (KeyError, TypeError, ValueError) as error:
            log.warning("checkpoint left out, reading the log again: container=%s reason=%r", container_id[:12], error)
    return good
