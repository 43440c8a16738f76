"""Batches on their way to the broker, each kept until the broker has confirmed it.

Many are in flight at a time. What comes back (the queue is full, or was deleted) and what was in flight when a
connection ended is published again, oldest first; what that repeats is recognised by the documents' ids. What a label
sends to a store whose queue is not there comes back as well: that is told, and the default store gets the lines.
"""

import heapq
import logging
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from pika import BasicProperties, exceptions
from pika.channel import Channel
from pika.spec import Basic

from towline import metrics
from towline.batch import Batch
from towline.errors import QueueUnavailable
from towline.queues import amqp_metrics
from towline.queues.amqp_errors import size_limit
from towline.queues.amqp_flight import Flight
from towline.queues.amqp_held import Held, fitted, homeless, packed, question
from towline.queues.amqp_link import Link
from towline.queues.amqp_message import ROUTING_KEY, key_of
from towline.queues.amqp_problem import Problem
from towline.queues.amqp_topology import Steps
from towline.queues.amqp_url import Broker
from towline.queues.amqp_way import Way
from towline.store_names import MAIN
from towline.unserved import Unserved

log = logging.getLogger(__name__)

IN_FLIGHT = 1000
"""Most messages without a confirm at a time; `max_bytes` is the other bound."""
MESSAGE_BYTES = 8 << 20
"""Larger bodies travel as several messages: brokers of today take 16 MiB unless told otherwise."""
FIRST_PROBE, LONGEST_PROBE = 0.2, 10.0
SAME_CHANNEL = 2
"""Times that a refused message is tried again on the channel that it was refused on."""
LOOK_EVERY = 10.0
ASK_EVERY = 20.0
"""Seconds without a message after which an empty one asks whether the queue is still the same."""
UNSERVED = "`main` gets its lines: run `towline index --store-name` with this name, or mend the label"
SLOW, HUNG = 30.0, 120.0
"""Seconds without any confirm after which that is said; and after which another connection is tried."""


