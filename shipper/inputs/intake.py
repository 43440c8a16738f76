"""Where listeners put lines: gathered for a moment, written as sections, handed to the shipper."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from shipper.inputs.inbox import Inbox
from shipper.inputs.line import Line, Sender
from shipper.inputs.sections import Writer, count_dropped
from shipper.inputs.senders import Senders

GATHER = 0.05
"""Seconds that a line waits for others where nobody waits for its ack."""
GATHER_BYTES = 256 << 10
LOOK = 0.02
"""Seconds between two looks whether it is known by now whose lines those are that wait."""
EXPIRE = 0.25
"""Seconds between two looks whether an event has waited long enough for more lines."""
_EACH = 200
"""Bytes that a line takes which waits, beside its text."""

Safe = Callable[[], None]


@dataclass
class _Waiting:
    """Lines that came together, some of them of senders of which not enough is known."""

    lines: Sequence[Line]
    safe: Safe | None
    senders: frozenset[Sender]
    size: int


class Intake:
    """Belongs to the event loop it is made in."""

    def __init__(self, inbox: Inbox, senders: Senders, writer: Writer, wall: Callable[[], int] = time.time_ns) -> None:
        self.now = wall
        self._inbox = inbox
        self._senders = senders
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Waiting] = deque()
        self._late: set[Sender] = set()
        """The senders of all that waits: what else they send has to wait as well."""
        self._look: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._groups = count(1)
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
        """Take lines. `safe` is called in the loop once all of them are confirmed or spooled. They wait until it is
        known what is to become of each."""
        if not lines:
            if safe:
                safe()
            return
        senders = frozenset(line.sender for line in lines)
        if self._late.isdisjoint(senders) and all(map(self._senders.settled, senders)):
            self._take(lines, safe)
            return
        waiting = _Waiting(lines, safe, senders, sum(len(line.text) + _EACH for line in lines))
        self._inbox.hold(waiting.size)
        self._waiting.append(waiting)
        self._late |= senders
        self._look = self._look or self._loop.call_later(LOOK, self._look_again)

    async def settle(self, seconds: float) -> None:
        """Wait for what is not known yet, no longer than this; then all goes on as it is."""
        deadline = self._loop.time() + seconds
        while self._waiting and self._loop.time() < deadline:
            await asyncio.sleep(LOOK)
        self._release(lambda senders: True)

    def _take(self, lines: Sequence[Line], safe: Safe | None) -> None:
        if safe:
            group = next(self._groups)
            for line in lines:
                line.group = group
            self._waiters.append(safe)
        self._lines += lines
        self._size += sum(len(line.text) for line in lines)
        if self._size >= GATHER_BYTES:
            self.flush()
        elif self._timer is None or safe:
            self._flush_in(0.0 if safe else GATHER)

    def _look_again(self) -> None:
        self._look = None
        self._release(lambda senders: all(map(self._senders.settled, senders)))
        if self._waiting:
            self._look = self._loop.call_later(LOOK, self._look_again)

    def _release(self, known: Callable[[frozenset[Sender]], bool]) -> None:
        """Let go on what need not wait any more, each sender's lines in their order."""
        waiting, self._waiting, self._late = self._waiting, deque(), set()
        for each in waiting:
            if self._late.isdisjoint(each.senders) and known(each.senders):
                self._inbox.hold(-each.size)
                self._take(each.lines, each.safe)
            else:
                self._waiting.append(each)
                self._late |= each.senders
        self._tell()

    def drop(self, name: str, reason: str, lines: int = 1) -> None:
        """Count lines that are lost here: read, and dropped for this reason."""
        count_dropped(name, reason, lines)

    def flush(self, everything: bool = False) -> None:
        """Hand on what was gathered; `everything`: also events that wait for more lines."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        lines, waiters = self._lines, self._waiters
        self._lines, self._waiters, self._size = [], [], 0
        if lines:
            self._inbox.put(self._writer.sections(lines), lambda: self._call(waiters))
        if everything:
            self._expire(everything)
        elif self._writer.holds and self._expiry is None:
            self._expiry = self._loop.call_later(EXPIRE, self._expire)

    def _expire(self, everything: bool = False) -> None:
        self._expiry = None
        if sections := self._writer.expired(everything):
            self._inbox.put(sections, lambda: None)
        if self._writer.holds:
            self._expiry = self._loop.call_later(EXPIRE, self._expire)

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
