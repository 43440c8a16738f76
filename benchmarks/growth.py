"""Growth: more containers, more indexers; and catching up after the broker was away, beside containers that go on."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.figure import Figure, at_least, at_most, ratio_at_most
from benchmarks.ground import Ground
from benchmarks.measuring import settle
from benchmarks.program import Program
from benchmarks.replay import first, forget, publish, recorded, taken
from benchmarks.sink import Sink

GROUP = "growth"
ARRIVALS = 1000.0
"""Lines a second of all containers together, in the outage and after it."""
SPEAKERS = 10
INDEXED = "towline_lines_indexed_total"


def figures(ground: Ground) -> Iterator[Figure]:
    yield from containers(ground)
    yield from indexers(ground)
    yield from outage(ground)


def containers(ground: Ground) -> Iterator[Figure]:
    """The same number of lines from ever more containers."""
    alone = 0.0
    for number in sorted({1, ground.sizes.speakers, ground.sizes.quiet}):
        names = ground.writers.make("idle", number)
        queue = ground.unique("grow")
        with ground.ship(queue, *names) as ship, taken(ground, queue):
            settle([ship.pid])
            known = ship.metric("towline_lines_read_total")
            ship.reach("towline_lines_confirmed_total", known)
            before = ship.cpu
            lines = ground.writers.burst(names, ground.sizes.growth // number)
            ship.reach("towline_lines_confirmed_total", known + lines, every=0.5)
            each = 1e6 * (ship.cpu - before) / lines
        forget(ground, queue)
        alone = alone or each
        yield Figure(GROUP, f"shipper, {number} containers at full speed", each, "µs/line", "one container", alone,
                     ratio_at_most(1.2))  # fmt: skip


def indexers(ground: Ground) -> Iterator[Figure]:
    """The same backlog for one, two and four of them, to a store that takes all at once."""
    frames = first(recorded(ground), ground.sizes.backlog)
    alone = 0.0
    for number in (1, 2, 4):
        queue, sink = ground.unique("many"), Sink(ground.elastic)
        store = f"{sink.url}/?namespace={ground.unique(ground.prefix)}"
        with ExitStack() as parts:
            parts.callback(sink.close)
            running = [parts.enter_context(ground.index(queue, store)) for _ in range(number)]
            before = sum(one.cpu for one in running)
            lines = publish(ground, queue, frames)
            while sum(one.metric(INDEXED) for one in running) < lines:
                time.sleep(0.2)
            each = 1e6 * (sum(one.cpu for one in running) - before) / lines
        forget(ground, queue)
        alone = alone or each
        yield Figure(GROUP, f"{number} indexers", each, "µs/line", "one indexer", alone, ratio_at_most(1.2))


def outage(ground: Ground) -> Iterator[Figure]:
    """The broker is away while some containers write ten minutes' lines; then it is back, and others go on writing."""
    names = ground.writers.make("outage", SPEAKERS)
    others = ground.writers.make("bystander", SPEAKERS)
    queue, store = ground.unique("out"), ground.stream()
    with ExitStack() as parts:
        index = parts.enter_context(ground.index(queue, store))
        parts.enter_context(ground.ship(queue, f"{ground.prefix}-outage-*", f"{ground.prefix}-bystander-*"))
        ground.stop_broker()
        missed = ground.writers.burst(names, int(ARRIVALS * ground.sizes.outage / SPEAKERS))
        ground.start_broker()
        rate, late = caught_up(ground, index, others, missed)
    yield Figure(GROUP, f"catching up after {ground.sizes.outage} s at {ARRIVALS:,.0f} lines/s", rate / ARRIVALS,
                 "x arrivals", target=at_least(3))  # fmt: skip
    yield Figure(GROUP, "others' lines meanwhile, until Elasticsearch has them: at most", late, "s", target=at_most(5))


def caught_up(ground: Ground, index: Program, others: list[str], missed: int) -> tuple[float, float]:
    """Lines a second of the outage that are indexed, and the most that those of `others` were late meanwhile."""
    behind, going_on = f"{ground.prefix}-outage", f"{ground.prefix}-bystander"
    index.reach(INDEXED, 1, seconds=120)
    began, had = time.perf_counter(), index.metric(INDEXED, behind)
    stop = threading.Event()
    talking = threading.Thread(target=ground.writers.pace, args=(others, ARRIVALS / len(others), 3600.0, stop))
    talking.start()
    late = [0.0]
    try:
        while (have := index.metric(INDEXED, behind)) < missed:
            late.append(time.perf_counter() - began - index.metric(INDEXED, going_on) / ARRIVALS)
            time.sleep(0.1)
        return (have - had) / (time.perf_counter() - began), max(late)
    finally:
        stop.set()
        talking.join()
