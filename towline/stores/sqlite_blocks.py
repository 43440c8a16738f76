"""Blocks: what the SQLite store keeps instead of rows, up to 1024 lines of one origin, compressed together.

Cutting a section into blocks must not touch single lines in Python beyond a few C calls each; only where something is
wrong with a block is it taken line by line, so that one bad line is rejected and its neighbours are stored.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson
import zstandard

from towline.batch import ORIGIN_MARK, Origin, Section, may_halve, occurrences
from towline.levels import LEVELS, TOLD, told
from towline.stores import Rejected
from towline.times import nanoseconds

MAX_LINES = 1024
MAX_BYTES = 256 << 10
FIRST_YEAR, LAST_YEAR = 1970, 2254
"""Lines outside of these years are rejected: a block's key holds microseconds since 1970 in 53 bits."""

LETTERS = {level: level[0] for level in LEVELS}
"""Words in the index's column `source` that stand for a line's level: e, w, i, d."""
_OF_VALUE = {value.encode(): LETTERS[level] for level, values in TOLD.items() for value in values}
_LEVEL = re.compile(rb'"event":\{"sequence":\d{1,18}[^{}\n]*\}(?:,"log":\{"level":"([a-z]*)")?')
"""As the shipper writes it; what has another form, or another object of this name, is read line by line."""

_COMPRESSION = zstandard.ZstdCompressionParameters.from_level(1, window_log=18, hash_log=13, write_content_size=1)
"""A table that stays in the core's cache, as towline.batch has it; the window holds a whole block."""

_ACTION = b'{"create":{"_id":"'
_PAIR = b'"}}\n{"@timestamp":"'
_TEXT = b'","message":"'
_STREAM = b'","stream":"'
_SEQUENCE = re.compile(rb'"event":\{"sequence":(\d{1,18})[,}]')
_COLOUR = re.compile(r"\\u001[bB](?<!\\\\u001[bB])\[[0-9;:]*m")
_AFTER_BACKSLASH = re.compile(r"(?<!\\)((?:\\\\)+)\\u001[bB]\[[0-9;:]*m")
"""A terminal's colour code inside of JSON text, where an odd number of backslashes begins it; the first way is fast."""
_FOREIGN_SIGNS = re.compile(r"[^\x00-\x7f\w]+")
_SHAPE = {4: b"-", 7: b"-", 10: b"T", 13: b":", 16: b":", 19: b".", 29: b"Z"}


class BadBlockError(Exception):
    """Something in the block is not as the batch format promises; take it line by line."""


