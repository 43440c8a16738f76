"""What the ways out of Towline have in common: batches wait, bounded, for one thread that puts them where they go.

A way out is an Outlet: nobody takes from it again. A batch is confirmed once its place has it for certain (each sink
says when that is), and then counts as indexed: nobody behind it counts. What a place refuses stays in our care and is
put again, the same batches together, until they are through; meanwhile nothing more is taken, so that the shipper's
spool and the logs themselves keep the rest.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from towline import metrics
from towline.backoff import Backoff
from towline.batch import Batch
from towline.errors import QueueUnavailable
from towline.queues.amqp_problem import Problem
from towline.unserved import Unserved

log = logging.getLogger(__name__)

GROUP_BYTES = 1 << 20
"""About how many bytes of lines are put at a time; as documents they are three times as many."""
PATIENCE = 5.0
"""Seconds that `check` waits for a place that was not asked before."""
SLOW = 30.0
"""Seconds that one `put` may take before `check` says so."""
LAST_WORDS = 2.0
"""Seconds that `close` waits for a `put` under way."""
ONE = "all lines leave Towline here, whichever store they are for: mend the label, or use --queue amqp://"


class Sink(Protocol):
    """A place where lines leave Towline. All but `abort` is called from one thread."""

    def put(self, batches: Sequence[Batch]) -> None:
        """Return once the place has every line for certain; of no batches: once it would take some.

        Raises QueueUnavailable where it does not; then it is called again with the same batches.
        """

    def abort(self) -> None:
        """End a `put` that waits, from another thread, where that can be done."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class _Held:
    batch: Batch
    confirmed: Callable[[], None]


class Outgoing:
    """See towline.queues.Outlet. `max_bytes` (uncompressed) bounds what was offered and is not confirmed.

    rest: seconds from one put to the next while little waits, for places where each costs much.
    """

    def __init__(self, sink: Sink, max_bytes: int, *, rest: float = 0.0) -> None:
        self.life = ""
        self.lost = 0
        self._sink = sink
        self._max_bytes = max_bytes
        self._rest = rest
        self._changed = threading.Condition()
        self._waiting: deque[_Held] = deque()
        self._held = 0
        self._closing = threading.Event()
        self._asked = threading.Event()
        self._began = 0.0
        self._problem = Problem("out", log)
        self._thread: threading.Thread | None = None
        self._unserved = Unserved(ONE)

    def offer(self, batch: Batch, confirmed: Callable[[], None]) -> bool:
        with self._changed:
            full = self._held > 0 and self._held + batch.size > self._max_bytes
            if self._closing.is_set() or full or self._problem:
                return False
            self._held += batch.size
            self._waiting.append(_Held(batch, confirmed))
            self._start()
            self._changed.notify()
            self._unserved.all_but_main(batch)
            return True

    def check(self) -> None:
        if self._closing.is_set():
            raise QueueUnavailable("the queue is closed: this process is stopping")
        with self._changed:
            self._start()
        self._asked.wait(PATIENCE)
        began = self._began
        slow = time.monotonic() - began if began else 0.0
        if self._problem:
            raise QueueUnavailable(self._problem.text)
        if not self._asked.is_set() or slow > SLOW:
            raise QueueUnavailable(f"what was sent out has not been taken for {max(slow, PATIENCE):.0f} s")

    def resume(self, life: str) -> None:
        """What is there stays there: nothing that was confirmed can be taken back."""

    def waiting(self) -> int | None:
        return None

    def depth(self) -> int:
        return self._held

    def close(self) -> None:
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(LAST_WORDS)
            self._sink.abort()
            self._thread.join(LAST_WORDS)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="out", daemon=True)
            self._thread.start()

    # --- in the thread

    def _run(self) -> None:
        self._deliver([])
        while not self._closing.is_set():
            self._deliver(self._next())
        self._sink.close()

    def _next(self) -> list[_Held]:
        """The oldest batches, about GROUP_BYTES of them, once there are any."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            self._changed.wait_for(lambda: self._held >= GROUP_BYTES or self._closing.is_set(), self._rest)
            group: list[_Held] = []
            size = 0
            while self._waiting and (not group or size + self._waiting[0].batch.size <= GROUP_BYTES):
                group.append(self._waiting.popleft())
                size += group[-1].batch.size
            return group

    def _deliver(self, group: list[_Held]) -> None:
        """Put them until that succeeds; not at all once this is closed."""
        backoff = Backoff()
        while not self._closing.is_set():
            problem = self._put([held.batch for held in group])
            if problem:
                self._problem.begins(problem)
            self._asked.set()
            if not problem:
                self._landed(group)
                return
            self._closing.wait(backoff.next())

    def _put(self, batches: list[Batch]) -> str:
        """Why it did not succeed, "" where it did."""
        self._began = time.monotonic()
        try:
            self._sink.put(batches)
        except QueueUnavailable as error:
            return str(error)
        except Exception as error:  # a bug of ours must not lose what waits
            log.error("queue (out): unexpected; trying again", exc_info=error)
            return f"unexpected error: {type(error).__name__}: {error}"
        finally:
            self._began = 0.0
        return ""

    def _landed(self, group: list[_Held]) -> None:
        self._problem.ends()
        for held in group:
            for section in held.batch.sections:
                metrics.of(metrics.LINES_INDEXED, section.origin.service).inc(section.count)
            held.confirmed()
            with self._changed:
                self._held -= held.batch.size
