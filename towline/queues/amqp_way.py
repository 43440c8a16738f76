"""A shipper's own way into the queue, by which it learns that the queue was lost with what was in it.

A queue that is deleted takes its bindings with it, and whoever comes first declares it again: one who only looks
whether it is there sees nothing. So each shipper binds the queue to a routing key of its own, `logs.<life>`, and
publishes with that, `mandatory`: as long as its messages find their way, this is the queue that took the earlier ones.
The shipper notes the life's name beside its checkpoints (shipper/queue_life.py), so this also holds for what happens
while it is away.

An account that may not bind (write on the queue, read on the exchange) publishes with `logs`, and learns of a loss only
where it finds the queue missing itself.
"""

import logging
import os

from towline.queues import amqp_metrics
from towline.queues.amqp_message import ROUTING_KEY
from towline.queues.amqp_topology import Steps, bind, steps
from towline.queues.amqp_url import Broker

log = logging.getLogger(__name__)


class Way:
    """`life` and `lost` may be read by any thread, the rest is the link's once that has started."""

    def __init__(self, broker: Broker) -> None:
        self.life = ""
        """Name of the life of the queue that messages go into; "" where that is not known."""
        self.lost = 0
        """How often a life has ended in which something had been confirmed. Grows before `life` changes."""
        self._broker = broker
        self._own = False
        self._used = False

    def resume(self, life: str) -> None:
        """Have a way of one's own: the one that was used last or, where that is "", a new one."""
        self._own = True
        self.life = life
        self._used = bool(life)

    @property
    def key(self) -> str:
        return f"{ROUTING_KEY}.{self.life}" if self.life else ROUTING_KEY

    def steps(self) -> Steps:
        yield from steps(self._broker, self.ended)
        if self._own and not self.life:
            yield from self._bind()

    def _bind(self) -> Steps:
        life = os.urandom(8).hex()
        if (yield from bind(self._broker, f"{ROUTING_KEY}.{life}")):
            self.life = life

    def taken(self) -> None:
        """The queue has confirmed a message."""
        self._used = True

    def ended(self) -> None:
        """The queue is not there, or is no longer the one that was bound."""
        if self._used:
            self._used = False
            self.lost += 1
            amqp_metrics.LOST.inc()
            log.warning("queue (publish): %r was lost; what it held may be lost with it", self._broker.queue)
        self.life = ""