@dataclass(frozen=True)
class Block:
    """Lines of one origin: columns of equal length, and `docs`, the same lines as bulk pairs."""

    origin: Origin
    docs: bytes
    ids: Sequence[bytes]
    stamps: Sequence[bytes]
    texts: Sequence[bytes] = field(repr=False)
    """Messages as the inside of a JSON string."""

    @cached_property
    def first(self) -> int:
        return nanoseconds(min(self.stamps).decode())

    @cached_property
    def last(self) -> int:
        return nanoseconds(max(self.stamps).decode())

    def sequences(self) -> tuple[int, int]:
        """`event.sequence` of the first and the last line, in growing order."""
        begin = self.docs.index(b"\n") + 1
        head = self.docs[begin : self.docs.index(b"\n", begin)]
        tail = self.docs[self.docs.rindex(b"\n", 0, -1) + 1 : -1]
        ends = sorted((sequence_of(head), sequence_of(tail)))
        return ends[0], ends[1]

    def words(self) -> str:
        """The messages as a JSON array for the word index: nothing in it that SQLite's tokenizer sees differently."""
        text = (b'["' + b'","'.join(self.texts) + b'"]').decode()
        if "\\u0000" in text:
            text = orjson.dumps([message.replace("\0", " ") for message in orjson.loads(text)]).decode()
        if "\\u001b[" in text or "\\u001B[" in text:
            text = _AFTER_BACKSLASH.sub(r"\1 ", text) if "\\\\\\u001" in text else text
            text = _COLOUR.sub(" ", text)
        # The tokenizer knows Unicode 6.1 only, folds few letters, and takes later signs (emoji) for letters.
        return text if text.isascii() else _FOREIGN_SIGNS.sub(" ", text.casefold())

    def levels(self) -> bytes | None:
        """A letter of LETTERS for each line whose `log.level` says its level, a blank for any other; None where no line
        has one. Only lines that rules have parsed are looked at."""
        if b'"log":{' not in self.docs or b'"level":"' not in self.docs:
            return None
        found: Sequence[bytes] = _LEVEL.findall(self.docs)
        if len(found) != len(self.ids) or len(found) - found.count(b"") != self.docs.count(b'"log":{'):
            found = self._levels_one_by_one()
        letters = "".join([_OF_VALUE.get(value, " ") for value in found])
        return letters.encode() if letters.strip() else None

    def _levels_one_by_one(self) -> list[bytes]:
        lines = self.docs.replace(ORIGIN_MARK, b"").split(b"\n")[1::2]
        return [(told(orjson.loads(line)) or "").encode() for line in lines]

    def without(self, unwanted: set[int]) -> "Block | None":
        """The block without the lines of these indexes; None where no line is left."""
        keep = [index for index in range(len(self.ids)) if index not in unwanted]
        if not keep:
            return None
        lines = self.docs.split(b"\n")
        docs = b"".join([b"%b\n%b\n" % (lines[2 * index], lines[2 * index + 1]) for index in keep])
        ids, stamps, texts = ([column[index] for index in keep] for column in (self.ids, self.stamps, self.texts))
        return Block(self.origin, docs, ids, stamps, texts)

    def joined(self, other: "Block") -> "Block":
        return Block(
            self.origin, self.docs + other.docs, [*self.ids, *other.ids],
            [*self.stamps, *other.stamps], [*self.texts, *other.texts])  # fmt: skip

    def fits(self, other: "Block") -> bool:
        """Whether the two may be one block."""
        return (
            self.origin.json == other.origin.json
            and len(self.ids) + len(other.ids) <= MAX_LINES
            and len(self.docs) + len(other.docs) <= MAX_BYTES
        )


def cut(section: Section, elements: Callable[[str], int]) -> tuple[list[Block], list[Rejected]]:
    """The section's blocks, and the lines that can't be stored. `elements` as `JsonProbe.elements`."""
    blocks: list[Block] = []
    rejected: list[Rejected] = []
    for docs in _pieces(section.docs):
        try:
            blocks.append(_whole(section.origin, docs, elements))
        except (BadBlockError, ValueError, IndexError):
            good, bad = _line_by_line(section.origin, docs)
            blocks += good
            rejected += bad
    return blocks, rejected


