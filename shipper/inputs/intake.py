"""Where listeners put lines: gathered for a moment, written as sections, handed to the shipper."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from shipper.inputs.inbox import Inbox
from shipper.inputs.line import Line
from shipper.inputs.sections import Writer
from towline import metrics
from towline.batch import Section

log = logging.getLogger(__name__)

GATHER = 0.05
"""Seconds that a line waits for others where nobody waits for its ack."""
GATHER_BYTES = 256 << 10

Safe = Callable[[], None]


class Intake:
    """Belongs to the event loop it is made in."""

    def __init__(self, inbox: Inbox, writer: Writer, wall: Callable[[], int] = time.time_ns) -> None:
        self.now = wall
        self._inbox = inbox
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._lines: list[Line] = []
        self._size = 0
        self._waiters: list[Safe] = []
        self._timer: asyncio.TimerHandle | None = None
        self._freed = asyncio.Event()
        self._wanted = False
        inbox.freed = self._tell

    @property
    def full(self) -> bool:
        """Whether what comes now has to wait, or to be dropped."""
        return not self._inbox.room

    async def room(self) -> None:
        """Wait until more may be read."""
        while self.full:
            self._wanted = True
            self._freed.clear()
            if self.full:  # else it was freed just now, and nobody tells
                await self._freed.wait()

    def add(self, lines: Sequence[Line], safe: Safe | None = None) -> None:
        """Take lines. `safe` is called in the loop once all of them are confirmed or spooled."""
        if not lines:
            if safe:
                safe()
            return
        self._lines += lines
        self._size += sum(len(line.text) for line in lines)
        if safe:
            self._waiters.append(safe)
        if self._size >= GATHER_BYTES:
            self.flush()
        elif self._timer is None or safe:
            self._flush_in(0.0 if safe else GATHER)

    def drop(self, name: str, reason: str, lines: int = 1) -> None:
        """Count lines that are lost here: read, and dropped for this reason."""
        metrics.of(metrics.LINES_READ, name).inc(lines)
        metrics.LINES_DROPPED.labels(name, reason).inc(lines)

    def flush(self) -> None:
        """Hand on what was gathered."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._lines:
            return
        lines, waiters = self._lines, self._waiters
        self._lines, self._waiters, self._size = [], [], 0
        self._inbox.put(self._sections(lines), lambda: self._call(waiters))

    def _sections(self, lines: list[Line]) -> list[Section]:
        try:
            return self._writer.sections(lines)
        except (TypeError, ValueError, RecursionError) as error:  # a value that no JSON holds, and that nobody foresaw
            log.error("fields of %d lines can't be written, their text is kept: error=%r", len(lines), error)
            plain = [replace(line, fields=None, flags=(*line.flags, "unprocessed")) for line in lines]
            return self._writer.sections(plain)

    def _flush_in(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self.flush)

    # --- in the shipper's thread

    def _call(self, waiters: Sequence[Safe]) -> None:
        if waiters:
            self._in_loop(lambda: [safe() for safe in waiters])

    def _tell(self) -> None:
        if self._wanted and self._inbox.room:
            self._wanted = False
            self._in_loop(self._freed.set)

    def _in_loop(self, what: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(what)
