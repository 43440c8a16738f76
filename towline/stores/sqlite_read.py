"""What the SQLite store is asked apart from searches: what arrived, what is around a hit, what is there at all."""

import sqlite3
from collections.abc import Iterator
from operator import itemgetter

import orjson
import zstandard

from towline.errors import UsageError
from towline.query import Query, holds
from towline.stores import Document
from towline.stores.sqlite_blocks import document, ids_of, sequence_of, unpack
from towline.stores.sqlite_folder import Folder, Gone
from towline.times import nanoseconds

_FAR = (1 << 63) - 1
_OF_CONTAINER = "source IN (SELECT id FROM sources WHERE container = ?)"
BLOCKS_PER_FOLLOW = 256
"""A call of `follow` that finds nothing answers after so many blocks, so that it never takes long."""


def _lines(connection: sqlite3.Connection, key: int) -> tuple[list[bytes], bytes]:
    """A block's pairs of lines and its origin's fragment; none where it is damaged or gone."""
    row = connection.execute(
        "SELECT payload, json FROM blocks JOIN sources ON id = source WHERE key = ?", (key,)).fetchone()  # fmt: skip
    try:
        return (unpack(row[0]), b"," + row[1].encode()[1:-1]) if row else ([], b"")
    except zstandard.ZstdError:
        return [], b""


