"""Searching all partitions: runs of their walks are put in order as far as no walk can add to them any more."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import islice

from towline.query import Query
from towline.stores import Document
from towline.stores.sqlite_folder import Folder, Gone
from towline.stores.sqlite_hits import Hit
from towline.stores.sqlite_walk import NewestFirst, OldestFirst, Walk
from towline.times import format_time

_EDGES = "SELECT (SELECT max(key) FROM blocks), min(first_ns), max(last_ns) FROM sources WHERE lines > 0"


def search(folder: Folder, query: Query) -> Iterator[Document]:
    """The documents in the query's order, read as they are asked for."""
    walks = [walk for number in folder.numbers() if (walk := _walk(folder, number, query))]
    hits = _newest_first(walks) if query.order == "desc" else _oldest_first(walks)
    return (hit[4].read() for hit in islice(hits, query.limit or None))


def _walk(folder: Folder, number: int, query: Query) -> Walk | None:
    try:
        with folder.reading(number) as connection:
            highest, oldest, newest = connection.execute(_EDGES).fetchone()
    except Gone:
        return None
    if highest is None or newest is None:
        return None
    borrow = partial(folder.reading, number)
    return NewestFirst(borrow, query, highest) if query.order == "desc" else OldestFirst(borrow, query, oldest, newest)


def _advance(walk: Walk) -> list[Hit]:
    try:
        return walk.advance()
    except Gone:
        walk.done = True
        return []


def _newest_first(walks: list[Walk]) -> Iterator[Hit]:
    runs: list[list[Hit]] = []
    while live := [walk for walk in walks if not walk.done]:
        next_walk = max(live, key=lambda walk: walk.bound)
        edge = format_time(next_walk.bound).encode()
        # Each run ascends, so its newest are at its end; what equals the edge may still be tied with lines to come.
        yield from sorted(_cut(runs, edge), reverse=True)
        if run := _advance(next_walk):
            runs.append(sorted(run))
    yield from sorted((hit for run in runs for hit in run), reverse=True)


def _cut(runs: list[list[Hit]], edge: bytes) -> list[Hit]:
    ready: list[Hit] = []
    for run in runs:
        if run[-1][0] > edge:
            at = bisect_right(run, edge, key=_stamp)
            ready += run[at:]
            del run[at:]
    runs[:] = [run for run in runs if run]
    return ready


def _stamp(hit: Hit) -> bytes:
    return hit[0]


def _oldest_first(walks: list[Walk]) -> Iterator[Hit]:
    runs: list[list[Hit]] = []
    while live := [walk for walk in walks if not walk.done]:
        next_walk = min(live, key=lambda walk: walk.bound)
        edge = format_time(next_walk.bound).encode()
        yield from sorted(_cut_oldest(runs, edge))
        if run := _advance(next_walk):
            runs.append(sorted(run))
    yield from sorted(hit for run in runs for hit in run)


def _cut_oldest(runs: list[list[Hit]], edge: bytes) -> list[Hit]:
    ready: list[Hit] = []
    for run in runs:
        if run[0][0] < edge:
            at = bisect_left(run, edge, key=_stamp)
            ready += run[:at]
            del run[:at]
    runs[:] = [run for run in runs if run]
    return ready
