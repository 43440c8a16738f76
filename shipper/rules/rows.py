"""The lines of one read as columns, between numbering and writing: what the steps of a chain work on."""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import orjson

from towline.fields import nested
from towline.identity import clean

Fields = dict[str, Any]
"""Dotted ECS name, or the application's own, → value. See towline.fields for what becomes of them."""


_DOCUMENT = b'{"create":{"_id":"%b"}}\n{"@timestamp":"%b","message":%b,"stream":"%b","event":{"sequence":%d%b}%b\x1e}\n'


@dataclass
class Rows:
    """Columns of equal length. Identity (ids, stamps, streams, sequences) is fixed before any step sees the lines, so
    that it does not depend on what labels say; steps change `texts`, `times`, `fields` and `flags`, or drop rows.

    ids: `_id` of each document. stamps: the engine's stamp (30 bytes, as in shipper.entries).
    texts: the message. times: what becomes `@timestamp` where it is not the stamp (same form; None: the stamp).
    fields: what was found in the line (None: nothing). flags: `log.flags`, such as "split" or "unparsed".
    dropped: how many rows were dropped, by reason.
    """

    ids: list[bytes]
    stamps: list[bytes]
    streams: list[bytes]
    sequences: list[int]
    texts: list[str]
    flags: list[tuple[str, ...]]
    times: list[bytes | None] = field(default_factory=list)
    fields: list[Fields | None] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.times = self.times or [None] * len(self.ids)
        self.fields = self.fields or [None] * len(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def flag(self, index: int, name: str) -> None:
        if name not in self.flags[index]:
            self.flags[index] = (*self.flags[index], name)

    def drop(self, reason: str, indexes: Collection[int]) -> None:
        """Leave these rows out; they are counted as dropped for this reason."""
        if not indexes:
            return
        gone = frozenset(indexes)
        kept = [index for index in range(len(self)) if index not in gone]
        for name in ("ids", "stamps", "streams", "sequences", "texts", "flags", "times", "fields"):
            column = getattr(self, name)
            setattr(self, name, [column[index] for index in kept])
        self.dropped[reason] += len(gone)

    def documents(self) -> bytes:
        """Bulk pairs in the form of towline.batch."""
        return b"".join(map(self._document, range(len(self))))

    def _document(self, index: int) -> bytes:
        stamp, time = self.stamps[index], self.times[index] or self.stamps[index]
        found = self._found(index, created=time is not stamp)
        event = found.pop("event", {})
        return _DOCUMENT % (
            self.ids[index], time, _json(self.texts[index]), self.streams[index], self.sequences[index],
            _inside(event), _inside(found))  # fmt: skip

    def _found(self, index: int, created: bool) -> dict[str, Any]:
        found = nested(self.fields[index] or {})
        if self.flags[index]:
            found.setdefault("log", {})["flags"] = list(self.flags[index])
        if created:
            found.setdefault("event", {})["created"] = self.stamps[index].decode()
        return found


def _json(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except TypeError:  # half a character, which UTF-8 has no form for
        return orjson.dumps(clean(text))


def _inside(document: dict[str, Any]) -> bytes:
    """The members of an object, each with a comma in front."""
    if not document:
        return b""
    try:
        return b"," + orjson.dumps(document)[1:-1]
    except TypeError:  # a step left half a character, a number beyond 64 bits, or no JSON at all
        whole = clean(json.dumps(document, ensure_ascii=False, default=str))
        return b"," + orjson.dumps(json.loads(whole, parse_int=_number, parse_constant=str))[1:-1]


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) < 19 else digits
