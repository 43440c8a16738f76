"""Messages that the broker has handed out and nobody has taken yet.

A message belongs to the session (channel) it came by. When that ends, the broker hands it out again, and our copy is of
no use; unless the queue was deleted, then our copy is the only one, and is kept.
"""

import heapq

from towline.queues.amqp_session import Message, Session


class Waiting:
    """Oldest first. Not locked: whoever uses it holds the consumer's lock. `bytes` of all bodies held here."""

    def __init__(self) -> None:
        self.session: Session | None = None
        """The one that works now."""
        self.bytes = 0
        self._ready: list[Message] = []
        self._ended: Session | None = None
        self._aside: list[Message] = []
        """What the ended session brought, until it is known whether its queue still exists."""

    def __bool__(self) -> bool:
        return bool(self._ready)

    @property
    def first(self) -> Message:
        return self._ready[0]

    def push(self, message: Message) -> None:
        heapq.heappush(self._ready, message)
        self.bytes += len(message.body)

    def pop(self) -> Message:
        message = heapq.heappop(self._ready)
        self.bytes -= len(message.body)
        return message

    def put_back(self, message: Message) -> None:
        """It was taken, and nothing was decided; dropped where the broker hands it out again."""
        if message.session is self.session or message.session.orphaned:
            self.push(message)
        elif message.session is self._ended:
            self._aside.append(message)
            self.bytes += len(message.body)

    def begins(self, session: Session) -> None:
        """The queue was there all the time: what was put aside comes again."""
        self.session, self._ended = session, None
        self.bytes -= sum(len(message.body) for message in self._aside)
        self._aside.clear()

    def over(self) -> None:
        """The session has ended."""
        self._ended, self.session = self.session, None
        self._aside = [message for message in self._ready if not message.session.orphaned]
        self._ready = [message for message in self._ready if message.session.orphaned]
        heapq.heapify(self._ready)

    def missing(self) -> None:
        """The queue of the session that has ended is gone."""
        if self._ended is not None:
            self._ended.orphaned = True
        for message in self._aside:
            heapq.heappush(self._ready, message)
        self._aside.clear()
