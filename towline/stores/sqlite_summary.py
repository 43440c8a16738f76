"""Counting the lines of the SQLite store, by whole blocks where that can be told from their index."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import zstandard

from towline.levels import LEVELS, UNKNOWN, level_in
from towline.query import Query
from towline.stores.sqlite_blocks import unpack
from towline.stores.sqlite_folder import Folder, Gone
from towline.stores.sqlite_hits import FAR
from towline.stores.sqlite_partition import SLOT
from towline.stores.sqlite_plan import decided, of_level
from towline.stores.sqlite_search import search
from towline.stores.summary import Histogram, Known, known
from towline.times import format_time, nanoseconds

PATIENCE = 3.0
"""Seconds after which a histogram is given as far as it got."""
_LINES = (1 << SLOT) - 1
_MILLISECOND = 1_000_000
_OF_CONTAINERS = """SELECT container, json, lines, first_ns, last_ns FROM sources
    WHERE lines > 0 AND container != ''"""


class _Late(Exception):
    """Time is up."""


def histogram(folder: Folder, query: Query, step: int, clock: Callable[[], float] = time.monotonic) -> Histogram:
    deadline = clock() + PATIENCE

    def look() -> None:
        if clock() > deadline:
            raise _Late

    found = Histogram()
    try:
        for number in reversed(folder.numbers()):
            try:
                with folder.reading(number) as connection:
                    chosen = decided(connection, query.condition)
                    if chosen is None:
                        break
                    _Partition(connection, query, step, look).count(chosen, found)
            except Gone:
                continue
        else:
            return found
        found = Histogram()
        _one_by_one(folder, query, step, look, found)
    except _Late:
        found.complete = False
    return found


def _one_by_one(folder: Folder, query: Query, step: int, look: Callable[[], None], found: Histogram) -> None:
    """For conditions that only each line itself can answer, newest first."""
    for document in search(folder, replace(query, order="desc", limit=0)):
        look()
        found.add(_bucket(nanoseconds(document["@timestamp"]), step), level_in(document), 1)


def _bucket(moment: int, step: int) -> int:
    milliseconds = moment // _MILLISECOND
    return milliseconds - milliseconds % step


class _Partition:
    """The blocks of one partition in the query's range: those that lie in one bucket are counted without a look."""

    def __init__(self, connection: sqlite3.Connection, query: Query, step: int, look: Callable[[], None]) -> None:
        self._connection, self._step, self._look = connection, step, look
        self._since = nanoseconds(query.since) if query.since else 0
        self._until = nanoseconds(query.until) if query.until else FAR
        self._places: dict[int, int | list[int]] = {}

    def count(self, sources: frozenset[int], found: Histogram) -> None:
        rows = self._connection.execute(
            "SELECT key, source, first_ns, last_ns, count FROM blocks WHERE last_ns >= ? AND first_ns < ?",
            (self._since, self._until)).fetchall()  # fmt: skip
        for key, source, first, last, count in rows:
            if source in sources:
                self._look()
                for bucket, lines in self._place(key, first, last, count):
                    found.add(bucket, UNKNOWN, lines)
        if self._places:
            for level in LEVELS:
                self._move(level, found)

    def _place(self, key: int, first: int, last: int, count: int) -> Iterator[tuple[int, int]]:
        begin = _bucket(first, self._step)
        if self._since <= first and last < self._until and _bucket(last, self._step) == begin:
            self._places[key] = begin
            yield begin, count
            return
        each = [self._of(stamp) for stamp in self._stamps(key)]
        self._places[key] = each
        for bucket in {*each} - {-1}:
            yield bucket, each.count(bucket)

    def _of(self, stamp: int) -> int:
        return _bucket(stamp, self._step) if self._since <= stamp < self._until else -1

    def _stamps(self, key: int) -> list[int]:
        row = self._connection.execute("SELECT payload FROM blocks WHERE key = ?", (key,)).fetchone()
        try:
            return [nanoseconds(line[15:45].decode()) for line in unpack(row[0])[1::2]] if row else []
        except zstandard.ZstdError:
            return []

    def _move(self, level: str, found: Histogram) -> None:
        """Lines of the level, counted under it and no longer among those of unknown level."""
        span = (min(self._places), max(self._places) | _LINES)
        rows = self._connection.execute(
            "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?", (of_level(level), *span)
        )
        for number, (rowid,) in enumerate(rows):
            if number % 4096 == 0:
                self._look()
            place = self._places.get(rowid & ~_LINES)
            index = rowid & _LINES
            bucket = place if not isinstance(place, list) else place[index] if index < len(place) else -1
            if bucket is not None and bucket >= 0:
                found.add(bucket, level, 1)
                found.add(bucket, UNKNOWN, -1)


def tidied(found: Histogram) -> Histogram:
    """Without levels that nothing is left of."""
    for bucket, row in list(found.counts.items()):
        found.counts[bucket] = {level: lines for level, lines in row.items() if lines > 0}
    return found


def containers(folder: Folder, limit: int, name: str = "") -> tuple[list[Known], int]:
    rows = _sources(folder)
    if name:
        rows = _called(rows, name)
    newest = sorted(rows, key=lambda row: row[3], reverse=True)[: limit or None]
    return [_known(row) for row in newest], len(rows)


def _known(row: list[Any]) -> Known:
    origin, lines, first, last = row
    return known(orjson.loads(origin), lines, format_time(first), format_time(last))


def _called(rows: list[list[Any]], name: str) -> list[list[Any]]:
    """Reading an origin costs ten times a look at its text, which tells most of the others."""
    written = orjson.dumps(name)[1:-1].decode().lower()
    return [row for row in rows if written in row[0].lower() and known(orjson.loads(row[0]), 0, "", "").called(name)]


def _sources(folder: Folder) -> list[list[Any]]:
    """The newest origin, lines, first and last nanosecond of each container."""
    rows: dict[str, list[Any]] = {}
    for number in folder.numbers():
        try:
            with folder.reading(number) as connection:
                for container, origin, lines, first, last in connection.execute(_OF_CONTAINERS):
                    row = rows.setdefault(container, [origin, 0, first, -1])
                    if last > row[3]:
                        row[0], row[3] = origin, last
                    row[1] += lines
                    row[2] = min(row[2], first)
        except Gone:
            continue
    return list(rows.values())
