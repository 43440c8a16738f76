"""The queue on RabbitMQ 3.8 or newer: a quorum queue, whose confirm means that a majority of nodes has a batch.

    offer ─▶ Publisher ─ connection 1 ─▶ exchange towline ─▶ towline.logs ─ connection 2 ─▶ Consumer ─▶ take
                ▲                                                                              │ can't be read
                └───────────────────────────────── towline.dead ◀──────────────────────────────┘

What a label sends to another store than the default one goes to that store's queue, towline.logs.NAME, in messages of
its own; nothing of this is there for who names no store.

Two connections, because a broker that is short of memory or disk stops reading from those that publish, and
acknowledgements have to go on then. Each is made at the first use, and for ever again (amqp_link.py). What is declared
is in amqp_topology.py, what a message looks like in amqp_message.py, what a URL may say in amqp_url.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from towline.batch import Batch
from towline.errors import QueueUnavailable
from towline.queues import Delivery
from towline.queues.amqp_consumer import Consumer
from towline.queues.amqp_publisher import Publisher
from towline.queues.amqp_url import parse
from towline.store_names import MAIN

PATIENCE = 5.0
"""Seconds that `check` waits for the first answer of a broker that was not asked before."""


class RabbitQueue:
    """See towline.queues.Queue. `max_bytes` (uncompressed) bounds what is published and not confirmed; half of it,
    compressed, is prefetched; so much is unpacked and in work.

    `confirmed` is called at the broker's confirm, from the publishing thread. A batch stays in our care through
    refusals and reconnections; one that was not confirmed at `close` is never confirmed.
    """

    def __init__(self, url: str, max_bytes: int, store: str = MAIN) -> None:
        """`store`: whose batches are taken (towline.store_names). Raises UsageError for a URL that can't be used; the
        broker is not asked yet."""
        broker = replace(parse(url), store="" if store == MAIN else store)
        self._publisher = Publisher(broker, max_bytes)
        self._consumer = Consumer(broker, max_bytes, self._publisher)
        self._closed = False

    def offer(self, batch: Batch, confirmed: Callable[[], None]) -> bool:
        return self._publisher.offer(batch, confirmed)

    def take(self, max_lines: int, timeout: float) -> Sequence[Delivery]:
        return self._consumer.take(max_lines, timeout)

    def check(self) -> None:
        if self._closed:
            raise QueueUnavailable("the queue is closed: this process is stopping")
        sides = [side for side in (self._publisher, self._consumer) if side.link.started]
        if not sides:
            self._publisher.link.start()
            sides = [self._publisher]
        for side in sides:
            answered = side.link.settled.wait(PATIENCE)
            if problem := side.problem or ("" if answered else f"the broker has not answered for {PATIENCE:.0f} s"):
                raise QueueUnavailable(problem)

    def resume(self, life: str) -> None:
        self._publisher.way.resume(life)

    @property
    def life(self) -> str:
        return self._publisher.way.life

    @property
    def lost(self) -> int:
        return self._publisher.way.lost

    def waiting(self) -> int | None:
        return self._publisher.waiting()

    def depth(self) -> int:
        return self._publisher.depth() + self._consumer.depth()

    def close(self) -> None:
        self._closed = True
        self._consumer.close()
        self._publisher.close()
