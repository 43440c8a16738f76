"""Walking one partition's matching lines block by block, newest or oldest first, with a bound on what is still to come.

A walk yields runs: the matching lines of one block. Blocks overlap in time, so a run may hold lines that belong after
those of later runs; `bound` says how new (or old) a line of a later run can be at most.
"""

import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from towline.query import Query
from towline.stores.sqlite_hits import FAR, Hit, Reader
from towline.stores.sqlite_partition import SLOT
from towline.stores.sqlite_plan import Plan, plan

FIRST_PAGE, LARGEST_PAGE = 256, 16384
FIRST_BLOCKS, LARGEST_BLOCKS = 16, 512
_LINES = (1 << SLOT) - 1

Borrow = Callable[[], AbstractContextManager[sqlite3.Connection]]


class Walk(Protocol):
    bound: int
    """Nanoseconds: no line of a run still to come is newer (older, for oldest first)."""
    done: bool

    def advance(self) -> list[Hit]:
        """The next run, unordered; may be empty. Raises Gone where the partition has vanished."""


class _Runs:
    """What both orders share: pages of blocks are fetched, and read one block at a time."""

    bound: int
    done: bool

    def __init__(self, borrow: Borrow, query: Query) -> None:
        self._borrow, self._reader = borrow, Reader(query)
        self._plan: Plan | None = None
        self._waiting: list[tuple[int, list[int] | None]] = []

    def advance(self) -> list[Hit]:
        """See Walk."""
        with self._borrow() as connection:
            if self._plan is None:
                self._start(connection)
            if not self._waiting and not self.done:
                self._fetch(connection)
            if not self._waiting:
                self.done = True
                return []
            assert self._plan is not None
            key, indexes = self._waiting.pop()
            self.bound = self._bound_after(key)
            return self._reader.run(connection, self._plan, key, indexes)

    def _start(self, connection: sqlite3.Connection) -> None:
        raise NotImplementedError

    def _fetch(self, connection: sqlite3.Connection) -> None:
        raise NotImplementedError

    def _bound_after(self, key: int) -> int:
        raise NotImplementedError


class NewestFirst(_Runs):
    """By descending key; a key is never below its block's last microsecond, so it bounds what comes after it."""

    def __init__(self, borrow: Borrow, query: Query, highest: int) -> None:
        super().__init__(borrow, query)
        self._below = highest + 1 + _LINES
        self._page = FIRST_PAGE
        self.bound = (highest >> SLOT) * 1000 + 999
        self.done = self.bound < self._reader.since

    def _bound_after(self, key: int) -> int:
        return (key >> SLOT) * 1000 + 999

    def _start(self, connection: sqlite3.Connection) -> None:
        self._plan = plan(connection, self._reader.condition)
        self.done = self._plan.empty
        if self._reader.until < FAR:
            row = connection.execute("SELECT max(key) FROM blocks WHERE first_ns < ?", (self._reader.until,)).fetchone()
            self.done = self.done or row[0] is None
            self._below = min(self._below, (row[0] or 0) + 1 + _LINES)

    def _fetch(self, connection: sqlite3.Connection) -> None:
        assert self._plan is not None
        lowest = self._reader.since // 1000 << SLOT
        if self._plan.words is None:
            self._fetch_blocks(connection, self._plan, lowest)
            return
        rows = connection.execute(
            "SELECT rowid FROM words WHERE words MATCH ? AND rowid < ? AND rowid >= ? ORDER BY rowid DESC LIMIT ?",
            (self._plan.words, self._below, lowest, self._page)).fetchall()  # fmt: skip
        self._waiting = _grouped(row[0] for row in rows)[::-1]
        self._below = rows[-1][0] if rows else self._below
        self._page = min(self._page * 4, LARGEST_PAGE)

    def _fetch_blocks(self, connection: sqlite3.Connection, chosen: Plan, lowest: int) -> None:
        page = FIRST_BLOCKS
        while not self._waiting:
            rows = connection.execute(
                "SELECT key FROM blocks NOT INDEXED WHERE key < ? AND key >= ? AND first_ns < ? "
                + _source_filter(chosen) + "ORDER BY key DESC LIMIT ?",
                (self._below, lowest, self._reader.until, page)).fetchall()  # fmt: skip
            if not rows:
                return
            self._below = rows[-1][0]
            self._waiting = _wanted(connection, chosen, [row[0] for row in reversed(rows)])
            page = min(page * 2, LARGEST_BLOCKS)