class Publisher:
    """`offer`, `bury`, `problem`, `depth` and `close` are for any thread, the rest is the link's."""

    def __init__(self, broker: Broker, max_bytes: int) -> None:
        self.link = Link(broker, "publish", self)
        self.way = Way(broker)
        self._broker = broker
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._held = 0
        self._closed = False
        self._places = count()
        self._fresh: list[Held] = []
        self._woken = False
        self._waiting: list[Held] = []
        self._flight = Flight()
        self._channel: Channel | None = None
        self._limit = MESSAGE_BYTES
        self._refused = Problem("publish")
        self._unserved = Unserved(UNSERVED)
        self._refusals = 0
        self._counted = 0
        self._counting: Channel | None = None
        self._timer: Any = None
        self._watch: Any = None
        self._asking: Any = None
        self._sent = 0.0
        self._progress = 0.0
        self._slow = Problem("publish")
        self._stuck = Problem("publish")

    def offer(self, batch: Batch, confirmed: Callable[[], None]) -> bool:
        if not self._admit(batch.size):
            return False
        try:
            held = packed(batch, self._broker.exchange, self._limit, self._places, confirmed)
        except BaseException:
            self._release(batch.size)
            raise
        self._release(batch.size - sum(each.size for each in held))  # what goes to two stores is there twice
        self._hand_over(held)
        return True

    def bury(self, body: bytes, as_found: BasicProperties, confirmed: Callable[[], None]) -> None:
        """Publish a message to the dead letters; the bound does not hold for it, the consumer's prefetch does."""
        held = Held(next(self._places), self._broker.dead, body, as_found, len(body), confirmed)
        with self._lock:
            self._held += held.size
        self._hand_over([held])

    @property
    def problem(self) -> str:
        problems = (self.link.problem, self.link.blocked, self._refused, self._slow, self._stuck)
        return next((problem.text for problem in problems if problem), "")

    def depth(self) -> int:
        return self._held

    def waiting(self) -> int:
        """Messages in the queue that no consumer has, as of some moments ago."""
        if self.link.started:
            self.link.call(self._count)
        return self._counted

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self.link.close()

    def _admit(self, size: int) -> bool:
        with self._lock:
            full = self._held > 0 and self._held + size > self._max_bytes
            if self._closed or full or self.link.problem or self.link.blocked or self._refused or self._slow:
                return False
            self._held += size
            return True

    def _release(self, size: int) -> None:
        with self._lock:
            self._held -= size

    def _hand_over(self, held: list[Held]) -> None:
        with self._lock:
            self._fresh += held
            woken, self._woken = self._woken, True
        if not woken:
            self.link.start()
            self.link.call(self._collect)

    # --- in the link's thread

    def _count(self) -> None:
        if self._channel is None or self._counting is self._channel:
            return
        self._counting = channel = self._channel
        try:
            channel.queue_declare(self._broker.queue, passive=True, callback=self._heard_count)
        except exceptions.AMQPError as error:  # closing under our hands: `lost` follows, or has been
            log.debug("count: %r", error)

    def _heard_count(self, frame: Any) -> None:
        self._counting = None
        self._counted = frame.method.message_count

    def steps(self) -> Steps:
        return self.way.steps()

    def ready(self, channel: Channel) -> None:
        self._channel = channel
        self._progress = time.monotonic()
        channel.confirm_delivery(self._answered)
        channel.add_on_return_callback(self._returned)
        if self._refused:
            self._probe()
        else:
            self._pump()
            self._ask(0.0)

    def lost(self, error: BaseException) -> None:
        self._channel = None
        self._waiting += self._flight.take_back()
        limit = size_limit(error)
        if limit is not None:
            self._limit = limit
            self._waiting = [part for held in self._waiting for part in self._fit(held)]
        heapq.heapify(self._waiting)

    def leaving(self, channel: Channel) -> None:
        """What is not confirmed by now was never said to be safe."""

    def _collect(self) -> None:
        with self._lock:
            fresh, self._fresh = self._fresh, []
            self._woken = False
        for held in fresh:
            heapq.heappush(self._waiting, held)
        self._pump()

    def _pump(self) -> None:
        while self._waiting and self._channel is not None and not self._refused and len(self._flight) < IN_FLIGHT:
            self._send(self._channel, heapq.heappop(self._waiting))

    def _send(self, channel: Channel, held: Held) -> None:
        if not self._flight:
            self._progress = time.monotonic()
            self._watch = self._watch or self.link.later(LOOK_EVERY, self._look)
        self._flight.add(held)
        self._sent = time.monotonic()
        try:
            channel.basic_publish(held.exchange, self._key(held), held.body, held.properties, mandatory=True)
        except exceptions.AMQPError as error:  # closing under our hands: `lost` follows, or has been
            log.debug("publish: %r", error)

    def _ask(self, after: float) -> None:
        """Where nothing has been sent for so long: whether our way still leads into the queue. Else a shipper that has
        gone quiet would not hear that its last lines were lost."""
        self.link.cancel(self._asking)
        self._asking = None
        if self._channel is None or not self.way.life:
            return
        self._asking = self.link.later(ASK_EVERY, lambda: self._ask(ASK_EVERY))
        if not self._flight and not self._refused and time.monotonic() - self._sent >= after:
            self._send(self._channel, question(next(self._places), self._broker.exchange))

    def _key(self, held: Held) -> str:
        if held.store:
            return key_of(held.store)
        return self.way.key if held.exchange == self._broker.exchange else ROUTING_KEY

    def _returned(self, channel: Any, method: Any, found: BasicProperties, body: bytes) -> None:
        if channel is self._channel:
            self._flight.returned(found.message_id)

    def _answered(self, frame: Any) -> None:
        answer = frame.method
        self._progress = time.monotonic()
        self._slow.ends()
        kept = isinstance(answer, Basic.Ack)
        for held in self._flight.answered(answer):
            self._decided(held, kept)
        self._pump()

    def _decided(self, held: Held, kept: bool) -> None:
        ours = held.exchange == self._broker.exchange
        name = self._broker.queue_of(held.store) if ours else self._broker.dead
        if held.returned and held.store:
            self._unrouted(held)
        elif held.returned:
            if ours:
                self.way.ended()
            self._refuse(held, "unroutable", f"queue {name!r} is gone, or not bound to exchange {held.exchange!r}")
        elif not kept:
            why = "it is full (the indexers don't keep up), or fails"
            self._refuse(held, "full", f"queue {name!r} takes nothing: {why}")
        else:
            self._refused.ends()
            self._refusals = 0
            if ours and not held.store:
                self.way.taken()
            for service, lines in held.asked.items():
                metrics.STORE_CONFIRMED.labels(service, held.store or MAIN).inc(lines)
            self._finish(held)

    def _unrouted(self, held: Held) -> None:
        """Nobody serves the store that this is for: where its lines are for no other, the default one gets them."""
        self._unserved.note(held.store, held.asked)
        instead = homeless(held)
        if instead is None:
            self._finish(held)
        else:
            self._release(held.size - instead.size)
            heapq.heappush(self._waiting, instead)
        if self._refused and not self._flight and self._timer is None:  # it was to find out about others, and has not
            self._go_on()

    def _go_on(self) -> None:
        if self._waiting:
            self._probe()
        else:
            self._refused.ends()
            self._refusals = 0

    def _finish(self, held: Held) -> None:
        self._release(held.size)
        try:
            held.confirmed()
        except Exception:
            log.exception("a confirm could not be handled")

    def _refuse(self, held: Held, reason: str, text: str) -> None:
        amqp_metrics.REFUSED.labels(reason).inc()
        heapq.heappush(self._waiting, held)
        self._refused.begins(text)
        if self._timer is None:
            delay = min(LONGEST_PROBE, FIRST_PROBE * 2.0 ** min(self._refusals, 10))
            self._refusals += 1
            again = self._renew if reason == "unroutable" else self._probe_anew
            self._timer = self.link.later(delay, again)

    def _renew(self) -> None:
        """Have the queue declared again; `ready` comes back to what is held."""
        self._timer = None
        if self._channel is not None and self._refused:
            self.link.renew(QueueUnavailable(self._refused.text))

    def _probe_anew(self) -> None:
        """Not on the same channel for long: one that was opened while the queue had no leader (its node was just
        killed) was seen to refuse for ever what others took (RabbitMQ 3.10.8)."""
        self._timer = None
        if self._channel is not None and self._refusals > SAME_CHANNEL and not self._flight:
            self.link.other_channel(QueueUnavailable(self._refused.text))
        else:
            self._probe()

    def _probe(self) -> None:
        """One message finds out whether the others would be taken."""
        self.link.cancel(self._timer)
        self._timer = None
        if self._channel is None or not self._refused:
            return
        if not self._flight and self._waiting:
            self._send(self._channel, heapq.heappop(self._waiting))
        else:
            self._timer = self.link.later(FIRST_PROBE, self._probe)

    def _look(self) -> None:
        """Now and then while something is in flight: a broker without a majority confirms nothing, and says nothing."""
        self._watch = None
        quiet = time.monotonic() - self._progress
        if not self._flight or self._channel is None:
            self._slow.ends()
            return
        self._watch = self.link.later(LOOK_EVERY, self._look)
        if quiet >= SLOW and not self.link.blocked:
            self._slow.begins(f"the broker has confirmed nothing for {SLOW:.0f} s: is a majority of its nodes up?")
        if quiet >= HUNG and not self.link.blocked:
            self._progress = time.monotonic()
            self.link.reconnect(QueueUnavailable(self._slow.text))

    def _fit(self, held: Held) -> list[Held]:
        """The message as several that the broker takes; nothing where a single line is too large for it."""
        parts = fitted(held, self._limit) if held.exchange == self._broker.exchange else [held]
        if not parts:
            fix = "raise max_message_size there, and start Towline again"
            self._stuck.begins(f"a line is larger than the {self._limit} bytes that the broker takes: {fix}")
        return parts