def around(folder: Folder, hit: Document, before: int, after: int) -> tuple[list[Document], list[Document]]:
    try:
        container, sequence = str(hit["container"]["id"]), int(hit["event"]["sequence"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "context: the hit has no container.id and event.sequence; pass a document of this store"
        ) from error
    blocks = list(_blocks_of(folder, container))
    earlier = sorted((block for block in blocks if block[0] < sequence), key=itemgetter(1), reverse=True)
    later = sorted((block for block in blocks if block[1] > sequence), key=itemgetter(0))
    found_before: list[tuple[int, Document]] = []
    for _, last, number, key in earlier if before > 0 else ():
        if len(found_before) >= before and last < found_before[-before][0]:
            break
        found_before += [pair for pair in _sequenced(folder, number, key) if pair[0] < sequence]
        found_before.sort(key=itemgetter(0))
    found_after: list[tuple[int, Document]] = []
    for first, _, number, key in later if after > 0 else ():
        if len(found_after) >= after and first > found_after[after - 1][0]:
            break
        found_after += [pair for pair in _sequenced(folder, number, key) if pair[0] > sequence]
        found_after.sort(key=itemgetter(0))
    return [pair[1] for pair in found_before[-before:]] if before > 0 else [], [pair[1] for pair in found_after[:after]]


def _blocks_of(folder: Folder, container: str) -> Iterator[tuple[int, int, int, int]]:
    """(first sequence, last sequence, partition, key) of each block of the container."""
    for number in folder.numbers():
        try:
            with folder.reading(number) as connection:
                sql = f"SELECT first_seq, last_seq, key FROM blocks WHERE {_OF_CONTAINER}"
                rows = connection.execute(sql, (container,)).fetchall()
        except Gone:
            continue
        for first, last, key in rows:
            yield first, last, number, key


def _sequenced(folder: Folder, number: int, key: int) -> list[tuple[int, Document]]:
    try:
        with folder.reading(number) as connection:
            lines, origin = _lines(connection, key)
    except Gone:
        return []
    return [(sequence_of(line), document(line, origin)) for line in lines[1::2]]


def identities(folder: Folder, container: str, since: str | None, until: str | None) -> Iterator[tuple[str, str]]:
    first, last = nanoseconds(since) if since else 0, nanoseconds(until) if until else _FAR
    for number in folder.numbers():
        try:
            with folder.reading(number) as connection:
                keys = [row[0] for row in connection.execute(
                    f"SELECT key FROM blocks WHERE {_OF_CONTAINER} AND last_ns >= ? AND first_ns < ? ORDER BY key",
                    (container, first, last))]  # fmt: skip
            for key in keys:
                with folder.reading(number) as connection:
                    lines, _ = _lines(connection, key)
                yield from _identities(lines, since or "", until or "~")
        except Gone:
            continue


def _identities(lines: list[bytes], since: str, until: str) -> Iterator[tuple[str, str]]:
    for identity, line in zip(ids_of(lines), lines[1::2], strict=True):
        stamp = line[15:45].decode()
        if since <= stamp < until:
            yield identity.decode(), stamp


def totals(folder: Folder) -> dict[str, int]:
    found: dict[str, int] = {}
    for number in folder.numbers():
        try:
            with folder.reading(number) as connection:
                rows = connection.execute("SELECT service, sum(lines) FROM sources GROUP BY service").fetchall()
        except Gone:
            continue
        for service, lines in rows:
            found[service] = found.get(service, 0) + lines
    return {service: lines for service, lines in found.items() if lines}


def dead_letters(folder: Folder, limit: int) -> list[Document]:
    found: list[Document] = []
    for number in reversed(folder.numbers()):
        try:
            with folder.reading(number) as connection:
                rows = connection.execute(
                    "SELECT id, rejected, identity, reason, original, origin FROM dead_letters "
                    "ORDER BY id DESC LIMIT ?",
                    (limit - len(found) if limit else -1,)).fetchall()  # fmt: skip
        except Gone:
            continue
        for key, rejected, identity, reason, original, origin in rows:
            found.append({"@timestamp": rejected, "identity": identity, "reason": reason, "original": original,
                          **orjson.loads(origin), "place": f"{number}:{key}"})  # fmt: skip
        if limit and len(found) >= limit:
            break
    return found


def follow(folder: Folder, cursor: str | None, query: Query, limit: int) -> tuple[list[Document], str]:
    if cursor is None:
        return [], _latest(folder)
    number, arrived, line = _position(cursor)
    found: list[Document] = []
    for partition in [one for one in folder.numbers() if one >= number]:
        if partition > number:
            number, arrived, line = partition, 0, 0
        try:
            with folder.reading(partition) as connection:
                arrived, line, more = _arrivals(connection, arrived, line, query, found, limit)
        except Gone:
            continue
        if more:
            break
    return found, f"{number}:{arrived}:{line}"


def _latest(folder: Folder) -> str:
    for number in reversed(folder.numbers()):
        try:
            with folder.reading(number) as connection:
                return f"{number}:{connection.execute('SELECT max(arrived) FROM blocks').fetchone()[0] or 0}:0"
        except Gone:
            continue
    return "0:0:0"


def _position(cursor: str) -> tuple[int, int, int]:
    try:
        number, arrived, line = (int(part) for part in cursor.split(":"))
    except ValueError as error:
        raise UsageError(f"cursor {cursor!r}: pass one that an earlier answer gave, or none") from error
    return number, arrived, line


def _arrivals(
    connection: sqlite3.Connection, arrived: int, line: int, query: Query, found: list[Document], limit: int
) -> tuple[int, int, bool]:
    """Add what matches after line `line` of the block after `arrived`; the new place, and whether more may be there."""
    rows = connection.execute(
        "SELECT arrived, key FROM blocks WHERE arrived > ? ORDER BY arrived LIMIT ?",
        (arrived, BLOCKS_PER_FOLLOW)).fetchall()  # fmt: skip
    condition, since, until = query.condition, (query.since or "").encode(), (query.until or "~").encode()
    for place, key in rows:
        lines, origin = _lines(connection, key)
        texts = lines[1::2]
        for index in range(line, len(texts)):
            if len(found) >= limit:
                return arrived, index, True
            if not since <= texts[index][15:45] < until:
                continue
            one = document(texts[index], origin)
            if condition is None or holds(condition, one):
                found.append(one)
        arrived, line = place, 0
    return arrived, line, len(rows) == BLOCKS_PER_FOLLOW or len(found) >= limit
