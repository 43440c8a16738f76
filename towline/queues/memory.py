"""The queue inside one process. Nothing is durable before the store's verdict, so that is when a batch is confirmed."""

import heapq
import threading
from collections.abc import Callable, Sequence

from towline.batch import Batch
from towline.errors import QueueUnavailable
from towline.queues import Delivery
from towline.unserved import Unserved

ONE = "here is one store, which keeps all lines: mend the label, or run `towline ship` and `index` with a broker"


class MemoryQueue:
    """Holds batches as they are, at most `max_bytes` of them (Batch.size, waiting and in work together).

    One batch that is larger than the bound is taken where nothing else is held, so that it can't be stuck for ever.
    """

    def __init__(self, max_bytes: int) -> None:
        self.life = ""
        self.lost = 0  # it confirms nothing before the store's verdict
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._waiting: list[_Delivery] = []
        self._held = 0
        self._offered = 0
        self._closed = False
        self._unserved = Unserved(ONE)

    def offer(self, batch: Batch, confirmed: Callable[[], None]) -> bool:
        with self._changed:
            full = self._held > 0 and self._held + batch.size > self._max_bytes
            if self._closed or full:
                return False
            self._offered += 1
            self._held += batch.size
            heapq.heappush(self._waiting, _Delivery(self, self._offered, batch, confirmed))
            self._changed.notify()
            self._unserved.all_but_main(batch)
            return True

    def take(self, max_lines: int, timeout: float) -> Sequence[Delivery]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout)
            taken: list[_Delivery] = []
            lines = 0
            while self._waiting and not self._closed:
                lines += self._waiting[0].batch.count
                if taken and lines > max_lines:
                    break
                taken.append(heapq.heappop(self._waiting))
            return taken

    def check(self) -> None:
        if self._closed:
            raise QueueUnavailable("the memory queue is closed: this process is stopping")

    def resume(self, life: str) -> None:
        """There is only this one."""

    def waiting(self) -> int | None:
        return None  # it is short: what is in it counts as the shipper's memory

    def depth(self) -> int:
        return self._held

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _forget(self, delivery: "_Delivery") -> None:
        with self._changed:
            if delivery.ended:
                return
            delivery.ended = True
            self._held -= delivery.batch.size
        delivery.confirmed()

    def _put_back(self, delivery: "_Delivery") -> None:
        with self._changed:
            if delivery.ended:
                return
            delivery.ended = True
            again = _Delivery(self, delivery.place, delivery.batch, delivery.confirmed)
            heapq.heappush(self._waiting, again)
            self._changed.notify()


class _Delivery:
    """A batch and its place in the order of offers; ending it a second time does nothing."""

    def __init__(self, queue: MemoryQueue, place: int, batch: Batch, confirmed: Callable[[], None]) -> None:
        self.batch = batch
        self.place = place
        self.confirmed = confirmed
        self.ended = False
        self._queue = queue

    def done(self) -> None:
        self._queue._forget(self)

    def retry(self) -> None:
        self._queue._put_back(self)

    def __lt__(self, other: "_Delivery") -> bool:
        return self.place < other.place
