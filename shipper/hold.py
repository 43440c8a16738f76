"""How much of what is old may go to the queue now: new lines must not stand there behind a backlog.

After an outage every node has old lines to deliver, and the queue would take them all at once, minutes before anybody
indexes them. So old batches go out only while few messages wait in the queue, however many nodes do the same: each
adds a little to its allowance while the queue is shallow, and halves it where the queue is deep, as TCP does with a
path that others use as well.
"""

import time
from collections.abc import Callable
from functools import lru_cache

OLD = 5
"""Seconds after which a line is old: behind others, it would not be missed for that long."""
EVERY = 0.5
"""Seconds between looks at the queue."""
SHALLOW, DEEP = 4, 12
"""Messages that wait in the queue; a full one is some 2,000 lines, a fifteenth of a second's work for an indexer."""
LEAST, FIRST, STEP, MOST = 512 << 10, 2 << 20, 1 << 20, 8 << 20
"""Bytes of lines (not compressed) from one look to the next; MOST is some 64,000 lines a second."""


@lru_cache(maxsize=4)
def stamp_of(seconds: int) -> str:
    """The second, since 1970, as the engine would stamp it; for comparing, so without nanoseconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class Hold:
    """`waiting`: how many messages wait in the queue, as last heard; None where nothing can stand behind others."""

    def __init__(self, waiting: Callable[[], int | None]) -> None:
        self._waiting = waiting
        self._allowance = FIRST
        self._left = 0
        self._due = 0.0

    def may_go(self, now: float) -> bool:
        """Whether one more old batch may be offered."""
        if now >= self._due:
            self._due = now + EVERY
            self._look()
        return self._left > 0

    def gone(self, size: int) -> None:
        """One of so many bytes was taken."""
        self._left -= size

    def _look(self) -> None:
        waiting = self._waiting()
        if waiting is None:
            self._left = 1 << 60
        elif waiting <= SHALLOW:
            self._left = self._allowance = min(MOST, self._allowance + STEP)
        elif waiting <= DEEP:
            self._left = LEAST
        else:
            self._allowance = max(LEAST, self._allowance // 2)
            self._left = 0


class Allowance:
    """What may be used of something that comes at `rate` a second, of which one second's worth can be saved up."""

    def __init__(self, rate: float) -> None:
        self.left = rate
        self._rate = rate
        self._at: float | None = None

    def refill(self, now: float) -> None:
        if self._at is not None:
            self.left = min(self._rate, self.left + (now - self._at) * self._rate)
        self._at = now
