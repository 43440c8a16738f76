"""End to end: containers to searchable over RabbitMQ and Elasticsearch, beside a client that only posts the bodies."""

import threading
import time
from collections.abc import Iterator

from benchmarks.client import count, post_all, stream_of
from benchmarks.figure import Figure, ratio_at_least
from benchmarks.ground import Ground
from benchmarks.measuring import settle
from benchmarks.replay import bodies, drained, first, recorded, taken

GROUP = "end to end"
CLIENT = "the simplest client posts the same bodies, the same containers shipped meanwhile"


def figures(ground: Ground) -> Iterator[Figure]:
    prepared = [body for body, _ in bodies(first(recorded(ground), ground.sizes.stored))]
    ours, theirs = [], []
    for _ in range(ground.sizes.rounds):  # in turn, so that what else the machine does meets both
        ours.append(shipped_and_indexed(ground))
        theirs.append(shipped_beside_client(ground, prepared))
    yield Figure(GROUP, "container to searchable", max(ours), "lines/s", CLIENT, max(theirs), ratio_at_least(0.95))


def shipped_and_indexed(ground: Ground) -> float:
    """Lines a second from the first written to all of them found."""
    queue, store = ground.unique("whole"), ground.stream()
    (name,) = ground.writers.make(ground.unique("e2e"))
    settle([ground.elastic_pid])
    with ground.index(queue, store) as index, ground.ship(queue, name) as ship:
        began = time.perf_counter()
        lines = ground.writers.burst([name], ground.sizes.stored)
        index.reach("towline_lines_indexed_total", lines, every=0.1)
        found = count(ground, stream_of(store))
        took = time.perf_counter() - began
        assert found == lines == ship.metric("towline_lines_confirmed_total"), (found, lines)
    finish(ground, queue, name, stream_of(store))
    return lines / took


def shipped_beside_client(ground: Ground, prepared: list[bytes]) -> float:
    """The same containers, shipper and broker; what is indexed comes from memory."""
    queue, store = ground.unique("whole"), ground.stream()
    (name,) = ground.writers.make(ground.unique("e2e"))
    settle([ground.elastic_pid])
    with ground.ship(queue, name) as ship, taken(ground, queue):
        began = time.perf_counter()
        writing = threading.Thread(target=ground.writers.burst, args=([name], ground.sizes.stored))
        writing.start()
        post_all(ground, stream_of(store), prepared)
        found = count(ground, stream_of(store))
        took = time.perf_counter() - began
        writing.join()
        ship.reach("towline_lines_confirmed_total", ground.sizes.stored)
    finish(ground, queue, name, stream_of(store))
    return found / took


def finish(ground: Ground, queue: str, name: str, stream: str) -> None:
    drained(ground, queue)
    ground.writers.remove([name])
