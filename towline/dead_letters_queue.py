"""Dead letters on the broker: messages that no program could read, or that were handed out too often (`towline.dead`).

To look at a message is to take it and give it back, which quorum queues count as a delivery, and a broker of version 4
drops what was delivered too often. So a message that has been looked at some times is put at the queue's end as a new
one, with a confirm, before the old one is acknowledged.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pika import BasicProperties, exceptions
from pika.adapters.blocking_connection import BlockingChannel

from towline.batch import Batch, decode
from towline.dead_letters import Filters, Letter, Outcome, identifier
from towline.errors import BatchError, QueueUnavailable, TowlineError
from towline.queues.amqp_blocking import connected
from towline.queues.amqp_errors import explain
from towline.queues.amqp_events import CAME_BY, CAME_WITH
from towline.queues.amqp_headers import encodable, tolerate
from towline.queues.amqp_message import FOUND_IN, REASON, ROUTING_KEY, deliveries_before, key_of
from towline.queues.amqp_url import Broker, parse

OFTEN = 10
"""Deliveries after which a message is put into the queue anew; a broker's own limit is 20 from version 4 on."""
SHOWN_SERVICES = 20
ORIGINAL = 4096
"""Bytes of an event's body that are shown, and that its name is made from."""
BACK_WITHIN = 5.0
"""Seconds; somebody else may have taken them meanwhile."""

Step = Callable[[int], None]


class DeadQueue:
    """A look into `towline.dead` of the broker behind `url`: nothing leaves it but by `replay`.

    A context manager. Raises UsageError for a URL of no use, QueueUnavailable where the broker or the queue is away.
    """

    def __init__(self, url: str) -> None:
        tolerate()
        self._broker = parse(url)
        self._connection = connected(self._broker)
        self._channel: BlockingChannel = self._connection.channel()
        self._channel.confirm_delivery()

    def __enter__(self) -> "DeadQueue":
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection.is_open:
            self._connection.close()

    def letters(self, filters: Filters) -> list[Letter]:
        """What the filters let through, oldest first. Bodies are kept of these only."""
        return [letter for letter in self._each(lambda letter: False, filters) if letter]

    def replay(self, filters: Filters, limit: int, step: Step) -> Outcome:
        """Publish what can be read to the exchange again, events to their queue, each with a confirm, then acknowledge
        it (limit 0: all)."""
        outcome = Outcome()

        def sent(letter: Letter) -> bool:
            if limit and outcome.replayed + outcome.refused >= limit:
                return False
            step(1)
            reason = letter.content.get("unreadable", "")
            if reason:
                outcome.refuse(reason)
                return False
            self._give_back(letter)
            outcome.replayed += 1
            return True

        for _ in self._each(sent, filters):
            pass
        return outcome

    def _each(self, over: Callable[[Letter], bool], filters: Filters) -> Iterator[Letter]:
        """Each message that is there now and wanted; `over` says whether it may leave the queue."""
        with _translated(self._broker):
            tags: list[int] = []
            try:
                for _ in range(self._count()):
                    method, found, body = self._channel.basic_get(self._broker.dead)
                    if method is None or found is None:
                        break
                    tag = int(method.delivery_tag or 0)
                    letter = _letter(found, body if isinstance(body, bytes) else b"")
                    wanted = filters.want(letter)
                    if wanted and over(letter):
                        self._channel.basic_ack(tag)
                    elif deliveries_before(found) >= OFTEN:
                        self._publish(self._broker.dead, (found, body), keep=True)
                        self._channel.basic_ack(tag)
                    else:
                        tags.append(tag)
                    if wanted:
                        yield letter
            finally:
                if self._channel.is_open:
                    for tag in tags:
                        self._channel.basic_nack(tag, requeue=True)
                    self._await_back(len(tags))

    def _await_back(self, number: int) -> None:
        """The broker takes a moment to have in the queue what it was given back: who looks next shall find it there."""
        deadline = time.monotonic() + BACK_WITHIN
        while self._count() < number and time.monotonic() < deadline:
            self._connection.sleep(0.02)

    def _count(self) -> int:
        return int(self._channel.queue_declare(self._broker.dead, passive=True).method.message_count or 0)

    def _publish(self, exchange: str, handle: Any, keep: bool = False, key: str = ROUTING_KEY) -> None:
        """Confirmed by the broker when this returns. `keep`: with the headers that say why it is a dead letter."""
        found, body = handle
        self._channel.basic_publish(exchange, key, body, _clean(found, keep), mandatory=True)

    def _give_back(self, letter: Letter) -> None:
        """To where it was found; an event says in headers where it came from at first."""
        found, body = letter.handle
        if not letter.content.get("event"):
            store = str(letter.content["found_in"]).removeprefix(self._broker.queue).removeprefix(".")
            known = str(letter.content["found_in"]) == self._broker.queue_of(store)
            self._publish(self._broker.exchange, letter.handle, key=key_of(store if known else ""))
            return
        death = _death(dict(found.headers or {}))
        came = {CAME_BY: death.get("exchange", ""), CAME_WITH: (death.get("routing-keys") or [""])[0]}
        again = _clean(found, keep=False)
        again.headers = encodable({**came, **(again.headers or {})})
        again.correlation_id = found.correlation_id
        self._channel.basic_publish("", letter.content["found_in"], body, again, mandatory=True)


