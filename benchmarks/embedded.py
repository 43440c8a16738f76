"""Embedded store: lines a second into SQLite and its index, searches over all of them, bytes per line."""

import statistics
import time
from collections.abc import Iterator

from benchmarks import sqlite_store
from benchmarks.figure import Figure, at_least, at_most
from benchmarks.ground import Ground
from towline.query import Query, parse
from towline.stores.sqlite import SqliteStore

GROUP = "embedded"
SEARCHES = {
    "no filter": Query(),
    "a common word": Query(where=parse("GET")),
    "two words": Query(where=parse("connection 404")),
    "a phrase": Query(where=parse('"upstream connection to backend"')),
    "a rare word": Query(where=parse("needle")),
    "a service": Query(service=("web-3",)),
    "a word of a service": Query(where=parse("500"), service=("web-3",)),
}


def figures(ground: Ground) -> Iterator[Figure]:
    folder = ground.folder / ground.unique("store")
    folder.mkdir()
    store = SqliteStore(folder)
    lines = ground.sizes.embedded
    wall, used, _ = sqlite_store.fill(store, lines, 5)
    size = sum(file.stat().st_size for file in folder.iterdir())
    yield Figure(GROUP, f"{lines:,} lines into SQLite", lines / wall, "lines/s", target=at_least(60_000))
    yield Figure(GROUP, "CPU of the writing thread", 1e6 * used / lines, "µs/line")
    yield Figure(GROUP, "on disk", size / lines, "bytes/line")
    slow = {name: search(store, query) for name, query in SEARCHES.items()}
    worst = max(slow, key=slow.__getitem__)
    what = f"newest 100 hits of {lines:,} lines"
    yield Figure(GROUP, f"{what}: slowest of {len(slow)} searches ({worst})", slow[worst], "ms", "the median one",
                 statistics.median(slow.values()), at_most(200))  # fmt: skip
    store.close()
    yield from whole(ground)


def search(store: SqliteStore, query: Query) -> float:
    """Milliseconds; the best of three."""
    took = []
    for _ in range(3):
        before = time.perf_counter()
        list(store.search(query))
        took.append(1e3 * (time.perf_counter() - before))
    return min(took)


def whole(ground: Ground) -> Iterator[Figure]:
    """`towline up` on a log that waits: reading, batching and storing in one process."""
    with ground.up(ground.backlog) as up:
        began, have = time.perf_counter(), up.metric("towline_lines_indexed_total")
        up.reach("towline_lines_indexed_total", ground.sizes.backlog, every=0.25)
        rate = (ground.sizes.backlog - have) / (time.perf_counter() - began)
        yield Figure(GROUP, f"towline up, a log of {ground.sizes.backlog:,} lines to searchable", rate, "lines/s")
        yield Figure(GROUP, "towline up: memory at most", up.peak, "MB")
