"""One connection to the broker, made again for ever, in a thread of its own (amqp_loop.py)."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel

from towline.queues import amqp_metrics
from towline.queues.amqp_backoff import Backoff
from towline.queues.amqp_errors import explain
from towline.queues.amqp_loop import Loop
from towline.queues.amqp_problem import Problem
from towline.queues.amqp_reading import read_much
from towline.queues.amqp_topology import Declaring, Steps
from towline.queues.amqp_url import Broker

log = logging.getLogger(__name__)

STEADY = 10.0
"""Seconds after which a session that ends was a good one, so that the next attempt comes soon."""
PROVEN = 0.3
"""Seconds that a session must last before the trouble with the one before is called over."""


class LinkUser(Protocol):
    """Is told in the link's thread."""

    def steps(self) -> Steps:
        """What has to be declared before work begins."""

    def ready(self, channel: Channel) -> None:
        """Everything is declared, and this channel is for work."""

    def lost(self, error: BaseException) -> None:
        """The channel of the last `ready` is gone. Another `ready` follows."""

    def leaving(self, channel: Channel) -> None:
        """The link is about to close: the last chance to send something."""


class Link:
    """`role` is for people and metrics: publish or consume."""

    def __init__(self, broker: Broker, role: str, user: LinkUser) -> None:
        self.problem = Problem(role)
        self.blocked = Problem(role)
        self.settled = threading.Event()
        """Set once it is known whether the broker can be worked with."""
        self._broker = broker
        self._role = role
        self._user = user
        self._loop = Loop(f"amqp-{role}", self._connect, self._failed, self.settled.set)
        self._backoff = Backoff(broker.addresses)
        self._connection: SelectConnection | None = None
        self._channel: Channel | None = None
        self._since = 0.0
        self._due: Any = None

    # --- from any thread

    @property
    def started(self) -> bool:
        return self._loop.started

    def start(self) -> None:
        """Begin to connect; once is enough."""
        self._loop.start()

    def call(self, what: Callable[[], None]) -> None:
        """Run `what` in the link's thread, soon; not at all where the link is closed."""
        self._loop.call(what)

    def close(self) -> None:
        """Close in order, so that the broker hands out again at once what was not acknowledged; then be still."""
        self._loop.end(self._leave)

    # --- in the link's thread

    def later(self, delay: float, what: Callable[[], None]) -> Any:
        return self._loop.later(delay, what)

    def cancel(self, timer: Any) -> None:
        self._loop.cancel(timer)

    def renew(self, error: Exception) -> None:
        """Give up the channel; declare everything again and open another."""
        channel = self._channel
        self._session_over(error)
        if channel is not None and channel.is_open:
            channel.close()

    def other_channel(self, error: Exception) -> None:
        """Go on with a fresh channel on the same connection; nothing else is in doubt."""
        channel, self._channel = self._channel, None
        self._user.lost(error)
        if channel is not None and channel.is_open:
            channel.close()
        if self._connection is not None:
            self._open_channel(self._connection)

    def reconnect(self, error: Exception) -> None:
        """Give up the connection, which seems to hang, and go to the next address."""
        connection = self._connection
        self._gone(connection, error)
        if connection is not None and not connection.is_closed and not connection.is_closing:
            connection.close()

    def _failed(self, error: Exception) -> None:
        log.error("queue (%s): unexpected; connecting again", self._role, exc_info=error)
        try:
            self.reconnect(error)
        except Exception:
            self._connection = None

    def _connect(self) -> None:
        self._due = None
        if self._loop.closing:
            return
        try:
            self._connection = SelectConnection(
                self._broker.parameters(self._backoff.next_address()),
                on_open_callback=self._opened,
                on_open_error_callback=self._gone,
                on_close_callback=self._gone,
                custom_ioloop=self._loop.poller,
            )
        except Exception as error:
            self._trouble(error)
            self._again(self._connect)

    @property
    def _place(self) -> str:
        return self._broker.at(self._backoff.address)

    def _opened(self, connection: Any) -> None:
        if connection is not self._connection or not isinstance(connection, SelectConnection):
            return
        read_much(connection)
        connection.add_on_connection_blocked_callback(lambda _, frame: self._block(frame.method.reason))
        connection.add_on_connection_unblocked_callback(lambda _, frame: self._block(None))
        self._declare()

    def _block(self, reason: Any) -> None:
        if reason is None:
            self.blocked.ends()
        else:
            text = reason.decode() if isinstance(reason, bytes) else str(reason)
            self.blocked.begins(f"{self._place} takes nothing for now: {text}")

    def _declare(self) -> None:
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        Declaring(
            connection,
            self._user.steps(),
            done=lambda: self._open_channel(connection),
            failed=lambda error: self._refused(connection, error),
        )

    def _refused(self, connection: SelectConnection, error: Exception) -> None:
        if connection is self._connection:
            self._trouble(error)
            self._again(self._declare)

    def _open_channel(self, connection: SelectConnection) -> None:
        if connection is self._connection and connection.is_open:
            connection.channel(on_open_callback=self._ready)

    def _ready(self, channel: Channel) -> None:
        if channel.connection is not self._connection:
            return
        self._channel = channel
        self._since = time.monotonic()
        channel.add_on_close_callback(self._channel_closed)
        self.settled.set()
        if self._backoff.failures > 1:
            self.later(PROVEN, lambda: self._well(channel))
        else:
            self._well(channel)
        self._user.ready(channel)

    def _well(self, channel: Channel) -> None:
        if channel is self._channel:
            self.problem.ends()

    def _channel_closed(self, channel: Channel, error: Exception) -> None:
        connection = self._connection
        if channel is self._channel and connection is not None and connection.is_open:
            self._session_over(error)

    def _session_over(self, error: BaseException) -> None:
        """The channel is of no more use, the connection still is."""
        self._forget_channel(error)
        self._again(self._declare)

    def _gone(self, connection: Any, error: Any) -> None:
        """The connection is of no more use, or never was."""
        if connection is not self._connection:
            return
        self._connection = None
        self.blocked.ends()
        self._forget_channel(error)
        if self._loop.closing:
            self._loop.stop()
        else:
            amqp_metrics.RECONNECTS.labels(self._role).inc()
            self._again(self._connect)

    def _forget_channel(self, error: BaseException) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and time.monotonic() - self._since > STEADY:
            self._backoff.failures = 0
        if not self._loop.closing:
            self._trouble(error)
        if channel is not None:
            self._user.lost(error)

    def _trouble(self, error: BaseException) -> None:
        self.problem.begins(f"{self._place}: {explain(error, self._broker)}")
        self.settled.set()

    def _again(self, what: Callable[[], None]) -> None:
        self.cancel(self._due)
        self._due = self.later(self._backoff.delay(elsewhere=what == self._connect), what)

    def _leave(self) -> None:
        self.cancel(self._due)
        connection, channel = self._connection, self._channel
        if channel is not None and channel.is_open:
            self._user.leaving(channel)
        if connection is None:
            self._loop.stop()
        elif not connection.is_closing:
            connection.close()
