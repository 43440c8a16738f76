"""The loop between queue and store: take batches, write many of them in one step, count, and only then let them go.

A write costs a commit (SQLite) or a request (Elasticsearch) whatever is in it, so writes begin at a distance from each
other: the first batch after a quiet time is written at once, what comes soon after waits for the next write. Under load
a take is large by itself, and what came while a long write went on has waited already: nothing waits.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from indexer.ledger import count
from indexer.trouble import Trouble
from towline import metrics
from towline.batch import Batch
from towline.errors import StoreUnavailable
from towline.queues import Delivery
from towline.stores import Store, Verdict

log = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds that `stop` gives for storing what the queue still holds."""
TAKE = 0.5
"""Seconds that one take may wait; so often does an idle indexer look whether it is to stop."""
MAINTAIN, MAINTAIN_IDLE = 10.0, 60.0
FIRST_DELAY, LONGEST_DELAY = 0.1, 10.0
REST = 20
"""From one small write to the next, in times of what the last one took, so that few lines cost little."""


Count = Callable[[Sequence[Batch], Sequence[Verdict], int], None]


class Source(Protocol):
    """As much of a queue as is needed here."""

    def take(self, max_lines: int, timeout: float) -> Sequence[Delivery]:
        """See towline.queues.Queue."""


class Indexer:
    """Moves batches from `queue` to `store` until stopped. `run` belongs to one thread, the rest to any.

    linger: the least seconds from where one small write begins to where the next may; twice that is the most.
    count: notes what the store said.
    max_lines: about how many lines one write holds; more would save little and make live lines wait behind a backlog.
    """

    def __init__(
        self,
        queue: Source,
        store: Store,
        *,
        linger: float = 0.03,
        max_lines: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
        count: Count = count,
    ) -> None:
        self._queue = queue
        self._store = store
        self._linger = linger
        self._max_lines = max_lines
        self._clock = clock
        self._count = count
        self._stopping = threading.Event()
        self._deadline = 0.0
        self._next_write = 0.0
        self._failures = 0
        self._stuck: deque[Delivery] = deque()
        self._stuck_due = 0.0
        self._maintain_due = clock() + MAINTAIN
        self._wrote = False
        self._away = Trouble("the store takes nothing", "the store takes lines again", "Lines wait, nothing is lost")
        self._puzzled = Trouble("a batch could not be stored", "all batches are stored again",
                                "It is kept and tried again; please report this")  # fmt: skip
        self._queue_away = Trouble("the queue gives nothing", "the queue gives batches again", "Trying again")
        self._unkempt = Trouble("the store's upkeep failed", "the store's upkeep works again", "Trying again")

    @property
    def problem(self) -> str:
        """Why lines don't reach the store, "" while they do."""
        return self._away.reason or self._puzzled.reason or self._queue_away.reason

    def run(self) -> None:
        """Work until `stop`; what could not be stored by then goes back to the queue."""
        while not self._stopping.is_set():
            self._step(TAKE)
        while self._clock() < self._deadline and self._step(0):
            pass
        self._retry_stuck()
        for delivery in self._stuck:
            self._end(delivery.retry)
        self._stuck.clear()

    def stop(self, grace: float = GRACE) -> None:
        """Make `run` return once the queue is empty, after `grace` seconds at the latest (beyond a write under way)."""
        self._deadline = self._clock() + grace
        self._stopping.set()

    def _step(self, timeout: float) -> bool:
        deliveries = self._gather(timeout)
        if deliveries:
            self._deliver(deliveries)
        if self._stuck and self._clock() >= self._stuck_due:
            self._retry_stuck()
        self._maintain()
        return bool(deliveries)

    def _gather(self, timeout: float) -> list[Delivery]:
        """What one write shall hold."""
        taken = self._take(self._max_lines, timeout)
        lines = sum(delivery.batch.count for delivery in taken)
        rest = self._next_write - self._clock()
        if taken and rest > 0 and 2 * lines < self._max_lines and not self._stopping.wait(rest):
            taken += self._take(self._max_lines - lines, 0)
        return taken

    def _take(self, max_lines: int, timeout: float) -> list[Delivery]:
        try:
            taken = list(self._queue.take(max_lines, timeout))
        except Exception as error:
            self._queue_away.begins(error)
            self._pause()
            return []
        self._queue_away.ends()
        return taken

    def _deliver(self, deliveries: list[Delivery]) -> None:
        """Write until all is stored, or set aside because the store stumbles over it, or time is up."""
        groups = deque([deliveries])
        while groups:
            try:
                self._write(groups[0])
                groups.popleft()
                continue
            except StoreUnavailable as error:
                self._failed(self._away, error)
            except Exception as error:
                self._failed(self._puzzled, error)
                self._single_out(groups)
            if not self._pause():
                break
        for delivery in (delivery for group in groups for delivery in group):
            self._end(delivery.retry)
        if not self._stuck and not groups:
            self._puzzled.ends()

    def _single_out(self, groups: deque[list[Delivery]]) -> None:
        """One batch that the store stumbles over must not hold up the others: find it, and try it again later."""
        group = groups.popleft()
        if len(group) == 1:
            self._stuck += group
            self._stuck_due = self._clock() + LONGEST_DELAY
        else:
            groups.extendleft([delivery] for delivery in reversed(group))

    def _retry_stuck(self) -> None:
        self._stuck_due = self._clock() + LONGEST_DELAY
        while self._stuck:
            try:
                self._write([self._stuck[0]])
            except Exception as error:
                self._failed(self._away if isinstance(error, StoreUnavailable) else self._puzzled, error)
                self._stuck.rotate(-1)
                return
            self._stuck.popleft()
        self._puzzled.ends()

    def _write(self, deliveries: Sequence[Delivery]) -> None:
        began = self._clock()
        batches = [delivery.batch for delivery in deliveries]
        self._count(batches, self._store.write(batches), time.time_ns())
        ended = self._clock()
        self._next_write = began + min(max(REST * (ended - began), self._linger), 2 * self._linger)
        self._failures = 0
        self._wrote = True
        self._away.ends()
        for delivery in deliveries:
            self._end(delivery.done)

    def _end(self, done_or_retry: Callable[[], None]) -> None:
        try:
            done_or_retry()
        except Exception as error:
            self._queue_away.begins(error)

    def _failed(self, trouble: Trouble, error: Exception) -> None:
        metrics.STORE_ERRORS.inc()
        trouble.begins(error)

    def _pause(self) -> bool:
        """Wait, longer each time in a row; False where the time after `stop` is up."""
        self._maintain()  # what is due may be what makes room
        delay = min(FIRST_DELAY * 2.0 ** min(self._failures, 10), LONGEST_DELAY) * random.uniform(0.5, 1)
        self._failures += 1
        if not self._stopping.is_set():
            if self._stopping.wait(delay):
                self._failures = 0
            return True
        left = self._deadline - self._clock()
        time.sleep(max(0.0, min(delay, left)))
        return left > delay

    def _maintain(self) -> None:
        if self._clock() < self._maintain_due or self._stopping.is_set():
            return
        try:
            self._store.maintain()
            self._unkempt.ends()
        except Exception as error:
            self._unkempt.begins(error)
        self._maintain_due = self._clock() + (MAINTAIN if self._wrote else MAINTAIN_IDLE)
        self._wrote = False
