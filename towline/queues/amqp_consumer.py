"""Batches from the broker: prefetched as many as memory allows, acknowledged in groups after the store's verdict.

A delivery belongs to the channel it came on. When that ends, the broker hands out again all that was not acknowledged:
what waits here is dropped, what is in work may be stored twice, and is recognised then by the documents' ids. Where the
queue was deleted, what waits here goes on to the store: there is no other copy in the broker.
"""

import logging
import threading
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

from pika import BasicProperties, exceptions
from pika.channel import Channel

from towline.batch import Batch, decode
from towline.errors import BatchError, QueueUnavailable
from towline.queues import Delivery, amqp_metrics
from towline.queues.amqp_depth import Depth
from towline.queues.amqp_hearing import Hearing
from towline.queues.amqp_link import Link
from towline.queues.amqp_message import dead_letter, deliveries_before, lines_in
from towline.queues.amqp_publisher import Publisher
from towline.queues.amqp_session import Message, Session
from towline.queues.amqp_topology import Steps, steps
from towline.queues.amqp_url import Broker
from towline.queues.amqp_waiting import Waiting

log = logging.getLogger(__name__)

LEAST, MOST = 8, 2000
"""Bounds of the prefetch; quorum queues take no more."""
TOO_OFTEN = 200
"""Deliveries of one message that came to nothing; kills and time-outs count for all that was prefetched."""
GUESS = 256 << 10
"""Bytes of a message before any was seen."""
OVERHEAD = 1 << 10
AHEAD = 40_000
"""Lines to have at hand, the next few writes: what was prefetched counts nowhere as waiting in the queue, and new lines
stand behind it."""


