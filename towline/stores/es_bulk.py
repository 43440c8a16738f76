"""Bulk bodies: whole sections joined up to a size, and what the server's answer says about each line of them.

Single lines are looked at only where a section is not as the batch format promises, or where something failed.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from towline.batch import ORIGIN_MARK, Batch, Section, may_halve, occurrences
from towline.stores import Rejected, Verdict
from towline.times import nanoseconds

MAX_IDENTITY = 512
FIRST_YEAR, LAST_YEAR = 1970, 2261
"""What `date_nanos` can hold."""

_LINES = re.compile(
    rb'(?:\{"create":\{"_id":"[^"]{1,%d}+"\}\}\n\{"@timestamp":".{29}Z","message":".*%b\}\n)*+'
    % (MAX_IDENTITY, ORIGIN_MARK)
)
"""Possessive, so that nothing is kept to go back to: it costs less than counting what each line must have."""
_IDENTITY = re.compile(rb'^\{"create":\{"_id":"((?:[^"\\]|\\.)*)"', re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """Lines of one section: those of these indexes, or all. `place` is (batch, section)."""

    place: tuple[int, int]
    section: Section
    indexes: Sequence[int] | None = None

    @property
    def count(self) -> int:
        return self.section.count if self.indexes is None else len(self.indexes)

    @property
    def size(self) -> int:
        """About how many bytes the body will have."""
        return (len(self.section.docs) + self.section.count * len(self.section.origin.fragment)) * self.count // (
            self.section.count or 1)  # fmt: skip

    def docs(self) -> bytes:
        if self.indexes is None:
            return self.section.docs
        lines = self.section.docs.split(b"\n")
        return b"".join([b"%b\n%b\n" % (lines[2 * at], lines[2 * at + 1]) for at in self.indexes])

    def body(self) -> bytes:
        """The lines as a bulk body."""
        return self.section.origin.expand(self.docs())

    def identities(self) -> list[bytes]:
        """The `_id` of each line, as the inside of a JSON string."""
        return _IDENTITY.findall(self.docs())

    def only(self, chosen: Sequence[int]) -> "Part":
        """The part with the lines at these positions of it."""
        own = self.indexes
        return Part(self.place, self.section, chosen if own is None else [own[at] for at in chosen])

    def without(self, positions: Sequence[int]) -> "Part":
        """The part without the lines at these positions of it."""
        left_out = set(positions)
        return self.only([at for at in range(self.count) if at not in left_out]) if left_out else self

    def halves(self) -> "list[Part]":
        middle = self.count // 2
        return [self.only(range(middle)), self.only(range(middle, self.count))]

    def line(self, position: int) -> tuple[str, str]:
        """(`_id`, document line) at a position."""
        lines = self.section.docs.split(b"\n")
        at = position if self.indexes is None else self.indexes[position]
        return _identity(lines[2 * at]), lines[2 * at + 1].decode("utf-8", "replace")


@dataclass
class Tally:
    """What has been decided so far, per (batch, section)."""

    batches: Sequence[Batch]
    stored: dict[tuple[int, int], int] = field(default_factory=dict)
    duplicate: dict[tuple[int, int], int] = field(default_factory=dict)
    rejected: dict[tuple[int, int], list[Rejected]] = field(default_factory=dict)
    unsure: set[tuple[int, int]] = field(default_factory=set)
    """What was sent without an answer: a repeat of it is most likely what that request stored, and nobody counted."""

    def add_stored(self, part: Part, count: int) -> None:
        self.stored[part.place] = self.stored.get(part.place, 0) + count

    def add_duplicate(self, part: Part, count: int) -> None:
        if part.place in self.unsure:
            self.add_stored(part, count)
            return
        self.duplicate[part.place] = self.duplicate.get(part.place, 0) + count

    def found_twice(self, part: Part, count: int) -> None:
        """Of the part's lines so many were not news after all."""
        if part.place in self.unsure:
            return
        moved = min(count, self.stored.get(part.place, 0))
        self.add_stored(part, -moved)
        self.add_duplicate(part, moved)

    def reject(self, part: Part, position: int, reason: str) -> None:
        identity, original = part.line(position)
        self.rejected.setdefault(part.place, []).append(Rejected(identity, reason, original))

    def verdicts(self) -> list[Verdict]:
        return [self._verdict([(number, at) for at in range(len(batch.sections))])
                for number, batch in enumerate(self.batches)]  # fmt: skip

    def _verdict(self, places: list[tuple[int, int]]) -> Verdict:
        return Verdict(
            [self.stored.get(place, 0) for place in places],
            [self.duplicate.get(place, 0) for place in places],
            [self.rejected.get(place, []) for place in places],
        )


