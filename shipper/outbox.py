"""Batches between reading and the queue's confirm: in memory, then in the disk spool, never lost and never unbounded.

A parcel is offered to the queue until it takes it. When the queue takes none for a second, parcels whose lines could
vanish where they are go to the spool, which makes them as safe as a confirm; the others wait, and reading with them.
The spool is drained in its order beside live traffic, at a bounded rate: after an outage all nodes drain at once, and
what is written now must not wait behind all that. For the same reason batches of old lines are kept apart, and held
back while the queue is deep (hold.py).
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial

from shipper.hold import OLD, Allowance, Hold, stamp_of
from shipper.parcel import Filling, Giver, Markable, Parcel
from shipper.spool import Spool, Token
from towline import metrics
from towline.batch import Batch, Section
from towline.queues import Outlet

BATCH_BYTES = 512 << 10
READ_AHEAD = 2 << 20
"""Bytes of old lines that are read before they may go: they can be had at any time, and what lies about for seconds is
in no cache any more when it is packed."""
LINGER = 0.05
"""Seconds that a batch may wait for more of what is being read at full speed: fewer, larger messages cost less."""
SPOOL_AFTER = 1.0
"""Seconds for which the queue takes nothing before urgent parcels are spooled."""
CALM = 256 << 10
"""Bytes that are not confirmed yet, up to which their confirm ends no wait: it is heard in the next round."""
DRAIN_WINDOW = 16
"""Batches of the spool that may be out at the queue at a time."""
DRAIN_RATE = 8 << 20
"""Bytes a second of lines (not compressed) that leave the spool, about 40,000 lines; one second's worth at once."""


