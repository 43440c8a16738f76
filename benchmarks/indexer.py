"""Indexer: CPU per line from the queue to Elasticsearch's verdict, and its memory, whatever waits in the queue."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.figure import Figure, at_most, ratio_at_most
from benchmarks.ground import Ground
from benchmarks.measuring import settle, wait_for
from benchmarks.replay import Frame, first, forget, publish, recorded
from benchmarks.sink import Sink

GROUP = "indexer"
INDEXED = "towline_lines_indexed_total"
LEAST = 30_000
"""Lines whose CPU time can be told from nothing."""


@dataclass(frozen=True)
class Run:
    """`each`: µs of CPU per line; `peak`: the most MB; `rate`: lines a second."""

    each: float
    peak: float
    rate: float


def figures(ground: Ground) -> Iterator[Figure]:
    frames = recorded(ground)
    real = indexed(ground, ground.stream(), first(frames, ground.sizes.stored))
    yield Figure(GROUP, "to Elasticsearch", real.each, "µs/line", target=at_most(1.0))
    yield Figure(GROUP, "to Elasticsearch: memory at most", real.peak, "MB", target=at_most(150))
    runs = {lines: to_sink(ground, first(frames, lines)) for lines in ground.sizes.backlogs}
    usual = runs[ground.sizes.backlogs[1]]
    for lines, found in runs.items():
        what = f"backlog of {lines:,} lines, to a store that takes all at once"
        beside = f"backlog of {ground.sizes.backlogs[1]:,}"
        yield Figure(GROUP, what, found.each, "µs/line", beside, usual.each, ratio_at_most(1.2))
    largest = runs[ground.sizes.backlogs[-1]]
    yield Figure(GROUP, f"memory at most, backlog of {ground.sizes.backlogs[-1]:,}", largest.peak, "MB",
                 target=at_most(150))  # fmt: skip


def to_sink(ground: Ground, frames: Sequence[Frame]) -> Run:
    """Small backlogs come again and again, until there is something to measure."""
    sink = Sink(ground.elastic)
    lines = sum(frame.count for frame in frames)
    queue = ground.unique("index")
    try:
        with ground.index(queue, f"{sink.url}/?namespace={ground.unique(ground.prefix)}") as index:
            settle([index.pid])
            before, began, sent = index.cpu, time.perf_counter(), 0
            for _ in range(max(1, LEAST // lines)):
                sent += publish(ground, queue, frames)
                wait_for(lambda: sink.lines >= sent, 600, "all lines at the sink", every=0.02)  # noqa: B023
            took = time.perf_counter() - began
            index.reach(INDEXED, sent)
            return Run(1e6 * (index.cpu - before) / sent, index.peak, sent / took)
    finally:
        sink.close()
        forget(ground, queue)


def indexed(ground: Ground, store: str, frames: Sequence[Frame]) -> Run:
    """All of these, published at once to an indexer that waits for them."""
    queue = ground.unique("index")
    with ground.index(queue, store) as index:
        settle([index.pid])
        before, began = index.cpu, time.perf_counter()
        lines = publish(ground, queue, frames)
        index.reach(INDEXED, lines, seconds=600, every=0.5)
        took, used, peak = time.perf_counter() - began, index.cpu - before, index.peak
    forget(ground, queue)
    return Run(1e6 * used / lines, peak, lines / took)