@contextmanager
def _translated(broker: Broker) -> Iterator[None]:
    try:
        yield
    except TowlineError:
        raise
    except exceptions.UnroutableError as error:
        raise QueueUnavailable(f"queue {broker.queue!r} is not there; start `towline index` once") from error
    except exceptions.NackError as error:
        raise QueueUnavailable(f"queue {broker.queue!r} takes nothing: it is full, or fails") from error
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code == 404:
            raise QueueUnavailable(f"queue {broker.dead!r} is not there; start `towline index` once") from error
        raise QueueUnavailable(f"queue {broker.dead!r}: {explain(error, broker)}") from error
    except (exceptions.AMQPError, OSError) as error:
        raise QueueUnavailable(f"queue {broker.dead!r}: {explain(error, broker)}") from error


def _clean(found: BasicProperties, keep: bool) -> BasicProperties:
    """The properties as they were at first; `keep`: and why it is a dead letter."""
    own = {REASON, FOUND_IN, "x-death"} if not keep else set()
    headers = {
        name: value
        for name, value in (found.headers or {}).items()
        if name not in own | {"x-delivery-count", "x-acquired-count"}
        and (keep or not name.startswith(("x-first-", "x-last-")))
    }
    return BasicProperties(
        content_type=found.content_type, content_encoding=found.content_encoding, headers=encodable(headers),
        delivery_mode=2, timestamp=found.timestamp,
        message_id=found.message_id, app_id=found.app_id, type=found.type)  # fmt: skip


def _letter(found: BasicProperties, body: bytes) -> Letter:
    headers: dict[str, Any] = dict(found.headers or {})
    found_in = headers.get(FOUND_IN) or _death(headers).get("queue")
    if str(found_in).endswith(".events"):
        return _event(found, headers, str(found_in), body)
    unreadable, batch = _read(body)
    sections = batch.sections if batch else ()
    content: dict[str, Any] = {
        "@timestamp": _time(found), "reason": _reason(headers), "message_id": found.message_id, "bytes": len(body),
        "node": batch.node if batch else headers.get("node"), "lines": batch.count if batch else headers.get("count"),
        "content_type": found.content_type, "found_in": found_in,
        "services": sorted({section.origin.service for section in sections})[:SHOWN_SERVICES],
        **({"unreadable": unreadable} if unreadable else {}),
    }  # fmt: skip
    return Letter(
        _identity(found, body), content["@timestamp"], content["reason"],
        sorted({section.origin.service for section in sections}),
        sorted({name for section in sections for name in (section.origin.container_name, section.origin.container_id)}),
        batch.count if batch else 0, content, (found, body))  # fmt: skip


def _identity(found: BasicProperties, body: bytes) -> str:
    return identifier(str(found.message_id), str(len(body)), body[:ORIGINAL].hex())


def _event(found: BasicProperties, headers: dict[str, Any], found_in: str, body: bytes) -> Letter:
    services = [found.app_id] if found.app_id else []
    content: dict[str, Any] = {
        "@timestamp": _time(found), "reason": _reason(headers), "message_id": found.message_id, "bytes": len(body),
        "lines": 1, "content_type": found.content_type, "found_in": found_in, "services": services, "event": True,
        "routing_key": headers.get(CAME_WITH), "original": body[:ORIGINAL].decode("utf-8", "replace")}  # fmt: skip
    return Letter(
        _identity(found, body), content["@timestamp"], content["reason"], services, [], 1, content, (found, body)
    )


def _read(body: bytes) -> tuple[str, Batch | None]:
    try:
        return "", decode(body)
    except BatchError as error:
        return str(error), None
    except Exception as error:  # whatever is in it, it must not hide the others
        return f"{type(error).__name__}: {error}", None


def _reason(headers: dict[str, Any]) -> str:
    if REASON in headers:
        return str(headers[REASON])
    death = _death(headers)
    return f"the broker gave it up: {death['reason']}" if death.get("reason") else "no reason given"


def _death(headers: dict[str, Any]) -> dict[str, Any]:
    deaths = headers.get("x-death")
    first = deaths[0] if isinstance(deaths, list) and deaths else {}
    return first if isinstance(first, dict) else {}


def _time(found: BasicProperties) -> str:
    """When it was published, the only time that such a message has."""
    seconds = found.timestamp if isinstance(found.timestamp, int) else 0
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00.000000000Z"