def _pieces(docs: bytes) -> Iterator[bytes]:
    """`docs` in parts that respect the limits of a block, but for a single line that is larger than them."""
    count = max(-(-len(docs) // MAX_BYTES), -(-docs.count(b"\n") // (2 * MAX_LINES)))
    start = 0
    for part in range(count - 1, 0, -1):
        end = docs.find(b"\n" + _ACTION, start + (len(docs) - start) // (part + 1)) + 1
        if end <= 0:
            break
        yield docs[start:end]
        start = end
    yield docs[start:]


class JsonProbe:
    """Checks JSON in SQLite rather than in Python, because SQLite lets other threads run meanwhile."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)

    def elements(self, text: str) -> int:
        """How many elements the JSON array has; BadBlockError where it is none."""
        try:
            return int(self._connection.execute("SELECT json_array_length(?)", (text,)).fetchone()[0])
        except (sqlite3.Error, UnicodeError) as error:
            raise BadBlockError(str(error)) from error

    def close(self) -> None:
        self._connection.close()


def _whole(origin: Origin, docs: bytes, elements: Callable[[str], int]) -> Block:
    pieces = docs.split(_PAIR)
    head, *rest = pieces
    if occurrences(docs, b"\n") != 2 * len(rest) or len(rest) > MAX_LINES or not rest or head[:18] != _ACTION:
        raise BadBlockError("not in pairs")
    if {piece[30:43] for piece in rest} != {_TEXT} or may_halve(docs):
        raise BadBlockError("another key order, or half a character")
    stamps = [piece[:30] for piece in rest]
    texts = [piece[43 : piece.index(_STREAM, 43)] for piece in rest]
    ids = [head[18:], *[piece[piece.rindex(_ACTION) + 18 :] for piece in rest[:-1]]]
    _check_stamps(stamps)
    array = docs[:-1].replace(ORIGIN_MARK, b"").replace(b"\n", b",").decode()
    if elements(f"[{array}]") != 2 * len(rest):
        raise BadBlockError("a line holds more than one document")
    return Block(origin, docs, ids, stamps, texts)


def _check_stamps(stamps: Sequence[bytes]) -> None:
    joined = b"".join(stamps)
    for at, sign in _SHAPE.items():
        if joined[at::30] != sign * len(stamps):
            raise BadBlockError("timestamp of another form")
    for at in range(20, 29):
        if not joined[at::30].isdigit():
            raise BadBlockError("timestamp without nine digits")
    for second in {stamp[:19] for stamp in stamps}:
        nanoseconds(second.decode() + ".000000000Z")
        _check_year(second.decode())


def _check_year(stamp: str) -> None:
    if not FIRST_YEAR <= int(stamp[:4]) <= LAST_YEAR:
        raise BadBlockError(f"@timestamp {stamp} is outside of the years {FIRST_YEAR} to {LAST_YEAR}")


def _line_by_line(origin: Origin, docs: bytes) -> tuple[list[Block], list[Rejected]]:
    blocks: list[Block] = []
    rejected = []
    lines = docs.split(b"\n")
    for action, line in zip(lines[0::2], lines[1::2], strict=False):
        try:
            block = _one(origin, action, line)
        except (ValueError, TypeError, KeyError, BadBlockError) as error:
            rejected.append(Rejected(_identity(action), _reason(error), line.decode("utf-8", "replace")))
            continue
        if blocks and blocks[-1].fits(block):
            blocks[-1] = blocks[-1].joined(block)
        else:
            blocks.append(block)
    return blocks, rejected


def _one(origin: Origin, action: bytes, line: bytes) -> Block:
    identity = orjson.loads(action)["create"]["_id"]
    if not isinstance(identity, str) or not identity or orjson.dumps(identity)[1:-1] != identity.encode():
        raise BadBlockError("its _id is no plain text")
    document = orjson.loads(line.replace(ORIGIN_MARK, b""))
    stamp, message = str(document.pop("@timestamp")), document.pop("message")
    if not isinstance(message, str):
        raise BadBlockError("message is not text")
    nanoseconds(stamp)
    _check_year(stamp)
    text = orjson.dumps(message)[1:-1]
    rest = orjson.dumps({"stream": str(document.pop("stream", "")), **document})[1:-1]
    mark = ORIGIN_MARK if ORIGIN_MARK in line else b""
    pair = b'%b%b"}}\n{"@timestamp":"%b%b%b",%b%b}\n' % (
        _ACTION, identity.encode(), stamp.encode(), _TEXT, text, rest, mark)  # fmt: skip
    return Block(origin, pair, [identity.encode()], [stamp.encode()], [text])


def _identity(action: bytes) -> str:
    try:
        return str(orjson.loads(action)["create"]["_id"])
    except (ValueError, TypeError, KeyError):
        return action.decode("utf-8", "replace")[:200]


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"field {error} is missing"
    return f"not a JSON document: {error}" if isinstance(error, orjson.JSONDecodeError) else str(error)


def sequence_of(line: bytes) -> int:
    """`event.sequence` of a document line; -1 where it has none."""
    found = _SEQUENCE.search(line)
    return int(found[1]) if found else -1


def packer() -> zstandard.ZstdCompressor:
    """Makes a block's payload of its docs, one after another: a small block's cost is mostly the compressor's own."""
    return zstandard.ZstdCompressor(compression_params=_COMPRESSION)


def unpack(payload: bytes) -> list[bytes]:
    """The lines of a payload, action and document in turn; raises zstandard.ZstdError where it is damaged."""
    return zstandard.ZstdDecompressor().decompress(payload).split(b"\n")[:-1]


def ids_of(lines: Sequence[bytes]) -> list[bytes]:
    """The `_id` of each pair of lines."""
    return [line[18:-3] for line in lines[0::2]]


def document(line: bytes, origin: bytes) -> dict[str, Any]:
    """The whole document of a line; `origin` is the origin's fragment."""
    found: dict[str, Any] = orjson.loads(line.replace(ORIGIN_MARK, origin))
    return found