class Consumer:
    """`take`, `problem`, `depth`, `close` and the deliveries are for any thread, the rest is the link's."""

    waiting = amqp_metrics.MESSAGES

    def __init__(self, broker: Broker, max_bytes: int, publisher: Publisher) -> None:
        self.link = Link(broker, "consume", self)
        self._broker = broker
        self._max_bytes = max_bytes
        self._publisher = publisher
        self._changed = threading.Condition()
        self._waiting = Waiting()
        self._places = count()
        self._work = 0
        self._closed = False
        self._flushing = False
        self._average = self._lines = 0.0
        """Bytes and lines of a message, of late."""
        self._hearing = Hearing(self.link, lambda: self._waiting.session)
        self._depth = Depth(self.link, broker.queue, lambda: self._waiting.session, self.waiting)

    # --- from any thread

    @property
    def problem(self) -> str:
        return self.link.problem.text

    def depth(self) -> int:
        return self._work + self._waiting.bytes

    def take(self, max_lines: int, timeout: float) -> Sequence[Delivery]:
        self.link.start()
        deadline = time.monotonic() + timeout
        taken: list[_Taken] = []
        lines = size = 0
        while (message := self._next(None if taken else deadline, max_lines - lines)) is not None:
            delivery = self._unpack(message)
            if delivery is not None:
                taken.append(delivery)
                lines += delivery.batch.count
                size += delivery.batch.size
            if size >= self._max_bytes or lines >= max_lines:
                break
        return taken

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.link.close()

    def _next(self, deadline: float | None, room: int) -> Message | None:
        """The oldest that waits. With a deadline, wait for it; without, take only what fits into `room` lines."""
        with self._changed:
            if deadline is not None:
                self._changed.wait_for(lambda: self._waiting or self._closed, max(0.0, deadline - time.monotonic()))
            elif self._work >= self._max_bytes:
                return None
            if (
                self._closed
                or not self._waiting
                or (deadline is None and self._lines_in(self._waiting.first.found) > room)
            ):
                return None
            return self._waiting.pop()

    def _unpack(self, message: Message) -> "_Taken | None":
        if deliveries_before(message.found) >= TOO_OFTEN:  # it may be what kills us: not even to be looked at
            self._bury(message, f"handed out {TOO_OFTEN} times, and never stored")
            return None
        try:
            batch = self._read(message)
        except BatchError as error:
            self._bury(message, str(error))
            return None
        except Exception as error:  # whatever is in it, it must not stop the others
            self._bury(message, f"{type(error).__name__}: {error}")
            return None
        if not batch.count:  # an idle shipper asks whether there still is a way into this queue
            self._acknowledge(message)
            return None
        with self._changed:
            self._work += batch.size
        return _Taken(self, message, batch)

    def _bury(self, message: Message, reason: str) -> None:
        """To the dead letters; it is acknowledged here once it is safe there."""
        amqp_metrics.DAMAGED.inc()
        log.error("a message in %r can't be read and goes to %r: %s", self._broker.queue, self._broker.dead, reason)
        found = self._buried(message, " ".join(reason.split())[:1000])
        self._publisher.bury(message.body, found, lambda: self._acknowledge(message))

    def _read(self, message: Message) -> Batch:
        """What the message holds; BatchError where it can't be read."""
        return decode(message.body)

    def _lines_in(self, found: BasicProperties) -> int:
        return lines_in(found)

    def _buried(self, message: Message, reason: str) -> BasicProperties:
        """The properties of a message on its way to the dead letters."""
        return dead_letter(message.found, reason, self._broker.queue)

    def _end(self, delivery: "_Taken", done: bool) -> None:
        with self._changed:
            if delivery.ended:
                return
            delivery.ended = True
            self._work -= delivery.batch.size
        if done:
            self._acknowledge(delivery.message)
        else:
            self._put_back(delivery.message)

    def _put_back(self, message: Message) -> None:
        """Kept here rather than requeued: that would count as a failed delivery."""
        with self._changed:
            if not self._closed:
                self._waiting.put_back(message)
                self._changed.notify()

    def _acknowledge(self, message: Message) -> None:
        with self._changed:
            if message.session is not self._waiting.session:
                return
            message.session.done.add(message.tag)
            if self._flushing:
                return
            self._flushing = True
        self.link.call(self._flush)

    # --- in the link's thread

    def steps(self) -> Steps:
        return steps(self._broker, self._missing)

    def ready(self, channel: Channel) -> None:
        session = Session(channel, self._wanted())
        with self._changed:
            self._waiting.begins(session)
            self._flushing = False
        channel.add_on_cancel_callback(lambda _: self._cancelled(session))
        self._consume(session)
        self._hearing.begins(session)
        self._depth.begins(session)

    def lost(self, error: BaseException) -> None:
        with self._changed:
            self._waiting.over()

    def _missing(self) -> None:
        with self._changed:
            self._waiting.missing()
            self._changed.notify_all()

    def leaving(self, channel: Channel) -> None:
        self._flush()

    def _consume(self, session: Session) -> None:
        session.changing = False
        try:
            session.channel.basic_qos(prefetch_count=session.prefetch)
            session.consumer = session.channel.basic_consume(
                self._broker.queue,
                lambda _, method, found, body: self._arrived(session, method, found, body),
            )
        except exceptions.AMQPError as error:  # closing under our hands: `lost` follows, or has been
            log.debug("consume: %r", error)

    def _cancelled(self, session: Session) -> None:
        """The broker has ended the consumer: the queue was deleted, or its leader is gone."""
        if session is self._waiting.session:
            session.orphaned = True
            self.link.renew(QueueUnavailable(f"queue {self._broker.queue!r} was deleted, or its node is gone"))

    def _arrived(self, session: Session, method: Any, found: BasicProperties, body: bytes) -> None:
        if method.redelivered:
            amqp_metrics.REDELIVERED.inc()
        with self._changed:
            if session is not self._waiting.session:
                return
            session.arrived += 1
            session.order.append(method.delivery_tag)
            place = next(self._places)
            self._waiting.push(
                Message(place, method.delivery_tag, session, found, body, method.exchange, method.routing_key)
            )
            self._changed.notify()
        size = len(body) + OVERHEAD
        self._lines += (self._lines_in(found) - self._lines) / 16
        self._average += (size - self._average) / 16 if self._average else size
        self._adapt(session)

    def _wanted(self) -> int:
        most = min(MOST, AHEAD / max(self._lines, 1.0))
        return int(max(min(self._max_bytes / 2 / (self._average or GUESS), most), LEAST))

    def _adapt(self, session: Session) -> None:
        """A prefetch holds from the next `consume` on: end this one, and begin again with what memory allows now."""
        wanted = self._wanted()
        more = wanted >= 2 * session.prefetch and 4 * len(session.order) >= 3 * session.prefetch
        if session.changing or not (more or 2 * wanted <= session.prefetch):
            return
        session.changing = True
        session.prefetch = wanted
        if session.channel.is_open:
            session.channel.basic_cancel(session.consumer, callback=lambda _: self._consume(session))

    def _flush(self) -> None:
        with self._changed:
            self._flushing = False
            session = self._waiting.session
            if session is None or not session.channel.is_open:
                return
            all_up_to, others = session.settled()
        if all_up_to is not None:
            session.channel.basic_ack(all_up_to, multiple=True)
        for tag in others:
            session.channel.basic_ack(tag)


class _Taken:
    """A batch in work; ending it a second time does nothing."""

    def __init__(self, consumer: Consumer, message: Message, batch: Batch) -> None:
        self.batch = batch
        self.message = message
        self.ended = False
        self._consumer = consumer

    def done(self) -> None:
        self._consumer._end(self, True)

    def retry(self) -> None:
        self._consumer._end(self, False)
