"""Domain events from the broker: applications publish to an exchange of theirs, and a queue of ours gets all of it.

    exchange events (topic) ── # ──▶ queue towline.events ─ Consumer ─▶ take
                                                               │ can't be read
                                     towline.dead ◀────────────┘

It works as the queue of batches does (rabbitmq.py), but that each message is one event, and that we publish nothing
there. A message on its way to the dead letters keeps its exchange and routing key as headers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pika import BasicProperties

from towline.batch import Batch
from towline.errors import QueueUnavailable
from towline.queues import Delivery, amqp_metrics
from towline.queues.amqp_consumer import Consumer
from towline.queues.amqp_headers import encodable, tolerate
from towline.queues.amqp_message import FOUND_IN, REASON
from towline.queues.amqp_publisher import Publisher
from towline.queues.amqp_session import Message
from towline.queues.amqp_topology import Steps, event_steps
from towline.queues.amqp_url import Broker, parse

EXCHANGE = "events"
CAME_BY, CAME_WITH, SENT_BY = "towline-exchange", "towline-routing-key", "towline-user"
"""Headers of a dead letter: what else would be lost, since it is published anew and by another user."""
_OWN = frozenset({REASON, FOUND_IN, CAME_BY, CAME_WITH, SENT_BY})
_BROKERS = ("x-delivery-count", "x-acquired-count", "x-death", "x-first-death-", "x-last-death-")
"""Beginnings of headers that the broker adds, and that differ from one delivery to the next."""
PATIENCE = 5.0


@dataclass(frozen=True)
class Event:
    """A message as its sender published it; texts are "" where nothing was said.

    key: routing key. user: who published it, as the broker has checked. timestamp: seconds since the epoch.
    """

    exchange: str
    key: str
    body: bytes
    id: str = ""
    type: str = ""
    app: str = ""
    user: str = ""
    correlation: str = ""
    timestamp: int | None = None
    headers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EventBroker(Broker):
    """The broker of a queue URL, with the events' queue and exchange."""

    events: str = EXCHANGE

    @property
    def queue(self) -> str:
        return f"{self.name}.events"


class EventQueue:
    """As much of a towline.queues.Queue as an indexer needs. `made` turns an event into a batch of one line; where it
    raises BatchError, or anything else, the message goes to the dead letters."""

    def __init__(self, url: str, exchange: str, max_bytes: int, made: Callable[[Event], Batch]) -> None:
        """Raises UsageError for a URL that can't be used; the broker is not asked yet."""
        broker = parse(url)
        tolerate()
        own = {each.name: getattr(broker, each.name) for each in fields(broker)}
        self._publisher = Publisher(broker, max_bytes)
        self._consumer = _Consumer(EventBroker(**own, events=exchange or EXCHANGE), max_bytes, self._publisher, made)

    def take(self, max_lines: int, timeout: float) -> Sequence[Delivery]:
        """Up to so many events, each a delivery of its own."""
        return self._consumer.take(max_lines, timeout)

    def check(self) -> None:
        """Raise QueueUnavailable, with the reason, where events can't come right now."""
        self._consumer.link.start()
        answered = self._consumer.link.settled.wait(PATIENCE)
        if problem := self._consumer.problem or ("" if answered else f"no answer from the broker for {PATIENCE:.0f} s"):
            raise QueueUnavailable(problem)

    def depth(self) -> int:
        """Bytes that wait here or are in work."""
        return self._consumer.depth()

    def close(self) -> None:
        self._consumer.close()
        self._publisher.close()


class _Consumer(Consumer):
    waiting = amqp_metrics.EVENTS

    def __init__(
        self, broker: EventBroker, max_bytes: int, publisher: Publisher, made: Callable[[Event], Batch]
    ) -> None:  # fmt: skip
        super().__init__(broker, max_bytes, publisher)
        self._events, self._made = broker, made

    def steps(self) -> Steps:
        return event_steps(self._events, self._events.events, self._missing)

    def _read(self, message: Message) -> Batch:
        return self._made(event_of(message))

    def _lines_in(self, found: BasicProperties) -> int:
        return 1

    def _buried(self, message: Message, reason: str) -> BasicProperties:
        event = event_of(message)
        told = {REASON: reason, FOUND_IN: self._events.queue, CAME_BY: event.exchange, CAME_WITH: event.key}
        if event.user:
            told[SENT_BY] = event.user
        return BasicProperties(
            content_type=message.found.content_type, content_encoding=message.found.content_encoding, delivery_mode=2,
            headers=encodable(event.headers) | told, correlation_id=event.correlation, timestamp=event.timestamp,
            message_id=event.id, type=event.type, app_id=event.app)  # fmt: skip


def event_of(message: Message) -> Event:
    """What the sender published, also where it came back from the dead letters."""
    found = message.found
    headers = {_text(name): value for name, value in (found.headers or {}).items()}
    own = {name: value for name, value in headers.items()
           if name not in _OWN and not name.startswith(_BROKERS)}  # fmt: skip
    return Event(
        _text(headers.get(CAME_BY, message.exchange)), _text(headers.get(CAME_WITH, message.key)), message.body,
        _text(found.message_id), _text(found.type), _text(found.app_id), _text(found.user_id or headers.get(SENT_BY)),
        _text(found.correlation_id), found.timestamp if isinstance(found.timestamp, int) else None, own)  # fmt: skip


def _text(value: Any) -> str:
    """pika gives bytes where they are no UTF-8."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value).encode("utf-8", "replace").decode()
