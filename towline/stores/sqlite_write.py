"""Writing to one partition: a transaction per call of `write`, and one statement for all the words in it."""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import zstandard

from towline.batch import Origin
from towline.stores import Rejected
from towline.stores.sqlite_blocks import MAX_LINES, Block, ids_of, packer, unpack
from towline.stores.sqlite_partition import SLOT, open_writer

log = logging.getLogger(__name__)

_OVERLAPPING = """SELECT payload FROM blocks WHERE source IN (SELECT id FROM sources WHERE container = ?)
    AND last_ns >= ? AND first_ns <= ?"""
_WORDS = """INSERT INTO words(rowid, message, source) WITH incoming(first, source, levels, texts) AS (VALUES {})
    SELECT first + key, value, CASE WHEN levels IS NULL THEN source ELSE source || ' ' || substr(levels, key + 1, 1) END
    FROM incoming CROSS JOIN json_each(texts)"""
_EVENTS = "CREATE TABLE IF NOT EXISTS events(id TEXT PRIMARY KEY) WITHOUT ROWID"
"""Made with the first event: most stores have none, and files of before have no such table."""
_KNOWN = "SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?))"
_LETTER = """INSERT INTO dead_letters(identity, reason, original, rejected, origin) VALUES (?,?,?,?,?)
    ON CONFLICT(identity, original) DO UPDATE SET reason = excluded.reason, rejected = excluded.rejected
    WHERE reason != excluded.reason"""

MOST_LINES, MOST_BYTES = 4096, 4 << 20
"""In one statement for the words. Each statement that may write several rows makes FTS5 write out what it has, as
a segment of its own, to be merged with others later: with a statement for each block a quarter of all CPU was merging.
Many more lines would only be sorted outside of the core's cache."""


@dataclass(frozen=True)
class Letter:
    """A rejected line on its way to the dead letters; `when` is RFC 3339."""

    rejected: Rejected
    origin: Origin
    when: str


def stored_ids(connection: sqlite3.Connection, container: str, first: int, last: int) -> set[bytes]:
    """The ids of the container's blocks that overlap the time from `first` to `last`, both inclusive (nanoseconds)."""
    found: set[bytes] = set()
    for (payload,) in connection.execute(_OVERLAPPING, (container, first, last)):
        try:
            found.update(ids_of(unpack(payload)))
        except zstandard.ZstdError as error:
            log.warning("a block of container %s is damaged and left out: %s", container, error)
    return found


def event_key(block: Block, identity: bytes) -> str:
    """What no other event has: two datasets may use the same ids."""
    return f"{block.origin.fields.get('data_stream', {}).get('dataset', '')}/{identity.decode()}"


