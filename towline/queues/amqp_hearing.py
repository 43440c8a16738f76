"""A consumer that has heard nothing for a while makes sure that it still can: it goes on with a fresh channel.

A quorum queue that is deleted and declared again in the same instant may keep the consumers of the old one, hand them
messages that never come over the wire, and tell nobody (seen with RabbitMQ 3.10.8; no count on the broker shows it).
When such a channel closes, the broker hands out again what it held. Shippers ask into the queue every 20 s where they
have nothing to say (amqp_publisher.py), so that mostly only a deaf consumer hears nothing.
"""

from collections.abc import Callable

from towline.errors import QueueUnavailable
from towline.queues.amqp_link import Link
from towline.queues.amqp_session import Session

SILENCE = 30.0
"""Seconds."""


class Hearing:
    """In the link's thread. `current`: the session that works now."""

    def __init__(self, link: Link, current: Callable[[], Session | None]) -> None:
        self._link = link
        self._current = current

    def begins(self, session: Session) -> None:
        self._link.later(SILENCE, lambda: self._look(session, 0))

    def _look(self, session: Session, before: int) -> None:
        """`before`: how much had arrived at the look before."""
        if session is not self._current():
            return
        if session.arrived == before and not session.order and not session.changing:
            self._link.other_channel(QueueUnavailable("nothing was heard for a while"))
        else:
            self._link.later(SILENCE, lambda: self._look(session, session.arrived))
