"""`forward://HOST`: lines leave Towline to a fluent forward aggregator, such as Fluentd or Fluent Bit (forward_url.py).

A batch is confirmed once the receiver has acknowledged all messages that it was sent in. One that is not acknowledged
(the connection broke, the receiver was full for a minute) is sent again, under the same chunk, perhaps to the next
receiver: each line arrives at least once, and `event.id` in each record tells the repeats (documents.py). The record
is the whole document; its time is `@timestamp`, to the nanosecond.
"""

import os
from collections.abc import Mapping, Sequence

from towline.batch import Batch
from towline.errors import QueueUnavailable
from towline.queues.amqp_backoff import Backoff
from towline.queues.forward_message import messages
from towline.queues.forward_url import Receiver, parse
from towline.queues.forward_wire import Connection
from towline.queues.outgoing import Outgoing


class ForwardSink:
    """Keeps one connection, to the receiver that answered last."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._addresses = Backoff(receiver.addresses)
        self._connection: Connection | None = None
        self._unanswered: dict[bytes, bytes] = {}
        """Messages of the present put by their chunks' names."""

    def put(self, batches: Sequence[Batch]) -> None:
        if not self._unanswered:
            self._unanswered = dict(messages(batches, self._receiver.tag, self._receiver.compress))
        problems = []
        for _ in self._receiver.addresses:
            try:
                self._connected().exchange(self._unanswered)
                return
            except QueueUnavailable as error:
                problems.append(f"{self._receiver.at(self._addresses.address)}: {error}")
                self.close()
        raise QueueUnavailable("; ".join(problems))

    def abort(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> Connection:
        if self._connection is not None and self._connection.stale:
            self.close()
            self._connection = Connection(self._receiver, self._addresses.address)
        if self._connection is None:
            self._connection = Connection(self._receiver, self._addresses.next_address())
        return self._connection


def outlet(url: str, max_bytes: int, environ: Mapping[str, str] = os.environ) -> Outgoing:
    """Raises UsageError for a URL that can't be used."""
    return Outgoing(ForwardSink(parse(url, environ)), max_bytes)
