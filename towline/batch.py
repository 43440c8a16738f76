"""The one thing that flows: a batch, made of sections, each holding many lines of one container.

A section's `docs` are Elasticsearch bulk pairs, one action line and one document line for each log line:

    {"create":{"_id":"2026-11-23T00:25:00.123456789Z-q8Zk3xVw-0"}}
    {"@timestamp":"2026-11-23T00:25:00.123456789Z","message":"…","stream":"stdout","event":{"sequence":17}␞}

`␞` (0x1E, a byte that JSON text can't hold) stands for what all lines of the section have in common, the
origin: it is written once per section and put in by one `bytes.replace` where a store wants whole documents.
So the node compresses a third of the bytes, and nobody downstream touches a single line.

The key order of a document line is part of the format: `@timestamp`, `message`, `stream` first, then the rest.

On the wire and in the spool a batch is one zstd frame of

    {"towline":1,"node":"…","count":2,"sections":[{"origin":{…},"count":2,"bytes":310,"first":…,"last":…}]}\\n
    docs of section 1, docs of section 2, …
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson
import re2
import zstandard

from towline.errors import BatchError
from towline.store_names import named

VERSION = 1
CONTENT_TYPE = "application/vnd.towline.batch"
CONTENT_ENCODING = "zstd"
ORIGIN_MARK = b"\x1e"
_SURROGATE = re2.compile(rb"\\u[dD]")
_COMPRESSION = zstandard.ZstdCompressionParameters.from_level(
    1, window_log=19, hash_log=13, min_match=7, write_checksum=1, write_content_size=1
)
"""Level 1 with a table that fits a core's first cache: a sixth less CPU and no larger, measured on access logs."""

MAX_BATCH_BYTES = 256 << 20
"""Upper bound of a decoded batch, so that a damaged or hostile frame can't claim all memory."""


@dataclass(frozen=True)
class Origin:
    """What all lines of one container share.

    `fields` is the ECS document part (container, host, service, orchestrator, data_stream), JSON-able and nested.
    """

    fields: Mapping[str, Any]

    @property
    def of_container(self) -> bool:
        """Whether these are a container's lines; domain events are nobody's log."""
        return "container" in self.fields

    @property
    def container_id(self) -> str:
        return str(self.fields["container"]["id"])

    @property
    def container_name(self) -> str:
        return str(self.fields["container"]["name"])

    @cached_property
    def service(self) -> str:
        return str(self.fields["service"]["name"])

    @property
    def node(self) -> str:
        return str(self.fields["host"]["name"])

    @cached_property
    def stores(self) -> tuple[str, ...]:
        """The stores that its lines are for (towline.store_names); () for the default one."""
        asked = self.fields.get("data_stream")
        return named(asked.get("stores")) if isinstance(asked, dict) else ()

    @cached_property
    def json(self) -> bytes:
        """The fields as one JSON object; equal origins give equal bytes, so this also serves as identity."""
        return orjson.dumps(self.fields, option=orjson.OPT_SORT_KEYS)

    @cached_property
    def fragment(self) -> bytes:
        """What replaces ORIGIN_MARK: the fields without braces, with a comma in front."""
        inner = self.json[1:-1]
        return b"," + inner if inner else b""

    def expand(self, docs: bytes) -> bytes:
        """These lines of this origin as whole documents."""
        return docs.replace(ORIGIN_MARK, self.fragment)


@dataclass(slots=True)
class Section:
    """`count` lines of one origin, in the order of its log.

    `first` and `last` are the smallest and largest `@timestamp` in `docs` (RFC 3339, nine digits, Z), which is not
    always that of the first and last line: clocks jump.
    """

    origin: Origin
    docs: bytes
    count: int
    first: str
    last: str

    def expand(self) -> bytes:
        """Whole documents: an Elasticsearch bulk body."""
        return self.origin.expand(self.docs)


@dataclass(frozen=True)
class Batch:
    """What is published, confirmed, stored and acknowledged as one."""

    sections: Sequence[Section]
    node: str = ""
    count: int = field(init=False)
    size: int = field(init=False)
    """Bytes of all docs, uncompressed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", sum(section.count for section in self.sections))
        object.__setattr__(self, "size", sum(len(section.docs) for section in self.sections))

    @cached_property
    def lines(self) -> Mapping[str, int]:
        """How many, by service: the sections may be many, and of a line each."""
        lines: dict[str, int] = {}
        for section in self.sections:
            service = section.origin.service
            lines[service] = lines.get(service, 0) + section.count
        return lines

    def encode(self) -> bytes:
        """The batch as one zstd frame (the format of this module's docstring)."""
        header = {
            "towline": VERSION,
            "node": self.node,
            "count": self.count,
            "sections": [
                {
                    "origin": orjson.Fragment(section.origin.json),
                    "count": section.count,
                    "bytes": len(section.docs),
                    "first": section.first,
                    "last": section.last,
                }
                for section in self.sections
            ],
        }
        body = b"".join([orjson.dumps(header), b"\n", *(section.docs for section in self.sections)])
        return zstandard.ZstdCompressor(compression_params=_COMPRESSION).compress(body)


def occurrences(docs: bytes, byte: bytes) -> int:
    """How often `byte` is in `docs`. `replace` finds the next with memchr, at a third of what `count` takes."""
    return len(docs) - len(docs.replace(byte, b""))


def may_halve(docs: bytes) -> bool:
    """Whether half a character may be in `docs`: what is right as well gets a closer look. One pattern takes a third of
    what looking for both spellings with `in` does."""
    return _SURROGATE.search(docs) is not None


def decode(frame: bytes) -> Batch:
    """The batch in `frame`; raises BatchError where it is damaged, not ours, or newer than this program."""
    body = _decompress(frame)
    end = body.find(b"\n")
    try:
        header = orjson.loads(memoryview(body)[: max(end, 0)])
        version = header["towline"]
    except (ValueError, TypeError, KeyError) as error:
        raise BatchError(f"not a Towline batch: {error}") from error
    if end < 0 or version != VERSION:
        raise BatchError(f"batch version {version!r}; this program reads version {VERSION}: upgrade it first")
    try:
        return Batch(_sections(header["sections"], body, end + 1), node=str(header["node"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BatchError(f"batch header does not fit its content: {error}") from error


def _decompress(frame: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= MAX_BATCH_BYTES:
            raise BatchError(f"batch claims {size} bytes; the most allowed is {MAX_BATCH_BYTES}")
        return zstandard.ZstdDecompressor().decompress(frame)
    except zstandard.ZstdError as error:
        raise BatchError(f"damaged batch: {error}") from error


def _sections(rows: list[dict[str, Any]], body: bytes, start: int) -> list[Section]:
    """The sections whose docs begin at `start`, one after another, and reach to the end of `body`."""
    sections = []
    for row in rows:
        end = start + int(row["bytes"])
        first, last = str(row["first"]), str(row["last"])
        section = Section(Origin(row["origin"]), body[start:end], int(row["count"]), first, last)
        if len(section.docs) != row["bytes"] or occurrences(section.docs, b"\n") != 2 * section.count:
            raise ValueError(f"section of {row['count']} lines is cut short")
        origin = section.origin
        _ = origin.container_id, origin.container_name, origin.service, origin.node
        sections.append(section)
        start = end
    if start != len(body):
        raise ValueError(f"{len(body) - start} bytes too many")
    return sections