class Outbox:
    """All methods belong to the shipper's thread; confirms come from any thread and wait in a deque for `settle`."""

    def __init__(
        self,
        queue: Outlet,
        spool: Spool,
        memory: int,
        node: str,
        wake: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._spool = spool
        self._memory = memory
        self._node = node
        self._wake = wake
        self._wall = wall
        self._new, self._old = Filling(), Filling()
        self._waiting: deque[Parcel] = deque()
        self._backlog: deque[Parcel] = deque()
        """Like `_waiting`, of old lines."""
        self._backlog_bytes = 0
        self._hold = Hold(queue.waiting)
        self._offered: dict[int, Parcel] = {}
        """What the queue took and has not confirmed, by id, oldest first."""
        self._confirmed: deque[Parcel | tuple[Token, Batch]] = deque()
        self._bytes = 0
        self.safe = 0
        """Bytes of all lines that were in memory and are confirmed or spooled."""
        self._draining = 0
        self._drain = Allowance(DRAIN_RATE)
        self._took = 0.0
        self._heard = 0.0
        self._stuck = False
        self._spooled: list[Parcel] = []
        self._moved: set[Giver] = set()
        self._lost: dict[str, int] = {}
        for service, lines in spool.lines().items():
            metrics.of(metrics.LINES_READ, service).inc(lines)
            metrics.of(metrics.LINES_IN_FLIGHT, service).inc(lines)

    @property
    def room(self) -> bool:
        return self._bytes < self._memory

    @property
    def behind(self) -> bool:
        """Old lines have their share of the memory: more would leave too little for new ones."""
        return self._backlog_bytes + self._old.size > min(self._memory // 2, READ_AHEAD)

    @property
    def holding(self) -> bool:
        """Old lines wait for their turn at the queue."""
        return bool(self._backlog)

    @property
    def idle(self) -> bool:
        """Nothing is in memory: all that was read is confirmed or spooled."""
        return not self._bytes

    def stalled(self, now: float) -> bool:
        """Whether the queue has confirmed nothing for a while although something is out."""
        return bool(self._offered) and now - self._heard > SPOOL_AFTER

    @property
    def problem(self) -> str:
        """Why lines wait, "" while they don't for long."""
        return f"the queue has taken nothing for more than {SPOOL_AFTER:.0f} s" if self._stuck else ""

    def add(self, tail: Giver, section: Section, mark: Markable, now: float) -> None:
        """Take a section just read; it leaves with the next flush."""
        tail.behind = section.last < stamp_of(int(self._wall()) - OLD)
        filling = self._old if tail.behind else self._new
        filling.add(tail, section, mark, now)
        self._bytes += len(section.docs)
        if filling.size >= BATCH_BYTES:
            self._close(filling, now)

    def skip(self, tail: Giver, mark: Markable) -> None:
        """Nothing of what was read goes anywhere: it is as safe as it can be."""
        mark.done = True
        self._moved.add(tail)

    def flush(self, now: float, more_soon: bool = False) -> None:
        """Close what is being filled; small sections of many containers share a batch. Not yet, where `more_soon` and
        it has not waited for LINGER."""
        for filling in (self._new, self._old):
            if filling.sections and not (more_soon and now - filling.began < LINGER):
                self._close(filling, now)

    def _close(self, filling: Filling, now: float) -> None:
        batch = Batch(tuple(filling.sections), node=self._node)
        for service, lines in batch.lines.items():
            metrics.of(metrics.LINES_READ, service).inc(lines)
            metrics.of(metrics.LINES_IN_FLIGHT, service).inc(lines)
        parcel = Parcel(batch, filling.marks, filling.urgent, now, old=filling is self._old)
        if parcel.old:
            self._old = Filling()
            self._backlog.append(parcel)
            self._backlog_bytes += batch.size
        else:
            self._new = Filling()
            self._waiting.append(parcel)

    def pump(self, now: float) -> None:
        """Offer what waits, then some of the spool and of what is old; spool what waited too long."""
        refused = not (self._offer_new(now) and self._drain_some(now) and self._offer_old(now))
        self._took = self._took if refused else now
        self._stuck = refused and now - self._took > SPOOL_AFTER
        self._save_overdue(now)
        metrics.IN_FLIGHT_BYTES.set(self._bytes)
        metrics.SPOOL_BYTES.set(self._spool.bytes)
        self._count_damage()

    def settle(self, now: float) -> set[Giver]:
        """Count what was confirmed since the last call; the tails whose checkpoint may have moved."""
        while self._confirmed:
            item = self._confirmed.popleft()
            self._heard = now
            if isinstance(item, Parcel):
                self._landed(item.batch)
                if self._offered.pop(id(item), None):
                    self._safe(item)
            else:
                self._landed(item[1])
                self._forget(item[0])
        moved, self._moved = self._moved, set()
        return moved

    def _offer(self, parcel: Parcel, now: float) -> bool:
        if not self._offered:
            self._heard = now
        self._offered[id(parcel)] = parcel
        if not self._queue.offer(parcel.batch, partial(self._confirm, parcel)):
            del self._offered[id(parcel)]
            return False
        _count_published(parcel.batch)
        self._took = now
        return True

    def _confirm(self, item: "Parcel | tuple[Token, Batch]") -> None:
        self._confirmed.append(item)
        if self._waiting or self._backlog or self._draining or self._bytes > min(CALM, self._memory // 4):
            self._wake()

    def save_all(self) -> None:
        """Spool everything that is not confirmed, also what the queue has taken: this process is about to end."""
        for parcel in [*self._offered.values(), *self._backlog, *self._waiting]:
            if not self._spool.append(parcel.batch):
                break
            self._spooled.append(parcel)
        self._offered.clear()
        self._backlog.clear()
        self._waiting.clear()
        self._sync()

    def _save_overdue(self, now: float) -> None:
        for parcel in [each for each in (*self._backlog, *self._waiting) if self._overdue(each, now)]:
            if not self._spool.append(parcel.batch):
                break
            self._spooled.append(parcel)
            self._take_out(parcel)
        self._sync()

    def _take_out(self, parcel: Parcel) -> None:
        if parcel.old:
            self._backlog.remove(parcel)
            self._backlog_bytes -= parcel.batch.size
        else:
            self._waiting.remove(parcel)

    def _sync(self) -> None:
        """What is spooled is safe once it is on disk."""
        if self._spooled and self._spool.sync():
            for parcel in self._spooled:
                self._safe(parcel)
            self._spooled.clear()

    def _overdue(self, parcel: Parcel, now: float) -> bool:
        return parcel.urgent and now - parcel.since >= SPOOL_AFTER

    def _offer_new(self, now: float) -> bool:
        """Offer what was read just now; False where the queue takes no more."""
        while self._waiting:
            if not self._offer(self._waiting[0], now):
                return False
            self._waiting.popleft()
        return True

    def _drain_some(self, now: float) -> bool:
        """Offer the oldest of the spool, beside what was read just now; False where the queue takes no more."""
        self._drain.refill(now)
        while self._spool.bytes and self._draining < DRAIN_WINDOW and self._drain.left > 0 and self._may_go(now):
            head = self._spool.head()
            if head is None:
                break
            if not self._queue.offer(head[1], partial(self._confirm, head)):
                self._spool.put_back(head[0])
                return False
            _count_published(head[1])
            self._hold.gone(head[1].size)
            self._draining += 1
            self._drain.left -= head[1].size
        return True

    def _offer_old(self, now: float) -> bool:
        """Offer what was read late, as much as may go; False where the queue takes no more."""
        while self._backlog and self._may_go(now):
            if not self._offer(self._backlog[0], now):
                return False
            size = self._backlog.popleft().batch.size
            self._backlog_bytes -= size
            self._hold.gone(size)
        return True

    def _may_go(self, now: float) -> bool:
        return self._hold.may_go(now) or self._spool.crowded

    def _safe(self, parcel: Parcel) -> None:
        for tail, mark in parcel.marks:
            mark.done = True
            self._moved.add(tail)
        self._bytes -= parcel.batch.size
        self.safe += parcel.batch.size

    def _landed(self, batch: Batch) -> None:
        for service, lines in batch.lines.items():
            metrics.of(metrics.LINES_CONFIRMED, service).inc(lines)
            metrics.of(metrics.LINES_IN_FLIGHT, service).dec(lines)

    def _forget(self, token: Token) -> None:
        self._draining -= 1
        self._spool.forget(token)

    def _count_damage(self) -> None:
        """Lines that the disk has lost were read, and will never be confirmed."""
        if not self._spool.damaged:
            return
        lost = self._spool.lost()
        for service, lines in lost.items():
            fresh = lines - self._lost.get(service, 0)
            if fresh:
                metrics.LINES_DROPPED.labels(service, "spool_damaged").inc(fresh)
                metrics.of(metrics.LINES_IN_FLIGHT, service).dec(fresh)
        self._lost = lost


def _count_published(batch: Batch) -> None:
    metrics.BATCH_BYTES.observe(batch.size)
    for service, lines in batch.lines.items():
        metrics.of(metrics.LINES_PUBLISHED, service).inc(lines)
