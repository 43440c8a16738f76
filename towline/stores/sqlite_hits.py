"""The lines of a block that match a query, decoded as late as possible."""

import logging
import re
import sqlite3
from dataclasses import dataclass
from typing import Any

import orjson
import zstandard

from towline.batch import ORIGIN_MARK
from towline.query import CONTAINER, And, Field, Node, Query, holds
from towline.stores.sqlite_blocks import sequence_of, unpack
from towline.stores.sqlite_plan import Plan
from towline.times import nanoseconds

log = logging.getLogger(__name__)

FAR = (1 << 63) - 1
"""A time, or a key, beyond all others."""

Hit = tuple[bytes, str, int, int, "Line"]
"""Timestamp, container, sequence, index within the block: compares as the order of a search."""


@dataclass(frozen=True, order=False)
class Line:
    """One stored line; `read` gives the document, once it is wanted."""

    text: bytes
    origin: bytes
    parsed: dict[str, Any] | None = None

    def __lt__(self, other: "Line") -> bool:
        return self.text < other.text

    def read(self) -> dict[str, Any]:
        if self.parsed is not None:
            return self.parsed
        found: dict[str, Any] = orjson.loads(self.text.replace(ORIGIN_MARK, self.origin))
        return found


_ESCAPES = (b"\\u", b"\\/")
"""Ways in which JSON may write a plain character otherwise."""
_VERBATIM = re.compile(r"(?![-+.\d]+e[-+\d]+$)[A-Za-z0-9_.:/-]+", re.IGNORECASE | re.ASCII)


def needles(condition: Node | None) -> list[bytes]:
    """What each line that matches must hold, or its origin, so that most others need not be parsed: the values of
    fields that are asked for. Numbers with an exponent may be written in several ways."""
    if isinstance(condition, And):
        return [needle for part in condition.parts for needle in needles(part)]
    plain = isinstance(condition, Field) and condition.name != CONTAINER and _VERBATIM.fullmatch(condition.value)
    return [condition.value.encode()] if isinstance(condition, Field) and plain else []


class Reader:
    """Decodes blocks of one partition for one query."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.condition = query.condition
        self.since = nanoseconds(query.since) if query.since else 0
        self.until = nanoseconds(query.until) if query.until else FAR
        self._from = query.since.encode() if query.since else b""
        self._to = query.until.encode() if query.until else b"~"
        self._needles = needles(self.condition)
        self._origins: dict[int, tuple[str, bytes]] = {}

    def run(self, connection: sqlite3.Connection, chosen: Plan, key: int, indexes: list[int] | None) -> list[Hit]:
        """The matching lines of the block: those of `indexes`, or all."""
        row = connection.execute(
            "SELECT source, payload FROM blocks WHERE key = ? AND first_ns < ? AND last_ns >= ?",
            (key, self.until, self.since)).fetchone()  # fmt: skip
        if row is None or (chosen.sources is not None and row[0] not in chosen.sources):
            return []
        try:
            lines = unpack(row[1])[1::2]
        except zstandard.ZstdError as error:
            log.warning("a block of the store is damaged and left out: %s", error)
            return []
        container, origin = self._origin(connection, row[0])
        return self.hits(lines, container, origin, chosen.judge, indexes)

    def hits(
        self, lines: list[bytes], container: str, origin: bytes, judge: bool, indexes: list[int] | None
    ) -> list[Hit]:
        found: list[Hit] = []
        wanted = [needle for needle in self._needles if needle not in origin] if judge else []
        for index in range(len(lines)) if indexes is None else indexes:
            text = lines[index]
            stamp = text[15:45]
            if not self._from <= stamp < self._to:
                continue
            if wanted and not all(needle in text for needle in wanted) and not any(each in text for each in _ESCAPES):
                continue
            line = Line(text, origin)
            if judge:
                document = line.read()
                if self.condition is not None and not holds(self.condition, document):
                    continue
                line = Line(text, origin, document)
            found.append((stamp, container, sequence_of(text), index, line))
        return found

    def _origin(self, connection: sqlite3.Connection, source: int) -> tuple[str, bytes]:
        if source not in self._origins:
            row = connection.execute("SELECT container, json FROM sources WHERE id = ?", (source,)).fetchone()
            self._origins[source] = (row[0], b"," + row[1].encode()[1:-1])
        return self._origins[source]
