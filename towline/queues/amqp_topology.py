"""What has to be there on the broker: declared by us, or only checked where our account may not declare.

    exchange towline (topic) ── logs, logs.* ──▶ queue towline.logs ── dead letters ──▶ exchange towline.dead (fanout)
                                                                                        └──▶ queue towline.dead

    exchange towline ── store.NAME ──▶ queue towline.logs.NAME, where an indexer runs with --store-name NAME

    exchange events (topic, the applications') ── # ──▶ queue towline.events ── dead letters ──▶ exchange towline.dead

All are quorum queues, bounded in bytes; beyond the bound they refuse (reject-publish) and never drop the oldest.

The delivery limit is high on purpose: every kill of an indexer counts as one delivery of all that it had prefetched.
It is a net below our own, lower limit (amqp_consumer.py), whose dead letters are confirmed. The broker's own way to do
that, the strategy at-least-once, is not used: it was seen to leave queues without a leader for good (RabbitMQ issue
16652), and has no place in versions before 3.10.
"""

from collections.abc import Callable, Generator
from typing import Any

from pika import exceptions
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel

from towline.errors import QueueUnavailable
from towline.queues.amqp_message import ROUTING_KEY, key_of
from towline.queues.amqp_url import Broker

DELIVERY_LIMIT = 1000

Step = Callable[[Channel, Callable[[Any], None]], object]
"""Sends one method on the channel, with what to call when the broker has answered it."""
Steps = Generator[Step, Any, None]


def steps(broker: Broker, missing: Callable[[], None]) -> Steps:
    """Everything to be declared or checked; raises QueueUnavailable where something is lacking that we may not make.

    `missing` is called where the queue is not there: it is new, or was deleted with what was in it.
    """
    yield from _exchange(broker, broker.exchange, "topic")
    yield from _exchange(broker, broker.dead, "fanout")
    yield from _queue(broker, broker.dead, {}, broker.dead)
    more = {
        "x-dead-letter-exchange": broker.dead,
        "x-delivery-limit": DELIVERY_LIMIT,
    }
    if not (yield from _is_there(broker.queue)):
        missing()
    yield from _queue(broker, broker.queue, more, broker.exchange, key_of(broker.store))


def event_steps(broker: Broker, exchange: str, missing: Callable[[], None]) -> Steps:
    """The same for a queue of domain events, which gets all that goes to `exchange`.

    That exchange is the applications': where there is one already it is taken as it is, of whatever kind.
    """
    yield from _exchange(broker, broker.dead, "fanout")
    yield from _queue(broker, broker.dead, {}, broker.dead)
    yield from _exchange(broker, exchange, "topic", codes=(403, 406))
    if not (yield from _is_there(broker.queue)):
        missing()
    more = {"x-dead-letter-exchange": broker.dead, "x-delivery-limit": DELIVERY_LIMIT}
    yield from _queue(broker, broker.queue, more, exchange, "#")


def bind(broker: Broker, key: str) -> Generator[Step, Any, bool]:
    """Bind the queue to one more routing key; False where the account may not do that."""
    try:
        yield lambda channel, then: channel.queue_bind(broker.queue, broker.exchange, key, callback=then)
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 403:
            raise
        return False
    return True


def _is_there(name: str) -> Generator[Step, Any, bool]:
    try:
        yield lambda channel, then: channel.queue_declare(name, passive=True, callback=then)
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        return False
    return True


def _exchange(broker: Broker, name: str, kind: Any, codes: tuple[int, ...] = (403,)) -> Steps:
    """`codes`: refusals after which it is enough that there is an exchange of that name."""
    try:
        yield lambda channel, then: channel.exchange_declare(name, kind, durable=True, callback=then)
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code not in codes:
            raise
        with_name = f"exchange {name!r}"
        yield from _there(broker, with_name, lambda channel, then: channel.exchange_declare(
            name, kind, passive=True, callback=then))  # fmt: skip


def _queue(broker: Broker, name: str, more: dict[str, Any], exchange: str, key: str = ROUTING_KEY) -> Steps:
    arguments = {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-max-length-bytes": broker.size,
        **more,
    }
    try:
        yield lambda channel, then: channel.queue_declare(name, durable=True, arguments=arguments, callback=then)
        yield lambda channel, then: channel.queue_bind(name, exchange, key, callback=then)
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 403:
            raise
        yield from _there(broker, f"queue {name!r}", lambda channel, then: channel.queue_declare(
            name, passive=True, callback=then))  # fmt: skip


def _there(broker: Broker, what: str, look: Step) -> Steps:
    """A passive declaration needs no permission; bindings can't be seen, but `mandatory` tells when one is lacking."""
    try:
        yield look
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        raise QueueUnavailable(
            f"{what} does not exist in vhost {broker.vhost!r} and user {broker.user!r} may not declare it: run Towline "
            f"once with an account that may, or grant `configure` on ^{broker.name}"
        ) from error


class Declaring:
    """Runs the steps one after the other on channels of their own, since each refusal closes one.

    Ends with `done` or `failed`, or with neither where the connection closes meanwhile. In the connection's thread.
    """

    def __init__(
        self, connection: SelectConnection, todo: Steps, done: Callable[[], None], failed: Callable[[Exception], None]
    ) -> None:
        self._connection = connection
        self._todo = todo
        self._done = done
        self._failed = failed
        self._channel: Channel | None = None
        self._step: Step | None = None
        self._go(lambda: next(self._todo))

    def _go(self, advance: Callable[[], Step]) -> None:
        try:
            self._step = advance()
        except StopIteration:
            self._end()
            self._done()
        except Exception as error:
            self._end()
            self._failed(error)
        else:
            self._run()

    def _run(self) -> None:
        if self._channel is None:
            self._connection.channel(on_open_callback=self._opened)
        elif self._step is not None:
            self._step(self._channel, lambda answer: self._go(lambda: self._todo.send(answer)))

    def _opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._refused)
        self._run()

    def _refused(self, channel: Channel, error: Exception) -> None:
        if channel is self._channel and isinstance(error, exceptions.ChannelClosedByBroker):
            self._channel = None
            self._go(lambda: self._todo.throw(error))

    def _end(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and channel.is_open:
            channel.close()
