"""How many messages wait in the broker's queue, asked now and then on a channel of its own.

So it disturbs nobody where the broker refuses: a queue that is gone costs that channel, and is noticed elsewhere.
"""

from collections.abc import Callable

from pika import exceptions
from pika.adapters.select_connection import SelectConnection
from prometheus_client import Gauge

from towline.queues.amqp_link import Link
from towline.queues.amqp_metrics import MESSAGES
from towline.queues.amqp_session import Session
from towline.queues.amqp_topology import Declaring, Steps

EVERY = 10.0
"""Seconds."""


class Depth:
    """In the link's thread. `current`: the session that works now."""

    def __init__(
        self, link: Link, queue: str, current: Callable[[], Session | None], gauge: Gauge = MESSAGES
    ) -> None:  # fmt: skip
        self._gauge = gauge
        self._link = link
        self._queue = queue
        self._current = current

    def begins(self, session: Session) -> None:
        """Ask now, and again for as long as the session lasts."""
        connection = session.channel.connection
        if session is not self._current() or not isinstance(connection, SelectConnection) or not connection.is_open:
            return
        Declaring(connection, self._ask(), done=lambda: None, failed=lambda error: None)
        self._link.later(EVERY, lambda: self.begins(session))

    def _ask(self) -> Steps:
        try:
            found = yield lambda channel, then: channel.queue_declare(self._queue, passive=True, callback=then)
        except exceptions.AMQPError:
            return
        self._gauge.set(found.method.message_count)
