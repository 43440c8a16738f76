"""One channel's deliveries, and which of them the broker may forget."""

from collections import deque
from dataclasses import dataclass, field

from pika import BasicProperties
from pika.channel import Channel


@dataclass(eq=False)
class Session:
    """One channel's deliveries. `order`: tags not yet acknowledged, oldest first; `done`: to be acknowledged."""

    channel: Channel
    prefetch: int
    order: deque[int] = field(default_factory=deque)
    done: set[int] = field(default_factory=set)
    acked: set[int] = field(default_factory=set)
    """Acknowledged out of order, and still in `order`."""
    arrived: int = 0
    consumer: str = ""
    changing: bool = False
    orphaned: bool = False
    """Its queue was deleted: nobody will hand out again what it brought."""

    def settled(self) -> tuple[int | None, list[int]]:
        """What is to be acknowledged now: all up to the first number, and the others one by one."""
        last, done = None, self.done
        while self.order and (self.order[0] in done or self.order[0] in self.acked):
            tag = self.order.popleft()
            if tag in self.acked:
                self.acked.remove(tag)
            else:
                done.remove(tag)
                last = tag
        self.acked |= done
        self.done = set()
        return last, sorted(done)


@dataclass(order=True)
class Message:
    place: int
    """In the order of arrival, also over several sessions."""
    tag: int = field(compare=False)
    session: Session = field(compare=False)
    found: BasicProperties = field(compare=False)
    body: bytes = field(compare=False)
    exchange: str = field(default="", compare=False)
    key: str = field(default="", compare=False)
    """Routing key."""