def _wanted(connection: sqlite3.Connection, chosen: Plan, keys: Sequence[int]) -> list[tuple[int, list[int] | None]]:
    """The blocks of these ascending keys, without the lines that the plan excludes."""
    if chosen.unwanted is None:
        return [(key, None) for key in keys]
    span = (keys[0], keys[-1] + _LINES)
    counts = dict(connection.execute("SELECT key, count FROM blocks WHERE key BETWEEN ? AND ?", span).fetchall())
    excluded = "FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?"
    (number,) = connection.execute(f"SELECT count(*) {excluded}", (chosen.unwanted, *span)).fetchone()
    if number == sum(counts.values()):
        return []
    rowids = connection.execute(f"SELECT rowid {excluded}", (chosen.unwanted, *span))
    without = dict(_grouped(row[0] for row in rowids))
    left = [(key, sorted(set(range(counts.get(key, 0))).difference(without.get(key) or ()))) for key in keys]
    return [(key, indexes) for key, indexes in left if indexes]


def _source_filter(chosen: Plan) -> str:
    if chosen.sources is None:
        return ""
    return f"AND source IN ({','.join(map(str, sorted(chosen.sources)))}) "


def _grouped(rowids: Any) -> list[tuple[int, list[int] | None]]:
    blocks: dict[int, list[int]] = {}
    for rowid in rowids:
        blocks.setdefault(rowid & ~_LINES, []).append(rowid & _LINES)
    return list(blocks.items())


class OldestFirst(_Runs):
    """By ascending key; blocks still to come may begin anywhere, so their beginnings are looked up beforehand."""

    def __init__(self, borrow: Borrow, query: Query, oldest: int, newest: int) -> None:
        super().__init__(borrow, query)
        self._above = -1
        self._page = FIRST_PAGE
        self._keys: array[int] = array("q")
        self._oldest: array[int] = array("q")
        self.bound = oldest
        self.done = oldest >= self._reader.until or newest < self._reader.since

    def _bound_after(self, key: int) -> int:
        return self._oldest[bisect_left(self._keys, key)]

    def _start(self, connection: sqlite3.Connection) -> None:
        """The keys of the blocks in range, and for each the oldest beginning among it and those after it."""
        self._plan = plan(connection, self._reader.condition)
        rows = connection.execute(
            "SELECT key, first_ns FROM blocks INDEXED BY blocks_of_source WHERE first_ns < ? AND last_ns >= ? "
            + _source_filter(self._plan) + "ORDER BY key",
            (self._reader.until, self._reader.since)).fetchall()  # fmt: skip
        oldest = FAR
        beginnings = []
        for _, first in reversed(rows):
            oldest = min(oldest, first)
            beginnings.append(oldest)
        self._keys, self._oldest = array("q", (row[0] for row in rows)), array("q", reversed(beginnings))
        self.done = self._plan.empty or not rows
        self._above = self._keys[0] - 1 if rows else -1

    def _fetch(self, connection: sqlite3.Connection) -> None:
        assert self._plan is not None
        if self._plan.words is None:
            self._fetch_blocks(connection, self._plan)
            return
        while not self._waiting:
            rows = connection.execute(
                "SELECT rowid FROM words WHERE words MATCH ? AND rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?",
                (self._plan.words, self._above, self._keys[-1] + _LINES, self._page)).fetchall()  # fmt: skip
            if not rows:
                return
            self._above = rows[-1][0]
            self._page = min(self._page * 4, LARGEST_PAGE)
            self._waiting = [group for group in _grouped(row[0] for row in rows)[::-1] if self._known(group[0])]

    def _fetch_blocks(self, connection: sqlite3.Connection, chosen: Plan) -> None:
        page = FIRST_BLOCKS
        while not self._waiting:
            at = bisect_left(self._keys, self._above + 1)
            keys = self._keys[at : at + page]
            if not keys:
                return
            self._above = keys[-1]
            self._waiting = _wanted(connection, chosen, keys)[::-1]
            page = min(page * 2, LARGEST_BLOCKS)

    def _known(self, key: int) -> bool:
        """Whether the block is in range, and was there when the walk began."""
        at = bisect_left(self._keys, key)
        return at < len(self._keys) and self._keys[at] == key
