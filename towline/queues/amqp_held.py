"""A message in our care, and a batch as the messages that a broker takes."""

from collections.abc import Callable
from dataclasses import dataclass

from pika import BasicProperties

from towline.batch import Batch
from towline.queues.amqp_message import halves


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