def known_events(connection: sqlite3.Connection, keys: Sequence[str]) -> set[str]:
    """Those of these events (by `event_key`) that the partition holds."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone():
        return set()
    rows = connection.execute(_KNOWN, (orjson.dumps(list(keys)).decode(),))
    return {row[0] for row in rows}


def _portions(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """The blocks in their order, as many at a time as MOST_LINES and MOST_BYTES allow."""
    some: list[Block] = []
    lines = size = 0
    for block in blocks:
        lines, size = lines + len(block.ids), size + len(block.docs)
        if some and (lines > MOST_LINES or size > MOST_BYTES):
            yield some
            some, lines, size = [], len(block.ids), len(block.docs)
        some.append(block)
    if some:
        yield some


class PartitionWriter:
    """The active partition. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = open_writer(path)
        self._packer = packer()
        try:
            self.inode = path.stat().st_ino
            self._arrived = int(self.connection.execute("SELECT max(arrived) FROM blocks").fetchone()[0] or 0)
            self.created = float(self.connection.execute("SELECT created FROM partition").fetchone()[0])
            rows = self.connection.execute("SELECT json, id FROM sources")
            self._sources = {row[0].encode(): int(row[1]) for row in rows}
        except BaseException:
            self.connection.close()
            raise

    def empty(self) -> bool:
        return self._arrived == 0

    def write(self, blocks: Sequence[Block], letters: Iterable[Letter]) -> None:
        """Store all of it, or nothing where this raises (an sqlite3.Error)."""
        arrived, sources = self._arrived, dict(self._sources)
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self._insert(sorted(blocks, key=lambda block: block.last))
            self.connection.executemany(
                _LETTER,
                [(letter.rejected.identity, letter.rejected.reason, letter.rejected.original, letter.when,
                  letter.origin.json.decode()) for letter in letters])  # fmt: skip
            self.connection.execute("COMMIT")
        except BaseException:
            self._arrived, self._sources = arrived, sources
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def _insert(self, blocks: Sequence[Block]) -> None:
        used: set[int] = set()
        keys = {id(block): self._free(block.last, used) for block in sorted(blocks, key=lambda block: block.last)}
        # The word index wants growing rowids within a transaction; what is bumped off its slot may overtake others.
        ordered = sorted(blocks, key=lambda block: keys[id(block)])
        for some in _portions(ordered):
            self._index(some, keys)
        self._note([block for block in blocks if not block.origin.of_container])
        for block in blocks:
            self._keep(block, keys[id(block)], self._source(block.origin))

    def _note(self, blocks: Sequence[Block]) -> None:
        """The identities of events."""
        if blocks:
            self.connection.execute(_EVENTS)
            keys = [(event_key(block, identity),) for block in blocks for identity in block.ids]
            self.connection.executemany("INSERT OR IGNORE INTO events VALUES (?)", keys)

    def _index(self, blocks: Sequence[Block], keys: Mapping[int, int]) -> None:
        """The words of the blocks, in one statement."""
        values: list[int | str | bytes | None] = []
        for block in blocks:
            values += (keys[id(block)], f"s{self._source(block.origin)}", block.levels(), block.words())
        self.connection.execute(_WORDS.format(",".join(["(?,?,?,?)"] * len(blocks))), values)

    def _keep(self, block: Block, key: int, source: int) -> None:
        self._arrived += 1
        first, last, count = block.first, block.last, len(block.ids)
        self.connection.execute(
            "INSERT INTO blocks VALUES (?,?,?,?,?,?,?,?,?)",
            (key, source, first, last, *block.sequences(), count, self._arrived,
             self._packer.compress(block.docs)))  # fmt: skip
        self.connection.execute(
            "UPDATE sources SET lines = lines + ?, first_ns = min(first_ns, ?), last_ns = max(last_ns, ?) WHERE id = ?",
            (count, first, last, source))  # fmt: skip

    def _free(self, last: int, used: set[int]) -> int:
        key = (last // 1000) << SLOT
        while key in used or self.connection.execute("SELECT 1 FROM blocks WHERE key = ?", (key,)).fetchone():
            key += MAX_LINES
        used.add(key)
        return key

    def _source(self, origin: Origin) -> int:
        known = self._sources.get(origin.json)
        if known is None:
            container = origin.container_id if origin.of_container else ""
            row = self.connection.execute(
                "INSERT INTO sources(json, container, service) VALUES (?,?,?) RETURNING id",
                (origin.json.decode(), container, origin.service)).fetchone()  # fmt: skip
            known = self._sources[origin.json] = int(row[0])
        return known

    def forget(self, keys: Sequence[int]) -> None:
        """Remove these dead letters."""
        self.connection.executemany("DELETE FROM dead_letters WHERE id = ?", [(key,) for key in keys])

    def seal(self, closed: float | None) -> None:
        """Leave one plain file behind, readable also where nothing can be written; not while others read it.

        `closed`, seconds since the epoch, says that it takes no more lines; None where it is only put down.
        """
        try:
            if closed is not None:
                self.connection.execute("UPDATE partition SET closed = ?", (closed,))
            self.connection.execute("PRAGMA busy_timeout=0")
            self.connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            log.debug("%s stays in WAL mode: %s", self.path, error)
        finally:
            self.connection.close()

    def close(self) -> None:
        self.connection.close()
