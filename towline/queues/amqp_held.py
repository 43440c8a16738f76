"""A message in our care, and a batch as the messages that a broker takes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pika import BasicProperties

from towline.batch import Batch, decode
from towline.queues.amqp_message import halves, properties


@dataclass(eq=False)
class Held:
    """One message in our care. `size`: bytes it takes of the bound, uncompressed."""

    place: int
    exchange: str
    body: bytes
    properties: BasicProperties
    size: int
    confirmed: Callable[[], None]
    returned: bool = False

    def __lt__(self, other: "Held") -> bool:
        return self.place < other.place


class Last:
    """Passes on the last of so many calls."""

    def __init__(self, calls: int, then: Callable[[], None]) -> None:
        self._left = calls
        self._then = then

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._then()


def bodies_of(batch: Batch, body: bytes, limit: int) -> list[tuple[Batch, bytes]]:
    """The batch as one message or, where it is too large, as several, in order; a single line stays whole."""
    parts = halves(batch) if len(body) > limit else None
    if parts is None:
        return [(batch, body)]
    return [each for part in parts for each in bodies_of(part, part.encode(), limit)]


def packed(batch: Batch, exchange: str, limit: int, places: Iterator[int], confirmed: Callable[[], None]) -> list[Held]:
    """The batch as one message, or as several of about `limit` bytes; `confirmed` is called after the last of them."""
    bodies = bodies_of(batch, batch.encode(), limit)
    then = Last(len(bodies), confirmed) if len(bodies) > 1 else confirmed
    now = time.time()
    return [Held(next(places), exchange, body, properties(part, now), part.size, then) for part, body in bodies]


def question(place: int, exchange: str) -> Held:
    """A batch without lines: only whether it comes back is of interest."""
    empty = Batch([])
    return Held(place, exchange, empty.encode(), properties(empty, time.time()), 0, lambda: None)


def fitted(held: Held, limit: int) -> list[Held]:
    """The message as several of at most `limit` bytes, at its place; nothing where a single line is larger."""
    if len(held.body) <= limit:
        return [held]
    bodies = bodies_of(decode(held.body), held.body, limit)
    if any(len(body) > limit for _, body in bodies):
        return []
    last, now = Last(len(bodies), held.confirmed), float(held.properties.timestamp or 0)
    return [Held(held.place, held.exchange, body, properties(part, now), part.size, last) for part, body in bodies]