class Body:
    """The bodies of parts, one after another, each made when it is sent: the whole is never in memory."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self.length = sum(map(_length, parts))

    def __len__(self) -> int:
        return self.length

    def decode(self, *_: str) -> str:
        """What the client's debug log shows."""
        return f"{self.length} bytes of bulk body"

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            yield part.body()


def _length(part: Part) -> int:
    docs, origin = part.docs(), part.section.origin
    if part.indexes is None:  # well formed: a mark in each
        return len(docs) + part.count * (len(origin.fragment) - len(ORIGIN_MARK))
    return len(docs) + docs.count(ORIGIN_MARK) * (len(origin.fragment) - len(ORIGIN_MARK))


def parts_of(tally: Tally) -> list[Part]:
    """All lines of the batches that can be sent; those that can't are rejected in the tally."""
    found: list[Part] = []
    for number, batch in enumerate(tally.batches):
        for at, section in enumerate(batch.sections):
            if section.count:
                part = Part((number, at), section)
                found.append(part if well_formed(section) else sound(part, tally))
    return found


def requests(parts: Sequence[Part], limit: int) -> list[list[Part]]:
    """The parts, in groups that make one request each, of at most about `limit` bytes; parts are cut where they must
    be, and those without a line left out."""
    groups: list[list[Part]] = []
    size = 0
    for piece in [piece for part in parts for piece in _cut(part, limit)]:
        if not groups or size + piece.size > limit:
            groups.append([])
            size = 0
        groups[-1].append(piece)
        size += piece.size
    return groups


def _cut(part: Part, limit: int) -> list[Part]:
    if part.count == 0:
        return []
    if part.size <= limit or part.count == 1:
        return [part]
    return [piece for half in part.halves() for piece in _cut(half, limit)]


def well_formed(section: Section) -> bool:
    """Whether each line is one action and one document of the promised shape.

    What else is in a document the server judges. That there are 2 x `count` lines was seen when the batch was decoded.
    """
    docs = section.docs
    return (
        occurrences(docs, ORIGIN_MARK) == section.count and _LINES.fullmatch(docs) is not None and not may_halve(docs)
    )


def sound(part: Part, tally: Tally) -> Part:
    """The part without the lines that no server could take; those are rejected in the tally."""
    lines = part.docs().split(b"\n")
    keep = []
    for position in range(part.count):
        reason = _fault(lines[2 * position], lines[2 * position + 1])
        if reason:
            tally.reject(part, position, reason)
        else:
            keep.append(position)
    return part.only(keep)


def _fault(action: bytes, line: bytes) -> str:
    try:
        told = orjson.loads(action)
        identity = told["create"]["_id"]
        if len(told) > 1 or len(told["create"]) > 1 or not isinstance(identity, str) or not identity:
            return "the action is not a plain create with an _id"
        if len(identity.encode()) > MAX_IDENTITY:
            return f"the _id is longer than {MAX_IDENTITY} bytes"
        document = orjson.loads(line.replace(ORIGIN_MARK, b""))
        stamp = str(document["@timestamp"])
        nanoseconds(stamp)
        if not FIRST_YEAR <= int(stamp[:4]) <= LAST_YEAR:
            return f"@timestamp {stamp} is outside of the years {FIRST_YEAR} to {LAST_YEAR}"
        return "" if isinstance(document["message"], str) else "message is not text"
    except orjson.JSONDecodeError as error:
        return f"not a JSON document: {error}"
    except KeyError as error:
        return f"field {error} is missing"
    except (ValueError, TypeError, AttributeError) as error:
        return str(error) or "not a document"


def _identity(action: bytes) -> str:
    try:
        return str(orjson.loads(action)["create"]["_id"])
    except (ValueError, TypeError, KeyError):
        return action.decode("utf-8", "replace")[:200]


DONE, REPEATED, AGAIN, NEVER = "done", "repeated", "again", "never"
_PATIENT = frozenset({
    "index_closed_exception", "index_not_found_exception", "cluster_block_exception", "security_exception",
    "unavailable_shards_exception", "circuit_breaking_exception", "es_rejected_execution_exception",
    "validation_exception", "process_cluster_event_timeout_exception",
    "no_shard_available_action_exception"})  # fmt: skip
"""Errors that say nothing about the document, whatever their status."""


def fate(item: Any) -> str:
    """What one item of the answer says: DONE, REPEATED, AGAIN (later), or NEVER."""
    status = int(item.get("status", 500))
    if status < 300:
        return NEVER if item.get("failure_store") == "used" else DONE
    if status == 409:
        return REPEATED
    if status in (401, 403, 404, 408, 429) or status >= 500 or (item.get("error") or {}).get("type") in _PATIENT:
        return AGAIN
    return NEVER
