"""Between the inputs' threads and the shipper's: sections on their way, and word back once they are safe.

What is under way, here or further on, is bounded in bytes: beyond, inputs stop reading their sockets.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from towline import metrics
from towline.batch import Section


class Handed:
    """A section that the shipper takes; for the outbox (shipper.parcel) its giver and its mark in one."""

    id = ""
    urgent = True
    """Nobody else has these lines: where the queue takes nothing they go to the spool."""

    def __init__(self, section: Section, delivery: "_Delivery") -> None:
        self.section = section
        self.behind = False
        self.done = False
        self._delivery = delivery

    def settle(self) -> None:
        """The queue has confirmed it, or the spool's disk has it."""
        self._delivery.settled(len(self.section.docs))


class Inbox:
    """`put` and `room` from any thread; the rest belongs to the shipper's. `limit`: bytes under way before there is no
    more room. wake: called when there is something to take."""

    def __init__(self, limit: int, wake: Callable[[], None]) -> None:
        self.freed: Callable[[], None] = lambda: None
        """Called in the shipper's thread whenever something is safe."""
        self._limit = limit
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: deque[Handed] = deque()
        self._held = 0

    @property
    def room(self) -> bool:
        return self._held < self._limit

    @property
    def held(self) -> int:
        """Bytes of lines that are under way."""
        return self._held

    def put(self, sections: Sequence[Section], safe: Callable[[], None]) -> None:
        """Hand these on; `safe` is called in the shipper's thread when all of them are (at once for none), and has to
        return quickly."""
        if not sections:
            safe()
            return
        delivery = _Delivery(self, len(sections), safe)
        handed = [Handed(section, delivery) for section in sections]
        self.hold(sum(len(section.docs) for section in sections))
        self._waiting.extend(handed)
        self._wake()

    def take(self) -> Handed | None:
        """The next one, None where there is none."""
        return self._waiting.popleft() if self._waiting else None

    def hold(self, size: int) -> None:
        """So many bytes more are under way, or, below 0, fewer."""
        with self._lock:
            self._held += size
        metrics.INPUT_BYTES.set(self._held)

    def let_go(self, size: int) -> None:
        self.hold(-size)
        self.freed()


class _Delivery:
    """Sections that were put together."""

    def __init__(self, inbox: Inbox, left: int, safe: Callable[[], None]) -> None:
        self._inbox = inbox
        self._left = left
        self._safe = safe

    def settled(self, size: int) -> None:
        self._inbox.let_go(size)
        self._left -= 1
        if not self._left:
            self._safe()
