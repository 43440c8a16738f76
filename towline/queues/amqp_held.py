"""A message in our care, and a batch as the messages that a broker takes: one or more for each store that it is for."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pika import BasicProperties

from towline.batch import Batch, Section, decode
from towline.queues.amqp_message import halves, properties
from towline.store_names import MAIN


@dataclass(eq=False)
class Held:
    """One message in our care. `size`: bytes it takes of the bound, uncompressed.

    store: the named store that it is for, "" for the default one. asked: lines in it of services that name stores.
    """

    place: int
    exchange: str
    body: bytes
    properties: BasicProperties
    size: int
    confirmed: Callable[[], None]
    returned: bool = False
    store: str = ""
    asked: Mapping[str, int] = field(default_factory=dict)

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


def by_store(batch: Batch) -> list[tuple[str, Batch]]:
    """The batch as it is where no section names stores; else what each store is to get, "" for the default one."""
    if not any(section.origin.stores for section in batch.sections):
        return [("", batch)]
    sections: dict[str, list[Section]] = {}
    for section in batch.sections:
        for store in section.origin.stores or (MAIN,):
            sections.setdefault("" if store == MAIN else store, []).append(section)
    return [(store, Batch(found, node=batch.node)) for store, found in sections.items()]


def packed(batch: Batch, exchange: str, limit: int, places: Iterator[int], confirmed: Callable[[], None]) -> list[Held]:
    """The batch as messages of about `limit` bytes, mostly one; `confirmed` is called after the last of them."""
    stores = by_store(batch)
    bodies = [(store, part, body) for store, whole in stores
              for part, body in bodies_of(whole, whole.encode(), limit)]  # fmt: skip
    then = Last(len(bodies), confirmed) if len(bodies) > 1 else confirmed
    now = time.time()
    if stores[0][1] is batch:
        return [Held(next(places), exchange, body, properties(part, now), part.size, then) for _, part, body in bodies]
    return [_held(next(places), exchange, part, body, now, then, store) for store, part, body in bodies]


def _held(
    place: int, exchange: str, part: Batch, body: bytes, now: float, then: Callable[[], None], store: str
) -> Held:  # fmt: skip
    return Held(place, exchange, body, properties(part, now), part.size, then, store=store, asked=_asked(part))


def _asked(batch: Batch) -> Mapping[str, int]:
    lines: Counter[str] = Counter()
    for section in batch.sections:
        if section.origin.stores:
            lines[section.origin.service] += section.count
    return lines


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
    return [_held(held.place, held.exchange, part, body, now, last, held.store) for part, body in bodies]


def homeless(held: Held) -> Held | None:
    """What of a message that has no queue goes to the default store: lines that no other message brings to a store.

    Those are the lines whose first store this is; None where there is none.
    """
    whole = decode(held.body)
    left = [section for section in whole.sections if section.origin.stores[:1] == (held.store,)]
    if not left:
        return None
    batch = Batch(left, node=whole.node)
    return _held(held.place, held.exchange, batch, batch.encode(), time.time(), held.confirmed, "")
